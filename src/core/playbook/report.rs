//! What a run came to, for `--report` (spec 03 §16.1).

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::Journal;
use crate::core::client::Accounting;

/// Messages that a report keeps.
const MOST_LOGGED: usize = 10_000;

/// A task that ran.
#[derive(Debug, Clone)]
pub struct TaskRecord {
    /// Its type.
    pub kind: String,
    /// What it was for, in words.
    pub description: String,
    /// Whether it ran now, and was not taken from the report of an earlier run.
    pub ran: bool,
    /// When it began,
    pub started: jiff::Timestamp,
    /// and how long it took, with all its tries.
    pub took: Duration,
    /// What came of it, in words.
    pub message: String,
    /// Whether it worked.
    pub success: bool,
    /// Hosts without and with an error.
    pub hosts: (usize, usize),
    /// What became of each node it asked, where it asked any.
    pub accounting: Option<Accounting>,
}

/// A message.
#[derive(Debug, Clone)]
pub struct Logged {
    /// When.
    pub time: jiff::Timestamp,
    /// How much it matters.
    pub level: &'static str,
    /// `plan` or `task`
    pub from: &'static str,
    /// What it says.
    pub message: String,
}

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Node sets by their order, with who was in them.
    pub nodes: Vec<Vec<String>>,
    /// Tasks in their order.
    pub tasks: Vec<TaskRecord>,
    /// Messages in their order.
    pub logs: Vec<Logged>,
    /// What was done, for a run that goes on from here.
    pub journal: Journal,
    /// Messages beyond the first ten thousand.
    pub logs_left_out: usize,
}

impl Report {
    pub(super) fn log(&mut self, level: &'static str, from: &'static str, message: &str) {
        if self.logs.len() >= MOST_LOGGED {
            self.logs_left_out += 1;
            return;
        }
        let message = message.to_owned();
        self.logs.push(Logged { time: jiff::Timestamp::now(), level, from, message });
    }

    /// The whole of it. Inputs are shown as they are given here: who knows of secrets masks
    /// them before.
    pub fn to_json(
        &self,
        playbook: &str,
        inputs: Map<String, Json>,
        (started, took): (jiff::Timestamp, Duration),
        error: Option<&str>,
    ) -> Json {
        let mut types: Map<String, Json> = Map::new();
        for task in &self.tasks {
            let of = types
                .entry(task.kind.clone())
                .or_insert_with(|| json!({"count": 0, "total_time": 0.0, "pass": 0, "fail": 0}));
            let add = |of: &mut Json, name: &str, more: u64| {
                of[name] = (of[name].as_u64().unwrap_or(0) + more).into()
            };
            add(of, "count", 1);
            add(of, if task.success { "pass" } else { "fail" }, 1);
            of["total_time"] = (of["total_time"].as_f64().unwrap_or(0.0) + task.took.as_secs_f64()).into();
        }
        let tasks = self.tasks.iter().map(|task| {
            let mut document = json!({
                "type": task.kind,
                "description": task.description,
                "start_time": task.started.to_string(),
                "end_time": (task.started + task.took).to_string(),
                "run_time": task.took.as_secs_f64(),
                "ran": task.ran,
                "msg": task.message,
                "success": task.success,
                "hosts": {"ok": task.hosts.0, "failed": task.hosts.1},
            });
            if let Some(accounting) = task.accounting {
                document["accounting"] = json!(accounting);
            }
            document
        });
        let logs = self.logs.iter().map(|log| {
            json!({"time": log.time.to_string(), "level": log.level, "from": log.from, "msg": log.message})
        });
        let nodes =
            self.nodes.iter().enumerate().map(|(n, nodes)| (format!("discovered_{}", n + 1), json!(nodes)));
        json!({
            "report": {
                "version": 1,
                "timestamp": started.to_string(),
                "success": error.is_none(),
                "playbook_error": error,
            },
            "playbook": {"name": playbook, "sources": self.journal.sources_json()},
            "inputs": {"static": inputs, "dynamic": []},
            "nodes": nodes.collect::<Map<_, _>>(),
            "tasks": tasks.collect::<Vec<_>>(),
            "metrics": {
                "start_time": started.to_string(),
                "end_time": (started + took).to_string(),
                "run_time": took.as_secs_f64(),
                "task_count": self.tasks.len(),
                "task_types": types,
            },
            "logs": logs.collect::<Vec<_>>(),
            "logs_left_out": self.logs_left_out,
            "journal": self.journal.to_json(),
        })
    }
}
