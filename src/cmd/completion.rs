//! `choria completion`: scripts for shells, and the lists they ask for.
//!
//! The scripts know nothing but how to ask: commands and flags come from the
//! same metadata as `--help`, agents, actions and inputs from the DDLs.

use std::process::ExitCode;

use anyhow::bail;
use argh::{ArgsInfo, CommandInfoWithArgs, FromArgs};
use choria::core::config::{Config, Role, System};

use super::out::{out, outln};
use super::rpc::resolver;
use super::{Choria, Globals};

/// print a completion script, or what it asks for
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "completion")]
pub struct Completion {
    /// the script for zsh, not for bash
    #[argh(switch)]
    zsh: bool,
    /// the script for bash, which is the default
    #[argh(switch)]
    bash: bool,
    /// list agents, actions, inputs, or words that can come next
    #[argh(option, arg_name = "what")]
    list: Option<String>,
    /// agent whose actions or inputs are listed
    #[argh(option, arg_name = "agent")]
    agent: Option<String>,
    /// action whose inputs are listed
    #[argh(option, arg_name = "action")]
    action: Option<String>,
    /// words typed so far, for --list words
    #[argh(positional, greedy)]
    typed: Vec<String>,
}

impl Completion {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if self.zsh && self.bash {
            bail!("--zsh and --bash exclude each other");
        }
        match self.list.as_deref() {
            None if self.zsh => out!("{ZSH}"),
            None => out!("{BASH}"),
            Some("words") => words(&Choria::get_args_info(), &self.typed).iter().for_each(|w| outln!("{w}")),
            Some(what) => {
                for (name, description) in self.names(globals, what)? {
                    if self.zsh { outln!("{name}:{description}") } else { outln!("{name}") }
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Names and descriptions. What cannot be looked up lists nothing: a
    /// completion must not print complaints into a command line.
    fn names(&self, globals: &Globals, what: &str) -> anyhow::Result<Vec<(String, String)>> {
        let config = Config::load(Role::Client, globals.config.as_deref(), &System);
        let Ok(config) = config.or_else(|_| Config::defaults(Role::Client, &System)) else {
            return Ok(vec![]);
        };
        let resolver = resolver(&config);
        if what == "agents" {
            let describe = |name: String| {
                let description = resolver.agent(&name).map(|d| d.metadata.description).unwrap_or_default();
                (name, description)
            };
            return Ok(resolver.agent_names().into_iter().map(describe).collect());
        }
        let Some(agent) = &self.agent else { bail!("--list {what} needs --agent") };
        let Ok(ddl) = resolver.agent(agent) else { return Ok(vec![]) };
        match (what, &self.action) {
            ("actions", _) => {
                Ok(ddl.actions.iter().map(|a| (a.action.clone(), a.description.clone())).collect())
            }
            ("inputs", Some(action)) => {
                let inputs = ddl.action(action).into_iter().flat_map(|a| &a.input);
                Ok(inputs.map(|(name, input)| (name.clone(), input.description.clone())).collect())
            }
            ("inputs", None) => bail!("--list inputs needs --action"),
            (other, _) => bail!("--list must be one of agents, actions, inputs, words, got '{other}'"),
        }
    }
}

/// Commands and flags that can come after `typed`.
fn words(top: &CommandInfoWithArgs, typed: &[String]) -> Vec<String> {
    let mut command = top;
    for word in typed {
        if let Some(sub) = command.commands.iter().find(|c| c.name == word) {
            command = &sub.command;
        }
    }
    let commands = command.commands.iter().map(|c| c.name.to_owned());
    let flags = command.flags.iter().chain(top.flags).filter(|f| !f.hidden).map(|f| f.long.to_owned());
    let mut words: Vec<String> = commands.chain(flags).chain(["--help".to_owned()]).collect();
    words.sort();
    words.dedup();
    words
}

const BASH: &str = include_str!("../../packaging/completion/choria.bash");
const ZSH: &str = include_str!("../../packaging/completion/choria.zsh");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_follow_the_command_tree() {
        let top = Choria::get_args_info();
        let after = |typed: &[&str]| words(&top, &typed.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert!(after(&[]).contains(&"ping".to_owned()) && after(&[]).contains(&"--config".to_owned()));
        assert!(after(&["tool"]).contains(&"ca".to_owned()));
        assert!(after(&["tool", "ca", "issue"]).contains(&"--broker".to_owned()));
        assert!(after(&["rpc"]).contains(&"--wf".to_owned()));
    }
}
