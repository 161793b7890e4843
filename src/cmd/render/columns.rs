//! Names in columns.

use super::text::clean;

/// Rows of `per_row` names, each column as wide as its widest name, filled
/// across, indented by `indent`.
pub fn across(names: &[String], per_row: usize, indent: usize) -> String {
    rows(names.chunks(per_row.max(1)).map(<[String]>::to_vec).collect(), indent)
}

/// The same filled downward.
pub fn down(names: &[String], columns: usize, indent: usize) -> String {
    let height = names.len().div_ceil(columns.max(1)).max(1);
    let row = |r: usize| names.iter().skip(r).step_by(height).cloned().collect();
    rows((0..height).map(row).collect(), indent)
}

fn rows(rows: Vec<Vec<String>>, indent: usize) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|n| clean(n, false).into_owned()).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|n| n.chars().count()).max().unwrap_or(0);
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
}
