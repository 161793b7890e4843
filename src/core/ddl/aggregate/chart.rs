//! `chart`: a line chart in text, sixteen rows of sixty columns with a labelled axis.

use serde_json::{Value, json};

use super::{Lines, MAX_VALUES, Options, Spelling, Sum, number};

pub(super) fn chart(_: Options) -> Box<dyn Sum> {
    Box::new(Chart::default())
}

/// Samples in the order they came.
#[derive(Debug, Default)]
struct Chart(Vec<f64>);

impl Sum for Chart {
    fn add(&mut self, value: &Value) {
        self.0.extend(number(value).filter(|sample| sample.is_finite() && self.0.len() < MAX_VALUES));
    }

    fn lines(&self, _: Spelling) -> Lines<'_> {
        let lines: Vec<String> = plot(&self.0).lines().map(str::to_owned).collect();
        Box::new(lines.into_iter())
    }

    fn json(&self) -> Option<Value> {
        Some(json!({ "chart": plot(&self.0) }))
    }

    fn is_drawing(&self) -> bool {
        true
    }
}

/// Rows between the smallest and the largest value.
const HEIGHT: f64 = 15.0;
/// Samples are stretched or thinned to as many.
const WIDTH: usize = 60;
/// Spaces between a label and the axis.
const GAP: &str = "   ";

/// Draws samples in the order they came. Nothing to draw is an empty chart.
fn plot(samples: &[f64]) -> String {
    let series = fit(samples);
    let low = series.iter().copied().fold(f64::INFINITY, f64::min);
    let high = series.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let interval = (high - low).abs();
    if series.is_empty() || !interval.is_finite() {
        return String::new();
    }
    let ratio = if interval == 0.0 { 1.0 } else { HEIGHT / interval };
    let bottom = (low * ratio).round();
    let rows = ((high * ratio).round() - bottom).clamp(0.0, HEIGHT + 1.0) as usize;
    // Rows count from the bottom in the data and from the top on paper.
    let row = |value: f64| rows - (((value * ratio).round() - bottom).clamp(0.0, rows as f64) as usize);

    let mut paper = vec![vec![' '; series.len()]; rows + 1];
    let mut put = |row: usize, column: usize, letter: char| {
        if let Some(place) = paper.get_mut(row).and_then(|line| line.get_mut(column)) {
            *place = letter;
        }
    };
    for line in 0..=rows {
        put(line, 0, '┤');
    }
    put(series.first().map_or(0, |first| row(*first)), 0, '┼');
    for (column, pair) in series.windows(2).enumerate() {
        let &[from, to] = pair else { continue };
        let (from, to, column) = (row(from), row(to), column + 1);
        if from == to {
            put(from, column, '─');
            continue;
        }
        let rises = to < from;
        put(to, column, if rises { '╭' } else { '╰' });
        put(from, column, if rises { '╯' } else { '╮' });
        for line in from.min(to) + 1..from.max(to) {
            put(line, column, '│');
        }
    }

    let precision = precision(low.abs().max(high.abs()));
    let width =
        [low, high].map(|value| format!("{value:.precision$}").len()).into_iter().max().unwrap_or(0) + 1;
    let label = |line: usize| {
        let value = if rows == 0 { bottom } else { high - line as f64 * interval / rows as f64 };
        format!("{value:width$.precision$}")
    };
    let lines = paper.iter().enumerate().map(|(line, letters)| {
        let drawn: String = letters.iter().collect();
        format!("{}{GAP}{}", label(line), drawn.trim_end())
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Stretches samples over the width, in straight lines between them.
fn fit(samples: &[f64]) -> Vec<f64> {
    let Some(last) = samples.len().checked_sub(1) else { return Vec::new() };
    let step = last as f64 / (WIDTH - 1) as f64;
    let at = |i: usize| samples.get(i.min(last)).copied().unwrap_or(0.0);
    let between = |column: usize| {
        let place = column as f64 * step;
        let (before, after) = (at(place.floor() as usize), at(place.ceil() as usize));
        before + (after - before) * (place - place.floor())
    };
    let mut series: Vec<f64> = (0..WIDTH - 1).map(between).collect();
    series.push(at(last));
    series
}

/// Digits behind the point: two, none above a hundred, more for small values.
fn precision(largest: f64) -> usize {
    let magnitude = if largest == 0.0 { -1.0 } else { largest.log10() };
    if magnitude > 2.0 {
        0
    } else if magnitude >= 0.0 {
        2
    } else if magnitude % 1.0 == 0.0 {
        2 + (-magnitude - 1.0) as usize
    } else {
        2 + (-magnitude) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_samples_can_be_drawn() {
        assert_eq!(plot(&[]), "");
        assert_eq!(plot(&[f64::MIN, f64::MAX]), "");
        assert_eq!(plot(&[2.0]).lines().count(), 1);
        for samples in
            [vec![1e18, 1e18 + 256.0], vec![1e-300, 2e-300], vec![-5.0, 5.0, -5.0], vec![0.0; 1000]]
        {
            assert!(plot(&samples).lines().count() <= 17);
        }
    }
}
