//! External agents: programs of anybody, in any language (spec 02 §4).
//!
//! An agent is an interface on disk and a program beside it. The program gets a request
//! in a file and leaves its reply in another; or, where the interface says
//! `"persistent": true`, it stays up and speaks lines of JSON. Inputs are held to the
//! interface here, before the program is run.

mod data;
mod exchange;
mod go_json;
mod messages;
mod persistent;
mod place;

use std::path::{Path, PathBuf};
use std::time::Duration;

use exchange::Exchange;
use persistent::Persistent;

use super::{Agent, Call, Node, Outcome, Running};
use crate::core::config::Config;
use crate::core::ddl::AgentDdl;
use crate::core::rpc::StatusCode;

pub use data::{DataPlugin, DataSet};
pub use exchange::{Files, SCRATCH, last_words, tell};
pub(super) use messages::read as read_reply;
pub use place::{os_arch, program, runnable, trusted};

/// What [`Metadata::provider`](crate::core::ddl::Metadata::provider) says of such agents.
pub const PROVIDER: &str = "external";
/// How long a program may take to say whether it can work here.
const ACTIVATION: Duration = Duration::from_secs(2);
/// What a request may take beside its program: files are laid out and read.
const AROUND: Duration = Duration::from_secs(2);

/// What a node gives all programs of others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Where the node's configuration file is.
    pub config_dir: PathBuf,
    /// Bytes of data that each process may have.
    pub memory: Option<u64>,
}

impl Surroundings {
    /// Those of a configuration.
    pub fn of(config: &Config) -> Surroundings {
        let config_dir = config.file().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        let megabytes = u64::try_from(config.choria_agent_provider_mcorpc_memory).unwrap_or_default();
        let memory = Some(megabytes.saturating_mul(1024 * 1024)).filter(|bytes| *bytes > 0);
        Surroundings { config_dir, memory }
    }

    /// The configuration file of a program: a name without an extension, whether there is such a
    /// file or not, as the original.
    fn config_of(&self, name: &str) -> PathBuf {
        self.config_dir.join("plugin.d").join(name)
    }
}

/// An agent that is a program.
pub struct External {
    ddl: AgentDdl,
    dir: PathBuf,
    config: PathBuf,
    memory: Option<u64>,
    persistent: Option<Persistent>,
}

impl External {
    /// The agent of an interface that lies in `dir`.
    pub fn new(ddl: AgentDdl, dir: &Path, around: &Surroundings) -> External {
        let name = &ddl.metadata.name;
        let (config, memory) = (around.config_of(name), around.memory);
        let program = program(dir, name).filter(|_| ddl.metadata.persistent);
        let persistent = program.map(|program| Persistent::new(name, &program, &config, memory));
        External { dir: dir.to_owned(), config, memory, persistent, ddl }
    }

    /// Asks the program whether it can work here.
    ///
    /// # Errors
    /// Why it cannot be asked, as the end of a sentence.
    pub async fn activates(&self) -> Result<bool, String> {
        let name = &self.ddl.metadata.name;
        let program = program(&self.dir, name).ok_or("its executable was not found")?;
        runnable(&program)?;
        let request = messages::activation_request(name);
        if let Some(persistent) = &self.persistent {
            let reply = persistent.ask(request, String::new(), ACTIVATION).await?;
            return messages::activation(&reply);
        }
        let exchange = Exchange {
            agent: name,
            program: &program,
            config: &self.config,
            memory: self.memory,
            protocol: messages::ACTIVATION_REQUEST,
            limit: ACTIVATION,
        };
        let (answer, _) = exchange.run(&request, String::new()).await?;
        messages::activation_reply(&answer)
    }

    async fn call(&self, call: &Call, node: &dyn Node) -> Outcome {
        let Call { agent, action, .. } = call;
        let aborted = |message: String| Outcome::failed(StatusCode::Aborted, message);
        let Some(interface) = self.ddl.action(action) else {
            let message = format!("Unknown action {action} for agent {agent}");
            return Outcome::failed(StatusCode::UnknownAction, message);
        };
        match interface.validate(&call.data) {
            Ok(warnings) => warnings.iter().for_each(|w| tracing::warn!(agent, action, "{w}")),
            Err(e) => return aborted(format!("Validation failed: {e}")),
        }
        let Some(program) = program(&self.dir, &self.ddl.metadata.name) else {
            return aborted(format!(
                "Cannot call external agent {agent}#{action}: agent executable was not found"
            ));
        };
        let failed =
            |problem: String| aborted(format!("Could not call external agent {agent}#{action}: {problem}"));
        if let Err(problem) = runnable(&program) {
            return failed(format!("executing {agent} failed: {problem}"));
        }
        let (request, facts) = (messages::rpc_request(call), node.facts().as_json().to_owned());
        let limit = Duration::from_secs(self.ddl.metadata.timeout);
        if let Some(persistent) = &self.persistent {
            let reply = persistent.ask(request, facts, limit).await;
            return reply.and_then(|reply| messages::outcome(reply, interface)).unwrap_or_else(failed);
        }
        let exchange = Exchange {
            agent: &self.ddl.metadata.name,
            program: &program,
            config: &self.config,
            memory: self.memory,
            protocol: messages::RPC_REQUEST,
            limit,
        };
        match exchange.run(&request, facts).await {
            Ok((answer, said)) => messages::rpc_reply(&answer, interface)
                .unwrap_or_else(|problem| failed(format!("{problem}{said}"))),
            Err(problem) => failed(problem),
        }
    }
}

impl Agent for External {
    fn ddl(&self) -> &AgentDdl {
        &self.ddl
    }

    fn judges_inputs(&self) -> bool {
        true
    }

    /// A program that takes too long is ended, and that told, by the agent itself.
    fn limit(&self, _action: &str) -> Duration {
        Duration::from_secs(self.ddl.metadata.timeout).saturating_add(AROUND)
    }

    fn run<'a>(&'a self, call: &'a Call, node: &'a dyn Node) -> Running<'a> {
        Box::pin(self.call(call, node))
    }
}
