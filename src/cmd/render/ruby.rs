//! The last lines of a request as the `mco` of the Ruby world writes them
//! (spec 03 §14.5).

use std::time::Duration;

use choria::core::client::RequestStats;

use super::columns;
use super::text::{Colour, clean, paint};

/// How many answered, in milliseconds of the agents, and who did not.
pub fn footer(stats: &RequestStats, caption: &str, verbose: bool, colour: bool) -> String {
    let counts = format!("{} / {}", stats.responses, stats.discovered);
    let mut out = String::new();
    if verbose {
        out.push_str(&format!("---- {} ----\n", clean(caption, false)));
        for (label, value) in [
            ("Nodes", counts),
            ("Pass / Fail", format!("{} / {}", stats.ok, stats.failed)),
            ("Start Time", stats.start_time_utc.strftime("%Y-%m-%d %H:%M:%S +0000").to_string()),
            ("Discovery Time", format!("{}ms", milliseconds(stats.discover_time))),
            ("Agent Time", format!("{}ms", milliseconds(stats.request_time))),
            ("Total Time", format!("{}ms", milliseconds(stats.discover_time + stats.request_time))),
        ] {
            out.push_str(&format!("{label:>16}: {value}\n"));
        }
    } else {
        let hue = match stats.responses {
            0 => Colour::Red,
            n if n < stats.discovered => Colour::Yellow,
            _ => Colour::Green,
        };
        let counts = paint(&counts, hue, colour);
        let time = milliseconds(stats.request_time);
        out.push_str(&format!("Finished processing {counts} hosts in {time} ms\n"));
    }
    for (title, names) in [
        ("No response from", &stats.no_responses),
        ("Unexpected response from", &stats.unexpected_responses),
        ("Discovered too late to be asked", &stats.late_discoveries),
    ] {
        if !names.is_empty() {
            out.push_str(&format!("\n{}:\n\n", paint(title, Colour::Red, colour)));
            out.push_str(&columns::across(names, 3, 3));
        }
    }
    out
}

/// Two places behind the point.
pub fn milliseconds(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_footer_reads_as_it_always_has() {
        let stats = RequestStats {
            discovered: 3,
            responses: 2,
            ok: 2,
            request_time: Duration::from_micros(71_634),
            no_responses: vec!["n3".into()],
            ..RequestStats::default()
        };
        assert_eq!(
            footer(&stats, "rpc stats", false, false),
            "Finished processing 2 / 3 hosts in 71.63 ms\n\nNo response from:\n\n   n3\n"
        );
        let told = footer(&stats, "status Package results", true, false);
        assert!(told.starts_with("---- status Package results ----\n           Nodes: 2 / 3\n"), "{told}");
        assert!(told.contains("      Agent Time: 71.63ms\n"), "{told}");
    }
}
