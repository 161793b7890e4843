//! `exec`: runs a command, by the clock and at each change of state (spec 06 §6.1).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Kind, Watcher};
use crate::core::machine::definition::Common;
use crate::core::machine::event::Fields;
use crate::core::machine::governed::{Governed, PATIENCE};
use crate::core::machine::properties::Properties;
use crate::core::machine::template::{self, Lookup};
use crate::core::machine::turn::{Answer, Command, Fire, Ran, Turn, Work};
use crate::core::programs::NoProgram;
use crate::core::streams::governor::check_name;

pub(super) const KIND: Kind =
    Kind { name: "exec", interval: None, least: Duration::from_millis(500), compile };

/// What a command may take that says nothing else.
pub(super) const TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of output that become data.
const MOST_DATA: usize = 64 * 1024;
/// The first look at how things are comes within this.
const GATHER: Duration = Duration::from_secs(30);

struct Exec {
    command: Arc<str>,
    environment: Arc<[Box<str>]>,
    timeout: Duration,
    governed: Option<Governed>,
    as_data: bool,
    quiet: bool,
    gathers: bool,
    disowned: bool,
    outcome: &'static str,
    took: Duration,
}

fn compile(of: &mut Properties<'_, '_>, common: &mut Common) -> Box<dyn Watcher> {
    let exec = Exec {
        command: command(of, "command").into(),
        environment: environment(of).into(),
        timeout: timeout(of),
        governed: governor(of),
        as_data: of.flag("parse_as_data"),
        quiet: of.flag("suppress_success_announce"),
        gathers: of.flag("gather_initial_state"),
        disowned: of.flag("disown"),
        outcome: "unknown",
        took: Duration::ZERO,
    };
    if exec.disowned && exec.as_data {
        of.error("parse_as_data needs the output of a command, and disown leaves it alone");
    }
    if exec.gathers && common.interval.is_none() {
        of.warn_at("gather_initial_state", "means nothing without an interval");
    }
    Box::new(exec)
}

/// A command line that has to be there.
pub(super) fn command(of: &mut Properties<'_, '_>, name: &'static str) -> Box<str> {
    let line = of.required(name);
    templated(of, name, &line);
    quoted(of, name, &line);
    line
}

/// Complains of a command line that would never be run; what a template puts into one is not known before.
pub(super) fn quoted(of: &mut Properties<'_, '_>, name: &'static str, line: &str) {
    if !template::is_template(line) && shlex::split(line).is_none() {
        of.warn_at(name, format_args!("never works: it {}", NoProgram::Quote));
    }
}

/// Complains of a template that would never be run.
pub(super) fn templated(of: &mut Properties<'_, '_>, name: &'static str, text: &str) {
    if let Err(e) = template::check(text, &Lookup { scope: &Value::Null }) {
        // as in the original it is an error each time it is run
        of.warn_at(name, format_args!("never works: {e}"));
    }
}

fn environment(of: &mut Properties<'_, '_>) -> Box<[Box<str>]> {
    let list = of.list("environment");
    for item in &list {
        if item.split_once('=').is_none_or(|(name, _)| name.is_empty()) {
            of.warn_at(
                "environment",
                format_args!("has {item}, which is not of the form NAME=VALUE and is left away"),
            );
        }
        templated(of, "environment", item);
    }
    list
}

/// The time of a command.
pub(super) fn timeout(of: &mut Properties<'_, '_>) -> Duration {
    match of.duration("timeout") {
        None | Some(0) => TIMEOUT,
        Some(nanoseconds) => match u64::try_from(nanoseconds) {
            Ok(nanoseconds) => Duration::from_nanos(nanoseconds),
            Err(_) => {
                of.warn_at("timeout", "is negative, 1s counts");
                TIMEOUT
            }
        },
    }
}

/// Whose slot is needed.
pub(super) fn governor(of: &mut Properties<'_, '_>) -> Option<Governed> {
    let limit = of.positive("governor_timeout").filter(|limit| !limit.is_zero()).unwrap_or(PATIENCE);
    let name = of.text("governor");
    if name.is_empty() {
        return None;
    }
    if let Err(e) = check_name(&name) {
        of.error_at("governor", format_args!("is wrong: {e}"));
    }
    Some(Governed { name: (*name).into(), limit })
}

impl Exec {
    fn run(&mut self, turn: &mut Turn<'_>) {
        if !turn.eligible {
            self.outcome = "skipped";
            return;
        }
        turn.work(Work::Command(Box::new(Command {
            line: self.command.clone(),
            check: false,
            environment: self.environment.clone(),
            limit: (!self.disowned).then_some(self.timeout),
            output: self.as_data.then_some(MOST_DATA),
            files: true,
            governed: self.governed.clone(),
        })));
    }

    /// What the command said, as data.
    fn data(&self, ran: &Ran) -> Result<Map<String, Value>, String> {
        match serde_json::from_str(&ran.output) {
            Ok(Value::Object(data)) => Ok(data),
            Ok(_) => Err("its output is JSON and no object, nothing is kept of it".to_owned()),
            Err(e) => Err(format!("its output is no JSON, nothing is kept of it: {e}")),
        }
    }
}

impl Watcher for Exec {
    fn begin(&mut self, turn: &mut Turn<'_>) {
        if let Some(interval) = turn.common.interval {
            let first = if self.gathers { turn.within(GATHER) } else { interval };
            turn.again(first);
        }
    }

    fn due(&mut self, turn: &mut Turn<'_>) {
        if let Some(interval) = turn.common.interval {
            turn.again(interval);
        }
        if !turn.busy {
            self.run(turn);
        }
    }

    fn moved(&mut self, turn: &mut Turn<'_>) {
        self.run(turn);
    }

    fn answered(&mut self, answer: Answer, turn: &mut Turn<'_>) {
        let Answer::Ran(ran) = answer else { return };
        self.took = ran.took;
        // the command as it is written: what templates put into it may be nobody else's business
        let mut problem = match ran.code {
            Some(0) => String::new(),
            Some(code) => format!("{} ended with exit code {code}", self.command),
            None => format!("{}: {}", self.command, ran.problem),
        };
        if problem.is_empty() && self.as_data {
            match self.data(&ran) {
                Ok(data) => data.into_iter().for_each(|(name, value)| turn.keep(name, value)),
                Err(e) => problem = format!("{}: {e}", self.command),
            }
        }
        if problem.is_empty() {
            self.outcome = "success";
            if !self.quiet {
                turn.publish(self.fields());
            }
            turn.fire(Fire::Success);
        } else {
            self.outcome = "error";
            turn.warn(problem);
            turn.publish(self.fields());
            turn.fire(Fire::Failure);
        }
    }

    fn fields(&self) -> Fields {
        vec![
            ("command", (*self.command).into()),
            ("previous_outcome", self.outcome.into()),
            ("previous_run_time", (self.took.as_nanos() as u64).into()),
        ]
    }
}
