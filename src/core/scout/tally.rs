//! Counts of what a fleet tells, for Prometheus, by the names of the original (spec 06 §14), and
//! how many machines are in which state.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;

use super::fleet::Fleet;
use super::listener::Heard;
use super::seen::Seen;
use crate::core::lifecycle::{Event, EventType};

/// Series of one family; what would be more is counted as left away.
const MOST_SERIES: usize = 10_000;
/// Nodes that are remembered.
const MOST_NODES: usize = 200_000;
/// Seconds after which a node that was not heard is no longer counted: its events come each half
/// hour, and two may be lost.
const SILENCE: i64 = 80 * 60;
/// Seconds after which what nodes name and nothing was heard of is no longer counted: anybody can name one.
const NAMED: i64 = 24 * 3600;
/// Families whose series are named by what nodes say.
const OF_NODES: [&str; 6] = [
    "exec_watcher_failures",
    "exec_watcher_runtime_count",
    "exec_watcher_runtime_sum",
    "exec_watcher_success",
    "governor",
    "machine_transition",
];
/// Machines and checks whose turn is remembered.
const MOST_TURNS: usize = 2 * MOST_SERIES;
/// Names of statuses, by number.
const STATUSES: [&str; 4] = ["OK", "WARNING", "CRITICAL", "UNKNOWN"];

/// The counts.
pub struct Tally {
    prefix: String,
    component: String,
    counters: BTreeMap<(&'static str, String), Counter>,
    /// By family, for its bound.
    series: HashMap<&'static str, usize>,
    left_away: u64,
    nodes: HashMap<String, (i64, String)>,
    fleet: Fleet,
    /// Machines and checks by when they were heard of first: where there are too many, those that were there stay.
    turns: HashMap<String, u64>,
    next_turn: u64,
    /// When something was taken last, unix seconds.
    now: i64,
}

/// A count.
struct Counter {
    value: f64,
    /// When it was counted last, unix seconds.
    at: i64,
}

impl Tally {
    /// Of one component, with metrics of this prefix.
    pub fn new(prefix: &str, component: &str) -> Tally {
        Tally {
            prefix: prefix.to_owned(),
            component: component.to_owned(),
            counters: BTreeMap::new(),
            series: HashMap::new(),
            left_away: 0,
            nodes: HashMap::new(),
            fleet: Fleet::default(),
            turns: HashMap::new(),
            next_turn: 0,
            now: 0,
        }
    }

    /// Counts something, at this time in unix seconds.
    pub fn take(&mut self, heard: &Heard, now: i64) {
        self.now = now;
        let component = self.component.clone();
        match heard {
            Heard::Odd => self.count("process_errors", &[("component", &component)], 1.0),
            Heard::Machine(seen) => {
                self.count("good_events", &[("component", &component)], 1.0);
                self.machine(seen, now);
            }
            Heard::Life(event) => {
                self.count("good_events", &[("component", &component)], 1.0);
                self.life(event, now);
            }
        }
    }

    /// How long it took to take something, in seconds.
    pub fn took(&mut self, seconds: f64) {
        let component = self.component.clone();
        self.count("processing_time_sum", &[("component", &component)], seconds);
        self.count("processing_time_count", &[("component", &component)], 1.0);
    }

    /// Forgets nodes, and what they have named, that were not heard for long; to be called now and then.
    pub fn expire(&mut self, now: i64) {
        self.now = now;
        let series = &mut self.series;
        self.counters.retain(|(family, _), counter| {
            let stays = !OF_NODES.contains(family) || now.saturating_sub(counter.at) <= NAMED;
            if !stays && let Some(series) = series.get_mut(family) {
                *series = series.saturating_sub(1);
            }
            stays
        });
        let silent: Vec<String> = self
            .nodes
            .iter()
            .filter(|(_, (seen, _))| now.saturating_sub(*seen) > SILENCE)
            .map(|(identity, _)| identity.clone())
            .collect();
        let component = self.component.clone();
        for identity in silent {
            self.nodes.remove(&identity);
            self.fleet.forget(&identity);
            self.count("nodes_expired", &[("component", &component)], 1.0);
        }
        self.fleet.forget_silent(now, NAMED);
        let nodes = self.fleet.nodes().values();
        let there: HashSet<&str> =
            nodes.flat_map(|node| node.tracks.keys()).map(|machine| &**machine).collect();
        self.turns.retain(|machine, _| there.contains(machine.as_str()));
    }

    fn takes_its_turn(&mut self, machine: &str) {
        if self.turns.len() < MOST_TURNS && !self.turns.contains_key(machine) {
            self.turns.insert(machine.to_owned(), self.next_turn);
            self.next_turn += 1;
        }
    }

    /// As many as are shown, of whatever is most, and then of what was heard of first; how many are not.
    fn most<'a, T: Copy + Ord>(
        &self,
        counted: BTreeMap<T, u64>,
        machine: impl Fn(&T) -> &'a str,
    ) -> (Vec<(T, u64)>, u64) {
        let mut counted: Vec<(T, u64)> = counted.into_iter().collect();
        let beyond = counted.len().saturating_sub(MOST_SERIES) as u64;
        if beyond > 0 {
            let turn = |key: &T| self.turns.get(machine(key)).copied().unwrap_or(u64::MAX);
            counted.sort_by_key(|(key, count)| (Reverse(*count), turn(key)));
            counted.truncate(MOST_SERIES);
            counted.sort_unstable();
        }
        (counted, beyond)
    }

    fn machine(&mut self, seen: &Seen, now: i64) {
        match seen {
            Seen::Moved(moved) => {
                let labels = [
                    ("machine", moved.machine.as_str()),
                    ("version", &moved.version),
                    ("transition", &moved.transition),
                    ("from", &moved.from),
                    ("to", &moved.to),
                ];
                self.count("machine_transition", &labels, 1.0);
                self.saw(&moved.identity, None, now);
                self.takes_its_turn(&moved.machine);
            }
            Seen::Checked(checked) => {
                self.saw(&checked.identity, None, now);
                self.takes_its_turn(&checked.machine);
            }
            Seen::Ran(ran) => {
                let labels =
                    [("machine", ran.machine.as_str()), ("version", &ran.version), ("watcher", &ran.watcher)];
                let name = if ran.well { "exec_watcher_success" } else { "exec_watcher_failures" };
                self.count(name, &labels, 1.0);
                self.count("exec_watcher_runtime_sum", &labels, ran.took as f64 / 1e9);
                self.count("exec_watcher_runtime_count", &labels, 1.0);
            }
        }
        self.fleet.take(seen, now);
    }

    fn life(&mut self, event: &Event, now: i64) {
        let component = self.component.clone();
        let kind = event.kind().map_or("unknown", EventType::as_str);
        self.count("event_types", &[("component", &component), ("type", kind)], 1.0);
        match event.kind() {
            Some(EventType::Shutdown) => {
                self.nodes.remove(&event.identity);
                self.fleet.forget(&event.identity);
            }
            Some(EventType::Governor) => {
                let labels = [
                    ("component", component.as_str()),
                    ("governor", event.governor.as_deref().unwrap_or_default()),
                    ("event", event.event_type.as_deref().unwrap_or_default()),
                ];
                self.count("governor", &labels, 1.0);
            }
            kind => {
                // its machines begin anew, each in the state it begins in
                if kind == Some(EventType::Startup) {
                    self.fleet.begins(&event.identity, now);
                    self.fleet.forget_states(&event.identity);
                }
                let version = event.new_version.as_deref().or(event.version.as_deref());
                self.saw(&event.identity, version, now);
                self.fleet.alive(&event.identity, now);
            }
        }
    }

    fn saw(&mut self, identity: &str, version: Option<&str>, now: i64) {
        if let Some((seen, known)) = self.nodes.get_mut(identity) {
            *seen = now;
            if let Some(version) = version {
                version.clone_into(known);
            }
        } else if self.nodes.len() < MOST_NODES {
            self.nodes.insert(identity.to_owned(), (now, version.unwrap_or_default().to_owned()));
        } else {
            self.left_away += 1;
        }
    }

    fn count(&mut self, family: &'static str, labels: &[(&str, &str)], by: f64) {
        let key = (family, rendered(labels));
        if let Some(counter) = self.counters.get_mut(&key) {
            counter.value += by;
            counter.at = self.now;
            return;
        }
        let series = self.series.entry(family).or_default();
        if *series >= MOST_SERIES {
            self.left_away += 1;
            return;
        }
        *series += 1;
        self.counters.insert(key, Counter { value: by, at: self.now });
    }

    /// All of it as Prometheus text.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let mut last = "";
        for ((name, labels), Counter { value, .. }) in &self.counters {
            let (family, kind) = match name.strip_suffix("_sum").or(name.strip_suffix("_count")) {
                Some(family) => (family, "summary"),
                None => (*name, "counter"),
            };
            if family != last {
                self.head(&mut out, family, kind);
                last = family;
            }
            let _ = writeln!(out, "{}_{name}{{{labels}}} {value}", self.prefix);
        }
        let component = self.component.as_str();
        let mut versions: BTreeMap<&str, u64> = BTreeMap::new();
        self.nodes.values().for_each(|(_, version)| {
            if !version.is_empty() {
                *versions.entry(version).or_default() += 1;
            }
        });
        let (versions, mut beyond) = self.most(versions, |version| version);
        let versions = versions
            .into_iter()
            .map(|(version, count)| (rendered(&[("component", component), ("version", version)]), count));
        self.gauges(&mut out, "versions", versions);
        let nodes = [(rendered(&[("component", component)]), self.nodes.len() as u64)];
        self.gauges(&mut out, "nodes", nodes.into_iter());
        let (mut states, mut checks) = (BTreeMap::new(), BTreeMap::new());
        for node in self.fleet.nodes().values() {
            for (machine, track) in &node.tracks {
                if !track.state.is_empty() {
                    let key: (&str, &str, &str) = (machine, &track.version, &track.state);
                    *states.entry(key).or_insert(0) += 1;
                }
                if let Some(status) = track.status.and_then(|status| STATUSES.get(usize::from(status))) {
                    *checks.entry((&**machine, *status)).or_insert(0) += 1;
                }
            }
        }
        let (states, more) = self.most(states, |(machine, _, _)| machine);
        beyond += more;
        let states = states.into_iter().map(|((machine, version, state), count)| {
            (rendered(&[("machine", machine), ("version", version), ("state", state)]), count)
        });
        self.gauges(&mut out, "machine_states", states);
        let (checks, more) = self.most(checks, |(machine, _)| machine);
        beyond += more;
        let checks = checks
            .into_iter()
            .map(|((machine, status), count)| (rendered(&[("check", machine), ("status", status)]), count));
        self.gauges(&mut out, "checks", checks);
        let dropped = [(rendered(&[]), self.left_away + self.fleet.dropped + beyond)];
        self.gauges(&mut out, "left_away", dropped.into_iter());
        out
    }

    fn gauges(&self, out: &mut String, name: &str, samples: impl Iterator<Item = (String, u64)>) {
        let mut samples = samples.peekable();
        if samples.peek().is_some() {
            self.head(out, name, "gauge");
        }
        for (labels, count) in samples {
            let _ = writeln!(out, "{}_{name}{{{labels}}} {count}", self.prefix);
        }
    }

    fn head(&self, out: &mut String, family: &str, kind: &str) {
        let _ =
            writeln!(out, "# HELP {0}_{family} {1}\n# TYPE {0}_{family} {kind}", self.prefix, help(family));
    }
}

fn help(family: &str) -> &'static str {
    match family {
        "good_events" => "Events that were understood",
        "process_errors" => "Messages that are no events",
        "event_types" => "Events of lives by their type",
        "machine_transition" => "Transitions of machines",
        "exec_watcher_success" => "Commands of machines that ended well",
        "exec_watcher_failures" => "Commands of machines that failed",
        "exec_watcher_runtime" => "Seconds that commands of machines took",
        "nodes_expired" => "Nodes that were not heard for 80 minutes",
        "governor" => "Events of governors",
        "processing_time" => "Seconds it took to count events",
        "versions" => "Nodes by the version they run",
        "nodes" => "Nodes that were heard",
        "machine_states" => "Machines by the state they are in",
        "checks" => "Checks by what they found last",
        _ => "Events of nodes and series beyond what is kept",
    }
}

fn rendered(labels: &[(&str, &str)]) -> String {
    let mut out = String::new();
    // whoever counts alone is active
    for (name, value) in labels.iter().copied().chain([("active", "1")]) {
        if !out.is_empty() {
            out.push(',');
        }
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(out, "{name}=\"{value}\"");
    }
    out
}

#[cfg(test)]
mod tests;
