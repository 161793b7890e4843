//! The `service` agent (spec 02 §15.2): starts, stops and looks at services, by what the
//! node has: systemd, OpenRC, or scripts of System V.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::system::input::{Refused, word};
use super::system::{Jobs, Outputs, Told, Tool, has, looked, told_of, turn};
use super::{Agent, Call, Node, Outcome, Running};
use crate::core::config::Config;
use crate::core::ddl::{self, AgentDdl};
use crate::core::rpc::StatusCode;

/// How long a service has to come to rest before it is looked at.
const SETTLES: Duration = Duration::from_millis(500);
/// How long a look may take.
const LOOK: Duration = Duration::from_secs(20);
/// What a service may take to start or stop, with the look before, below the 60 s the
/// interface gives.
const WAITS: Duration = Duration::from_secs(52);

/// Units that are no services: to start one may end the machine's work.
const OTHER_UNITS: [&str; 7] = [".target", ".mount", ".automount", ".swap", ".device", ".slice", ".scope"];

/// The agent.
pub struct Service {
    jobs: Jobs,
    waits: Duration,
}

/// What manages the services of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Manager {
    Systemd,
    OpenRc,
    /// By the program that runs scripts, such as `/usr/sbin/service`.
    Scripts(String),
}

impl Service {
    /// With a place for what outlives its request.
    pub fn new(jobs: Jobs) -> Service {
        Service { jobs, waits: WAITS }
    }

    /// One whose callers wait that long.
    #[cfg(test)]
    pub(super) fn waiting(jobs: Jobs, waits: Duration) -> Service {
        Service { jobs, waits }
    }

    async fn call(&self, call: &Call, node: &dyn Node) -> Outcome {
        let until = Instant::now() + self.waits;
        let mut outputs = Outputs::of(self.ddl(), call);
        let name = call.text("service");
        if let Err(refused) = checked(name) {
            return refused.answer(outputs);
        }
        let manager = match Manager::of(node.config()).await {
            Ok(manager) => manager,
            Err(problem) => return outputs.broken(problem),
        };
        let turn = turn(call).await;
        let status = match manager.status(name).await {
            Ok(status) => status,
            Err(problem) => return outputs.broken(problem),
        };
        drop(turn);
        outputs.set("status", status);
        let about = |what: &str| format!("Could not {} '{name}': Service is already {what}", call.action);
        match (call.action.as_str(), status) {
            ("status", _) => return outputs.done(),
            ("start", "running") => return outputs.aborted(about("running")),
            ("stop", "stopped") => return outputs.aborted(about("stopped")),
            ("start" | "stop" | "restart", _) => {}
            (other, _) => {
                let message = format!("Unknown action {other} for agent service");
                return outputs.failed(StatusCode::UnknownAction, message);
            }
        }
        let tool = manager.tool(&call.action, name);
        let (service, unfinished) = (name.to_owned(), outputs.clone());
        let action = call.action.clone();
        let conclude = move |told: Told| async move {
            tokio::time::sleep(SETTLES).await;
            let status = manager.status(&service).await.unwrap_or("unknown");
            outputs.set("status", status);
            if told.well() {
                return outputs.done();
            }
            outputs.broken(format!("Could not {action} '{service}': {}", told.complaint()))
        };
        match self.jobs.begin(Jobs::name_of(&call.caller, &call.request_id), call, tool, conclude).await {
            Ok(job) => told_of(job, until, call, node, unfinished).await,
            Err(problem) => unfinished.broken(problem),
        }
    }
}

impl Agent for Service {
    fn ddl(&self) -> &AgentDdl {
        // Compiled in; a test loads every built-in DDL.
        ddl::builtin("service").expect("compiled in")
    }

    fn run<'a>(&'a self, call: &'a Call, node: &'a dyn Node) -> Running<'a> {
        Box::pin(self.call(call, node))
    }
}

fn checked(name: &str) -> Result<(), Refused> {
    if name.len() > 90 {
        return Err(Refused::new("service", name, "is longer than any name of a service"));
    }
    if OTHER_UNITS.iter().any(|kind| name.ends_with(kind)) {
        return Err(Refused::new("service", name, "is no service but another unit of systemd"));
    }
    word("service", name, ".-_:@")
}

impl Manager {
    /// What a node is told to use, or else has.
    async fn of(config: &Config) -> Result<Manager, String> {
        let set = config.option("plugin.service.service.servicecmd").map(str::to_owned);
        let provider = config.option("plugin.service.provider").unwrap_or("puppet").trim().to_owned();
        looked(move || Manager::named(&provider, set)).await?
    }

    fn named(provider: &str, set: Option<String>) -> Result<Manager, String> {
        let scripts = || {
            let found = || ["/sbin/service", "/usr/sbin/service"].into_iter().find(|path| has(path));
            set.or_else(|| found().map(str::to_owned)).map(Manager::Scripts)
        };
        let found = match provider {
            "systemd" => Some(Manager::Systemd),
            "openrc" => Some(Manager::OpenRc),
            "service" | "init" => scripts(),
            // The original asks Puppet, which looks at the same things.
            "puppet" if Path::new("/run/systemd/system").exists() => Some(Manager::Systemd),
            "puppet" if Path::new("/run/openrc").exists() && has("rc-service") => Some(Manager::OpenRc),
            "puppet" => scripts(),
            other => {
                return Err(format!(
                    "plugin.service.provider = {other} is nothing this node can use: \
                     systemd, openrc or service, or leave it away"
                ));
            }
        };
        found.ok_or_else(|| {
            "this node runs neither systemd nor OpenRC and has no program service; name one by \
             plugin.service.service.servicecmd"
                .to_owned()
        })
    }

    fn tool(&self, verb: &str, name: &str) -> Tool {
        match self {
            // Nobody is there to be asked for a password.
            Manager::Systemd => Tool::new("systemctl", ["--no-ask-password", verb, "--", name]),
            Manager::OpenRc => Tool::new("rc-service", [name, verb]),
            Manager::Scripts(program) => Tool::new(program, [name, verb]),
        }
    }

    /// `running` or `stopped`; a service that is not there does not run.
    async fn status(&self, name: &str) -> Result<&'static str, String> {
        let tool = match self {
            Manager::Systemd => Tool::new("systemctl", ["is-active", "--", name]),
            Manager::OpenRc | Manager::Scripts(_) => self.tool("status", name),
        };
        let told = tool.ask(LOOK).await?;
        let running = match self {
            Manager::Systemd => ["active", "reloading", "refreshing"].contains(&told.output.trim()),
            Manager::OpenRc | Manager::Scripts(_) => told.well(),
        };
        Ok(if running { "running" } else { "stopped" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_services() {
        for good in ["nginx", "getty@tty1.service", "a.b-c_d:e@f", "3proxy"] {
            assert!(checked(good).is_ok(), "{good}");
        }
        let long = "x".repeat(91);
        for bad in [
            "poweroff.target",
            "home.mount",
            "",
            "-a",
            "--now",
            ".hidden",
            "a b",
            "a\nb",
            "a;b",
            "../a",
            "a/b",
            "*",
            "$(id)",
            &long,
        ] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_name_is_read_as_an_option() {
        for manager in [Manager::Systemd, Manager::OpenRc, Manager::Scripts("service".into())] {
            let shown = manager.tool("restart", "nginx").shown();
            assert!(shown.contains("nginx") && shown.contains("restart"), "{shown}");
        }
        assert_eq!(Manager::Systemd.tool("stop", "x").shown(), "systemctl --no-ask-password stop -- x");
    }
}
