//! `nagios`: a check, as a plugin or built in (spec 06 §6.5).

mod builtin;
mod goss;
mod status_file;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::exec::{quoted, timeout};
use super::{Kind, Watcher};
use crate::core::machine::definition::Common;
use crate::core::machine::event::Fields;
use crate::core::machine::perfdata::{self, Item};
use crate::core::machine::properties::Properties;
use crate::core::machine::template::{self, Overrides};
use crate::core::machine::turn::{Answer, Command, Fire, Ran, Said, Turn, Work};
use crate::core::protocol::json::push_value;
use crate::core::text::{meant, shorten, shortened};
use builtin::Native;

pub(super) const KIND: Kind =
    Kind { name: "nagios", interval: None, least: Duration::from_millis(500), compile };

/// State in which a check is wanted at once,
const FORCE: &str = "FORCE_CHECK";
/// and one in which it rests.
const MAINTENANCE: &str = "MAINTENANCE";
/// Checks that are remembered.
const HISTORY: usize = 15;
/// How long rules of goss may take.
const GOSS: Duration = Duration::from_secs(60);
/// Bytes of output that are read,
const MOST_OUTPUT: usize = 64 * 1024;
/// and that are kept after they were published.
const KEPT_OUTPUT: usize = 4 * 1024;
/// Bytes of what its events say: with what is around it that is less than brokers of this program take.
const MOST_SAID: usize = 60 * 1024;
/// Bytes of an output, of its numbers and of a command in an event that would be larger.
const MOST_PART: usize = 24 * 1024;
const MOST_COMMAND: usize = 4 * 1024;
/// Unix seconds of no time at all, as the original writes it.
const NO_TIME: i64 = -62_135_596_800;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)] // the names are the states
pub enum Status {
    Ok = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
    NotChecked = 5,
}

impl Status {
    /// Those a check may find.
    pub const ALL: [Status; 4] = [Status::Ok, Status::Warning, Status::Critical, Status::Unknown];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::Warning => "WARNING",
            Status::Critical => "CRITICAL",
            Status::Unknown => "UNKNOWN",
            Status::NotChecked => "NOTCHECKED",
        }
    }

    /// By the exit code of a plugin.
    fn of_code(code: i32) -> Status {
        Status::ALL.into_iter().find(|status| *status as i32 == code).unwrap_or(Status::Unknown)
    }

    /// By the name of a state of its machine; whatever else it is called counts as well.
    fn of_state(state: &str) -> Status {
        Status::ALL.into_iter().find(|status| status.as_str() == state).unwrap_or(Status::Ok)
    }
}

/// A check and what it found.
pub struct Check {
    what: What,
    annotations: Box<[(Box<str>, Box<str>)]>,
    /// Now.
    pub status: Status,
    /// When it was last checked.
    pub checked: Option<Timestamp>,
    /// How often it was, and how often its machine changed.
    pub count: u64,
    took: Duration,
    command: Arc<str>,
    output: Box<str>,
    perfdata: Box<[Item]>,
    history: VecDeque<Past>,
    began: Option<Duration>,
}

struct Past {
    at: Timestamp,
    status: Status,
    perfdata: Box<[Item]>,
}

enum What {
    Plugin(Arc<str>, Duration),
    Heartbeat,
    Status(status_file::Limits),
    Native(Arc<Native>),
    Goss(Arc<Path>, Duration),
}

/// A look that is over at once, or waits for one file as long as all do.
fn timeless(of: &mut Properties<'_, '_>) {
    if of.has("timeout") {
        of.warn_at("timeout", "means nothing for this builtin, which waits for nothing longer than a second");
    }
}

fn compile(of: &mut Properties<'_, '_>, common: &mut Common) -> Box<dyn Watcher> {
    let (plugin, builtin) = (of.text("plugin"), of.text("builtin"));
    let (timed, timeout) = (of.has("timeout"), timeout(of));
    let limits = status_file::Limits {
        last_message: of.positive("last_message"),
        certificate: of.positive("pubcert_expire").unwrap_or_default(),
        token: of.positive("token_expire").unwrap_or_default(),
    };
    let gossfile = of.text("gossfile");
    let what = match (plugin.is_empty(), &*builtin) {
        (true, "") => {
            of.error("plugin or builtin is required");
            What::Heartbeat
        }
        (false, "") => {
            let all = Value::Null;
            if let Err(e) = template::check(&plugin, &Overrides { all: &all, machine: "" }) {
                of.warn_at("plugin", format_args!("never works: {e}"));
            }
            quoted(of, "plugin", &plugin);
            What::Plugin(plugin.into(), timeout)
        }
        (false, _) => {
            of.error("plugin and builtin cannot both be set");
            What::Heartbeat
        }
        (true, "heartbeat") => {
            timeless(of);
            What::Heartbeat
        }
        (true, "choria_status") => {
            timeless(of);
            if limits.last_message.is_none() {
                of.error("last_message is required for the builtin choria_status");
            }
            What::Status(limits)
        }
        (true, goss) if goss.starts_with("goss") => {
            if gossfile.is_empty() {
                of.error("gossfile is required for the builtin goss");
            }
            let limit = if timed && !timeout.is_zero() { timeout } else { GOSS };
            What::Goss(Path::new(&*gossfile).into(), limit)
        }
        (true, other) => match Native::compile(other, of) {
            Some(native) => What::Native(Arc::new(native)),
            None => {
                let known = || ["heartbeat", "choria_status", "goss"].into_iter().chain(builtin::names());
                let known_names: Vec<&str> = known().collect();
                let text = format!(
                    "is {other}, and there is no builtin of that name{}, known are {}",
                    meant(other, known()),
                    known_names.join(", ")
                );
                of.error_at("builtin", text);
                What::Heartbeat
            }
        },
    };
    if common.interval.is_none() {
        of.warn("without an interval it looks only when it is asked to");
    }
    if common.success.is_some() || common.failure.is_some() {
        of.warn_at("plugin", "is a check, which fires OK, WARNING, CRITICAL and UNKNOWN: success_transition and fail_transition mean nothing");
    }
    Box::new(Check {
        what,
        annotations: of.labels("annotations"),
        status: Status::NotChecked,
        checked: None,
        count: 0,
        took: Duration::ZERO,
        command: "".into(),
        output: Box::default(),
        perfdata: Box::default(),
        history: VecDeque::new(),
        began: None,
    })
}

impl Check {
    fn run(&mut self, turn: &mut Turn<'_>) {
        self.began = Some(turn.now.at);
        match &self.what {
            What::Plugin(plugin, limit) => turn.work(Work::Command(Box::new(Command {
                line: plugin.clone(),
                check: true,
                environment: Arc::default(),
                limit: Some(*limit),
                output: Some(MOST_OUTPUT),
                files: false,
                governed: None,
            }))),
            What::Heartbeat => {
                let output = turn.now.wall.as_second().to_string();
                self.found(Status::Ok, output, "heartbeat".into(), Duration::ZERO, turn);
            }
            What::Status(limits) => {
                let limits = *limits;
                turn.work(Work::other(move |setting| status_file::look(limits, setting)));
            }
            What::Goss(gossfile, limit) => {
                let (gossfile, limit) = (gossfile.clone(), *limit);
                turn.work(Work::other(move |setting| goss::look(gossfile, limit, setting)));
            }
            What::Native(native) => {
                let native = native.clone();
                turn.work(Work::other(move |setting| native.look(setting)));
            }
        }
    }

    fn found(
        &mut self,
        status: Status,
        output: String,
        command: Arc<str>,
        took: Duration,
        turn: &mut Turn<'_>,
    ) {
        // it was put to rest while it looked
        if turn.state == MAINTENANCE && !turn.eligible {
            return;
        }
        let now = turn.now.wall;
        self.count += 1;
        self.status = status;
        self.checked = Some(now);
        self.took = took;
        self.command = command;
        self.perfdata = perfdata::parse(&output).into();
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(Past { at: now, status, perfdata: self.perfdata.clone() });
        self.output = output.trim().into();
        turn.publish(self.fields());
        if self.output.len() > KEPT_OUTPUT {
            let mut kept = self.output.to_string();
            shorten(&mut kept, KEPT_OUTPUT);
            self.output = kept.into();
        }
        turn.exported();
        turn.fire(Fire::Named(status.as_str()));
    }

    fn ran(&mut self, ran: Ran, turn: &mut Turn<'_>) {
        let (status, output) = match ran.code {
            Some(code) => (Status::of_code(code), ran.output),
            // what kept it from an answer is what there is to know
            None if ran.output.trim().is_empty() => (Status::Unknown, ran.problem),
            None => (Status::Unknown, format!("{}: {}", ran.problem, ran.output.trim())),
        };
        self.found(status, output, ran.line.into(), ran.took, turn);
    }

    /// Names of the states it found, oldest first.
    pub fn past(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.history.iter().map(|past| past.status.as_str())
    }
}

fn items(perfdata: &[Item]) -> Value {
    serde_json::to_value(perfdata).unwrap_or_default()
}

/// Bytes of a value in an event.
fn size(value: &Value) -> usize {
    let mut text = String::new();
    push_value(&mut text, value);
    text.len()
}

/// A text of which no more than so many bytes are in an event.
fn cut(text: &str, most: usize) -> Value {
    let mut value = Value::from(text);
    let mut length = text.len();
    while size(&value) > most && length > 0 {
        length /= 2;
        value = shortened(text, length).into();
    }
    value
}

/// Makes what an event says fit into one: without the numbers of earlier runs first, then with less of
/// each part. A check that brokers do not hear is none.
fn fit(fields: &mut Fields) {
    let all = |fields: &Fields| fields.iter().map(|(_, value)| size(value)).sum::<usize>();
    for step in 0..2 {
        if all(fields) <= MOST_SAID {
            return;
        }
        for (name, value) in fields.iter_mut() {
            match (step, *name, &mut *value) {
                (0, "history", Value::Array(past)) => {
                    for one in past.iter_mut().filter_map(Value::as_object_mut) {
                        one.remove("perfdata");
                    }
                }
                (1, "output", Value::String(text)) => *value = cut(text, MOST_PART),
                (1, "plugin", Value::String(text)) => *value = cut(text, MOST_COMMAND),
                (1, "perfdata", Value::Array(items)) => {
                    let mut room = MOST_PART;
                    let fits = |item: &Value| {
                        let size = size(item) + 1;
                        let fits = size <= room;
                        room = room.saturating_sub(size);
                        fits
                    };
                    let count = items.iter().map(fits).take_while(|fits| *fits).count();
                    items.truncate(count);
                }
                _ => {}
            }
        }
    }
}

impl Watcher for Check {
    fn begin(&mut self, turn: &mut Turn<'_>) {
        if let Some(interval) = turn.common.interval {
            let first = turn.within(interval) + interval;
            turn.again(first);
        }
        turn.exported();
    }

    fn due(&mut self, turn: &mut Turn<'_>) {
        let Some(interval) = turn.common.interval else { return };
        turn.again(interval);
        let lately = self.began.is_some_and(|began| {
            turn.now.at.saturating_sub(began) < interval.saturating_sub(Duration::from_secs(1))
        });
        if !turn.busy && turn.eligible && !lately {
            self.run(turn);
        }
    }

    fn moved(&mut self, turn: &mut Turn<'_>) {
        if turn.state == FORCE {
            // the one under way says what is wanted
            if !turn.busy {
                self.run(turn);
            }
            return;
        }
        self.status = Status::of_state(turn.state);
        self.count += 1;
        turn.exported();
    }

    fn answered(&mut self, answer: Answer, turn: &mut Turn<'_>) {
        match answer {
            Answer::Ran(ran) => self.ran(ran, turn),
            Answer::Said(Said { outcome, detail, took, .. }) => {
                let status = Status::ALL.into_iter().find(|status| status.as_str() == outcome);
                let output = detail.as_str().unwrap_or_default().to_owned();
                let name = match &self.what {
                    What::Native(native) => native.name(),
                    What::Goss(..) => "goss",
                    _ => "choria_status",
                };
                self.found(status.unwrap_or(Status::Unknown), output, name.into(), took, turn);
            }
        }
    }

    fn fields(&self) -> Fields {
        let history: Vec<Value> = self
            .history
            .iter()
            .map(|past| {
                let mut members = Map::new();
                members.insert("execute".into(), past.at.to_string().into());
                members.insert("status".into(), (past.status as u8).into());
                if !past.perfdata.is_empty() {
                    members.insert("perfdata".into(), items(&past.perfdata));
                }
                members.into()
            })
            .collect();
        let annotations: Map<String, Value> =
            self.annotations.iter().map(|(name, text)| (name.to_string(), (**text).into())).collect();
        let mut fields = vec![
            ("plugin", (*self.command).into()),
            ("status", self.status.as_str().into()),
            ("status_code", (self.status as u8).into()),
            ("output", (*self.output).into()),
            ("check_time", self.checked.map_or(NO_TIME, Timestamp::as_second).into()),
            ("perfdata", if self.perfdata.is_empty() { Value::Null } else { items(&self.perfdata) }),
            ("runtime", json!(self.took.as_secs_f64())),
            ("history", history.into()),
            ("annotations", annotations.into()),
        ];
        fit(&mut fields);
        fields
    }

    fn check(&self) -> Option<&Check> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_means_nothing_is_warned_of() {
        for (properties, warned) in [
            ("builtin: heartbeat, timeout: 2s", true),
            ("builtin: choria_status, last_message: 1h, timeout: 2s", true),
            ("builtin: heartbeat", false),
            ("builtin: goss, gossfile: goss.yaml, timeout: 2s", false),
        ] {
            let text = format!(
                "{{name: a, version: 1.0.0, initial_state: x, transitions: [{{name: OK, from: [x], destination: y}}], \
                 watchers: [{{name: w, type: nagios, interval: 1h, properties: {{{properties}}}}}]}}"
            );
            let definition = crate::core::machine::definition::compile(&text).ok().unwrap();
            let told = definition
                .warnings
                .iter()
                .any(|warning| warning.to_string().contains("timeout means nothing"));
            assert_eq!(told, warned, "{properties}");
        }
    }

    #[test]
    fn what_a_check_says_fits_into_an_event() {
        let item =
            |n: usize| json!({"label": format!("/srv/data/volume{n} inodes"), "unit": "%", "value": 12.5});
        let numbers = |count: usize| -> Value { (0..count).map(item).collect::<Vec<_>>().into() };
        let said = |output: &str, count: usize| -> Fields {
            let past = || json!({"execute": "2026-01-01T00:00:00Z", "status": 2, "perfdata": numbers(count)});
            vec![
                ("plugin", "/usr/lib/check".into()),
                ("output", output.into()),
                ("perfdata", numbers(count)),
                ("history", (0..HISTORY).map(|_| past()).collect::<Vec<_>>().into()),
            ]
        };
        for (output, count, whole, cut) in [
            ("fine".to_owned(), 20, true, false),
            ("fine".to_owned(), 80, false, false),
            ("fine".to_owned(), 256, false, false),
            ("x".repeat(MOST_OUTPUT), 0, false, true),
            ("<".repeat(MOST_OUTPUT), 256, false, true),
        ] {
            let (mut fields, before) = (said(&output, count), said(&output, count));
            fit(&mut fields);
            let all: usize = fields.iter().map(|(_, value)| size(value)).sum();
            assert!(all <= MOST_SAID, "{all} of {count}");
            assert_eq!(fields[3].1.as_array().map(Vec::len), Some(HISTORY));
            assert_eq!(fields[3] == before[3], whole, "{count}");
            assert_eq!(fields[1] != before[1], cut, "{count}");
            if count <= 80 {
                assert_eq!(fields[2], before[2]);
            }
        }
    }
}
