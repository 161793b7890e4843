//! The `puppet` agent (spec 02 §15.3): runs Puppet, holds it back and tells what it did.
//! Its state is in files that Puppet keeps; Puppet itself is asked where, and run.

mod resource;
mod run;
mod settings;
mod state;
mod summary;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::system::{Jobs, Outputs, Places, Told, Tool, switch, turn};
use super::{Agent, Call, Node, Outcome, Running};
use crate::core::config::Config;
use crate::core::ddl::{self, AgentDdl};
use crate::core::rpc::StatusCode;
use settings::{Paths, Settings};
use state::State;

/// How long Puppet may take for what it is asked, below the 20 s the interface gives.
const ASKED: Duration = Duration::from_secs(17);

/// Looks at its files at once: they may be on a disk that hangs.
const AT_ONCE: usize = 4;

/// The agent.
pub struct Puppet {
    jobs: Jobs,
    settings: Settings,
    places: Places,
}

impl Puppet {
    /// With a place for what outlives its request.
    pub fn new(jobs: Jobs) -> Puppet {
        Puppet { jobs, settings: Settings::default(), places: Places::new(AT_ONCE) }
    }

    async fn call(&self, call: &Call, node: &dyn Node) -> Outcome {
        let outputs = Outputs::of(self.ddl(), call);
        let config = node.config();
        let paths = match self.settings.paths(config).await {
            Ok(paths) => paths,
            Err(problem) => return outputs.broken(problem),
        };
        if call.action == "runonce" {
            return self.runonce(call, config, &paths, outputs).await;
        }
        if call.action == "resource" {
            return resource::set(call, config, &paths, &self.places, outputs).await;
        }
        let _turn = turn(call).await;
        let (call, at) = (call.clone(), Timestamp::now());
        // files of others, read where nobody waits
        let work = self.places.block(move || match call.action.as_str() {
            "status" => status(&paths, at, outputs),
            "enable" => enable(&paths, outputs),
            "disable" => disable(&call, &paths, at, outputs),
            "last_run_summary" => {
                summary::tell(&paths, call.data.get("logs") == Some(&Value::Bool(true)), at, outputs)
            }
            other => {
                let message = format!("Unknown action {other} for agent puppet");
                outputs.failed(StatusCode::UnknownAction, message)
            }
        });
        work.await.unwrap_or_else(|problem| Outcome::failed(StatusCode::UnknownError, problem))
    }

    async fn runonce(&self, call: &Call, config: &Config, paths: &Paths, mut outputs: Outputs) -> Outcome {
        let files = paths.clone();
        let state = match self.places.block(move || State::now(&files)).await {
            Ok(state) => state,
            Err(problem) => return outputs.broken(problem),
        };
        let refused = |mut outputs: Outputs, message: String| {
            outputs.set("summary", message.as_str());
            outputs.aborted(message)
        };
        match (&state.disabled, state.applying) {
            (Some(message), _) if message.is_empty() => return refused(outputs, "Puppet is disabled".into()),
            (Some(message), _) => return refused(outputs, format!("Puppet is disabled: '{message}'")),
            (None, true) => {
                return refused(outputs, "Puppet is currently applying a catalog, cannot run now".into());
            }
            (None, false) => {}
        }
        let signals = switch(config.option("plugin.puppet.signal_daemon"), true);
        let options = match run::options(call, config, state.daemon.is_some() && signals) {
            Ok(options) => options,
            Err(message) => return refused(outputs, message),
        };
        outputs.set("initiated_at", Timestamp::now().as_second());
        if let Some(daemon) = state.daemon.filter(|_| signals) {
            if !options.is_empty() {
                let message = "Cannot specify any custom puppet options when the daemon is running";
                return refused(outputs, message.into());
            }
            return match rustix::process::kill_process(daemon, rustix::process::Signal::USR1) {
                Ok(()) => {
                    outputs.set("summary", "Signalled the running Puppet Daemon");
                    outputs.done()
                }
                Err(e) => refused(outputs, format!("Failed to signal the puppet agent: {e}")),
            };
        }
        let tool = match run::tool(config, &options) {
            Ok(tool) => tool,
            Err(message) => return refused(outputs, message),
        };
        outputs.set("summary", format!("Started a Puppet run using the '{}' command", tool.shown()));
        let (begun, ended) = (outputs.clone(), outputs);
        let conclude = |told: Told| async move { conclude(ended, &told) };
        let name = Jobs::name_of(&call.caller, &call.request_id);
        match self.jobs.begin(name, call, tool, conclude).await {
            // Nobody waits for a run of Puppet; `choria_util#result` tells what it came to.
            Ok(_) => begun.done(),
            Err(problem) => refused(begun, problem),
        }
    }
}

impl Agent for Puppet {
    fn ddl(&self) -> &AgentDdl {
        // Compiled in; a test loads every built-in DDL.
        ddl::builtin("puppet").expect("compiled in")
    }

    /// Properties of a resource are any the caller names.
    fn run<'a>(&'a self, call: &'a Call, node: &'a dyn Node) -> Running<'a> {
        Box::pin(self.call(call, node))
    }
}

fn conclude(mut outputs: Outputs, told: &Told) -> Outcome {
    if told.well() {
        outputs.set("summary", told.all());
        return outputs.done();
    }
    outputs.broken(format!("Puppet ended with exit status {}: {}", told.code, told.complaint()))
}

fn status(paths: &Paths, at: Timestamp, mut outputs: Outputs) -> Outcome {
    let (state, last) = (State::now(paths), summary::last_run(paths));
    let since = at.as_second().saturating_sub(last);
    outputs.set("applying", state.applying).set("enabled", state.disabled.is_none());
    outputs.set("daemon_present", state.daemon.is_some()).set("idling", state.idling());
    outputs.set("lastrun", last).set("since_lastrun", since);
    outputs.set("disable_message", state.disabled.clone().unwrap_or_default());
    let word = state.word();
    outputs.set("status", word);
    let ran = match last {
        0 => "no run is known".to_owned(),
        _ => format!("last completed run {} ago", state::human(since)),
    };
    outputs.set("message", format!("Currently {word}; {ran}"));
    outputs.done()
}

fn enable(paths: &Paths, mut outputs: Outputs) -> Outcome {
    let problem = match State::now(paths).disabled {
        None => Some("Already enabled".to_owned()),
        Some(_) => state::enable(paths).err().map(|e| e.to_string()),
    };
    outputs.set("enabled", State::now(paths).disabled.is_none());
    match problem {
        None => {
            outputs.set("status", "Succesfully enabled the Puppet agent");
            outputs.done()
        }
        Some(problem) => could_not("enable", &problem, outputs),
    }
}

fn disable(call: &Call, paths: &Paths, at: Timestamp, mut outputs: Outputs) -> Outcome {
    let message = match call.text("message") {
        "" => format!("Disabled via MCollective by {} at {}", call.caller, at.strftime("%Y-%m-%d %H:%M")),
        message => message.to_owned(),
    };
    let problem = match State::now(paths).disabled {
        Some(_) => Some("Already disabled".to_owned()),
        None => state::disable(paths, &message).err().map(|e| e.to_string()),
    };
    outputs.set("enabled", State::now(paths).disabled.is_none());
    match problem {
        None => {
            outputs.set("status", format!("Succesfully locked the Puppet agent: {message}"));
            outputs.done()
        }
        Some(problem) => could_not("disable", &problem, outputs),
    }
}

fn could_not(action: &str, problem: &str, mut outputs: Outputs) -> Outcome {
    let message = format!("Could not {action} Puppet: {problem}");
    outputs.set("status", message.as_str());
    outputs.aborted(message)
}

/// The program that is Puppet, and what it is always given.
fn command(config: &Config) -> Result<(String, Vec<String>), String> {
    let line = config.option("plugin.puppet.command").unwrap_or("puppet agent");
    let words = shlex::split(line).filter(|words| !words.is_empty());
    let mut words = words.ok_or_else(|| format!("plugin.puppet.command = {line} is no command line"))?;
    let program = words.remove(0);
    Ok((program, words))
}

/// Puppet, for something else than its agent.
fn puppet(config: &Config, arguments: &[&str]) -> Result<Tool, String> {
    let (program, _) = command(config)?;
    Ok(Tool::new(program, arguments.iter().copied()))
}

#[cfg(test)]
mod tests;
