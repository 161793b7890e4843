//! What became of a run on many nodes, in the layouts of the original (spec 03 §15.1).

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;

use choria::core::client::{Client, RequestStats, RpcReply};
use choria::core::rpc::StatusCode;
use choria::core::tasks::outcome::HIDDEN;
use choria::core::tasks::secrets::Secrets;
use serde_json::{Map, Value, json};

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

/// Whether a node of the original lacks the files of a task, which it only tells so: ours say
/// what the id of the run would have been.
pub fn is_without_files(reply: &RpcReply) -> bool {
    let text = |name: &str| reply.body.data.get(name).and_then(Value::as_str).unwrap_or_default();
    let said = reply.body.statusmsg.ends_with("is not available or does not match the specification");
    // without waiting they do not look before, and fail in another way; they tell all outputs they declare, and who
    // tells none of them did not get that far, or cannot say how far
    let failed = !reply.body.data.contains_key("stdout")
        && reply.body.data.get("task_id").is_some_and(|id| id.as_str().is_none_or(str::is_empty));
    reply.body.statuscode == StatusCode::UnknownError
        && (said && text("stdout").contains("choria/invalid_cache") || failed)
}

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
    metadata: bool,
    /// What nobody is shown.
    secrets: Secrets,
}

/// One node.
struct Node {
    host: String,
    code: StatusCode,
    message: String,
    data: Map<String, Value>,
    output: Map<String, Value>,
}

/// How a node is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unknown,
    WrapperFailure,
    Running,
    Completed,
}

impl Node {
    fn new(reply: RpcReply, secrets: &Secrets) -> Node {
        let mut data = reply.body.data;
        let stdout = data.get("stdout").and_then(Value::as_str).unwrap_or_default();
        // a failure of a runner is text within text where the original tells it
        let once: Value = serde_json::from_str(stdout).unwrap_or_default();
        let object = match once {
            Value::String(text) => serde_json::from_str(&text).unwrap_or_default(),
            other => other,
        };
        let mut output = match object {
            Value::Object(object) => object,
            _ => Map::new(),
        };
        if let Some(secret) = output.get_mut("_sensitive") {
            *secret = HIDDEN.into();
        }
        secrets.mask_members(&mut output);
        if data.contains_key("stdout") {
            data.insert("stdout".into(), Value::Object(output.clone()).to_string().into());
        }
        if let Some(errors) = data.get_mut("stderr") {
            secrets.mask(errors);
        }
        Node {
            host: reply.sender,
            code: reply.body.statuscode,
            message: secrets.masked(&reply.body.statusmsg),
            data,
            output,
        }
    }

    fn state(&self) -> State {
        let code = self.data.get("exitcode").and_then(Value::as_i64).unwrap_or_default();
        match self.code {
            StatusCode::MissingData => State::Unknown,
            StatusCode::UnknownError => State::WrapperFailure,
            _ if self.data.get("completed") == Some(&Value::Bool(false)) && code == -1 => State::Running,
            _ => State::Completed,
        }
    }

    fn text(&self, name: &str) -> &str {
        self.data.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// What it wrote, for people: all but its error, which is its message.
    fn written(&self) -> String {
        let mut rest = self.output.clone();
        rest.shift_remove("_error");
        let text = rest.shift_remove("_output");
        let mut lines = vec![];
        if let Some(text) = text.as_ref().and_then(Value::as_str).filter(|text| !text.trim().is_empty()) {
            lines.push(text.trim_end().to_owned());
        }
        if !rest.is_empty() {
            lines.push(serde_json::to_string_pretty(&rest).unwrap_or_default());
        }
        lines.join("\n")
    }
}

impl Shown {
    /// Of a task; values of secret inputs are not shown, whoever repeats them.
    pub fn new(task: String, kind: Kind, names: Vec<String>, input: &Map<String, Value>) -> Shown {
        let secrets = Secrets::new(names, input);
        let stats = RequestStats::default();
        let (interrupted, badly, metadata) = (false, false, false);
        Shown { task, kind, ids: vec![], nodes: vec![], stats, interrupted, badly, metadata, secrets }
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
        self.nodes.extend(answers.replies.into_iter().map(|reply| Node::new(reply, &self.secrets)));
        self.nodes.sort_by(|a, b| a.host.cmp(&b.host));
    }

    fn count(&self, state: State) -> usize {
        self.nodes.iter().filter(|node| self.state_of(node) == state).count()
    }

    /// What was begun, and not waited for, runs.
    fn state_of(&self, node: &Node) -> State {
        match node.state() {
            State::Completed if self.kind == Kind::Begun && node.code.is_ok() => State::Running,
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

    fn exit(&self, mco: bool) -> ExitCode {
        let known = self.nodes.iter().any(|node| self.is_of_run(node));
        let code = match () {
            () if self.interrupted => INTERRUPTED,
            () if mco => u8::from(self.failed() > 0 || self.nodes.is_empty()),
            () if self.failed() > 0 || self.badly => 2,
            () if self.nodes.is_empty() => 3,
            () if !self.stats.no_responses.is_empty() => 4,
            () if self.kind == Kind::Run && self.count(State::Running) > 0 => 4,
            () if !known => 2,
            () => 0,
        };
        ExitCode::from(code)
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
                json!({
                    "host": node.host, "task": of("task"), "callerid": of("callerid"), "exitcode": of("exitcode"),
                    "stdout": node.output, "stderr": of("stderr"), "completed": of("completed"), "runtime": of("runtime"),
                    "start_time": of("start_time"), "statuscode": node.code.code(), "statusmsg": node.message,
                })
            })
            .collect();
        let names = match self.kind {
            Kind::Status => self.all("task"),
            _ => BTreeSet::from([self.task.clone()]),
        };
        let failed = self.failed();
        json!({
            "items": items,
            "stats": {
                "names": names,
                "callers": self.all("callerid"),
                "completed": self.count(State::Completed),
                "running": self.count(State::Running),
                "task_not_known": self.count(State::Unknown),
                "wrapper_failure": self.count(State::WrapperFailure),
                "success": self.succeeded(),
                "failed": failed,
                "average_runtime": self.runtime(),
                "noresponses": self.stats.no_responses,
            },
            "summary": {
                "nodes": self.nodes.len() + self.stats.no_responses.len(),
                "taskid": self.ids.first(),
                "completed": self.count(State::Running) == 0 && self.kind != Kind::Begun,
                "success": failed == 0 && self.count(State::Running) == 0 && self.stats.no_responses.is_empty() && self.kind != Kind::Begun,
            },
        })
    }

    fn text(&self, out: &mut dyn Write, summary: bool, verbose: bool) -> std::io::Result<()> {
        let shown = self.nodes.iter().filter(|node| !summary && self.is_of_run(node));
        for node in shown.filter(|node| verbose || self.metadata || !node.code.is_ok()) {
            self.node(out, node)?;
        }
        if self.kind == Kind::Begun {
            let begun = self.nodes.iter().filter(|node| node.code.is_ok()).count();
            for id in &self.ids {
                writeln!(
                    out,
                    "Requested task {} to run in the background on {begun} nodes, its id is {id}",
                    self.task
                )?;
                writeln!(out, "Use 'choria tasks status {id}' to see what becomes of it")?;
            }
            return Ok(());
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
            ("Successful", self.succeeded(), true),
            ("Failed", self.failed(), true),
            ("No Response", self.stats.no_responses.len(), false),
        ] {
            if always || count > 0 {
                writeln!(out, "{name:>24}: {count}")?;
            }
        }
        writeln!(out, "\n{:>24}: {:.2}s", "Average Run Time", self.runtime())?;
        if self.count(State::Running) > 0 {
            writeln!(
                out,
                "\nIt goes on: 'choria tasks status {}' tells what becomes of it",
                clean(&ids, false)
            )?;
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
mod tests {
    use super::*;
    use crate::cmd::apps::reply;

    fn shown(kind: Kind, replies: Vec<RpcReply>) -> Shown {
        let input = json!({"password": "hunter2", "a": "x"});
        let mut shown =
            Shown::new("demo".into(), kind, vec!["password".into()], input.as_object().expect("an object"));
        shown.ids.push("0123".into());
        shown.nodes = replies.into_iter().map(|reply| Node::new(reply, &shown.secrets)).collect();
        shown
    }

    fn done(stdout: &str, code: i64, completed: bool) -> Value {
        json!({"task": "demo", "callerid": "choria=alice", "exitcode": code, "stdout": stdout, "stderr": "warned\n",
               "completed": completed, "runtime": 0.5, "start_time": 1, "task_id": "0123"})
    }

    #[test]
    fn failures_and_sums_are_shown() {
        let replies = vec![
            reply("n1", 0, "OK", done(r#"{"_output":"fine\n"}"#, 0, true)),
            reply("n2", 1, "demo/e: no", done(r#"{"_error":{"kind":"demo/e","msg":"no"},"a":1}"#, 3, true)),
            reply("n3", 0, "OK", done(r#"{"_output":""}"#, -1, false)),
            reply("n4", 5, "not there", json!({})),
        ];
        let shown = shown(Kind::Run, replies);
        let mut text = vec![];
        shown.text(&mut text, false, false).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("n2\n    demo/e: no\n    {\n      \"a\": 1\n    }\n    warned\n\nn4\n    not there\n\nSummary for task 0123\n\n"), "{text}");
        for line in [
            "Completed: 2",
            "Running: 1",
            "Wrapper Failure: 1",
            "Successful: 1",
            "Failed: 2",
            "Average Run Time: 0.50s",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!text.contains("fine"), "{text}");
        assert_eq!(shown.json()["stats"]["running"], 1);
        assert_eq!(shown.json()["items"][0]["stdout"], json!({"_output": "fine\n"}));
    }

    #[test]
    fn secrets_are_not_shown() {
        let out = r#"{"_output":"it is hunter2","_sensitive":{"key":"k3y"},"deep":{"list":["hunter2"]}}"#;
        let mut data = done(out, 0, true);
        data["stderr"] = json!("said hunter2");
        let shown = shown(Kind::Run, vec![reply("n1", 1, "x: hunter2", data)]);
        let mut text = vec![];
        shown.text(&mut text, false, true).unwrap();
        for text in [String::from_utf8(text).unwrap(), shown.json().to_string()] {
            assert!(!text.contains("hunter2") && !text.contains("k3y") && text.contains("*****"), "{text}");
        }
    }

    #[test]
    fn what_the_original_encodes_twice_is_read() {
        let twice = Value::from(r#"{"_error":{"kind":"choria.tasks/wrapper-error","msg":"m"}}"#).to_string();
        let shown = shown(Kind::Status, vec![reply("n1", 1, ": ", done(&twice, -1, true))]);
        assert_eq!(shown.nodes[0].output["_error"]["msg"], "m");
    }

    #[test]
    fn nodes_of_the_original_without_files_are_known() {
        let said = "Task demo is not available or does not match the specification";
        let old = json!({"stdout": r#"{"_error":{"kind":"choria/invalid_cache"}}"#, "task_id": "x"});
        assert!(is_without_files(&reply("n1", 5, said, old)));
        assert!(is_without_files(&reply("n1", 5, "No such file", json!({"task_id": null}))));
        let large = "the reply of 1311897 bytes is larger than the broker takes";
        for data in [json!({}), json!({"task_id": "x", "exitcode": 0})] {
            assert!(!is_without_files(&reply("n1", 5, large, data)));
        }
        assert!(!is_without_files(&reply("n1", 5, "not begun", json!({"task_id": "x"}))));
        let ours = json!({"stdout": r#"{"_error":{"kind":"choria/invalid_cache"}}"#, "task_id": "x"});
        assert!(!is_without_files(&reply("n1", 5, "Task demo is not available: the server", ours)));
    }
}
