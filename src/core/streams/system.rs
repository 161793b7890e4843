//! The streams every network with a store has. Pure.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::core::protocol::deferred;

/// Places of `CHORIA_REQUESTS`, one a node and request, its bytes, and bytes of one.
const MOST_REQUESTS: i64 = 200_000;
const MOST_OF_REQUESTS: i64 = 512 * 1024 * 1024;
const MOST_OF_REQUEST: i64 = 512 * 1024;
/// Most copies a stream can have.
const MOST_COPIES: i64 = 5;
/// How long repeated messages are known, unless a stream keeps them for less.
const DUPLICATES: u64 = 120_000_000_000;

/// How one of them is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// How long messages are kept; a stream of zero is left as it is, and never removed.
    pub age: Duration,
    /// Copies on so many machines; below zero as many as there are.
    pub replicas: i64,
}

/// What is configured about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemStreams {
    /// `CHORIA_EVENTS`: lifecycle events.
    pub events: Kept,
    /// `CHORIA_MACHINE`: what autonomous agents say.
    pub machine: Kept,
    /// `CHORIA_STREAM_ADVISORIES`: what happens to streams.
    pub advisories: Kept,
    /// `CHORIA_EXECUTOR`: what executors say.
    pub executor: Kept,
    /// `KV_CHORIA_LEADER_ELECTION`: who leads.
    pub elections: Kept,
    /// `CHORIA_REQUESTS`: requests for absent nodes, and what became of them; nothing where none are kept.
    pub requests: Option<Kept>,
    /// Machines there are.
    pub machines: usize,
    /// Bytes of an event, and of each of the streams of events, machines, advisories and executors.
    pub event_payload: i64,
    /// See `event_payload`.
    pub event_size: i64,
}

impl SystemStreams {
    /// Name and configuration of each that is to be there, in the order they are made.
    pub fn wanted(&self) -> Vec<(&'static str, Value)> {
        let transform = json!({"src": "choria.submission.in.choria.executor.>", "dest": "choria.executor.>"});
        // whoever says much displaces what was said before, and leaves room to other streams
        let bounded = json!({"max_bytes": self.event_size});
        let events = json!({"max_bytes": self.event_size, "max_msg_size": self.event_payload});
        let all = [
            ("CHORIA_EVENTS", "choria.lifecycle.>", self.events, events.clone()),
            ("CHORIA_MACHINE", "choria.machine.>", self.machine, events),
            ("CHORIA_STREAM_ADVISORIES", "$JS.EVENT.ADVISORY.>", self.advisories, bounded),
            (
                "CHORIA_EXECUTOR",
                "choria.submission.in.choria.executor.>",
                self.executor,
                json!({
                    "description": "Choria Executor Events", "allow_direct": true, "subject_transform": transform,
                    "max_bytes": self.event_size,
                }),
            ),
            (
                "KV_CHORIA_LEADER_ELECTION",
                "$KV.CHORIA_LEADER_ELECTION.>",
                self.elections,
                json!({
                    "description": "Choria Leader Election Bucket", "discard": "new", "max_msgs_per_subject": 1,
                    "max_msg_size": 1024, "deny_delete": true, "allow_rollup_hdrs": true, "allow_direct": true,
                }),
            ),
        ];
        let requests = self.requests.map(|kept| {
            // what is there is replaced by what became of it, in its place, and by nobody removed
            let more = json!({
                "description": "Choria Requests for Absent Nodes", "allow_direct": true, "deny_delete": true,
                "discard": "new", "max_msgs_per_subject": 1, "max_msg_size": MOST_OF_REQUEST,
                "max_msgs": MOST_REQUESTS, "max_bytes": MOST_OF_REQUESTS,
            });
            (deferred::STREAM, "choria.requests.>", kept, more)
        });
        let kept = all.into_iter().chain(requests).filter(|(_, _, kept, _)| !kept.age.is_zero());
        kept.map(|(name, subject, kept, more)| (name, self.configuration(name, subject, kept, &more)))
            .collect()
    }

    fn configuration(&self, name: &str, subject: &str, kept: Kept, more: &Value) -> Value {
        let machines = i64::try_from(self.machines).unwrap_or(MOST_COPIES);
        let replicas = if kept.replicas < 0 { machines } else { kept.replicas };
        let mut configuration = json!({
            "name": name, "subjects": [subject], "retention": "limits", "storage": "file", "discard": "old",
            "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_msgs_per_subject": -1, "max_msg_size": -1,
            "max_age": u64::try_from(kept.age.as_nanos()).unwrap_or(u64::MAX / 2),
            "num_replicas": replicas.clamp(1, MOST_COPIES),
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            configuration[key] = value.clone();
        }
        configuration
    }
}

/// What a stream is to be told to become as wanted, from how it is now; nothing when it is so already.
/// What is not said about it stays as somebody has made it.
pub fn change(now: &Value, wanted: &Value) -> Option<Value> {
    let mut changed: Map<String, Value> = now.as_object()?.clone();
    for (key, value) in wanted.as_object()? {
        // servers add to what they are given
        let is_so = match (changed.get(key), value) {
            (Some(Value::Object(now)), Value::Object(wanted)) => {
                wanted.iter().all(|(k, v)| now.get(k) == Some(v))
            }
            (now, value) => now == Some(value),
        };
        if !is_so {
            changed.insert(key.clone(), value.clone());
        }
    }
    if now.as_object() == Some(&changed) {
        return None;
    }
    // which may be no longer than the messages themselves
    let age = wanted["max_age"].as_u64().filter(|age| *age > 0).unwrap_or(u64::MAX);
    if changed.get("duplicate_window").and_then(Value::as_u64).is_some_and(|window| window > age) {
        changed.insert("duplicate_window".to_owned(), age.min(DUPLICATES).into());
    }
    Some(changed.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams() -> SystemStreams {
        let day = Kept { age: Duration::from_secs(24 * 3600), replicas: -1 };
        SystemStreams {
            events: day,
            machine: day,
            advisories: Kept { age: Duration::from_secs(7 * 24 * 3600), ..day },
            executor: day,
            elections: Kept { age: Duration::from_secs(60), ..day },
            requests: None,
            machines: 1,
            event_payload: 65_536,
            event_size: 1 << 28,
        }
    }

    #[test]
    fn they_are_those_of_the_original() {
        let wanted = streams().wanted();
        let names: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names,
            [
                "CHORIA_EVENTS",
                "CHORIA_MACHINE",
                "CHORIA_STREAM_ADVISORIES",
                "CHORIA_EXECUTOR",
                "KV_CHORIA_LEADER_ELECTION"
            ]
        );
        let events = &wanted[0].1;
        assert_eq!(
            (&events["max_age"], &events["num_replicas"]),
            (&json!(86_400_000_000_000_u64), &json!(1))
        );
        for (of, payload) in [(0, 65_536), (1, 65_536), (2, -1), (3, -1)] {
            let stream = &wanted[of].1;
            assert_eq!((&stream["max_bytes"], &stream["discard"]), (&json!(1 << 28), &json!("old")));
            assert_eq!(stream["max_msg_size"], payload);
        }
        let elections = &wanted[4].1;
        for (key, value) in [
            ("discard", json!("new")),
            ("max_msgs_per_subject", json!(1)),
            ("max_msg_size", json!(1024)),
            ("deny_delete", json!(true)),
            ("allow_direct", json!(true)),
            ("max_age", json!(60_000_000_000_u64)),
        ] {
            assert_eq!(elections[key], value, "{key}");
        }
    }

    #[test]
    fn copies_are_as_many_as_machines_unless_said_and_none_of_age_zero_is_wanted() {
        for (machines, replicas, expected) in
            [(0, -1, 1), (3, -1, 3), (9, -1, 5), (3, 1, 1), (1, 0, 1), (3, 99, 5)]
        {
            let mut streams = streams();
            (streams.machines, streams.events.replicas) = (machines, replicas);
            assert_eq!(streams.wanted()[0].1["num_replicas"], expected, "{machines} {replicas}");
        }
        let mut none = streams();
        none.machine.age = Duration::ZERO;
        assert!(none.wanted().iter().all(|(name, _)| *name != "CHORIA_MACHINE"));
    }

    #[test]
    fn a_stream_is_changed_where_it_differs_and_keeps_what_nobody_speaks_of() {
        let (_, wanted) = streams().wanted().remove(4);
        let mut now = wanted.clone();
        now["placement"] = json!({"cluster": "B"});
        now["duplicate_window"] = json!(120_000_000_000_u64);
        assert_eq!(change(&now, &wanted), None);
        now["max_age"] = json!(120_000_000_000_u64);
        now["num_replicas"] = json!(3);
        let changed = change(&now, &wanted).unwrap();
        assert_eq!((&changed["max_age"], &changed["num_replicas"]), (&wanted["max_age"], &json!(1)));
        assert_eq!(changed["placement"], json!({"cluster": "B"}));
        assert_eq!(changed["duplicate_window"], wanted["max_age"]);
    }
}
