//! The last lines of a request.

use choria::core::client::RequestStats;

use super::columns;
use super::text::{Colour, duration, paint};

/// Names of silent nodes that are listed without `-v`.
const LISTED: usize = 200;

/// How many answered, and who did not.
pub fn footer(stats: &RequestStats, verbose: bool, colour: bool) -> String {
    let total = stats.discover_time + stats.request_time;
    let mut out = String::new();
    if verbose {
        out.push_str("---- request stats ----\n");
        for (label, value) in [
            ("Request ID", stats.requestid.clone()),
            ("Nodes", format!("{} / {}", stats.responses, stats.discovered)),
            ("Pass / Fail", format!("{} / {}", stats.ok, stats.failed)),
            ("No Responses", stats.no_responses.len().to_string()),
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
            n if n < stats.discovered => Colour::Yellow,
            _ => Colour::Green,
        };
        out.push_str(&format!(
            "Finished processing {} hosts in {}\n",
            paint(&counts, hue, colour),
            duration(total)
        ));
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
            out.push_str(&format!("    … and {} more, all with -v\n", names.len() - shown));
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
        let text = footer(&stats, false, false);
        assert!(
            text.contains("Finished processing 0 / 2 hosts") && text.contains("No Responses from: 2"),
            "{text}"
        );
        assert!(text.contains("    n1  n2"), "{text}");
    }
}
