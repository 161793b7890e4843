//! `puppet`: when Puppet's last run was, and what came of it, from the summary it leaves.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::Value;

use super::limits::{Bounds, Limits, Measure};
use super::{Around, Builtin, Finding, Looking, Probe};
use crate::core::files::{read_bounded, unless_ours_hangs};
use crate::core::machine::properties::Properties;
use crate::core::machine::watchers::Status;
use crate::core::protocol::filter::read_yaml;

pub(super) const BUILTIN: Builtin = Builtin { name: "puppet", compile };

/// Bytes of a summary.
const MOST: u64 = 8 << 20;
/// Where versions of Puppet leave it; the first that is there counts.
const SUMMARIES: [&str; 4] = [
    "/opt/puppetlabs/puppet/public/last_run_summary.yaml",
    "/opt/puppetlabs/puppet/cache/state/last_run_summary.yaml",
    "/var/cache/puppet/public/last_run_summary.yaml",
    "/var/lib/puppet/state/last_run_summary.yaml",
];
/// Files that are there while somebody keeps it from running.
const LOCKS: [&str; 3] = [
    "/opt/puppetlabs/puppet/cache/state/agent_disabled.lock",
    "/var/cache/puppet/state/agent_disabled.lock",
    "/var/lib/puppet/state/agent_disabled.lock",
];

struct LastRun {
    summaries: Vec<PathBuf>,
    locks: Vec<PathBuf>,
    limits: Limits,
}

fn compile(of: &mut Properties<'_, '_>) -> Box<dyn Probe> {
    let mut places = |name, defaults: &[&str]| {
        let given = of.text(name);
        if given.is_empty() {
            defaults.iter().map(PathBuf::from).collect()
        } else {
            vec![PathBuf::from(&*given)]
        }
    };
    Box::new(LastRun {
        summaries: places("file", &SUMMARIES),
        locks: places("lock", &LOCKS),
        // since the last run
        limits: Limits::new(of, Measure::Seconds, ["1h30m", "24h"]),
    })
}

impl Probe for LastRun {
    fn look<'a>(&'a self, around: &'a Around) -> Looking<'a> {
        Box::pin(async move { self.found(around).await.unwrap_or_else(|finding| finding) })
    }
}

impl LastRun {
    async fn found(&self, around: &Around) -> Result<Finding, Finding> {
        let bounds = self.limits.here(around)?;
        let (summaries, locks) = (self.summaries.clone(), self.locks.clone());
        // the first stands for all: whoever hangs at any of them is known by it
        let place = self.summaries.first().cloned().unwrap_or_default();
        let read = unless_ours_hangs(&place, move || {
            let text = match summaries.iter().find(|path| path.exists()) {
                Some(path) => read_bounded(path, MOST).map_err(|e| e.to_string())?,
                None => {
                    let shown: Vec<String> = summaries.iter().map(|p| p.display().to_string()).collect();
                    return Err(format!("Puppet never ran: there is no {}", shown.join(", nor ")));
                }
            };
            let disabled = locks.iter().find(|path| path.exists()).map(|path| {
                let said = read_bounded(path, 64 * 1024).unwrap_or_default();
                let said: Value = serde_json::from_slice(&said).unwrap_or_default();
                said.get("disabled_message").and_then(Value::as_str).unwrap_or_default().to_owned()
            });
            Ok((text, disabled))
        });
        let read = read.await.unwrap_or_else(|| Err("Puppet's files do not answer".to_owned()));
        let (text, disabled) = read.map_err(Finding::unknown)?;
        let summary = read_yaml(&String::from_utf8_lossy(&text))
            .map_err(|e| Finding::unknown(format!("Puppet's summary cannot be read: {e}")))?;
        Ok(judged(&summary, disabled.as_deref(), Timestamp::now().as_second(), bounds))
    }
}

fn judged(summary: &Value, disabled: Option<&str>, now: i64, bounds: Bounds) -> Finding {
    let number = |group: &str, name: &str| {
        let found = summary.get(group).and_then(|group| group.get(name));
        found.and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()))
    };
    let Some(last) = number("time", "last_run") else {
        return Finding::unknown("Puppet's summary tells of no run");
    };
    let age = (now as f64 - last).max(0.0);
    let said = format!("Puppet ran {:.0} minutes ago", age / 60.0);
    let mut finding = Finding::ok().judged("age", age, "s", bounds, said);
    // a run without a catalog has neither resources nor events
    match (number("resources", "total"), number("resources", "failed")) {
        (None | Some(0.0), _) => finding = finding.with(Status::Critical, "it had no catalog"),
        (Some(total), failed) => {
            let failed = failed.unwrap_or_default();
            if failed > 0.0 {
                finding = finding.with(Status::Critical, format!("{failed} of {total} resources failed"));
            }
            let of_events = number("events", "failure").unwrap_or_default();
            if of_events > 0.0 && failed == 0.0 {
                finding = finding.with(Status::Critical, format!("{of_events} changes failed"));
            }
            let restarts = number("resources", "failed_to_restart").unwrap_or_default();
            if restarts > 0.0 {
                finding = finding.with(Status::Warning, format!("{restarts} resources did not restart"));
            }
            finding = finding.number("resources", total, "").number("failed", failed, "");
        }
    }
    if let Some(message) = disabled {
        let why = if message.is_empty() { String::new() } else { format!(": {message}") };
        finding = finding.with(Status::Warning, format!("it is disabled{why}"));
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::super::tests::look;
    use super::*;

    #[test]
    fn a_run_is_judged_by_its_age_and_what_failed() {
        let now = 1_800_000_000;
        let summary = |age: i64, total: &str, more: &str| {
            let text = format!(
                "---\nversion:\n  config: 7\ntime:\n  total: 3.5\n  last_run: {}\nresources:\n  failed: 0\n  total: \
                 {total}\n{more}",
                now - age
            );
            read_yaml(&text).unwrap()
        };
        let bounds = Bounds::of("5400", "86400");
        let said = |summary: &Value, lock| judged(summary, lock, now, bounds).to_string();
        assert_eq!(
            said(&summary(600, "42", ""), None),
            "OK: Puppet ran 10 minutes ago|age=600s;5400;86400 resources=42 failed=0"
        );
        assert!(said(&summary(7200, "42", ""), None).starts_with("WARNING: Puppet ran 120 minutes ago"));
        assert!(said(&summary(90_000, "42", ""), None).starts_with("CRITICAL: "));
        assert!(said(&summary(60, "0", ""), None).starts_with("CRITICAL: it had no catalog, Puppet ran"));
        let failed = said(&summary(60, "42", "events:\n  failure: 2\n"), None);
        assert!(failed.starts_with("CRITICAL: 2 changes failed"), "{failed}");
        let disabled = said(&summary(60, "42", ""), Some("holiday | now"));
        assert!(disabled.starts_with("WARNING: it is disabled: holiday / now, Puppet ran"), "{disabled}");
        assert!(said(&Value::Null, None).starts_with("UNKNOWN"));
    }

    #[tokio::test]
    async fn files_of_puppet_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let (file, lock) = (dir.path().join("summary.yaml"), dir.path().join("lock"));
        let properties = format!("{{file: {}, lock: {}}}", file.display(), lock.display());
        let found = look("puppet", &properties, "null").await;
        assert!(found.starts_with("UNKNOWN: Puppet never ran: there is no "), "{found}");
        let text = format!(
            "time:\n  last_run: {}\nresources:\n  total: 3\n  failed: 1\n",
            Timestamp::now().as_second()
        );
        std::fs::write(&file, text).unwrap();
        std::fs::write(&lock, r#"{"disabled_message": "by hand"}"#).unwrap();
        let found = look("puppet", &properties, "null").await;
        assert!(
            found.starts_with("CRITICAL: 1 of 3 resources failed") && found.contains("by hand"),
            "{found}"
        );
    }
}
