//! What became of a request (spec 03 §6.10).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Accounting, Class};

/// `request_stats` of `--json`; durations are nanoseconds there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestStats {
    /// Request id.
    pub requestid: String,
    /// Asked nodes that did not answer, sorted.
    pub no_responses: Vec<String>,
    /// Senders that were not asked or answered twice, sorted.
    pub unexpected_responses: Vec<String>,
    /// Ours: nodes that answered discovery after its window had closed and were
    /// not asked, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub late_discoveries: Vec<String>,
    /// Nodes asked.
    pub discovered: usize,
    /// Replies with a status other than OK.
    pub failed: usize,
    /// Replies with status OK.
    pub ok: usize,
    /// Replies.
    pub responses: usize,
    /// Time to publish the request.
    #[serde(serialize_with = "nanoseconds", deserialize_with = "of_nanoseconds")]
    pub publish_time: Duration,
    /// Time from the request to the last reply or the timeout.
    #[serde(serialize_with = "nanoseconds", deserialize_with = "of_nanoseconds")]
    pub request_time: Duration,
    /// Time to find the nodes.
    #[serde(serialize_with = "nanoseconds", deserialize_with = "of_nanoseconds")]
    pub discover_time: Duration,
    /// When the request began.
    pub start_time_utc: jiff::Timestamp,
    /// Ours: asked nodes on whose subject nobody listens, a part of
    /// `no_responses`, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nobody_listens: Vec<String>,
    /// Ours: asked nodes that are not connected, by the broker's word: those on whose subject nobody
    /// listens, and those that left before they answered; a part of `no_responses`, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_connected: Vec<String>,
    /// Ours: since when, of those of whom the broker remembers it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub not_connected_since: BTreeMap<String, jiff::Timestamp>,
    /// Ours: federations that nobody carried the request to, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub federations_down: Vec<String>,
    /// Ours: asked nodes that the broker does not let this caller ask, a part of
    /// `no_responses`, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub denied_by_broker: Vec<String>,
    /// Ours: nodes that were to be asked and were not, because a person or an
    /// error ended the request before; sorted, and no part of `no_responses`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_asked: Vec<String>,
    /// Ours: how many of the nodes asked ended in which class.
    pub accounting: Accounting,
    /// Ours: replies dropped because more bytes of them waited than a client
    /// keeps.
    #[serde(skip_serializing_if = "is_zero")]
    pub overflowed_responses: u64,
    /// Ours: messages that were no answers to this request and were dropped.
    #[serde(skip_serializing_if = "is_zero")]
    pub dropped_responses: u64,
}

impl RequestStats {
    /// The class of a node that did not answer.
    pub fn silence(&self, node: &str) -> Class {
        let is = |names: &[String]| names.binary_search_by(|name| name.as_str().cmp(node)).is_ok();
        match () {
            () if is(&self.not_asked) => Class::NotAsked,
            () if is(&self.denied_by_broker) => Class::DeniedByBroker,
            () if is(&self.not_connected) => Class::NotConnected,
            () => Class::NoAnswer,
        }
    }
}

fn nanoseconds<S: serde::Serializer>(duration: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_u64(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

fn of_nanoseconds<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    u64::deserialize(input).map(Duration::from_nanos)
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}
