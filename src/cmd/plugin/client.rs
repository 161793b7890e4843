//! `choria plugin generate client`: an agent's actions as functions of a language.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use argh::{ArgsInfo, FromArgs};
use choria::core::config::{Config, Role, System};
use choria::core::ddl::{AgentDdl, Input};
use choria::core::files::PUBLIC;

use super::{client_python, client_rust, is_name, read_ddl, write_new};
use crate::cmd::Globals;
use crate::cmd::out::{out, outln};
use crate::cmd::rpc::resolver;

/// write a client of an agent, with a function for each action
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "client")]
pub struct Client {
    /// the interface, or the name of an agent whose interface is known here
    #[argh(positional, arg_name = "file|agent")]
    agent: String,
    /// rust or python
    #[argh(option, arg_name = "language")]
    language: String,
    /// file to write, default standard output
    #[argh(option, short = 'o', arg_name = "file")]
    output: Option<PathBuf>,
}

impl Client {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let ddl = match self.agent.ends_with(".json") || self.agent.contains('/') {
            true => read_ddl(self.agent.as_ref())?,
            false => {
                let config = Config::load(Role::Client, globals.config.as_deref(), &System)
                    .or_else(|_| Config::defaults(Role::Client, &System))?;
                resolver(&config).agent(&self.agent)?
            }
        };
        check(&ddl)?;
        let text = match self.language.as_str() {
            "rust" => client_rust::source(&ddl),
            "python" => client_python::source(&ddl),
            other => bail!("cannot write clients in '{other}': rust or python"),
        };
        match self.output {
            None => out!("{text}"),
            Some(file) => {
                write_new(&file, &text, PUBLIC)?;
                outln!("{}", file.display());
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Names become words of a program: what is none is refused, and nothing else of the
/// interface stands outside of quotes.
fn check(ddl: &AgentDdl) -> anyhow::Result<()> {
    let names = ddl.actions.iter().flat_map(|action| {
        [&action.action].into_iter().chain(action.input.keys()).chain(action.output.keys())
    });
    let plain = |name: &&String| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if let Some(bad) = names.into_iter().find(|name| !plain(name)) {
        bail!("'{bad}' cannot be a word of a program");
    }
    if !is_name(&ddl.metadata.name) {
        bail!("'{}' cannot be a word of a program", ddl.metadata.name);
    }
    Ok(())
}

/// Required inputs first, each group by name.
pub fn ordered(inputs: &std::collections::BTreeMap<String, Input>) -> Vec<(&String, &Input)> {
    let mut all: Vec<_> = inputs.iter().collect();
    all.sort_by_key(|(name, input)| (is_optional(input), (*name).clone()));
    all
}

/// Whether a caller may leave it away.
pub fn is_optional(input: &Input) -> bool {
    input.optional || input.default.as_ref().is_some_and(|default| !default.is_null())
}

/// A description on one line.
pub fn line(text: &str) -> String {
    choria::core::text::shortened(text, 200).replace(['"', '\\'], "'")
}
