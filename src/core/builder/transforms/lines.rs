//! A line of numbers.

use super::json_of;
use crate::core::builder::compile::Reading;

/// Widest and highest graph.
const LARGEST: u64 = 1000;
/// Most numbers.
const MOST: usize = 1_000_000;

/// How a line is drawn.
#[derive(Debug)]
pub struct Lines {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Digits behind the point.
    pub precision: usize,
    /// Whether a list of JSON comes in, not a number a line.
    pub json: bool,
    /// What stands below; a template.
    pub caption: String,
}

pub(super) fn read(of: &mut Reading<'_, '_>) -> Lines {
    let mut size = |name, usual: usize| {
        let size = of.number(name, LARGEST).filter(|size| *size > 0);
        size.and_then(|size| usize::try_from(size).ok()).unwrap_or(usual)
    };
    let (width, height) = (size("width", 40), size("height", 20));
    let precision = of.number("precision", 15).and_then(|digits| usize::try_from(digits).ok());
    let precision = precision.filter(|digits| *digits > 0).unwrap_or(2);
    Lines { width, height, precision, json: of.flag("json"), caption: of.template("caption") }
}

impl Lines {
    pub(super) fn draw(&self, input: &str, caption: &str) -> Result<String, String> {
        let numbers: Vec<f64> = match self.json {
            true => json_of(input, "line_graph")?,
            false => input
                .lines()
                .filter(|line| !line.trim().is_empty())
                .map(|line| {
                    line.trim().parse().map_err(|_| format!("line_graph takes a number a line, not '{line}'"))
                })
                .collect::<Result<_, _>>()?,
        };
        if numbers.is_empty() || numbers.len() > MOST || numbers.iter().any(|n| !n.is_finite()) {
            return Err(format!("line_graph takes numbers, one at least and {MOST} at most"));
        }
        let points = spread(&numbers, self.width);
        let least = points.iter().copied().fold(f64::INFINITY, f64::min);
        let most = points.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let rows = if least == most { 0 } else { self.height };
        let scale = if least == most { 0.0 } else { self.height as f64 / (most - least) };
        let row_of = |value: f64| rows - (((value - least) * scale).round() as usize).min(rows);
        let labels: Vec<String> = (0..=rows)
            .map(|row| {
                let value = if rows == 0 { most } else { most - (most - least) * row as f64 / rows as f64 };
                format!("{value:.*}", self.precision)
            })
            .collect();
        let margin = labels.iter().map(String::len).max().unwrap_or(0);
        let mut canvas = vec![vec![' '; points.len()]; rows + 1];
        let first = row_of(points[0]);
        for (at, pair) in points.windows(2).enumerate() {
            let (from, to) = (row_of(pair[0]), row_of(pair[1]));
            if from == to {
                canvas[from][at] = '─';
                continue;
            }
            canvas[from][at] = if from > to { '╯' } else { '╮' };
            canvas[to][at] = if from > to { '╭' } else { '╰' };
            let between = from.min(to) + 1..from.max(to);
            canvas[between].iter_mut().for_each(|row| row[at] = '│');
        }
        let mut out = String::new();
        for (row, line) in canvas.iter().enumerate() {
            let axis = if row == first { '┼' } else { '┤' };
            let drawn: String = line.iter().collect();
            out.push_str(format!(" {:>margin$} {axis}{drawn}", labels[row]).trim_end());
            out.push('\n');
        }
        if !caption.is_empty() {
            let before = margin + 3 + points.len().saturating_sub(caption.chars().count()) / 2;
            out.push_str(&format!("{}{caption}\n", " ".repeat(before)));
        }
        Ok(out)
    }
}

/// As many points as there are columns.
fn spread(numbers: &[f64], width: usize) -> Vec<f64> {
    let last = numbers.len() - 1;
    let point = |at: usize| {
        let place = last as f64 * at as f64 / (width.max(2) - 1) as f64;
        let (below, above) = (place.floor() as usize, (place.ceil() as usize).min(last));
        numbers[below.min(last)] + (numbers[above] - numbers[below.min(last)]) * place.fract()
    };
    (0..width).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(json: bool) -> Lines {
        Lines { width: 5, height: 2, precision: 1, json, caption: String::new() }
    }

    #[test]
    fn a_line_goes_up_and_down() {
        let drawn = lines(true).draw("[1,2,3,2,1]", "ups").unwrap();
        assert_eq!(drawn, " 3.0 ┤ ╭╮\n 2.0 ┤╭╯╰╮\n 1.0 ┼╯  ╰\n       ups\n");
        assert_eq!(lines(false).draw("4\n4\n", "").unwrap(), " 4.0 ┼────\n");
        for wrong in ["", "x\n", "1\nnan\n"] {
            assert!(lines(false).draw(wrong, "").is_err(), "{wrong}");
        }
    }
}
