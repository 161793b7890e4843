//! Box tables.

use comfy_table::{ContentArrangement, ContentLineStyle, LineStyle, Table, TableStyle};

use super::text::clean;

const ROUNDED: TableStyle = TableStyle::new()
    .top_border(LineStyle::new('╭', '─', '┬', '╮'))
    .header_lines(ContentLineStyle::new('│', '│', '│'))
    .header_separator(LineStyle::new('├', '─', '┼', '┤'))
    .content_lines(ContentLineStyle::new('│', '│', '│'))
    .bottom_border(LineStyle::new('╰', '─', '┴', '╯'));

/// A table with rounded corners and no width limit: output goes to files too.
pub fn render(header: &[String], rows: &[Vec<String>]) -> String {
    let cleaned = |cells: &[String]| cells.iter().map(|c| clean(c, true).into_owned()).collect::<Vec<_>>();
    let mut table = Table::new();
    table
        .load_style(ROUNDED)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(cleaned(header));
    for row in rows {
        table.add_row(cleaned(row));
    }
    format!("{table}\n")
}
