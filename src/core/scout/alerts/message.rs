//! What a receiver gets: for programs and web hooks a document of ours, for Alertmanager its own
//! (API v2, `POST /api/v2/alerts`).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Key;

/// Names of statuses, by number.
const STATUSES: [&str; 4] = ["OK", "WARNING", "CRITICAL", "UNKNOWN"];

/// One of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The node.
    pub identity: String,
    /// Its check.
    pub check: String,
    /// As a plugin of Nagios ends.
    pub status: u8,
    /// What was told to be wrong before.
    pub before: Option<u8>,
    /// Since when it is so, unix seconds.
    pub since: i64,
    /// What the check said.
    pub output: String,
}

/// What is sent in one go.
#[derive(Debug, Clone)]
pub struct Message {
    /// Number of the receiver.
    pub receiver: usize,
    /// Whether all of it is well again.
    pub resolved: bool,
    /// What happened.
    pub alerts: Vec<Alert>,
    pub(super) keys: Vec<Key>,
    pub(super) at: i64,
    /// Seconds that it is believed, where it is not told again.
    pub(super) believed: i64,
}

fn name(status: u8) -> &'static str {
    STATUSES.get(usize::from(status)).copied().unwrap_or("UNKNOWN")
}

fn time(at: i64) -> String {
    Timestamp::from_second(at).unwrap_or_default().to_string()
}

impl Message {
    /// For programs and web hooks.
    pub fn document(&self) -> Value {
        let one = |alert: &Alert| {
            json!({
                "node": alert.identity,
                "check": alert.check,
                "status": name(alert.status),
                "before": alert.before.map(name),
                "since": time(alert.since),
                "output": alert.output,
            })
        };
        let first = self.alerts.first().map(|alert| &alert.check);
        let check = first.filter(|check| self.alerts.iter().all(|alert| alert.check == **check));
        json!({
            "status": if self.resolved { "resolved" } else { "firing" },
            "check": check,
            "count": self.alerts.len(),
            "alerts": self.alerts.iter().map(one).collect::<Vec<_>>(),
        })
    }

    /// For Alertmanager. Its labels tell alerts apart, so that another severity is another
    /// alert, and ends the one before.
    pub fn for_alertmanager(&self) -> Value {
        let one = |alert: &Alert, status: u8, ends: i64| {
            json!({
                "labels": {
                    "alertname": alert.check,
                    "instance": alert.identity,
                    "severity": name(status).to_lowercase(),
                    "job": "choria",
                },
                "annotations": {"summary": format!("{} on {} is {}", alert.check, alert.identity, name(status)), "description": alert.output},
                "startsAt": time(alert.since.min(ends)),
                "endsAt": time(ends),
            })
        };
        let mut all = Vec::new();
        for alert in &self.alerts {
            if let Some(before) = alert.before.filter(|before| *before != alert.status) {
                all.push(one(alert, before, self.at));
            }
            if alert.status != 0 {
                all.push(one(alert, alert.status, self.at.saturating_add(self.believed)));
            }
        }
        all.into()
    }
}
