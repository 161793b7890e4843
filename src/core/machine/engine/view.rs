//! What others may know of machines (spec 06 §8).

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::event::{Origin, watcher_data};
use super::super::watchers::{Check, Metric};
use super::machine::{Machine, Phase};
use super::{Engine, Id};
use crate::core::text::shorten;

/// Unix seconds of no time at all, as the original writes it.
const NO_TIME: i64 = -62_135_596_800;

/// Bytes of what all checks found in one answer: with what is around it, and packed twice, brokers take that.
const MOST_SHOWN: usize = 384 * 1024;
/// Bytes of each output where that is more,
const SHORT_OUTPUT: usize = 256;
/// and what is said of a check where that is still more.
const SHOWN: [&str; 3] = ["status", "status_code", "check_time"];

/// Which machine is meant: all that is given has to be so.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Its directory.
    pub path: &'a str,
    /// The id of this life of it.
    pub instance: &'a str,
}

/// A machine as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Which.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its state.
    pub state: String,
    /// Where it lives.
    pub path: String,
    /// The id of this life of it.
    pub instance: String,
    /// When it started, in Unix seconds.
    pub start_time: i64,
    /// Events that lead on.
    pub transitions: Vec<String>,
    /// Whether it is a check.
    pub scout: bool,
    /// What its check found: data of an event.
    pub current: Option<Value>,
    /// States its check found, oldest first.
    pub history: Vec<&'static str>,
}

impl Found {
    /// As the original says it.
    pub fn to_value(&self) -> Value {
        let mut members = Map::new();
        for (name, value) in [
            ("name", json!(self.name)),
            ("version", json!(self.version)),
            ("state", json!(self.state)),
            ("path", json!(self.path)),
            ("id", json!(self.instance)),
            ("start_time", json!(self.start_time)),
            (
                "available_transitions",
                if self.transitions.is_empty() { Value::Null } else { json!(self.transitions) },
            ),
            ("scout", json!(self.scout)),
        ] {
            members.insert(name.to_owned(), value);
        }
        if let Some(current) = &self.current {
            members.insert("current_state".to_owned(), current.clone());
        }
        members.into()
    }
}

/// Makes what checks of many machines found fit into one answer: without the numbers of earlier runs first, then
/// with the beginnings of their outputs, then without all that but how they are.
pub fn fitting(all: &mut [Found]) {
    let size = |all: &[Found]| -> usize {
        all.iter().filter_map(|one| one.current.as_ref()).map(|current| current.to_string().len()).sum()
    };
    for step in 0..3 {
        if size(all) <= MOST_SHOWN {
            return;
        }
        let currents = all.iter_mut().filter_map(|one| one.current.as_mut()?.as_object_mut());
        for current in currents {
            let history = current.get_mut("history");
            match step {
                0 => {
                    let past = history.and_then(Value::as_array_mut).into_iter().flatten();
                    past.filter_map(Value::as_object_mut).for_each(|past| drop(past.remove("perfdata")));
                }
                1 => {
                    if let Some(Value::String(output)) = current.get_mut("output") {
                        shorten(output, SHORT_OUTPUT);
                    }
                    current.insert("perfdata".to_owned(), Value::Null);
                }
                _ => {
                    current.retain(|name, _| SHOWN.contains(&name.as_str()));
                }
            }
        }
    }
}

impl Engine {
    /// Machines that are meant, sorted by name.
    pub fn find(&self, wanted: Wanted<'_>) -> Vec<Found> {
        let is = |asked: &str, known: &str| asked.is_empty() || asked == known;
        let mut found: Vec<Found> = self
            .all()
            .filter(|(_, machine)| {
                is(wanted.name, &machine.definition.name)
                    && is(wanted.version, &machine.definition.version)
                    && is(wanted.path, &machine.directory.to_string_lossy())
                    && is(wanted.instance, &machine.instance)
            })
            .map(|(id, machine)| self.found(id, machine))
            .collect();
        found.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
        found
    }

    fn found(&self, id: Id, machine: &Machine) -> Found {
        let definition = &machine.definition;
        let check = machine.watchers.iter().rev().find(|slot| slot.does.check().is_some());
        let start_time = machine.started.map_or(NO_TIME, Timestamp::as_second);
        let of = Origin {
            identity: &self.identity,
            machine: &definition.name,
            version: &definition.version,
            instance: &machine.instance,
            timestamp: check
                .and_then(|slot| slot.does.check()?.checked)
                .or(machine.started)
                .map_or(NO_TIME, Timestamp::as_second),
        };
        let data =
            check.map(|slot| watcher_data(of, slot.common.kind, &slot.common.name, slot.does.fields()));
        Found {
            id,
            name: definition.name.to_string(),
            version: definition.version.to_string(),
            state: machine.state_name().to_owned(),
            path: machine.directory.to_string_lossy().into_owned(),
            instance: machine.instance.to_string(),
            start_time,
            transitions: definition
                .table
                .events(machine.state)
                .map(|event| definition.event(event).to_owned())
                .collect(),
            scout: check.is_some(),
            current: data.map(Value::Object),
            history: check
                .and_then(|slot| slot.does.check())
                .map(|check| check.past().collect())
                .unwrap_or_default(),
        }
    }

    /// Names of all machines, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.all().map(|(_, machine)| machine.definition.name.to_string()).collect();
        names.sort();
        names
    }

    /// What a machine keeps.
    pub fn data(&self, id: Id) -> Option<std::sync::Arc<str>> {
        self.get(id).map(|machine| machine.data.clone())
    }

    /// Whether a machine has started.
    pub fn is_running(&self, id: Id) -> bool {
        self.get(id).is_some_and(|machine| machine.phase == Phase::Running)
    }

    /// Name and state of a machine.
    pub fn state_of(&self, id: Id) -> Option<(&str, &str)> {
        self.get(id).map(|machine| (&*machine.definition.name, machine.state_name()))
    }

    /// All checks, by the name of their machine.
    pub fn checks(&self) -> impl Iterator<Item = (&str, &Check)> {
        let machines = self.all().filter(|(_, machine)| machine.phase == Phase::Running);
        machines.flat_map(|(_, machine)| {
            machine.watchers.iter().filter_map(|slot| Some((&*machine.definition.name, slot.does.check()?)))
        })
    }

    /// All metrics that are not too old at `now`, by the name of their watcher, and until when they are not.
    pub fn metrics(&self, now: Timestamp) -> impl Iterator<Item = (&str, &Metric, Timestamp)> {
        self.all().flat_map(move |(_, machine)| {
            machine.watchers.iter().filter_map(move |slot| {
                let (metric, until) = slot.does.metric()?;
                (until >= now).then_some((&*slot.common.name, metric, until))
            })
        })
    }

    /// The watcher of those names, and what it says of itself.
    pub fn watcher(&self, machine: &str, watcher: &str) -> Option<(Id, u16, Value)> {
        let (id, found) = self.all().find(|(_, found)| *found.definition.name == *machine)?;
        let place = found.watchers.iter().position(|slot| *slot.common.name == *watcher)?;
        let slot = found.watchers.get(place)?;
        let of = Origin {
            identity: &self.identity,
            machine: &found.definition.name,
            version: &found.definition.version,
            instance: &found.instance,
            timestamp: found.started.map_or(NO_TIME, Timestamp::as_second),
        };
        let data = watcher_data(of, slot.common.kind, &slot.common.name, slot.does.fields());
        Some((id, place as u16, data.into()))
    }

    /// Whether a switch is on; none where there is no switch of those names.
    pub fn switch(&self, machine: &str, watcher: &str) -> Option<(Option<bool>, Value)> {
        let (id, place, data) = self.watcher(machine, watcher)?;
        let on = self.get(id)?.watchers.get(usize::from(place))?.does.switch()?;
        Some((on, data))
    }

    /// What a metric gathered last; none where there is no metric of those names.
    pub fn metric(&self, machine: &str, watcher: &str) -> Option<Value> {
        let (id, place, _) = self.watcher(machine, watcher)?;
        let (metric, _) = self.get(id)?.watchers.get(usize::from(place))?.does.metric()?;
        Some(metric.to_value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(outputs: usize, numbers: usize) -> Found {
        let perfdata: Vec<Value> =
            (0..numbers).map(|n| json!({"label": format!("volume{n}"), "unit": "%", "value": 1.5})).collect();
        let past = || json!({"execute": "2026-01-01T00:00:00Z", "status": 0, "perfdata": perfdata});
        let current = json!({
            "protocol": "io.choria.machine.watcher.nagios.v1.state", "identity": "n1", "id": "i", "version": "1.0.0",
            "timestamp": 1, "type": "nagios", "machine": "m", "name": "check", "plugin": "p", "status": "OK",
            "status_code": 0, "output": "x".repeat(outputs), "check_time": 1, "perfdata": perfdata, "runtime": 1.0,
            "history": (0..15).map(|_| past()).collect::<Vec<_>>(), "annotations": {},
        });
        let mut engine = Engine::new("n", jiff::tz::TimeZone::UTC, 1);
        let id = Id { place: 0, life: engine.uuid().len() as u32 };
        Found {
            id,
            name: "m".into(),
            version: "1.0.0".into(),
            state: "OK".into(),
            path: "/m".into(),
            instance: "i".into(),
            start_time: 1,
            transitions: vec![],
            scout: true,
            current: Some(current),
            history: vec![],
        }
    }

    #[test]
    fn what_many_checks_found_fits_into_an_answer() {
        for (count, outputs, numbers, history, output) in [
            (6, 100, 10, true, 100),
            (6, 100, 250, false, 100),
            (200, 4000, 10, false, 259),
            (2000, 4000, 250, false, 0),
        ] {
            let mut all: Vec<Found> = (0..count).map(|_| found(outputs, numbers)).collect();
            fitting(&mut all);
            let size: usize = all.iter().map(|one| one.current.as_ref().unwrap().to_string().len()).sum();
            assert!(size <= MOST_SHOWN, "{count}: {size}");
            let current = all[0].current.as_ref().unwrap();
            assert_eq!(current["history"][0].get("perfdata").is_some(), history, "{count}");
            assert_eq!(current["output"].as_str().unwrap_or_default().len(), output, "{count}");
            assert_eq!(current["status_code"], 0);
        }
    }
}
