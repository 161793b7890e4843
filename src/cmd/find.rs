//! `choria find` (`discover`): which nodes match.
//!
//! Ruby's `mco` runs this command for every discovery; with `--json --silent`
//! it prints one JSON array and nothing else (spec 03 §4.7).

use std::io::IsTerminal as _;
use std::process::ExitCode;

use choria::core::client::Limit;

use super::context::{self, block_on};
use super::exit::Exit;
use super::fleet::fleet_command;
use super::out::{self, errln, outln};
use super::render::text::{clean, escaped};
use super::request::limit_method;
use super::{Globals, Personality};

fleet_command! {
    /// show the names of the nodes that match filters
    #[argh(subcommand, name = "find")]
    pub struct Find {
        /// show the names as a JSON array
        #[argh(switch, short = 'j')]
        json: bool,
        /// say how many were found, how and how fast
        #[argh(switch, short = 'v')]
        verbose: bool,
        /// no log lines: output for programs
        #[argh(switch)]
        silent: bool,
        /// show a part of the nodes: a number, or a share such as 10%, default all
        #[argh(option, arg_name = "n")]
        limit: Option<String>,
        /// federations to address, comma separated
        #[argh(option, arg_name = "list")]
        federations: Option<String>,
    }
}

/// The same by words of another command.
#[cfg(feature = "builder")]
pub fn by_words(words: &[String], globals: &Globals) -> anyhow::Result<ExitCode> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match <Find as argh::FromArgs>::from_args(&["find"], &words) {
        Ok(find) => find.run(globals),
        Err(early) => anyhow::bail!("{}", early.output.trim()),
    }
}

impl Find {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let selection = self.selection();
        selection.filter()?;
        let limit = self.limit.as_deref().map(str::parse::<Limit>).transpose()?;
        let mut config = match self.silent {
            true => context::silent_client_config(globals)?,
            false => context::client_config(globals)?,
        };
        super::set_federations(&mut config, self.federations.as_deref())?;
        block_on(async {
            let client = context::connect(config).await?;
            out::nodes_are_asked();
            let mut found = selection.discover(&client, Some("rpcutil")).await?;
            if let Some(limit) = limit.filter(|_| !found.nodes.is_empty()) {
                found.nodes = limit.apply(found.nodes, limit_method(client.config(), None))?;
            }
            if self.json {
                outln!("{}", escaped(&serde_json::to_string_pretty(&found.nodes)?));
            } else {
                found.nodes.iter().for_each(|node| outln!("{}", clean(node, false)));
            }
            if found.named && !self.json && !self.silent && std::io::stdout().is_terminal() {
                errln!(
                    "choria: these were named, so nobody was asked whether they are there: choria ping does"
                );
            }
            if self.verbose && !self.silent {
                errln!(
                    "Discovered {} nodes using the {} method in {:.2} seconds",
                    found.nodes.len(),
                    selection.method_name(&client),
                    found.took.as_secs_f64()
                );
            }
            client.session().close().await;
            let empty = found.nodes.is_empty() && globals.personality == Personality::Mco;
            Ok(match found.federations_down.is_empty() || self.silent {
                // a list of half the fleet is none of all of it; Ruby's client takes what there is
                false => Exit::new(globals, false).some_missing(),
                true if empty => ExitCode::FAILURE,
                true => ExitCode::SUCCESS,
            })
        })?
    }
}
