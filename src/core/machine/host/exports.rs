//! What a node exporter picks up of checks and metrics (spec 06 §7.1).

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;

use crate::core::files;
use crate::core::machine::engine::Engine;
use crate::core::machine::watchers::Status;

const CHECKS: &str = "choria_machine_nagios_watcher_status.prom";
const METRICS: &str = "choria_machine_metrics_watcher_status.prom";

/// Both files, as of now.
pub(super) fn texts(engine: &Engine, started: Timestamp, now: Timestamp) -> [(&'static str, String); 2] {
    [(CHECKS, checks(engine, started)), (METRICS, metrics(engine, now))]
}

/// When the first metric that is shown is too old to be.
pub(super) fn shown_until(engine: &Engine, now: Timestamp) -> Option<Timestamp> {
    engine.metrics(now).map(|(_, _, until)| until).min()
}

/// Writes what there is to say, nothing where there is no directory; whether all was written that was to be.
pub(super) fn write(directory: &Path, texts: [(&'static str, String); 2]) -> bool {
    let mut whole = true;
    if !directory.is_dir() {
        return whole;
    }
    for (name, text) in texts {
        let file = directory.join(name);
        if text.is_empty() && !file.exists() {
            continue;
        }
        if let Err(e) = files::write_atomic(&file, text.as_bytes(), files::PUBLIC) {
            tracing::error!("what checks found was not exported: {e}");
            whole = false;
        }
    }
    whole
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
}

/// A value of a label.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn checks(engine: &Engine, started: Timestamp) -> String {
    // of two machines with one name the last counts, as ever
    let all: BTreeMap<&str, _> = engine.checks().collect();
    if all.is_empty() {
        return String::new();
    }
    let mut out = String::new();
    head(
        &mut out,
        "choria_machine_nagios_start_time",
        "Time the Choria Machine subsystem started in unix seconds",
        "gauge",
    );
    out.push_str(&format!("choria_machine_nagios_start_time {}\n", started.as_second()));
    head(&mut out, "choria_machine_nagios_watcher_status", "Choria Nagios Check Status", "gauge");
    for (name, check) in &all {
        let status = if check.status == Status::NotChecked { Status::Unknown } else { check.status };
        let (word, code) = (status.as_str(), status as u8);
        out.push_str(&format!(
            "choria_machine_nagios_watcher_status{{name=\"{}\",status=\"{word}\"}} {code}\n",
            quoted(name)
        ));
    }
    head(&mut out, "choria_machine_nagios_watcher_last_run_seconds", "Choria Nagios Check Time", "gauge");
    for (name, check) in &all {
        let at = check.checked.map_or(0, Timestamp::as_second);
        out.push_str(&format!(
            "choria_machine_nagios_watcher_last_run_seconds{{name=\"{}\"}} {at}\n",
            quoted(name)
        ));
    }
    head(&mut out, "choria_machine_nagios_watcher_checks_count", "Choria Nagios Check Count", "counter");
    for (name, check) in &all {
        out.push_str(&format!(
            "choria_machine_nagios_watcher_checks_count{{name=\"{}\"}} {}\n",
            quoted(name),
            check.count
        ));
    }
    out
}

/// Part of a metric's name: what no name has becomes `_`.
fn word(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == ':' { c } else { '_' }).collect()
}

/// Names and values of labels, as the original writes them.
fn label(text: &str) -> String {
    text.to_lowercase().replace([' ', ',', '"', '\n', '\\'], "_")
}

/// Name of a label, which has no colon and begins with no digit.
fn label_name(text: &str) -> String {
    let name = word(&label(text)).replace(':', "_");
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// All labels of a series. Of names that become one, the first counts: a file with both is no file.
fn labelled<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut by_name: BTreeMap<String, String> = BTreeMap::new();
    for (name, text) in labels {
        by_name.entry(label_name(name)).or_insert_with(|| label(text));
    }
    let shown: Vec<String> = by_name.iter().map(|(name, text)| format!("{name}=\"{text}\"")).collect();
    shown.join(",")
}

fn metrics(engine: &Engine, now: Timestamp) -> String {
    // the same series of two machines: one of them, a file with both is no file
    let mut families: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
    for (watcher, metric, _) in engine.metrics(now) {
        let labels = labelled(metric.labels.iter().map(|(name, text)| (&**name, &**text)));
        for (name, value) in &metric.metrics {
            let family = format!("choria_machine_metric_watcher_{}_{}", word(&label(watcher)), word(name));
            families.entry(family).or_default().insert(labels.clone(), *value);
        }
    }
    let mut out = String::new();
    for (family, samples) in families {
        head(&mut out, &family, "Choria Metric", "gauge");
        out.extend(samples.iter().map(|(labels, value)| format!("{family}{{{labels}}} {value:.6}\n")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_a_reader_takes() {
        let all = [("1st", "a"), ("DC", "P"), ("dc", "q"), ("a:b", "c")];
        assert_eq!(labelled(all.into_iter()), "_1st=\"a\",a_b=\"c\",dc=\"p\"");
        assert_eq!(word("Big Value-1"), "Big_Value_1");
        assert_eq!(label("Loc,A \"1\""), "loc_a__1_");
        assert_eq!(quoted("a\"b\\c\n"), "a\\\"b\\\\c\\n");
    }
}
