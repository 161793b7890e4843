//! What the page shows: the fleet, and what changed lately, each change with a number.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::core::lifecycle::{Event, EventType};
use crate::core::scout::fleet::{Fleet, Track};
use crate::core::scout::seen::Seen;

/// Changes that are remembered; whoever missed more begins anew.
const MOST_CHANGES: usize = 5000;
/// Names of checks that are sent and shown, as `page.js` has it: those of most nodes.
const MOST_NAMES: usize = 200;
/// Seconds after which a node that was not heard is forgotten.
const FORGOTTEN: i64 = 24 * 3600;

/// A change, by its number.
struct Change {
    number: u64,
    text: Arc<str>,
}

/// What is known.
pub struct Store {
    fleet: Fleet,
    changes: VecDeque<Change>,
    last: u64,
    news: watch::Sender<u64>,
    /// Whether the network is heard.
    connected: bool,
}

impl Default for Store {
    fn default() -> Store {
        let (news, _) = watch::channel(0);
        Store { fleet: Fleet::default(), changes: VecDeque::new(), last: 0, news, connected: true }
    }
}

/// What came since.
pub(super) enum Since {
    /// These, and the number of the last.
    Changes(Vec<Arc<str>>, u64),
    /// More than is remembered.
    TooMany,
}

impl Store {
    /// Takes an event of a machine.
    pub fn machine(&mut self, seen: &Seen, now: i64) {
        let Some(change) = self.fleet.take(seen, now) else { return };
        if change.differs {
            self.tell(&change.identity, &change.machine, now);
        }
    }

    /// Tells how a check is.
    fn tell(&mut self, identity: &str, machine: &str, now: i64) {
        let Some(track) = self.fleet.nodes().get(identity).and_then(|node| node.tracks.get(machine)) else {
            return;
        };
        // machines that check nothing are not on the page
        if track.status.is_none() {
            return;
        }
        let text = json!({
            "node": identity,
            "check": machine,
            "status": track.status,
            "rests": track.rests(),
            "since": track.since,
            "at": now,
            "output": &*track.output,
        });
        self.changed(text.to_string());
    }

    /// Takes an event of a node's life; of one whose checks were never heard, there is nothing to show.
    pub fn life(&mut self, event: &Event, now: i64) {
        if !self.fleet.nodes().contains_key(event.identity.as_str()) {
            return;
        }
        self.fleet.alive(&event.identity, now);
        let (word, begun) = match event.kind() {
            Some(EventType::Startup) => ("started", self.fleet.begins(&event.identity, now)),
            Some(EventType::Shutdown) => ("stopped", vec![]),
            _ => return,
        };
        self.changed(json!({"node": event.identity, "life": word, "at": now}).to_string());
        for machine in begun {
            self.tell(&event.identity, &machine, now);
        }
    }

    /// Whether the network is heard; while it is not, what is shown gets old.
    pub fn connected(&mut self, connected: bool, now: i64) {
        if std::mem::replace(&mut self.connected, connected) != connected {
            self.changed(json!({"connected": connected, "at": now}).to_string());
        }
    }

    /// State of a check's machine; empty where it is not known.
    pub fn state_of(&self, node: &str, check: &str) -> Arc<str> {
        let track = self.fleet.nodes().get(node).and_then(|node| node.tracks.get(check));
        track.map_or_else(|| "".into(), |track| track.state.clone())
    }

    /// Forgets nodes and checks that were not heard for a day, checks that look seldom later.
    pub fn tidy(&mut self, now: i64) {
        let gone: Vec<Arc<str>> = self
            .fleet
            .nodes()
            .iter()
            .filter(|(_, node)| now.saturating_sub(node.seen) > FORGOTTEN)
            .map(|(identity, _)| identity.clone())
            .collect();
        for identity in gone {
            self.fleet.forget(&identity);
            self.changed(json!({"node": &*identity, "life": "forgotten", "at": now}).to_string());
        }
        for (identity, check) in self.fleet.forget_silent(now, FORGOTTEN) {
            self.changed(json!({"node": &*identity, "check": &*check, "gone": true, "at": now}).to_string());
        }
    }

    fn changed(&mut self, text: String) {
        self.last += 1;
        if self.changes.len() == MOST_CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(Change { number: self.last, text: text.into() });
        self.news.send_replace(self.last);
    }

    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    pub(super) fn since(&self, number: u64) -> Since {
        let first = self.changes.front().map_or(self.last + 1, |change| change.number);
        // a number of an earlier life is none of ours
        if number > self.last || number + 1 < first {
            return Since::TooMany;
        }
        let news = self.changes.iter().filter(|change| change.number > number);
        Since::Changes(news.map(|change| change.text.clone()).collect(), self.last)
    }

    /// All of it, in few bytes: names of checks once, of nodes once, and four numbers a check.
    pub(super) fn whole(&self, now: i64) -> String {
        let checks = |track: &Track| track.status.is_some();
        let mut nodes_of: HashMap<&str, usize> = HashMap::new();
        for node in self.fleet.nodes().values() {
            for (machine, _) in node.tracks.iter().filter(|(_, track)| checks(track)) {
                *nodes_of.entry(&**machine).or_default() += 1;
            }
        }
        let mut counted: Vec<(&str, usize)> = nodes_of.into_iter().collect();
        counted.sort_unstable_by(|(a, of_a), (b, of_b)| of_b.cmp(of_a).then_with(|| a.cmp(b)));
        let more = counted.len().saturating_sub(MOST_NAMES);
        let mut names: Vec<&str> = counted.iter().take(MOST_NAMES).map(|(name, _)| *name).collect();
        names.sort_unstable();
        let quoted = |text: &str| Value::from(text).to_string();
        let mut out = String::with_capacity(64 + self.fleet.count() * 28);
        let _ = write!(
            out,
            "{{\"number\":{},\"now\":{now},\"connected\":{},\"left_away\":{},\"more\":{more},\"checks\":[",
            self.last, self.connected, self.fleet.left_out
        );
        for (place, name) in names.iter().enumerate() {
            let _ = write!(out, "{}{}", if place > 0 { "," } else { "" }, quoted(name));
        }
        out.push_str("],\"nodes\":[");
        let mut first = true;
        for (identity, node) in self.fleet.nodes() {
            if !node.tracks.values().any(checks) {
                continue;
            }
            let _ = write!(out, "{}[{},{},[", if first { "" } else { "," }, quoted(identity), node.seen);
            first = false;
            let mut comma = "";
            for (machine, track) in &node.tracks {
                if let (Some(status), Ok(place)) = (track.status, names.binary_search(&&**machine)) {
                    let _ =
                        write!(out, "{comma}[{place},{status},{},{}]", u8::from(track.rests()), track.since);
                    comma = ",";
                }
            }
            out.push_str("]]");
        }
        out.push_str("],\"last\":[");
        for (place, change) in self.changes.iter().rev().take(100).enumerate() {
            let _ = write!(out, "{}{}", if place > 0 { "," } else { "" }, change.text);
        }
        out.push_str("]}");
        out
    }

    /// One check, at length.
    pub(super) fn check(&self, node: &str, check: &str) -> Option<Value> {
        let found = self.fleet.nodes().get(node)?;
        let track = found.tracks.get(check)?;
        Some(json!({
            "node": node,
            "check": check,
            "state": &*track.state,
            "version": &*track.version,
            "status": track.status,
            "rests": track.rests(),
            "since": track.since,
            "at": track.at,
            "seen": found.seen,
            "output": &*track.output,
            "history": track.history,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::scout::Checked;

    fn checked(identity: &str, machine: &str, status: u8) -> Seen {
        Seen::Checked(Checked {
            identity: identity.into(),
            machine: machine.into(),
            version: "1".into(),
            status,
            output: "</script>".into(),
            at: 0,
            looked: 0,
            every: 0,
            life: 0,
        })
    }

    #[test]
    fn all_of_it_is_small_and_changes_have_numbers() {
        let mut store = Store::default();
        for n in 0..5000 {
            for check in 0..10 {
                store.machine(
                    &checked(&format!("node{n:04}.example.net"), &format!("check{check}"), 0),
                    1_800_000_000,
                );
            }
        }
        let whole = store.whole(1_800_000_000);
        let read: Value = serde_json::from_str(&whole).unwrap();
        assert_eq!(
            (read["nodes"].as_array().unwrap().len(), read["checks"].as_array().unwrap().len()),
            (5000, 10)
        );
        assert!(whole.len() < 2 << 20, "{}", whole.len());
        let number = read["number"].as_u64().unwrap();
        assert!(matches!(store.since(number), Since::Changes(news, _) if news.is_empty()));
        store.machine(&checked("node0000.example.net", "check0", 2), 1_800_000_001);
        store.machine(&checked("node0000.example.net", "check0", 2), 1_800_000_002);
        let Since::Changes(news, last) = store.since(number) else { panic!() };
        assert_eq!((news.len(), last), (1, number + 1));
        assert!(matches!(store.since(0), Since::TooMany) && matches!(store.since(last + 1), Since::TooMany));
        let one = store.check("node0000.example.net", "check0").unwrap();
        assert_eq!((&one["status"], one["history"].as_array().unwrap().len()), (&2.into(), 3));
        store.tidy(1_800_000_000 + FORGOTTEN + 1);
        assert_eq!(store.fleet.nodes().len(), 1);
    }

    #[test]
    fn names_of_checks_are_bounded_and_those_of_many_nodes_stay() {
        let mut store = Store::default();
        for n in 0..MOST_NAMES + 5 {
            store.machine(&checked("n1", &format!("a{n:03}"), 0), 1);
            store.machine(&checked("n2", &format!("b{n:03}"), 0), 1);
        }
        store.machine(&checked("n3", "disk", 0), 1);
        store.machine(&checked("n4", "disk", 2), 1);
        let read: Value = serde_json::from_str(&store.whole(1)).unwrap();
        let names: Vec<&str> = read["checks"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(names.len(), MOST_NAMES);
        assert!(names.is_sorted() && names.last() == Some(&"disk"));
        assert_eq!(read["more"], 2 * (MOST_NAMES + 5) + 1 - MOST_NAMES);
        assert_eq!(read["nodes"][3][2][0][0], MOST_NAMES - 1);
        assert_eq!(read["nodes"][1][2], json!([]));
        let script = include_str!("page.js");
        assert!(script.contains(&format!("const KINDS = {MOST_NAMES};")));
        // what is gone has no status that could be shown
        let gone = script.find("if (change.gone) { line.textContent").unwrap();
        assert!(gone < script.find("${said(change)}").unwrap());
    }

    fn texts(store: &Store, after: u64) -> Vec<Value> {
        let Since::Changes(news, _) = store.since(after) else { panic!() };
        news.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    /// Its machines begin anew: an open page does not go on showing that they rest.
    #[test]
    fn what_rests_no_more_as_its_node_started_is_told() {
        let mut store = Store::default();
        store.machine(&checked("n1", "disk", 3), 1);
        store.machine(&checked("n1", "load", 0), 1);
        let rests = crate::core::scout::Moved {
            identity: "n1".into(),
            machine: "disk".into(),
            version: "1".into(),
            transition: "MAINTENANCE".into(),
            from: "UNKNOWN".into(),
            to: "MAINTENANCE".into(),
            at: 0,
            life: 0,
        };
        store.machine(&Seen::Moved(rests), 2);
        assert_eq!(&*store.state_of("n1", "disk"), "MAINTENANCE");
        let before = store.last;
        store.life(&Event::new(EventType::Startup, "n1", "server", "id".into(), 0), 9);
        let told = texts(&store, before);
        assert_eq!((told.len(), &told[0]["life"]), (2, &json!("started")));
        assert_eq!(
            (&told[1]["check"], &told[1]["status"], &told[1]["rests"], &told[1]["since"]),
            (&json!("disk"), &json!(3), &json!(false), &json!(9))
        );
        let all: Value = serde_json::from_str(&store.whole(9)).unwrap();
        assert_eq!(all["nodes"][0][2][0], json!([0, 3, 0, 9]));
    }

    #[test]
    fn whether_the_network_is_heard_is_told() {
        let mut store = Store::default();
        let whole = |store: &Store| -> Value { serde_json::from_str(&store.whole(1)).unwrap() };
        store.connected(true, 1);
        assert_eq!((store.last, &whole(&store)["connected"]), (0, &json!(true)));
        for _ in 0..3 {
            store.connected(false, 2);
        }
        assert_eq!((store.last, &whole(&store)["connected"]), (1, &json!(false)));
        assert_eq!(texts(&store, 0), [json!({"connected": false, "at": 2})]);
    }

    #[test]
    fn lives_of_nodes_nobody_heard_of_are_not_told() {
        let mut store = Store::default();
        let life = |kind| Event::new(kind, "n1", "server", "id".into(), 0);
        store.life(&life(EventType::Startup), 1);
        store.life(&life(EventType::Shutdown), 1);
        assert_eq!(store.last, 0);
        store.machine(&checked("n1", "disk", 0), 1);
        store.life(&life(EventType::Shutdown), 2);
        assert_eq!(store.last, 2);
    }
}
