//! Several requests, one after the other, on one connection.

use std::time::Duration;

use anyhow::Context as _;
use choria::core::client::{Client, RpcOptions};
use choria::core::config::Config;
use choria::core::ddl::AgentDdl;
use choria::core::discovery::Discovered;
use serde_json::{Map, Value};

use super::{Application, Inputs};
use crate::cmd::ask::{Answers, collect};
use crate::cmd::context;
use crate::cmd::interfaces;
use crate::cmd::request::{action_of, choose, limit_method, usual_timeout};
use crate::cmd::trouble;

/// What is known before anything is connected.
pub struct Plan {
    config: Config,
    ddl: AgentDdl,
    timeout: Duration,
}

impl Plan {
    /// Loads configuration and interface of an agent; says what is wrong with flags.
    pub fn new(application: &mut Application<'_>, agent: &str) -> anyhow::Result<Plan> {
        application.confirm()?;
        application.flags.limit()?;
        context::check_workers(application.flags.workers)?;
        let mut config = context::client_config(application.globals)?;
        crate::cmd::set_federations(&mut config, application.flags.federations.as_deref())?;
        choose(&mut application.selection, &application.flags, &config)?;
        let ddl = interfaces::of(&config, &application.selection, agent)?;
        let timeout = application.flags.timeout(usual_timeout(&config, &ddl))?;
        Ok(Plan { config, ddl, timeout })
    }

    /// Whether inputs will do for an action.
    pub fn check(&self, action: &str, inputs: &Inputs) -> anyhow::Result<()> {
        data_of(&self.ddl, action, inputs).map(drop)
    }

    pub async fn connect(self, application: &Application<'_>) -> anyhow::Result<Talk> {
        let Plan { config, ddl, timeout } = self;
        let client = context::connect_workers(config, application.flags.workers).await?;
        let collective = client.collective(application.selection.target.as_deref())?;
        Ok(Talk { client, collective, ddl, timeout })
    }
}

/// The inputs of words, checked.
fn data_of(ddl: &AgentDdl, action: &str, inputs: &Inputs) -> anyhow::Result<Map<String, Value>> {
    action_of(ddl, action)?.coerce(&inputs.0).context("invalid input")
}

/// A connection to ask an agent on.
pub struct Talk {
    client: Client,
    collective: String,
    ddl: AgentDdl,
    timeout: Duration,
}

impl Talk {
    /// The nodes that are meant and have the agent; nobody is an error.
    pub async fn find(&self, application: &Application<'_>) -> anyhow::Result<Discovered> {
        let agent = &self.ddl.metadata.name;
        let mut found = application.selection.discover(&self.client, Some(agent)).await?;
        if found.nodes.is_empty() {
            let why = trouble::nobody_found(&self.client, &self.collective, &found, Some(agent));
            anyhow::bail!("did not discover any nodes{why}");
        }
        if let Some(limit) = application.flags.limit()? {
            let method = limit_method(self.client.config(), application.flags.limit_seed);
            found.nodes = limit.apply(found.nodes, method)?;
        }
        Ok(found)
    }

    /// All replies of these nodes; who is silent for `patience` at most is not waited for.
    pub async fn ask(
        &self,
        action: &str,
        inputs: &Inputs,
        found: Discovered,
        patience: Option<Duration>,
    ) -> anyhow::Result<Answers> {
        let options = RpcOptions {
            agent: self.ddl.metadata.name.clone(),
            action: action.to_owned(),
            data: data_of(&self.ddl, action, inputs)?,
            collective: self.collective.clone(),
            timeout: patience.map_or(self.timeout, |patience| patience.min(self.timeout)),
            batch: None,
        };
        collect(&self.client, options, found).await
    }

    /// The same of nodes that are known.
    pub async fn ask_nodes(
        &self,
        action: &str,
        inputs: &Inputs,
        nodes: Vec<String>,
        patience: Option<Duration>,
    ) -> anyhow::Result<Answers> {
        self.ask(action, inputs, Discovered::known(nodes, Duration::ZERO), patience).await
    }

    /// Says what is known about those who did not answer.
    pub fn report(&self, answers: &Answers) {
        answers.report(&self.client, &self.collective);
    }

    pub async fn close(&self) {
        self.client.session().close().await;
    }
}
