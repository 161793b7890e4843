//! The last lines of a request.

use choria::core::client::RequestStats;

use super::columns;
use super::text::{Colour, duration, paint};

/// Names of silent nodes that are listed without `-v`.
const LISTED: usize = 200;

/// How many answered how, in words; nothing where all answered well.
pub fn counts(stats: &RequestStats, interrupted: bool) -> Option<String> {
    let silent = stats.no_responses.len();
    let not_asked = stats.not_asked.len();
    if stats.failed + silent + not_asked == 0 && !interrupted {
        return None;
    }
    let of = |classes: Vec<(usize, &str)>| {
        let classes: Vec<String> = classes.iter().map(|(count, class)| format!("{count} {class}")).collect();
        if classes.is_empty() { String::new() } else { format!(" ({})", classes.join(", ")) }
    };
    let (failures, silences) = (of(stats.accounting.failures()), of(stats.accounting.silences()));
    let mut out = format!("{} ok, {} failed{failures}, {silent} silent{silences}", stats.ok, stats.failed);
    if not_asked > 0 {
        out.push_str(&format!(", {not_asked} not asked"));
    }
    if interrupted {
        out.push_str(", interrupted");
    }
    Some(out)
}

/// How many answered, and who did not.
pub fn footer(stats: &RequestStats, interrupted: bool, verbose: bool, colour: bool) -> String {
    let total = stats.discover_time + stats.request_time;
    let mut out = String::new();
    if verbose {
        out.push_str("---- request stats ----\n");
        for (label, value) in [
            ("Request ID", stats.requestid.clone()),
            ("Nodes", format!("{} / {}", stats.responses, stats.discovered)),
            ("Pass / Fail", format!("{} / {}", stats.ok, stats.failed)),
            ("No Responses", stats.no_responses.len().to_string()),
            ("Not Asked", stats.not_asked.len().to_string()),
            ("Unexpected Responses", stats.unexpected_responses.len().to_string()),
            ("Dropped Responses", stats.dropped_responses.to_string()),
            ("Start Time", stats.start_time_utc.strftime("%Y-%m-%dT%H:%M:%S+0000").to_string()),
            ("Discovery Time", duration(stats.discover_time)),
            ("Publish Time", duration(stats.publish_time)),
            ("Agent Time", duration(stats.request_time)),
            ("Total Time", duration(total)),
        ] {
            out.push_str(&format!("{label:>20}: {value}\n"));
        }
    } else {
        let counts = format!("{} / {}", stats.responses, stats.discovered);
        let hue = match stats.responses {
            0 => Colour::Red,
            _ if stats.failed > 0 => Colour::Red,
            n if n < stats.discovered => Colour::Yellow,
            _ => Colour::Green,
        };
        out.push_str(&format!(
            "Finished processing {} hosts in {}\n",
            paint(&counts, hue, colour),
            duration(total)
        ));
    }
    if let Some(counts) = counts(stats, interrupted) {
        out.push_str(&format!("{counts}\n"));
    }
    for (title, names) in [
        ("No Responses from", &stats.no_responses),
        ("Unexpected Responses from", &stats.unexpected_responses),
        ("Discovered too late to be asked, try --fixed-window", &stats.late_discoveries),
    ] {
        if names.is_empty() {
            continue;
        }
        let shown = if verbose { names.len() } else { names.len().min(LISTED) };
        out.push_str(&format!("\n{title}: {}\n\n", names.len()));
        out.push_str(&columns::across(&names[..shown], 3, 4));
        if shown < names.len() {
            out.push_str(&format!("    and {} more, all with -v\n", names.len() - shown));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_nodes_are_named() {
        let stats = RequestStats {
            discovered: 2,
            no_responses: vec!["n1".into(), "n2".into()],
            ..Default::default()
        };
        let text = footer(&stats, false, false, false);
        assert!(text.contains("0 ok, 0 failed, 2 silent\n"), "{text}");
        assert!(
            text.contains("Finished processing 0 / 2 hosts") && text.contains("No Responses from: 2"),
            "{text}"
        );
        assert!(text.contains("    n1  n2"), "{text}");
        let stats = RequestStats {
            discovered: 4,
            responses: 2,
            ok: 1,
            failed: 1,
            not_asked: vec!["n3".into(), "n4".into()],
            ..Default::default()
        };
        assert_eq!(
            counts(&stats, true).as_deref(),
            Some("1 ok, 1 failed, 0 silent, 2 not asked, interrupted")
        );
        let text = footer(&stats, true, false, true);
        assert!(text.contains("\u{1b}[31m2 / 4"), "failures are not green: {text}");
        let good = RequestStats { discovered: 1, responses: 1, ok: 1, ..Default::default() };
        assert_eq!(counts(&good, false), None);
    }
}
