//! What a node says of its checks when it is asked: that a check rests, is well or is gone may have been
//! told while nobody listened, and then it is not told again.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Alerts, Key, WELL};
use crate::core::discovery::is_name;
use crate::core::scout::seen::{Checked, Seen, fits};

/// Seconds for which something that is wrong may be silent before its node is asked,
const DOUBT: i64 = 120;
/// and between two questions to one.
const AGAIN: i64 = 300;
/// Checks of an answer that are read.
const MOST: usize = 2000;

/// A check as its node shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Whether it rests.
    pub rests: bool,
    /// What it found; none where it has not looked yet.
    pub found: Option<Checked>,
}

impl Shown {
    /// Reads an answer of `scout#checks`; none for what is none.
    pub fn read(data: &Map<String, Value>) -> Option<Vec<Shown>> {
        let checks = data.get("checks")?.as_array()?;
        let read = |check: &Value| {
            let text = |name: &str| check.get(name).and_then(Value::as_str);
            let name = text("name").filter(|name| fits(name))?.to_owned();
            let found = match check.get("status").and_then(Value::as_object).and_then(Seen::of) {
                Some(Seen::Checked(found)) if found.machine == name => Some(found),
                _ => None,
            };
            // its state is also that of a machine which moved by itself: what a look found is in its past
            let past = check.pointer("/status/history").and_then(Value::as_array);
            let last = past.and_then(|past| past.last()).and_then(|last| last.get("status")?.as_u64());
            let status = last.and_then(|status| u8::try_from(status).ok()).filter(|status| *status < 4);
            let found = found.map(|found| Checked { status: status.unwrap_or(found.status), ..found });
            Some(Shown { name, rests: text("state") == Some("MAINTENANCE"), found })
        };
        Some(checks.iter().take(MOST).filter_map(read).collect())
    }
}

impl Alerts {
    /// Nodes to ask, `most` at a time: something is told of a check of theirs that was not heard for a while, or
    /// not since the network is heard. Who was never asked, or longest ago, comes first, so that nobody waits for
    /// ever behind those who do not answer. They count as asked.
    pub fn to_ask(&mut self, now: i64, most: usize) -> Vec<String> {
        let Some(listening) = self.listening else { return vec![] };
        let lately = |at: i64| now.saturating_sub(at) < AGAIN && at >= listening;
        let cases = &self.cases;
        self.asked.retain(|identity, at| {
            let first: Key = (identity.clone(), "".into());
            lately(*at) || cases.range(first..).next().is_some_and(|(key, _)| key.0 == *identity)
        });
        let mut nodes: Vec<(Option<i64>, Arc<str>)> = Vec::new();
        for ((identity, check), case) in &self.cases {
            let known = self.fleet.nodes().get(identity);
            let Some(track) = known.and_then(|node| node.tracks.get(check)) else { continue };
            let doubtful = track.at <= listening || now.saturating_sub(track.at) >= DOUBT;
            let away = self.gone.contains_key(identity)
                || self.cases.get(&(identity.clone(), "".into())).is_some_and(|case| case.status != WELL);
            let asked = self.asked.get(identity).copied();
            if case.status == WELL || !doubtful || away || asked.is_some_and(lately) {
                continue;
            }
            // anybody can write any name into an event, and a request to one that is none fails for all
            if nodes.last().is_none_or(|(_, last)| last != identity) && is_name(identity) {
                nodes.push((asked, identity.clone()));
            }
        }
        nodes.sort_unstable();
        nodes.truncate(most);
        self.asked.extend(nodes.iter().map(|(_, node)| (node.clone(), now)));
        nodes.iter().map(|(_, node)| node.to_string()).collect()
    }

    /// Takes what a node said that was asked at `asked`. What was heard of a check since then is later, and what a
    /// check found that has not looked since it was heard is known.
    pub fn answered(&mut self, identity: &str, shown: &[Shown], asked: i64, now: i64) {
        let Some((identity, node)) = self.fleet.nodes().get_key_value(identity) else { return };
        let identity = identity.clone();
        let before = |key: &Key| node.tracks.get(&key.1).is_some_and(|track| track.at < asked);
        let wrong = self.cases_of(&identity).filter(|(_, case)| case.status != WELL);
        let keys: Vec<Key> = wrong.map(|(key, _)| key.clone()).filter(|key| before(key)).collect();
        for key in keys {
            match shown.iter().find(|shown| *shown.name == *key.1) {
                Some(Shown { rests: true, .. }) => {
                    self.fleet.rests(&key.0, &key.1, now);
                    self.is_now(key, WELL, "it is kept quiet".into(), now);
                }
                Some(Shown { found: Some(found), .. }) if self.is_later(&key, found, now) => {
                    let found = Checked { identity: identity.to_string(), ..found.clone() };
                    self.machine(&Seen::Checked(found), now);
                }
                Some(_) => self.fleet.is_there(&key.0, &key.1, now),
                // one that starts has none for a moment: it has to say so twice
                None if self.missing.insert(key.clone()) => drop(self.asked.remove(&key.0)),
                None => {
                    self.missing.remove(&key);
                    self.fleet.forget_check(&key.0, &key.1);
                    self.is_now(key, WELL, "the node has no such check any more".into(), now);
                }
            }
        }
        let cases = &self.cases;
        self.missing.retain(|key| {
            let there = key.0 == identity && shown.iter().any(|shown| *shown.name == *key.1);
            !there && cases.contains_key(key)
        });
    }

    /// Whether it looked since that was heard of last. No node looks in a time to come.
    fn is_later(&self, key: &Key, found: &Checked, now: i64) -> bool {
        let track = self.fleet.nodes().get(&key.0).and_then(|node| node.tracks.get(&key.1));
        track.is_some_and(|track| found.looked > track.looked || track.looked > now)
    }
}
