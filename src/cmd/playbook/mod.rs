//! `choria playbook`: plans in the Puppet language over the whole fleet.

mod list;
mod new;
mod offline;
mod parameters;
mod run;
mod show;
mod validate;

pub use parameters::document;

use std::path::PathBuf;
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use choria::core::config::{Environment as _, System};
use choria::core::playbook::Modules;

use super::Globals;

/// playbooks: plans in the Puppet language that ask nodes, run tasks and keep data
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "playbook")]
pub struct Playbook {
    #[argh(subcommand)]
    command: Sub,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Sub {
    List(list::List),
    New(new::New),
    Run(run::Run),
    Show(show::Show),
    Validate(validate::Validate),
}

impl Playbook {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        match self.command {
            Sub::List(c) => c.run(),
            Sub::New(c) => c.run(),
            Sub::Run(c) => c.run(globals),
            Sub::Show(c) => c.run(),
            Sub::Validate(c) => c.run(),
        }
    }
}

/// A plan run by words of another command.
#[cfg(feature = "builder")]
pub fn run_by_words(words: &[String], globals: &Globals) -> anyhow::Result<ExitCode> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run::Run::from_args(&["run"], &words) {
        Ok(run) => run.run(globals),
        Err(early) => anyhow::bail!("{}", early.output.trim()),
    }
}

/// Directories that `--modulepath` names, or where modules usually are.
fn modules(path: Option<&str>) -> Modules {
    match path {
        Some(path) => Modules::new(path.split(':').filter(|dir| !dir.is_empty()).map(PathBuf::from)),
        None => Modules::usual(System.home().as_deref(), System.euid() == 0),
    }
}

/// There is no such plan.
fn unknown(modules: &Modules, name: &str) -> anyhow::Error {
    if name.ends_with(".yaml") || name.ends_with(".yml") {
        return anyhow::anyhow!(
            "'{name}' is a playbook of the format that ended in 2018: write it as a plan, see 'choria playbook new'"
        );
    }
    let known: Vec<String> = modules.plans().into_iter().map(|plan| plan.name).collect();
    let meant = choria::core::text::meant(name, known.iter().map(String::as_str));
    anyhow::anyhow!(
        "Unknown playbook: '{name}'{meant}; plans are in MODULE/plans below {}, --modulepath names other directories",
        shown(modules)
    )
}

/// Where modules are looked for, for people.
fn shown(modules: &Modules) -> String {
    let path: Vec<String> = modules.path().iter().map(|dir| dir.display().to_string()).collect();
    path.join(", ")
}
