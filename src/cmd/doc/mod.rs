//! `choria doc` (`plugin doc`): what agents can do, from their DDLs.

mod markdown;

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::config::{Config, Role, System};
use choria::core::ddl::{Action, AgentDdl, DataDdl, Input, ResolveError, Resolver};
use choria::core::text::meant;
use serde_json::{Value, json};

use super::Globals;
use super::fleet::Selection;
use super::interfaces;
use super::out::{out, outln};
use super::render::text::{clean, escaped};
use super::rpc::resolver;

/// show agents and data plugins, what they can do, and what an action takes and gives
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "doc")]
pub struct Doc {
    /// an agent, or data/NAME, and an action of it; without any all are listed
    #[argh(positional, arg_name = "agent")]
    about: Vec<String>,
    /// show the interface as JSON
    #[argh(switch, short = 'j')]
    json: bool,
    /// show a page of Markdown
    #[argh(switch, short = 'm')]
    markdown: bool,
}

/// What is described.
enum Subject {
    Agent(Box<AgentDdl>),
    Data(Box<DataDdl>),
}

impl Doc {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if self.json && self.markdown {
            bail!("--json and --markdown cannot be used together");
        }
        // Who wants to read needs no configuration that works.
        let config = Config::load(Role::Client, globals.config.as_deref(), &System);
        let config = match (&globals.config, config) {
            (None, Err(_)) => Config::defaults(Role::Client, &System)?,
            (_, config) => config?,
        };
        let resolver = resolver(&config);
        let (name, action) = match self.about.as_slice() {
            [] if self.markdown => bail!("--markdown makes a page of one agent: name it"),
            [] if self.json => {
                outln!("{}", escaped(&serde_json::to_string_pretty(&listed(&resolver))?));
                return Ok(ExitCode::SUCCESS);
            }
            [] => {
                out!("{}", list(&resolver));
                return Ok(ExitCode::SUCCESS);
            }
            [name] => (name, None),
            [name, action] => (name, Some(action.as_str())),
            [_, _, more, ..] => bail!("cannot use '{more}': name an agent and an action of it"),
        };
        let text = match (subject(&resolver, &config, name)?, action) {
            (Subject::Data(_), Some(action)) => bail!("{name} is a data plugin and has no action {action}"),
            (Subject::Data(ddl), None) => self.data(&ddl)?,
            (Subject::Agent(ddl), None) => self.agent(&ddl),
            (Subject::Agent(ddl), Some(action)) => self.action(&ddl, action)?,
        };
        match self.json {
            true => out!("{}", escaped(&text)),
            false => out!("{}", clean(&text, true)),
        }
        Ok(ExitCode::SUCCESS)
    }

    fn agent(&self, ddl: &AgentDdl) -> String {
        match (self.json, self.markdown) {
            (true, _) => ddl.to_json(),
            (_, true) => markdown::agent(ddl),
            _ => of_agent(ddl),
        }
    }

    fn action(&self, ddl: &AgentDdl, name: &str) -> anyhow::Result<String> {
        let agent = &ddl.metadata.name;
        let action = ddl.action(name).with_context(|| {
            let names = ddl.action_names();
            let meant = meant(name, names.iter().copied());
            format!("unknown action {agent}#{name}{meant}, it has {}", names.join(", "))
        })?;
        Ok(match (self.json, self.markdown) {
            (true, _) => serde_json::to_string_pretty(action)? + "\n",
            (_, true) => markdown::action(agent, action),
            _ => of_action(agent, action),
        })
    }

    fn data(&self, ddl: &DataDdl) -> anyhow::Result<String> {
        Ok(match (self.json, self.markdown) {
            (true, _) => serde_json::to_string_pretty(ddl)? + "\n",
            (_, true) => markdown::data(ddl),
            _ => of_data(ddl),
        })
    }
}

/// What a name means: an agent, or else a data plugin; `agent/NAME` and `data/NAME` say which.
fn subject(resolver: &Resolver, config: &Config, name: &str) -> anyhow::Result<Subject> {
    if let Some(data) = name.strip_prefix("data/") {
        let names = resolver.data_names();
        let unknown = || {
            let meant = meant(data, names.iter().map(String::as_str));
            format!("there is no data plugin '{data}' here{meant}, known are {}", names.join(", "))
        };
        return Ok(Subject::Data(Box::new(resolver.data(data)?.with_context(unknown)?)));
    }
    let agent = name.strip_prefix("agent/").unwrap_or(name);
    match resolver.agent(agent) {
        Err(unknown @ ResolveError::Unknown { .. }) => match resolver.data(name)? {
            Some(data) => Ok(Subject::Data(Box::new(data))),
            // Nodes have the interfaces of their agents, as for a request.
            None if config.file().is_some() => {
                Ok(Subject::Agent(Box::new(interfaces::of(config, &Selection::default(), agent)?)))
            }
            None => Err(unknown.into()),
        },
        found => Ok(Subject::Agent(Box::new(found?))),
    }
}

/// Agents and data plugins there are interfaces of, as a list for programs.
fn listed(resolver: &Resolver) -> Vec<Value> {
    let agents = resolver.agent_names().into_iter().map(|name| {
        let description = resolver.agent(&name).map(|ddl| ddl.metadata.description).unwrap_or_default();
        json!({"kind": "agent", "name": name, "description": description})
    });
    let plugins = resolver.data_names().into_iter().map(|name| {
        let ddl = resolver.data(&name).ok().flatten();
        let description = ddl.map(|ddl| ddl.metadata.description).unwrap_or_default();
        json!({"kind": "data", "name": name, "description": description})
    });
    agents.chain(plugins).collect()
}

fn list(resolver: &Resolver) -> String {
    let mut out = String::from("Agents, see choria doc AGENT:\n\n");
    for name in resolver.agent_names() {
        let description = match resolver.agent(&name) {
            Ok(ddl) => ddl.metadata.description,
            Err(e) => e.to_string(),
        };
        out.push_str(&clean(&format!("  {name:<20} {description}\n"), true));
    }
    out.push_str("\nData plugins, see choria doc data/NAME:\n\n");
    for name in resolver.data_names() {
        let description = match resolver.data(&name) {
            Ok(ddl) => ddl.map(|ddl| ddl.metadata.description).unwrap_or_default(),
            Err(e) => e.to_string(),
        };
        out.push_str(&clean(&format!("  {name:<20} {description}\n"), true));
    }
    out
}

fn of_agent(ddl: &AgentDdl) -> String {
    let about = &ddl.metadata;
    let mut out = format!("{} {} - {}\n\n", about.name, about.version, about.description);
    for (label, value) in [("Author", &about.author), ("License", &about.license), ("URL", &about.url)] {
        if !value.is_empty() {
            let _ = writeln!(out, "  {label:>8}: {value}");
        }
    }
    let _ = writeln!(out, "   Timeout: {} s", about.client_timeout());
    let _ = writeln!(out, "\nActions, see choria doc {} ACTION:\n", about.name);
    for name in ddl.action_names() {
        if let Some(action) = ddl.action(name) {
            let _ = writeln!(out, "  {name:<20} {}", action.description);
        }
    }
    out
}

fn of_data(ddl: &DataDdl) -> String {
    let about = &ddl.metadata;
    let mut out = format!("{} {} - {}\n\n", about.name, about.version, about.description);
    let query = ddl.query.as_ref();
    let call = query.map_or(String::new(), |query| format!("'{}'", query.prompt.to_uppercase()));
    let _ = writeln!(out, "  choria find -S \"{}({call}).OUTPUT == VALUE\"", about.name);
    if let Some(query) = query {
        let _ = writeln!(out, "\nIt is asked:\n\n  {}", described(query));
    }
    if !ddl.output.is_empty() {
        out.push_str("\nOutputs:\n\n");
    }
    for (name, output) in &ddl.output {
        let _ = writeln!(out, "  {name:<20} {}", output.description);
    }
    out
}

fn of_action(agent: &str, action: &Action) -> String {
    let mut out = format!(
        "{agent}#{} - {}\n\n  choria rpc {agent} {}",
        action.action, action.description, action.action
    );
    for (name, input) in &action.input {
        let word = format!("{name}={}", input.kind.to_uppercase());
        let _ = match input.optional {
            true => write!(out, " [{word}]"),
            false => write!(out, " {word}"),
        };
    }
    out.push('\n');
    if !action.input.is_empty() {
        out.push_str("\nInputs:\n\n");
    }
    for (name, input) in &action.input {
        let _ = writeln!(out, "  {name:<20} {}", described(input));
    }
    if !action.output.is_empty() {
        out.push_str("\nOutputs:\n\n");
    }
    for (name, output) in &action.output {
        let _ = writeln!(out, "  {name:<20} {}", output.description);
    }
    out
}

fn described(input: &Input) -> String {
    let need = if input.optional { "optional" } else { "required" };
    let mut out = format!("{} ({}, {need}", input.description, input.kind);
    if !input.choices.is_empty() {
        let _ = write!(out, ", one of {}", input.choices.join(" "));
    }
    if let Some(default) = &input.default {
        let _ = write!(out, ", default {default}");
    }
    if input.maxlength > 0 {
        let _ = write!(out, ", at most {} bytes", input.maxlength);
    }
    if !input.validation.is_empty() {
        let _ = write!(out, ", has to match {}", input.validation);
    }
    out.push(')');
    out
}
