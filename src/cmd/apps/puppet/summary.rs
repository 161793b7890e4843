//! `choria puppet summary`: how the last runs of a fleet went.

use std::io::{self, Write};

use choria::core::client::RpcReply;
use serde_json::Value;

use crate::cmd::render::forms::{Asked, Flags, Form, Outcome, Timing};
use crate::cmd::render::terminal;

/// Columns of a sparkline.
const BUCKETS: usize = 20;
/// Heights of a column, and what stands for them where only ASCII is shown.
const TICKS: [char; 7] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇'];
const ASCII_TICKS: [char; 7] = ['_', '.', ':', '-', '=', '+', '#'];

/// A sparkline a number.
pub struct Summary;

impl Form for Summary {
    fn wanted(&self, _: Flags) -> bool {
        true
    }

    fn timing(&self) -> Timing {
        Timing::Together
    }

    fn finish(&self, out: &mut dyn Write, _: &Asked<'_>, outcome: &Outcome<'_>) -> io::Result<()> {
        writeln!(out, "Summary statistics for {} nodes:\n", outcome.replies.len())?;
        for (label, output) in [
            ("Total resources", "total_resources"),
            ("Out Of Sync resources", "out_of_sync_resources"),
            ("Failed resources", "failed_resources"),
            ("Changed resources", "changed_resources"),
            ("Corrected resources", "corrected_resources"),
            ("Config Retrieval time (seconds)", "config_retrieval_time"),
            ("Total run-time (seconds)", "total_time"),
            ("Time since last run (seconds)", "since_lastrun"),
        ] {
            let values = values(outcome.replies, output);
            let ticks = if terminal::is_ascii() { ASCII_TICKS } else { TICKS };
            writeln!(out, "{}", format!("{label:>33}: {}", line(&values, &ticks)).trim_end())?;
        }
        writeln!(out)
    }
}

fn values(replies: &[RpcReply], output: &str) -> Vec<f64> {
    let ok = replies.iter().filter(|reply| reply.body.statuscode.is_ok());
    ok.filter_map(|reply| reply.body.data.get(output).and_then(Value::as_f64))
        .filter(|v| v.is_finite())
        .collect()
}

/// How values are spread, and their bounds; nothing where there are none.
fn line(values: &[f64], ticks: &[char; 7]) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if values.is_empty() {
        return String::new();
    }
    let mut buckets = [0_usize; BUCKETS];
    if low < high {
        let width = (high - low) / BUCKETS as f64;
        for value in values {
            let bucket = (((value - low) / width) as usize).min(BUCKETS - 1);
            if let Some(count) = buckets.get_mut(bucket) {
                *count += 1;
            }
        }
    }
    let average = values.iter().sum::<f64>() / values.len() as f64;
    format!(
        "{}  min: {:<6} avg: {:<6} max: {:<6}",
        sparkline(&buckets, ticks),
        short(low),
        short(average),
        short(high)
    )
}

/// Columns of heights; what is there is always higher than what is not.
fn sparkline(buckets: &[usize], ticks: &[char; 7]) -> String {
    let most = buckets.iter().copied().max().unwrap_or(0).max(1);
    let highest = ticks.len() - 1;
    let height = |count: usize| match count {
        0 => 0,
        count => ((count * highest + most / 2) / most).clamp(1, highest),
    };
    buckets.iter().map(|count| ticks.get(height(*count)).copied().unwrap_or(' ')).collect()
}

/// A number in six columns.
fn short(number: f64) -> String {
    match number {
        number if number >= 1e6 => format!("{:.1}m", number / 1e6),
        number if number >= 1e3 => format!("{:.1}k", number / 1e3),
        number => format!("{number:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cmd::apps::layout::tests::{reply, shown};

    #[test]
    fn a_line_shows_how_values_are_spread() {
        assert_eq!(line(&[], &TICKS), "");
        let of = |values: &[f64]| line(values, &ASCII_TICKS);
        assert_eq!(of(&[5.0, 5.0]), "____________________  min: 5.0    avg: 5.0    max: 5.0   ");
        assert_eq!(of(&[0.0, 0.0, 0.0, 20.0]), "#__________________:  min: 0.0    avg: 5.0    max: 20.0  ");
        let many: Vec<f64> = (0..=1000).map(|n| f64::from(n) * 1500.0).collect();
        let text = of(&many);
        assert!(text.starts_with("####################  min: 0.0    avg: 750.0k max: 1.5m  "), "{text}");
        assert_eq!(sparkline(&[0, 1, 1000], &TICKS), "▁▂▇");
    }

    #[test]
    fn all_numbers_of_the_last_run_are_shown() {
        let data = json!({"total_resources": 100, "failed_resources": 0, "total_time": 12.345, "since_lastrun": "Unknown"});
        let text = shown(&Summary, &[reply("n1", 0, "OK", data), reply("n2", 1, "no", json!({}))], &[]);
        assert!(
            text.starts_with("Summary statistics for 2 nodes:\n\n                  Total resources: "),
            "{text}"
        );
        assert!(text.contains("min: 12.3   avg: 12.3   max: 12.3\n"), "{text}");
        assert!(text.contains("    Time since last run (seconds):\n"), "{text}");
        assert_eq!(text.lines().count(), 11);
    }
}
