//! Box tables.

use choria::core::text::shorten;
use comfy_table::{ContentArrangement, ContentLineStyle, LineStyle, Table, TableStyle};

use super::terminal;
use super::text::clean;

const ROUNDED: TableStyle = TableStyle::new()
    .top_border(LineStyle::new('╭', '─', '┬', '╮'))
    .header_lines(ContentLineStyle::new('│', '│', '│'))
    .header_separator(LineStyle::new('├', '─', '┼', '┤'))
    .content_lines(ContentLineStyle::new('│', '│', '│'))
    .bottom_border(LineStyle::new('╰', '─', '┴', '╯'));

const PLAIN: TableStyle = TableStyle::new()
    .top_border(LineStyle::new('+', '-', '+', '+'))
    .header_lines(ContentLineStyle::new('|', '|', '|'))
    .header_separator(LineStyle::new('+', '-', '+', '+'))
    .content_lines(ContentLineStyle::new('|', '|', '|'))
    .bottom_border(LineStyle::new('+', '-', '+', '+'));

/// Bytes of a cell: each row is as wide as the widest.
const MAX_CELL: usize = 1000;

fn cell(text: &str) -> String {
    let mut text = clean(text, true).into_owned();
    shorten(&mut text, MAX_CELL);
    text
}

/// A table, with rounded corners where they can be shown. Cells are broken into
/// lines where a terminal is narrower; files and pipes have no width.
pub fn render(header: &[String], rows: &[Vec<String>]) -> String {
    let cleaned = |cells: &[String]| cells.iter().map(|c| cell(c)).collect::<Vec<_>>();
    let mut table = Table::new();
    table
        .load_style(if terminal::is_ascii() { PLAIN } else { ROUNDED })
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(cleaned(header));
    if let Some(width) = terminal::width().and_then(|width| u16::try_from(width).ok()) {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    for row in rows {
        table.add_row(cleaned(row));
    }
    format!("{table}\n")
}
