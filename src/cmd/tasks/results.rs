//! What became of a run on many nodes, in the layouts of the original (spec 03 §15.1).

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::ExitCode;

use choria::core::client::{Client, RequestStats};
use choria::core::tasks::secrets::Secrets;
use serde_json::{Map, Value, json};

use super::node::{Node, State};
use crate::cmd::ask::Answers;
use crate::cmd::exit::INTERRUPTED;
use crate::cmd::out;
use crate::cmd::render::text::{clean, escaped};

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To run it and wait.
    Run,
    /// To begin it.
    Begun,
    /// What became of it.
    Status,
}

impl Kind {
    /// The action.
    pub fn action(self) -> &'static str {
        match self {
            Kind::Run => "run_and_wait",
            Kind::Begun => "run_no_wait",
            Kind::Status => "task_status",
        }
    }
}

/// Reasons not to begin a task that are told where nodes are not shown.
const REASONS: usize = 3;

/// A run as it is shown.
pub struct Shown {
    task: String,
    kind: Kind,
    /// Ids of requests: one, and another where nodes were asked again.
    ids: Vec<String>,
    nodes: Vec<Node>,
    stats: RequestStats,
    interrupted: bool,
    /// It stopped before its last stage, or the check of a stage found something.
    badly: bool,
    /// What the check of a stage said, by node.
    unwell: BTreeMap<String, String>,
    metadata: bool,
    /// What nobody is shown.
    secrets: Secrets,
}

impl Shown {
    /// Of a task; values of secret inputs are not shown, whoever repeats them.
    pub fn new(task: String, kind: Kind, names: Vec<String>, input: &Map<String, Value>) -> Shown {
        let secrets = Secrets::new(names, input);
        let stats = RequestStats::default();
        let (interrupted, badly, metadata) = (false, false, false);
        let (ids, nodes, unwell) = (vec![], vec![], BTreeMap::new());
        Shown { task, kind, ids, nodes, stats, interrupted, badly, unwell, metadata, secrets }
    }

    /// Of a run that is known by its id.
    pub fn of_run(&mut self, id: &str, metadata: bool) {
        self.ids.push(id.to_owned());
        self.metadata = metadata;
    }

    /// Takes answers, and says who gave none.
    pub fn add(&mut self, answers: Answers, client: &Client, collective: &str) {
        answers.report(client, collective);
        if self.kind != Kind::Status {
            self.ids.push(answers.stats.requestid.clone());
        }
        self.interrupted |= answers.interrupted;
        self.badly |= answers.badly;
        self.stats.no_responses.extend(answers.stats.no_responses.iter().cloned());
        self.stats.late_discoveries.extend(answers.stats.late_discoveries.iter().cloned());
        self.stats.not_asked.extend(answers.stats.not_asked.iter().cloned());
        if answers.by_asking() {
            self.stats.federations_down.extend(answers.stats.federations_down.iter().cloned());
        }
        self.unwell.extend(answers.unwell);
        self.nodes.extend(answers.replies.into_iter().map(|reply| Node::new(reply, &self.secrets)));
        self.nodes.sort_by(|a, b| a.host.cmp(&b.host));
    }

    fn count(&self, state: State) -> usize {
        self.nodes.iter().filter(|node| self.state_of(node) == state).count()
    }

    /// What was begun, and not waited for, runs.
    fn state_of(&self, node: &Node) -> State {
        match node.state() {
            State::Completed | State::NotBegun if self.kind == Kind::Begun && node.code.is_ok() => {
                State::Running
            }
            state => state,
        }
    }

    fn succeeded(&self) -> usize {
        let well = |node: &&Node| node.code.is_ok() && self.state_of(node) != State::Running;
        self.nodes.iter().filter(well).count()
    }

    fn failed(&self) -> usize {
        self.nodes.iter().filter(|node| !node.code.is_ok() && self.is_of_run(node)).count()
    }

    /// Who never ran it has not failed.
    fn is_of_run(&self, node: &Node) -> bool {
        self.kind != Kind::Status || node.state() != State::Unknown
    }

    fn runtime(&self) -> f64 {
        let times: Vec<f64> = self
            .nodes
            .iter()
            .filter_map(|node| node.data.get("runtime")?.as_f64())
            .filter(|t| *t > 0.0)
            .collect();
        #[allow(clippy::cast_precision_loss)] // a count of nodes
        let count = times.len().max(1) as f64;
        // the sum of nothing is -0.0
        times.iter().fold(0.0, |sum, time| sum + time) / count
    }

    fn all(&self, name: &str) -> BTreeSet<String> {
        self.nodes.iter().map(|node| node.text(name).to_owned()).filter(|text| !text.is_empty()).collect()
    }

    /// Whether everybody was asked who was meant, as far as it is known, and answered.
    fn is_whole(&self) -> bool {
        let stats = &self.stats;
        [&stats.no_responses, &stats.late_discoveries, &stats.federations_down, &stats.not_asked]
            .into_iter()
            .all(Vec::is_empty)
    }

    fn exit(&self, mco: bool) -> ExitCode {
        ExitCode::from(self.code(mco))
    }

    fn code(&self, mco: bool) -> u8 {
        let known = self.nodes.iter().any(|node| self.is_of_run(node));
        match () {
            () if self.interrupted => INTERRUPTED,
            () if mco => u8::from(self.failed() > 0 || self.badly || self.nodes.is_empty()),
            () if self.failed() > 0 || self.badly => 2,
            () if self.nodes.is_empty() => 3,
            () if !self.is_whole() => 4,
            () if self.kind == Kind::Run && self.count(State::Running) > 0 => 4,
            () if !known => 2,
            () => 0,
        }
    }

    /// Shows it; the exit code of the command.
    pub fn show(self, as_json: bool, summary: bool, verbose: bool, mco: bool) -> anyhow::Result<ExitCode> {
        let mut text = vec![];
        match as_json {
            true => writeln!(text, "{}", escaped(&serde_json::to_string_pretty(&self.json())?))?,
            false => self.text(&mut text, summary, verbose)?,
        }
        out::print(format_args!("{}", String::from_utf8_lossy(&text)));
        Ok(self.exit(mco))
    }

    fn json(&self) -> Value {
        let items: Vec<Value> = self
            .nodes
            .iter()
            .map(|node| {
                let of = |name: &str| node.data.get(name).cloned().unwrap_or_default();
                let mut item = json!({
                    "host": node.host, "task": of("task"), "callerid": of("callerid"), "exitcode": of("exitcode"),
                    "stdout": node.output, "stderr": of("stderr"), "completed": of("completed"), "runtime": of("runtime"),
                    "start_time": of("start_time"), "statuscode": node.code.code(), "statusmsg": node.message,
                });
                if let (Some(said), Some(item)) = (self.unwell.get(&node.host), item.as_object_mut()) {
                    item.insert("check".into(), self.secrets.masked(said).into());
                }
                item
            })
            .collect();
        let names = match self.kind {
            Kind::Status => self.all("task"),
            _ => BTreeSet::from([self.task.clone()]),
        };
        let failed = self.failed();
        let completed = self.count(State::Running) == 0
            && self.kind != Kind::Begun
            && !self.interrupted
            && self.stats.not_asked.is_empty();
        json!({
            "items": items,
            "stats": {
                "names": names,
                "callers": self.all("callerid"),
                "completed": self.count(State::Completed),
                "running": self.count(State::Running),
                "task_not_known": self.count(State::Unknown),
                "wrapper_failure": self.count(State::WrapperFailure),
                "not_begun": self.count(State::NotBegun),
                "success": self.succeeded(),
                "failed": failed,
                "average_runtime": self.runtime(),
                "noresponses": self.stats.no_responses,
                "not_asked": self.stats.not_asked,
                "late_discoveries": self.stats.late_discoveries,
                "federations_down": self.stats.federations_down,
            },
            "summary": {
                "nodes": self.nodes.len() + self.stats.no_responses.len() + self.stats.not_asked.len(),
                "taskid": self.ids.first(),
                "completed": completed,
                "success": completed && failed == 0 && !self.badly && self.is_whole(),
            },
        })
    }

    fn text(&self, out: &mut dyn Write, summary: bool, verbose: bool) -> std::io::Result<()> {
        let shown = self.nodes.iter().filter(|node| !summary && self.is_of_run(node));
        for node in shown.filter(|node| verbose || self.metadata || !node.code.is_ok()) {
            self.node(out, node)?;
        }
        if self.kind == Kind::Begun {
            return self.begun(out, summary);
        }
        let ids = self.ids.join(" and ");
        writeln!(out, "Summary for task {}\n", clean(&ids, false))?;
        let names =
            if self.kind == Kind::Status { self.all("task") } else { BTreeSet::from([self.task.clone()]) };
        let words =
            |all: BTreeSet<String>| clean(&all.into_iter().collect::<Vec<_>>().join(","), false).into_owned();
        writeln!(out, "{:>24}: {}", "Task Name", words(names))?;
        writeln!(out, "{:>24}: {}", "Caller", words(self.all("callerid")))?;
        for (name, count, always) in [
            ("Completed", self.count(State::Completed), true),
            ("Running", self.count(State::Running), true),
            ("Unknown Task", self.count(State::Unknown), false),
            ("Wrapper Failure", self.count(State::WrapperFailure), false),
            ("Not Begun", self.count(State::NotBegun), false),
            ("Successful", self.succeeded(), true),
            ("Failed", self.failed(), true),
            ("No Response", self.stats.no_responses.len(), false),
            ("Not Asked", self.stats.not_asked.len(), false),
            ("Found Too Late", self.stats.late_discoveries.len(), false),
        ] {
            if always || count > 0 {
                writeln!(out, "{name:>24}: {count}")?;
            }
        }
        writeln!(out, "\n{:>24}: {:.2}s", "Average Run Time", self.runtime())?;
        let goes_on = match () {
            () if self.count(State::Running) > 0 => "It goes on",
            () if self.interrupted && self.kind == Kind::Run => "It goes on where it has begun",
            () => return Ok(()),
        };
        writeln!(out, "\n{goes_on}: 'choria tasks status {}' tells what becomes of it", clean(&ids, false))
    }

    /// What is said of a run that is not waited for.
    fn begun(&self, out: &mut dyn Write, summary: bool) -> std::io::Result<()> {
        let begun = self.count(State::Running);
        let all = self.nodes.len() + self.stats.no_responses.len();
        let of = if begun == all { String::new() } else { format!(" of {all}") };
        for id in &self.ids {
            let task = &self.task;
            writeln!(
                out,
                "Requested task {task} to run in the background on {begun}{of} nodes, its id is {id}"
            )?;
            if begun > 0 {
                writeln!(out, "Use 'choria tasks status {id}' to see what becomes of it")?;
            }
        }
        // otherwise they have been shown
        let mut why: BTreeMap<&str, usize> = BTreeMap::new();
        for node in self.nodes.iter().filter(|node| summary && !node.code.is_ok()) {
            *why.entry(node.message.as_str()).or_default() += 1;
        }
        for (message, count) in why.iter().take(REASONS) {
            writeln!(out, "{count} did not begin it: {}", clean(message, false))?;
        }
        if why.len() > REASONS {
            writeln!(out, "and {} other reasons, see --json", why.len() - REASONS)?;
        }
        Ok(())
    }

    fn node(&self, out: &mut dyn Write, node: &Node) -> std::io::Result<()> {
        writeln!(out, "{}", clean(&node.host, false))?;
        if !node.code.is_ok() {
            writeln!(out, "    {}", clean(&node.message, false))?;
        }
        if self.metadata {
            for name in ["task", "callerid", "exitcode", "completed", "runtime", "start_time"] {
                if let Some(value) = node.data.get(name) {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    writeln!(out, "    {name}: {}", clean(&value, false))?;
                }
            }
            return writeln!(out);
        }
        for text in [node.written(), node.text("stderr").trim_end().to_owned()] {
            for line in text.lines() {
                writeln!(out, "    {}", clean(line, false))?;
            }
        }
        writeln!(out)
    }
}

#[cfg(test)]
mod tests;
