//! `choria doc` (`plugin doc`): what agents can do, from their DDLs.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::config::{Config, Role, System};
use choria::core::ddl::{Action, AgentDdl, Input, ResolveError, Resolver};
use choria::core::text::meant;

use super::Globals;
use super::fleet::Selection;
use super::interfaces;
use super::out::out;
use super::render::text::clean;
use super::rpc::resolver;

/// show agents, what they can do, and what an action takes and gives
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "doc")]
pub struct Doc {
    /// an agent, and an action of it; without any all agents are listed
    #[argh(positional, arg_name = "agent")]
    about: Vec<String>,
}

impl Doc {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        // Who wants to read needs no configuration that works.
        let config = Config::load(Role::Client, globals.config.as_deref(), &System);
        let config = match (&globals.config, config) {
            (None, Err(_)) => Config::defaults(Role::Client, &System)?,
            (_, config) => config?,
        };
        let resolver = resolver(&config);
        let (agent, action) = match self.about.as_slice() {
            [] => {
                out!("{}", list(&resolver));
                return Ok(ExitCode::SUCCESS);
            }
            [agent] => (agent, None),
            [agent, action] => (agent, Some(action)),
            [_, _, more, ..] => bail!("cannot use '{more}': name an agent and an action of it"),
        };
        let ddl = match resolver.agent(agent) {
            // Nodes have the interfaces of their agents, as for a request.
            Err(ResolveError::Unknown { .. }) if config.file().is_some() => {
                interfaces::of(&config, &Selection::default(), agent)?
            }
            found => found?,
        };
        let text = match action {
            None => of_agent(&ddl),
            Some(name) => {
                let names = ddl.action_names();
                let action = ddl.action(name).with_context(|| {
                    let meant = meant(name, names.iter().copied());
                    format!("unknown action {agent}#{name}{meant}, it has {}", names.join(", "))
                })?;
                of_action(agent, action)
            }
        };
        out!("{}", clean(&text, true));
        Ok(ExitCode::SUCCESS)
    }
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
