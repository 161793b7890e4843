//! Names in columns.

use choria::core::text::column;

use super::terminal;
use super::text::clean;

/// Rows of `per_row` names, each column as wide as its widest name, filled
/// across, indented by `indent`.
pub fn across(names: &[String], per_row: usize, indent: usize) -> String {
    let per_row = fitting(names, per_row, indent, terminal::width());
    rows(names.chunks(per_row).map(<[String]>::to_vec).collect(), indent)
}

/// The same filled downward.
pub fn down(names: &[String], columns: usize, indent: usize) -> String {
    let columns = fitting(names, columns, indent, terminal::width());
    let height = names.len().div_ceil(columns).max(1);
    let row = |r: usize| names.iter().skip(r).step_by(height).cloned().collect();
    rows((0..height).map(row).collect(), indent)
}

/// How many columns of the widest name fit, `wanted` at most and one at least.
fn fitting(names: &[String], wanted: usize, indent: usize, width: Option<usize>) -> usize {
    let Some(width) = width else { return wanted.max(1) };
    let widest = names.iter().map(|name| name.chars().count() + 2).max().unwrap_or(1);
    (width.saturating_sub(indent) / widest).clamp(1, wanted.max(1))
}

fn rows(rows: Vec<Vec<String>>, indent: usize) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|n| clean(n, false).into_owned()).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| column(rows.iter().filter_map(|r| r.get(c)).map(|n| n.chars().count()));
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows.iter().filter(|row| !row.is_empty()) {
        let mut line = " ".repeat(indent);
        for (name, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{name:<width$}  "));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fill_across_or_down() {
        let names: Vec<String> = ["a", "bbb", "c", "d", "e"].map(str::to_owned).to_vec();
        assert_eq!(across(&names, 3, 2), "  a  bbb  c\n  d  e\n");
        assert_eq!(down(&names, 2, 0), "a    d\nbbb  e\nc\n");
        assert_eq!(across(&[], 3, 0), "");
    }

    #[test]
    fn a_narrow_terminal_has_fewer_columns() {
        let names: Vec<String> =
            ["n1.example.net", "n2.example.net", "n3.example.net"].map(str::to_owned).to_vec();
        for (width, columns) in
            [(None, 3), (Some(80), 3), (Some(60), 3), (Some(50), 2), (Some(40), 2), (Some(10), 1)]
        {
            assert_eq!(fitting(&names, 3, 4, width), columns, "{width:?}");
        }
    }
}
