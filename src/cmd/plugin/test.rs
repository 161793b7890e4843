//! `choria plugin test`: an agent's actions, called here and now, without a network.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::agents::external::{self, External, Surroundings};
use choria::core::agents::local::LocalNode;
use choria::core::agents::ruby::{Ruby, Shim};
use choria::core::agents::{Agent, Call, Outcome};
use choria::core::config::{Config, Role, System};
use choria::core::ddl::AgentDdl;
use choria::core::files;
use choria::core::log::{self, Destination};
use choria::core::protocol::filter::{Facts, FactsError};
use choria::core::text::meant;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::read_ddl;
use crate::cmd::Globals;
use crate::cmd::context::block_on;
use crate::cmd::out::outln;
use crate::cmd::render::text::clean;

/// Largest file of cases.
const MAX_CASES: u64 = 16 * 1024 * 1024;
/// Exit code where an action failed, or a case.
const FAILED: u8 = 2;

/// call an agent of this directory here, without a network, as a node would that allows it
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "test")]
pub struct Test {
    /// the interface, or a directory with mcollective/agent/*.json
    #[argh(positional, arg_name = "file|dir")]
    agent: PathBuf,
    /// an action and its inputs, key=value; without one the cases of test.json are tried
    #[argh(positional, arg_name = "action|input")]
    call: Vec<String>,
    /// file of cases, default test.json in the directory
    #[argh(option, arg_name = "file")]
    cases: Option<PathBuf>,
    /// facts the agent sees, JSON or YAML
    #[argh(option, arg_name = "file")]
    facts: Option<PathBuf>,
    /// who calls, default choria=you.mcollective
    #[argh(option, arg_name = "id")]
    caller: Option<String>,
}

/// A call, and what it should come to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    action: String,
    #[serde(default)]
    input: Map<String, Value>,
    #[serde(default)]
    expect: Map<String, Value>,
}

impl Test {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        log::init(Destination::Stderr, if globals.debug { "debug" } else { "info" })?;
        let file = interface(&self.agent)?;
        let ddl = read_ddl(&file)?;
        let config = match &globals.config {
            Some(file) => Config::load(Role::Server, Some(file), &System)?,
            None => Config::defaults(Role::Server, &System)?,
        };
        let agent = agent(&file, ddl, &config)?;
        let facts = match &self.facts {
            None => Facts::default(),
            Some(file) => {
                let (facts, problems) = Facts::load(&file.display().to_string());
                match problems.first() {
                    None => {}
                    Some(FactsError::File { reason, .. }) => bail!("these are no facts: {reason}"),
                    Some(problem) => bail!("{problem}"),
                }
                facts
            }
        };
        block_on(async {
            if let Activated::Asked(external) = &agent {
                match external.activates().await {
                    Ok(true) => {}
                    Ok(false) => {
                        bail!("the agent does not want to work here: it answered that it is not active")
                    }
                    Err(problem) => bail!("the agent was not activated: {problem}"),
                }
            }
            let agent = agent.agent();
            let node = LocalNode::new(config, facts, agent);
            match self.call.split_first() {
                Some((action, inputs)) => self.call(action, inputs, agent, &node).await,
                None => self.cases(agent, &node).await,
            }
        })?
    }

    async fn call(
        &self,
        action: &str,
        inputs: &[String],
        agent: &dyn Agent,
        node: &LocalNode,
    ) -> anyhow::Result<ExitCode> {
        let names = agent.ddl().action_names();
        let interface = agent.ddl().action(action).with_context(|| {
            let meant = meant(action, names.iter().copied());
            format!("unknown action {action}{meant}, it has {}", names.join(", "))
        })?;
        let mut pairs = vec![];
        for input in inputs {
            let (key, value) = input
                .split_once('=')
                .with_context(|| format!("cannot use '{input}' as an input, write key=value"))?;
            pairs.push((key.to_owned(), value.to_owned()));
        }
        let data = interface.coerce(&pairs).context("invalid input")?;
        let outcome = node.call(agent, self.request(agent, action, data)).await;
        let text = serde_json::to_string_pretty(&reply(&outcome))?;
        outln!("{}", clean(&text, true));
        Ok(if outcome.code.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    async fn cases(&self, agent: &dyn Agent, node: &LocalNode) -> anyhow::Result<ExitCode> {
        let file = match &self.cases {
            Some(file) => file.clone(),
            None if self.agent.is_dir() => self.agent.join("test.json"),
            None => bail!("name an action, or cases with --cases"),
        };
        let text = files::read_bounded(&file, MAX_CASES)?;
        let cases: Vec<Case> = serde_json::from_slice(&text).with_context(|| file.display().to_string())?;
        let (count, mut failed) = (cases.len(), 0);
        for (number, case) in cases.into_iter().enumerate() {
            let Case { action, mut input, expect } = case;
            let shown = format!("{}. {action} {}", number + 1, Value::Object(input.clone()));
            if let Some(interface) = agent.ddl().action(&action) {
                interface.input_defaults(&mut input);
            }
            let outcome = node.call(agent, self.request(agent, &action, input)).await;
            let got = reply(&outcome);
            let differs = expect.iter().find_map(|(key, wanted)| difference(key, wanted, got.get(key)));
            match differs {
                None => outln!("{}", clean(&format!("ok      {shown}"), false)),
                Some(difference) => {
                    failed += 1;
                    outln!(
                        "{}",
                        clean(&format!("FAILED  {shown}: {difference}; the reply was {got}"), false)
                    );
                }
            }
        }
        outln!("{} of {count} cases are as they should be", count - failed);
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    fn request(&self, agent: &dyn Agent, action: &str, data: Map<String, Value>) -> Call {
        let user = || std::env::var("USER").unwrap_or_else(|_| "you".to_owned());
        Call {
            agent: agent.ddl().metadata.name.clone(),
            action: action.to_owned(),
            data,
            request_id: choria::core::protocol::v1::new_request_id(),
            sender: "localhost".to_owned(),
            caller: self.caller.clone().unwrap_or_else(|| format!("choria={}.mcollective", user())),
            collective: "mcollective".to_owned(),
            ttl: 60,
            time: jiff::Timestamp::now().as_second(),
        }
    }
}

/// An agent, and whether it has to be asked first whether it works here.
#[allow(clippy::large_enum_variant, reason = "there is one of it in a process")]
enum Activated {
    Asked(Box<External>),
    Always(Ruby),
}

impl Activated {
    fn agent(&self) -> &dyn Agent {
        match self {
            Self::Asked(agent) => agent.as_ref(),
            Self::Always(agent) => agent,
        }
    }
}

fn agent(file: &Path, ddl: AgentDdl, config: &Config) -> anyhow::Result<Activated> {
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = dir.canonicalize().with_context(|| dir.display().to_string())?;
    let name = &ddl.metadata.name;
    if ddl.metadata.timeout < 1 {
        bail!("{}: metadata.timeout is below one second", file.display());
    }
    match ddl.metadata.provider.as_deref() {
        Some(external::PROVIDER) => {
            external::trusted(file).map_err(anyhow::Error::msg)?;
            if external::program(&dir, name).is_none() {
                bail!(
                    "the program of the agent is missing: {} or {name}/{name}-{} in {}",
                    name,
                    external::os_arch(),
                    dir.display()
                );
            }
            let mut around = Surroundings::of(config);
            if config.file().is_none() {
                around.config_dir = "/etc/choria".into();
            }
            Ok(Activated::Asked(Box::new(External::new(ddl, &dir, &around))))
        }
        None | Some("" | "ruby") => {
            let (program, settings) = (
                &config.choria_agent_provider_mcorpc_agent_shim,
                &config.choria_agent_provider_mcorpc_config,
            );
            if program.is_empty() || settings.is_empty() {
                bail!(
                    "a Ruby agent runs through a shim: name a server configuration with \
                     plugin.choria.agent_provider.mcorpc.agent_shim and .config by --config"
                );
            }
            let memory = Surroundings::of(config).memory;
            let shim = Shim { program: program.into(), config: settings.into(), memory };
            Ok(Activated::Always(Ruby::new(ddl, shim)))
        }
        Some(other) => {
            bail!("agents of provider '{other}' cannot be tried here, only external and Ruby ones")
        }
    }
}

/// The one interface that is meant.
fn interface(given: &Path) -> anyhow::Result<PathBuf> {
    if !given.is_dir() {
        return Ok(given.to_owned());
    }
    let dir = given.join("mcollective/agent");
    let entries = std::fs::read_dir(&dir).with_context(|| dir.display().to_string())?;
    let is_json = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "json");
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_json).collect();
    found.sort();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => bail!("there is no interface in {}", dir.display()),
        _ => bail!("there are several agents in {}, name the file of one", dir.display()),
    }
}

fn reply(outcome: &Outcome) -> Value {
    json!({"statuscode": outcome.code.code(), "statusmsg": outcome.message, "data": outcome.data})
}

/// What is not as wanted; objects may hold more than is wanted.
fn difference(place: &str, wanted: &Value, got: Option<&Value>) -> Option<String> {
    match (wanted, got) {
        (Value::Object(wanted), Some(Value::Object(got))) => wanted
            .iter()
            .find_map(|(key, wanted)| difference(&format!("{place}.{key}"), wanted, got.get(key))),
        (wanted, Some(got)) if wanted == got => None,
        (wanted, Some(got)) => Some(format!("{place} is {got}, not {wanted}")),
        (wanted, None) => Some(format!("{place} is missing, it should be {wanted}")),
    }
}
