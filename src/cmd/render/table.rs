//! Box tables.

use comfy_table::modifiers::UTF8_ROUND_CORNERS;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};

use super::text::clean;

/// A table with rounded corners and no width limit: output goes to files too.
pub fn render(header: &[String], rows: &[Vec<String>]) -> String {
    let cleaned = |cells: &[String]| cells.iter().map(|c| clean(c, true).into_owned()).collect::<Vec<_>>();
    let mut table = Table::new();
    table
        .load_preset(UTF8_FULL_CONDENSED)
        .apply_modifier(UTF8_ROUND_CORNERS)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(cleaned(header));
    for row in rows {
        table.add_row(cleaned(row));
    }
    format!("{table}\n")
}
