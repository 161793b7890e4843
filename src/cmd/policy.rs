//! `choria policy check`: what is wrong with policy files, before a node says it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use argh::{ArgsInfo, FromArgs};
use choria::core::authz::ActionPolicy;
use choria::core::config::{Config, Role, System};

use super::Globals;
use super::out::{errln, outln};
use super::render::text::clean;

/// The configuration whose directory has the policies, unless another is named.
const SERVER: &str = "/etc/choria/server.conf";

/// policies: who may do what on this node
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "policy")]
pub struct Policy {
    #[argh(subcommand)]
    command: PolicyCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum PolicyCommand {
    Check(Check),
}

/// read policy files and say what is wrong with them; exit 1 when anything is
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "check")]
struct Check {
    /// policy files, or agents; without any all policies and the groups of the server configuration
    #[argh(positional, arg_name = "file|agent")]
    what: Vec<String>,
}

impl Policy {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let PolicyCommand::Check(check) = self.command;
        check.run(globals)
    }
}

impl Check {
    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let named = globals.config.clone();
        let file = named.clone().unwrap_or_else(|| PathBuf::from(SERVER));
        let is_file = |what: &str| what.contains('/') || what.ends_with(".policy");
        let only_files = !self.what.is_empty() && self.what.iter().all(|what| is_file(what));
        // Files may be checked where no server is; their groups stand beside them.
        let policies = match (named.is_some() || file.exists(), only_files) {
            (true, _) => ActionPolicy::new(&Config::load(Role::Server, Some(&file), &System)?),
            (false, true) => ActionPolicy::in_directory(parent(self.what.first().map_or("", |what| what))),
            (false, false) => bail!("{SERVER} does not exist: name the server's configuration with --config"),
        };
        let told: Vec<String> = match self.what.as_slice() {
            [] => policies.problems(None),
            all => {
                let one = |what: &String| match is_file(what) {
                    true => policies.problems_of(Path::new(what)),
                    false => policies.problems(Some(what)),
                };
                all.iter().flat_map(one).collect()
            }
        };
        told.iter().for_each(|problem| errln!("{}", clean(problem, false)));
        match told.len() {
            0 => {
                outln!("no problems");
                Ok(ExitCode::SUCCESS)
            }
            _ => Ok(ExitCode::FAILURE),
        }
    }
}

fn parent(file: &str) -> &Path {
    Path::new(file).parent().unwrap_or_else(|| Path::new("."))
}
