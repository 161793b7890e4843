//! What Puppet's last run did, from the files it leaves.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::settings::Paths;
use crate::core::agents::Outcome;
use crate::core::agents::system::{Outputs, ways};
use crate::core::protocol::filter::read_yaml;

/// Most bytes of a summary and of a list of resources.
const MOST: u64 = 8 * 1024 * 1024;
/// Most bytes of a report that are read, from its beginning, where it tells what was logged.
const MOST_LOGS: u64 = 512 * 1024;
/// Lines of the log that are told.
const MOST_LINES: usize = 2000;

/// Tells all that the interface has.
pub(super) fn tell(paths: &Paths, logs: bool, at: Timestamp, mut outputs: Outputs) -> Outcome {
    let summary = load(&paths.summary);
    let number = |group: &str, name: &str| {
        summary.get(group).and_then(|group| group.get(name)).cloned().unwrap_or_else(|| json!(0))
    };
    for (output, name) in [
        ("out_of_sync_resources", "out_of_sync"),
        ("failed_resources", "failed"),
        ("corrected_resources", "corrective_change"),
        ("changed_resources", "changed"),
        ("total_resources", "total"),
    ] {
        outputs.set(output, number("resources", name));
    }
    outputs.set("total_time", number("time", "total"));
    outputs.set("config_retrieval_time", number("time", "config_retrieval"));
    let last = number("time", "last_run").as_i64().unwrap_or_default();
    outputs.set("lastrun", last).set("since_lastrun", at.as_second().saturating_sub(last));
    let version = summary.get("version").and_then(|version| version.get("config")).cloned();
    outputs.set("config_version", version.unwrap_or_else(|| json!("unknown")));
    outputs.set("type_distribution", json!(types(&paths.resources)));
    outputs.set("logs", if logs { json!(logged(&paths.report)) } else { json!({}) });
    outputs.set("summary", summary);
    outputs.done()
}

/// Unix seconds of the last run, 0 when there was none.
pub(super) fn last_run(paths: &Paths) -> i64 {
    let last = load(&paths.summary).get("time").and_then(|time| time.get("last_run")).cloned();
    last.and_then(|last| last.as_i64()).unwrap_or_default()
}

/// The summary, with the groups the original makes sure of.
fn load(file: &Path) -> Map<String, Value> {
    let text = ways::read(file, MOST).unwrap_or_default();
    let read = whole(read_yaml(&String::from_utf8_lossy(&text)).unwrap_or_default());
    let groups = ["changes", "time", "resources", "version", "events"];
    let mut summary: Map<String, Value> =
        groups.into_iter().map(|group| (group.to_owned(), json!({}))).collect();
    if let Value::Object(read) = read {
        let known = |name: &str| name == "application" || groups.contains(&name);
        summary.extend(read.into_iter().filter(|(name, _)| known(name)));
    }
    let names = ["failed", "changed", "corrective_change", "total", "restarted", "out_of_sync"];
    let mut resources: Map<String, Value> =
        names.into_iter().map(|name| (name.to_owned(), json!(0))).collect();
    if let Some(Value::Object(read)) = summary.remove("resources") {
        resources.extend(read);
    }
    summary.insert("resources".to_owned(), Value::Object(resources));
    summary
}

/// Whole numbers as such: fact files, whose reader this is, have no others than floats.
fn whole(value: Value) -> Value {
    match value {
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, whole(value))).collect(),
        Value::Array(items) => items.into_iter().map(whole).collect(),
        Value::Number(number) => {
            let text =
                number.as_f64().filter(|float| float.fract() == 0.0).map(|float| format!("{float:.0}"));
            text.and_then(|text| text.parse::<i64>().ok()).map_or(Value::Number(number), Value::from)
        }
        other => other,
    }
}

/// Resources of the last catalog by type: `file[/etc/motd]` is a `File`.
fn types(file: &Path) -> BTreeMap<String, u64> {
    let text = ways::read(file, MOST).unwrap_or_default();
    let mut types = BTreeMap::new();
    for line in String::from_utf8_lossy(&text).lines().filter(|line| !line.is_empty()) {
        let name = line.split('[').next().unwrap_or_default();
        let parts: Vec<String> = name.split("::").map(capitalized).collect();
        *types.entry(parts.join("::")).or_default() += 1;
    }
    types
}

pub(super) fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    first + &letters.as_str().to_lowercase()
}

/// Whether a catalog had a resource, as `type[name]`.
pub(super) fn manages(paths: &Paths, kind: &str, name: &str) -> bool {
    let text = ways::read(&paths.resources, MOST).unwrap_or_default();
    let wanted = format!("{}[{name}]", kind.to_lowercase());
    String::from_utf8_lossy(&text).lines().any(|line| line == wanted)
}

/// What the last run logged. Of a report, which may be large, just that part is read.
fn logged(file: &Path) -> Vec<Value> {
    let mut text = Vec::new();
    let read = ways::open(file).and_then(|file| file.take(MOST_LOGS).read_to_end(&mut text));
    read.unwrap_or_default();
    let logs = read_yaml(part(&String::from_utf8_lossy(&text))).unwrap_or_default();
    let lines = logs.get("logs").and_then(Value::as_array).cloned().unwrap_or_default();
    lines.iter().take(MOST_LINES).map(line).collect()
}

/// The lines of a report from `logs:` up to the next of its members.
pub(super) fn part(report: &str) -> &str {
    let begins = "\nlogs:";
    let Some(from) = report.find(begins).map(|at| at + 1) else { return "" };
    let rest = report.get(from..).unwrap_or_default();
    let mut end = 0;
    for (number, line) in rest.split_inclusive('\n').enumerate() {
        let inside = number == 0 || line.starts_with([' ', '-', '\n']);
        if !inside || !line.ends_with('\n') {
            break;
        }
        end += line.len();
    }
    rest.get(..end).unwrap_or_default()
}

fn line(entry: &Value) -> Value {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    let time = text("time").parse::<Timestamp>().map(Timestamp::as_second).unwrap_or_default();
    json!({
        "time_utc": time, "time": time, "level": text("level").trim_start_matches(':'),
        "source": text("source"), "msg": text("message").trim_end_matches(['\r', '\n']),
    })
}
