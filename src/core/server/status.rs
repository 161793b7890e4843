//! The status file (spec 02 §12.1): how a node is, for monitoring on the node
//! itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use super::NodeState;
use super::node::now;
use crate::core::agents::Node;
use crate::core::files;
use crate::core::security::Provider;

/// What the original writes where a time does not apply.
const NO_TIME: &str = "0001-01-01T00:00:00Z";
const MAX_FILE: u64 = 1024 * 1024;

/// The document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Node name.
    #[serde(default)]
    pub identity: String,
    /// Seconds since the start.
    pub uptime: i64,
    /// Broker URL, empty while disconnected.
    pub connected_server: String,
    /// Unix seconds of the last message, 0 = none.
    pub last_message: i64,
    /// Whether the node waits for its configuration.
    pub provisioning_mode: bool,
    /// Counters.
    #[serde(default)]
    pub stats: Stats,
    /// RFC 3339.
    #[serde(default)]
    pub certificate_expires: String,
    /// RFC 3339.
    #[serde(default)]
    pub token_expires: String,
    /// Ours: what needs attention, such as a certificate about to expire.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Counters as the status file names them; the last six are ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // see agents::Counts
pub struct Stats {
    pub total: u64,
    pub valid: u64,
    pub invalid: u64,
    pub passed: u64,
    pub filtered: u64,
    pub replies: u64,
    pub ttlexpired: u64,
    pub events: u64,
    pub replayed: u64,
    pub dropped: u64,
    pub denied: u64,
    pub timedout: u64,
    pub overbudget: u64,
    pub panicked: u64,
}

impl Status {
    /// The node as of now.
    pub fn of(node: &NodeState) -> Status {
        let counts = node.counts();
        let expiry = node.provider().and_then(Provider::certificate_expiry);
        Status {
            identity: node.identity().to_owned(),
            uptime: node.now() - node.started(),
            connected_server: node.connected_server().unwrap_or_default(),
            last_message: i64::try_from(node.counters().last_message.load(Ordering::Relaxed)).unwrap_or(0),
            provisioning_mode: node.provisioning(),
            stats: Stats {
                total: counts.total,
                valid: counts.validated,
                invalid: counts.unvalidated,
                passed: counts.passed,
                filtered: counts.filtered,
                replies: counts.replies,
                ttlexpired: counts.ttlexpired,
                events: counts.events,
                replayed: counts.replayed,
                dropped: counts.dropped,
                denied: counts.denied,
                timedout: counts.timedout,
                overbudget: counts.overbudget,
                panicked: counts.panicked,
            },
            certificate_expires: expiry.map_or_else(|| NO_TIME.to_owned(), time),
            token_expires: NO_TIME.to_owned(),
            warnings: node.trouble(),
        }
    }
}

fn time(unix: i64) -> String {
    jiff::Timestamp::from_second(unix).map_or_else(|_| NO_TIME.to_owned(), |t| t.to_string())
}

/// Writes the status file at its interval, and when it is `told` to, and warns once a day of what needs
/// attention, such as an expiring certificate.
pub(super) async fn keep_written(node: Arc<NodeState>, told: Arc<Notify>) {
    let config = node.config();
    let file = config.choria_status_file_path.clone();
    // Zero switches the file off; the original crashes on it.
    let interval = u64::try_from(config.choria_status_update_interval).unwrap_or(0);
    let write = !file.is_empty() && interval > 0;
    let mut ticks = tokio::time::interval(Duration::from_secs(if write { interval } else { 3600 }));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut warned_on = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = told.notified() => {}
        }
        let today = now() / 86_400;
        // The start has told already what was wrong then.
        if warned_on != today {
            let provider = node.provider().filter(|_| warned_on != 0);
            let trouble = provider.map_or_else(Vec::new, |provider| provider.trouble(now()));
            trouble.iter().for_each(|text| tracing::warn!("{text}"));
            warned_on = today;
        }
        if write {
            let text = serde_json::to_string(&Status::of(&node)).unwrap_or_default();
            let path = PathBuf::from(&file);
            // A disk that hangs holds up this task and nothing else.
            let written =
                spawn_blocking(move || files::write_atomic(&path, text.as_bytes(), files::PUBLIC)).await;
            if let Ok(Err(e)) = written {
                tracing::error!("the status file was not written: {e}");
            }
        }
    }
}

/// What `choria tool status` looks at; zero switches a check off.
#[derive(Debug, Clone, Copy)]
pub struct Checks {
    /// Complain when disconnected.
    pub disconnected: bool,
    /// Longest time without a message.
    pub message_since: Duration,
    /// Oldest file.
    pub max_age: Duration,
    /// Least validity left of the certificate.
    pub certificate_age: Duration,
    /// Least validity left of the token.
    pub token_age: Duration,
    /// The node has to be in provisioning mode.
    pub unprovisioned: bool,
    /// The node must not be in provisioning mode.
    pub provisioned: bool,
}

/// Reads a status file and gives the first problem, `None` when all is well
/// (order as the original's).
pub fn check(file: &Path, checks: &Checks, now: SystemTime) -> Result<Option<String>, String> {
    let read = files::read_judged(file, MAX_FILE, |found| found.modified());
    let (content, modified) = read.map_err(|e| e.to_string())?;
    let age = now.duration_since(modified).unwrap_or_default();
    let status: Status =
        serde_json::from_slice(&content).map_err(|e| format!("{} is no status file: {e}", file.display()))?;
    Ok(problem(&status, age, checks, now))
}

fn problem(status: &Status, age: Duration, checks: &Checks, now: SystemTime) -> Option<String> {
    let on = |limit: Duration| !limit.is_zero();
    if on(checks.max_age) && age > checks.max_age {
        return Some(format!("file is {}s old, more than {}s", age.as_secs(), checks.max_age.as_secs()));
    }
    let soon = [
        ("certificate", &status.certificate_expires, checks.certificate_age),
        ("token", &status.token_expires, checks.token_age),
    ];
    for (what, at, limit) in soon {
        let Ok(at) = at.parse::<jiff::Timestamp>() else { continue };
        if !on(limit) || at.as_second() <= 0 {
            continue;
        }
        let left = SystemTime::from(at).duration_since(now).unwrap_or_default();
        if left < limit {
            return Some(match left.is_zero() {
                true => format!("{what} expired at {at}"),
                false => format!("{what} expires at {at}"),
            });
        }
    }
    if checks.disconnected && status.connected_server.is_empty() {
        return Some("not connected to a broker".to_owned());
    }
    if on(checks.message_since) {
        let limit = checks.message_since.as_secs();
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let since = seconds.saturating_sub(u64::try_from(status.last_message).unwrap_or(0));
        let young = status.last_message == 0 && u64::try_from(status.uptime).unwrap_or(0) < limit;
        if since > limit && !young {
            return Some(match status.last_message {
                0 => format!("no message received in {}s", status.uptime),
                _ => format!("last message was received {since}s ago"),
            });
        }
    }
    if checks.unprovisioned && !status.provisioning_mode {
        return Some("provisioned while it should not be".to_owned());
    }
    if checks.provisioned && status.provisioning_mode {
        return Some("not provisioned".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Checks = Checks {
        disconnected: true,
        message_since: Duration::from_secs(3600),
        max_age: Duration::from_secs(1800),
        certificate_age: Duration::from_secs(86_400),
        token_age: Duration::from_secs(86_400),
        unprovisioned: false,
        provisioned: false,
    };

    fn healthy(now: i64) -> Status {
        Status {
            identity: "n1".into(),
            uptime: 100,
            connected_server: "nats://b:4222".into(),
            last_message: now - 10,
            provisioning_mode: false,
            stats: Stats::default(),
            certificate_expires: time(now + 1_000_000),
            token_expires: NO_TIME.into(),
            warnings: vec![],
        }
    }

    #[test]
    fn each_check_complains_in_its_turn() {
        let unix = 1_800_000_000;
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(unix as u64);
        let verdict = |change: &dyn Fn(&mut Status, &mut Checks), age| {
            let (mut status, mut checks) = (healthy(unix), ALL);
            change(&mut status, &mut checks);
            problem(&status, Duration::from_secs(age), &checks, now)
        };
        assert_eq!(verdict(&|_, _| {}, 0), None);
        assert!(verdict(&|_, _| {}, 1801).unwrap().contains("1801s old"));
        assert_eq!(verdict(&|_, c| c.max_age = Duration::ZERO, 99_999), None);
        assert!(verdict(&|s, _| s.certificate_expires = time(unix + 3600), 0).unwrap().contains("expires"));
        assert!(verdict(&|s, _| s.certificate_expires = time(unix - 1), 0).unwrap().contains("expired"));
        assert!(verdict(&|s, _| s.connected_server.clear(), 0).unwrap().contains("not connected"));
        assert_eq!(
            verdict(
                &|s, c| {
                    s.connected_server.clear();
                    c.disconnected = false
                },
                0
            ),
            None
        );
        assert!(verdict(&|s, _| s.last_message = unix - 3700, 0).unwrap().contains("3700s ago"));
        assert_eq!(verdict(&|s, _| s.last_message = 0, 0), None, "a young node may have seen none");
        assert!(
            verdict(
                &|s, _| {
                    s.last_message = 0;
                    s.uptime = 4000
                },
                0
            )
            .unwrap()
            .contains("no message")
        );
        assert!(verdict(&|_, c| c.unprovisioned = true, 0).is_some());
        assert!(
            verdict(
                &|s, c| {
                    s.provisioning_mode = true;
                    c.provisioned = true
                },
                0
            )
            .is_some()
        );
    }

    #[test]
    fn files_of_the_original_are_read() {
        let text = r#"{"identity":"n1.example.net","uptime":120,"connected_server":"nats://broker:4222","last_message":1767607200,"provisioning_mode":false,"stats":{"total":9,"valid":9,"invalid":0,"passed":9,"filtered":0,"replies":9,"ttlexpired":0,"events":1},"certificate_expires":"2030-01-01T00:00:00Z","token_expires":"0001-01-01T00:00:00Z"}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        assert_eq!(status.stats.valid, 9);
        let ours: serde_json::Value = serde_json::to_value(&status).unwrap();
        let theirs: serde_json::Value = serde_json::from_str(text).unwrap();
        for (key, value) in theirs.as_object().unwrap().iter().filter(|(k, _)| *k != "stats") {
            assert_eq!(&ours[key], value, "{key}");
        }
    }
}
