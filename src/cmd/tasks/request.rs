//! What commands of tasks share: the server, names, requests to nodes.

use std::time::Duration;

use anyhow::{Context as _, bail};
use choria::core::client::history::Recorder;
use choria::core::client::stages::Check;
use choria::core::client::{Client, RpcOptions};
use choria::core::config::{Config, Role, System};
use choria::core::discovery::Discovered;
use choria::core::security::Provider;
use choria::core::tasks::TaskName;
use choria::core::tasks::source::Source;
use serde_json::{Map, Value};

use crate::cmd::ask::{Answers, Course, collect_by};
use crate::cmd::fleet::Selection;
use crate::cmd::request::{Wanted, usual_timeout};
use crate::cmd::rpc::resolver;
use crate::cmd::{lacking, trouble};

/// The agent.
pub const AGENT: &str = "bolt_tasks";

/// The server of tasks, as this caller.
pub async fn source(config: &Config) -> anyhow::Result<Source> {
    let provider = Provider::new(config, Role::Client, &System);
    let provider = provider.map_err(|e| lacking::keys(e, config, Role::Client))?;
    Ok(Source::find(config, &System, provider.client_tls()?).await)
}

/// The name of a task that a person typed.
pub fn name_of(text: &str) -> anyhow::Result<TaskName> {
    Ok(TaskName::parse(text)?)
}

/// The environment tasks are of.
pub fn environment(name: Option<&str>) -> anyhow::Result<&str> {
    let name = name.unwrap_or("production");
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(plain) {
        true => Ok(name),
        false => bail!("--environment '{name}' is no name of one: it has a-z, 0-9 and _, a letter first"),
    }
}

/// The nodes that are meant and have the agent; nobody is an error.
pub async fn nodes(client: &Client, selection: &Selection) -> anyhow::Result<Discovered> {
    let found = selection.discover(client, Some(AGENT)).await?;
    if found.nodes.is_empty() {
        let collective = client.collective(selection.target.as_deref())?;
        bail!(
            "did not discover any nodes{}",
            trouble::nobody_found(client, &collective, &found, Some(AGENT))
        );
    }
    Ok(found)
}

/// How nodes are asked.
#[derive(Default)]
pub struct How {
    /// So many at a time, and the pause between.
    pub batch: Option<(usize, Duration)>,
    /// How long replies are waited for, default what the agent says.
    pub timeout: Option<Duration>,
    /// It is kept for `choria history`, without secrets among its inputs.
    pub kept: Option<Kept>,
    /// In stages, with what looks at nodes after each, and the pause between. What is kept says how it goes on.
    pub stages: Option<(Wanted, Option<Check>, Duration)>,
}

/// What is kept of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// All that is no secret, by what the task says of its parameters.
    Known,
    /// Neither inputs nor outputs: there are secrets among them that the task does not know for any.
    Nothing,
}

/// Asks nodes for an action of the agent.
pub async fn ask(
    client: &Client,
    (action, mut data): (&str, Map<String, Value>),
    found: Discovered,
    collective: &str,
    how: How,
) -> anyhow::Result<Answers> {
    let ddl = resolver(client.config()).agent(AGENT)?;
    let of_action =
        ddl.action(action).with_context(|| format!("the agent {AGENT} has no action {action}"))?;
    // an interface of others may know less
    data.retain(|name, _| of_action.input.contains_key(name));
    of_action.validate(&data).context("invalid input")?;
    let usual = || Duration::from_secs(usual_timeout(client.config(), &ddl));
    let recorder = how.kept.map(|kept| {
        let recorder = Recorder::new(AGENT, of_action, &data, collective);
        if kept == Kept::Nothing { recorder.withholding("input") } else { recorder }
    });
    let options = RpcOptions {
        agent: AGENT.to_owned(),
        action: action.to_owned(),
        data,
        collective: collective.to_owned(),
        timeout: how.timeout.unwrap_or_else(usual),
        batch: how.batch,
    };
    collect_by(client, options, found, Course { recorder, stages: how.stages }).await
}
