//! The `shell` agent (spec 02 §15.6): runs command lines. It is hosted only where
//! somebody has said so by `plugin.shell.activate_agent = true`.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::system::{Job, Jobs, Kill, Outputs, Piece, State, Told, Tool};
use super::{Agent, Call, Node, Outcome, Running};
use crate::core::ddl::{self, AgentDdl};
use crate::core::rpc::StatusCode;

/// How long `run` waits, below the 180 s the interface gives.
const WAITS: f64 = 170.0;
/// How long a command line has after it was asked to end; then it is killed.
const ENDS: Duration = Duration::from_secs(2);

/// The agent.
pub struct Shell {
    jobs: Jobs,
}

impl Shell {
    /// With a place for what outlives its request.
    pub fn new(jobs: Jobs) -> Shell {
        Shell { jobs }
    }

    async fn call(&self, call: &Call, node: &dyn Node) -> Outcome {
        let outputs = Outputs::of(self.ddl(), call);
        match call.action.as_str() {
            "run" => self.to_its_end(call, node, outputs).await,
            "start" => self.start(call, outputs).await,
            "status" => self.status(call, outputs).await,
            "kill" => self.kill(call, outputs).await,
            "list" => self.list(outputs).await,
            other => {
                let message = format!("Unknown action {other} for agent shell");
                outputs.failed(StatusCode::UnknownAction, message)
            }
        }
    }

    async fn begin(&self, name: &str, call: &Call, outputs: Outputs) -> Result<Job, String> {
        let conclude = |told: Told| async move { ended(outputs, told) };
        self.jobs.begin(name.to_owned(), call, Tool::shell(call.text("command")), conclude).await
    }

    async fn to_its_end(&self, call: &Call, node: &dyn Node, mut outputs: Outputs) -> Outcome {
        let asked = call.data.get("timeout").and_then(Value::as_f64).filter(|seconds| *seconds > 0.0);
        let limit = Duration::from_secs_f64(asked.unwrap_or(WAITS).min(WAITS));
        let name = Jobs::name_of(&call.caller, &call.request_id);
        let job = match self.begin(&name, call, outputs.clone()).await {
            Ok(job) => job,
            Err(problem) => return outputs.broken(problem),
        };
        let control = node.control();
        let job = tokio::select! {
            outcome = job.within(limit) => match outcome {
                Ok(outcome) => return outcome,
                Err(job) => job,
            },
            _ = control.ended() => return outputs.still_at_work(call),
        };
        job.is_told_otherwise();
        outputs.set("success", false);
        let Some(record) = self.jobs.look(&name).await else { return outputs.done() };
        record.kill().await;
        let job = job.within(ENDS).await.err();
        record.end().await;
        // what it did with its last moments is told, too
        if let Some(job) = job {
            let _ = job.within(ENDS).await;
        }
        let (stdout, stderr) = record.last().await;
        outputs.set("stdout", stdout).set("stderr", stderr);
        let outcome = outputs.done();
        record.keep(&outcome).await;
        outcome
    }

    async fn start(&self, call: &Call, mut outputs: Outputs) -> Outcome {
        let handle = uuid::Uuid::new_v4().to_string();
        match self.begin(&handle, call, outputs.clone()).await {
            Ok(_) => {
                outputs.set("handle", handle);
                outputs.done()
            }
            Err(problem) => outputs.broken(problem),
        }
    }

    /// Output from where the caller asks on, a piece of each. Beyond what the interface has
    /// (`*_next`, `more`) it says where the next piece begins, which is not where this one
    /// ends when what is between them is not kept, and whether there is one already.
    async fn status(&self, call: &Call, mut outputs: Outputs) -> Outcome {
        let Some(record) = self.jobs.look(call.text("handle")).await.filter(|r| r.about.agent == "shell")
        else {
            return outputs.aborted(unknown(call));
        };
        let offset = |name: &str| call.data.get(name).and_then(Value::as_u64).unwrap_or_default();
        let (stdout, stderr) = record.said((offset("stdout_offset"), offset("stderr_offset"))).await;
        outputs.set("status", word(record.state)).set("more", stdout.more || stderr.more);
        for (name, Piece { text, next, .. }) in [("stdout", stdout), ("stderr", stderr)] {
            outputs.set(name, text).set(&format!("{name}_next"), next);
        }
        if let State::Ended(code) = record.state {
            outputs.set("exitcode", code);
        }
        outputs.done()
    }

    async fn kill(&self, call: &Call, outputs: Outputs) -> Outcome {
        let handle = call.text("handle");
        let found = self.jobs.look(handle).await.filter(|record| record.about.agent == "shell");
        let Some(record) = found else { return outputs.aborted(unknown(call)) };
        match record.kill().await {
            Kill::Told => outputs.done(),
            Kill::Over => outputs.aborted(format!("Command line {handle} has ended")),
            Kill::NotYet => outputs.aborted(format!("Command line {handle} has not begun yet, ask again")),
            Kill::Refused(problem) => {
                outputs.broken(format!("Command line {handle} cannot be ended: {problem}"))
            }
        }
    }

    async fn list(&self, mut outputs: Outputs) -> Outcome {
        let found = self.jobs.all("shell").await.into_iter().filter(|(_, r)| r.about.action == "start");
        let jobs: Map<String, Value> = found
            .map(|(handle, record)| {
                let signal = match record.state {
                    State::Ended(code) if code > 128 => json!(code - 128),
                    _ => Value::Null,
                };
                let about = json!({
                    "id": handle, "command": command(&record.about.command),
                    "status": word(record.state), "signal": signal,
                });
                (handle, about)
            })
            .collect();
        outputs.set("jobs", jobs);
        outputs.done()
    }
}

impl Agent for Shell {
    fn ddl(&self) -> &AgentDdl {
        // Compiled in; a test loads every built-in DDL.
        ddl::builtin("shell").expect("compiled in")
    }

    fn run<'a>(&'a self, call: &'a Call, node: &'a dyn Node) -> Running<'a> {
        Box::pin(self.call(call, node))
    }
}

fn ended(mut outputs: Outputs, told: Told) -> Outcome {
    outputs.set("stdout", told.output).set("stderr", told.errors);
    outputs.set("success", true).set("exitcode", told.code);
    outputs.done()
}

fn unknown(call: &Call) -> String {
    format!("No command line {} is known here", call.text("handle"))
}

fn word(state: State) -> &'static str {
    match state {
        State::Starting => "starting",
        State::Running => "running",
        State::Ended(_) => "stopped",
        State::Failed => "failed",
    }
}

/// The command line in what is shown of the program that reads it.
fn command(shown: &str) -> String {
    let words = shlex::split(shown).unwrap_or_default();
    words.into_iter().nth(2).unwrap_or_default()
}
