//! Events of machines as they are worked with: what is needed of them, within bounds.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::core::machine::event;
use crate::core::text::{on_one_line, shorten};

/// Longest name of a node, a machine, a state.
pub(super) const MOST_NAME: usize = 256;
/// Bytes of what a check says that are kept.
const MOST_OUTPUT: usize = 1024;
/// Looks before that are read of an event, and seconds that are believed to be between two: a month.
const MOST_PAST: usize = 30;
const LONGEST: i64 = 31 * 24 * 3600;

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A machine moved.
    Moved(Moved),
    /// A check found something.
    Checked(Checked),
    /// A command was run.
    Ran(Ran),
}

/// A machine moved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // as the event names them
pub struct Moved {
    pub identity: String,
    pub machine: String,
    pub version: String,
    pub transition: String,
    pub from: String,
    pub to: String,
    pub at: i64,
    /// Which life of the machine it is; 0 where that is not told.
    pub life: u64,
}

/// A check found something.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // as the event names them
pub struct Checked {
    pub identity: String,
    pub machine: String,
    pub version: String,
    /// As a plugin of Nagios ends: 0 to 3.
    pub status: u8,
    /// What it said, without numbers.
    pub output: String,
    pub at: i64,
    /// When it looked, unix seconds: before `at` where it tells again what is known.
    pub looked: i64,
    /// Seconds between its last looks at most, as it remembers them; 0 where it remembers less than two.
    pub every: i64,
    /// Which life of its machine it is; 0 where that is not told.
    pub life: u64,
}

/// A command was run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // as the event names them
pub struct Ran {
    pub machine: String,
    pub version: String,
    pub watcher: String,
    pub well: bool,
    /// Nanoseconds.
    pub took: u64,
}

/// Whether it is a name of anything.
pub(super) fn fits(name: &str) -> bool {
    !name.is_empty() && name.len() <= MOST_NAME && !name.contains(char::is_control)
}

/// Seconds between looks at most, of what an event of a check says of those before.
fn every(data: &Map<String, Value>) -> i64 {
    let past = data.get("history").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let when = |one: &Value| Some(one.get("execute")?.as_str()?.parse::<Timestamp>().ok()?.as_second());
    let times: Vec<i64> = past.iter().take(MOST_PAST).filter_map(when).collect();
    let between = times.windows(2).filter_map(|two| two.last()?.checked_sub(*two.first()?));
    between.max().unwrap_or_default().clamp(0, LONGEST)
}

/// A number for the id of a life of a machine.
fn number_of(id: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    if id.is_empty() {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish().max(1)
}

impl Seen {
    /// Reads an event; none for what is none of these, or names what nothing is called.
    pub fn read(payload: &[u8]) -> Option<Seen> {
        Seen::of(&event::data(payload)?)
    }

    /// Of the data of an event.
    pub fn of(data: &Map<String, Value>) -> Option<Seen> {
        let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
        let name = |name: &str| {
            let text = text(name);
            fits(text).then(|| text.to_owned())
        };
        let at = data.get("timestamp").and_then(Value::as_i64).unwrap_or_default();
        let version = || name("version").unwrap_or_default();
        let life = number_of(text("id"));
        match event::kind(data)? {
            "transition" => Some(Seen::Moved(Moved {
                identity: name("identity")?,
                machine: name("machine")?,
                version: version(),
                transition: name("transition")?,
                from: name("from_state")?,
                to: name("to_state")?,
                at,
                life,
            })),
            "nagios" => {
                let output = text("output");
                let words = output.split_once('|').map_or(output, |(words, _)| words);
                let mut output: String = on_one_line(words).collect();
                shorten(&mut output, MOST_OUTPUT);
                let status = data.get("status_code").and_then(Value::as_u64);
                Some(Seen::Checked(Checked {
                    identity: name("identity")?,
                    machine: name("machine")?,
                    version: version(),
                    // one that was not checked yet has nothing to say
                    status: status
                        .and_then(|status| u8::try_from(status).ok())
                        .filter(|status| *status < 4)?,
                    output: output.trim().to_owned(),
                    at,
                    looked: data.get("check_time").and_then(Value::as_i64).unwrap_or(at),
                    every: every(data),
                    life,
                }))
            }
            "exec" => Some(Seen::Ran(Ran {
                machine: name("machine")?,
                version: version(),
                watcher: name("name")?,
                well: match text("previous_outcome") {
                    "success" => true,
                    "error" => false,
                    _ => return None,
                },
                took: data.get("previous_run_time").and_then(Value::as_u64).unwrap_or_default(),
            })),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::machine::event::Origin;

    fn origin() -> Origin<'static> {
        Origin { identity: "n1", machine: "disk", version: "1.0.0", instance: "i", timestamp: 7 }
    }

    #[test]
    fn events_are_read_as_nodes_write_them() {
        let moved = event::transition(origin(), "x", "CRITICAL", "OK", "CRITICAL");
        let Some(Seen::Moved(moved)) = Seen::read(moved.payload.as_bytes()) else { panic!() };
        assert_eq!((moved.from.as_str(), moved.to.as_str(), moved.at), ("OK", "CRITICAL", 7));
        let fields = |code: u64, output: &str| vec![("status_code", code.into()), ("output", output.into())];
        let checked =
            event::watcher(origin(), "x", "nagios", "check", fields(2, "CRITICAL: no\u{1b}[1m|a=1"));
        let Some(Seen::Checked(checked)) = Seen::read(checked.payload.as_bytes()) else { panic!() };
        assert_eq!((checked.status, checked.output.as_str()), (2, "CRITICAL: no [1m"));
        let never = event::watcher(origin(), "x", "nagios", "check", fields(5, ""));
        assert_eq!(Seen::read(never.payload.as_bytes()), None);
        let ran = event::watcher(
            origin(),
            "x",
            "exec",
            "look",
            vec![("previous_outcome", "error".into()), ("previous_run_time", 5_u64.into())],
        );
        let ran = Seen::read(ran.payload.as_bytes());
        assert!(matches!(ran, Some(Seen::Ran(Ran { well: false, took: 5, .. }))), "{ran:?}");
    }

    #[test]
    fn how_seldom_a_check_looks_is_read_from_its_past() {
        for (past, expected) in [
            (vec![], 0),
            (vec!["2026-12-01T10:00:00Z"], 0),
            (vec!["2026-12-01T10:00:00Z", "2026-12-03T11:00:00+01:00", "2026-12-03T10:01:00Z"], 2 * 86_400),
            (vec!["2026-12-03T10:00:00Z", "2026-12-01T10:00:00Z"], 0),
            (vec!["1000-01-01T00:00:00Z", "soon", "9999-01-01T00:00:00Z"], LONGEST),
        ] {
            let history: Vec<Value> = past.iter().map(|at| serde_json::json!({"execute": at})).collect();
            let fields = vec![("status_code", 2.into()), ("history", history.into())];
            let event = event::watcher(origin(), "x", "nagios", "check", fields);
            let Some(Seen::Checked(checked)) = Seen::read(event.payload.as_bytes()) else { panic!() };
            assert_eq!(checked.every, expected, "{past:?}");
        }
    }

    #[test]
    fn no_event_ends_the_reader() {
        bolero::check!().with_iterations(3000).with_type::<(String, String, u64)>().for_each(|(a, b, n)| {
            Seen::read(a.as_bytes());
            let origin = Origin { identity: a, machine: b, ..origin() };
            let one = event::watcher(
                origin,
                a,
                "nagios",
                b,
                vec![("status_code", (*n).into()), ("output", a.as_str().into())],
            );
            Seen::read(one.payload.as_bytes());
        });
    }
}
