//! `choria builder`: applications of YAML (spec 07 D).
//!
//! `places` knows where definitions are, `app` runs one: it reads the line a person typed and hands
//! the command to the file of its type. What a type does here is what a command of ours does, with
//! the words of the definition.

mod app;
mod discover;
mod exec;
mod filters;
mod form;
mod info;
mod kv;
mod list;
mod machine;
mod new;
mod places;
mod playbook;
mod rpc;
mod secrets;
mod task;
mod transform;
mod validate;

use std::path::Path;
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use choria::core::builder::help;

use super::out::{self, errln};
use super::render::text::clean;
use super::{Globals, Personality};

/// applications of YAML: command lines of your own over programs, nodes, tasks and playbooks
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "builder")]
pub struct Builder {
    #[argh(subcommand)]
    command: Sub,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Sub {
    Info(info::Info),
    List(list::List),
    New(new::New),
    Run(Run),
    Validate(validate::Validate),
}

/// run an application; what stands behind its name are its own words, --help among them
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "run")]
struct Run {
    /// name of an application, or the path of its definition, and its words
    #[argh(positional, arg_name = "application words")]
    words: Vec<String>,
}

impl Builder {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        match self.command {
            Sub::Info(c) => c.run(),
            Sub::List(c) => c.run(),
            Sub::New(c) => c.run(),
            Sub::Run(c) => c.run(globals),
            Sub::Validate(c) => c.run(),
        }
    }
}

impl Run {
    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let Some((name, words)) = self.words.split_first() else {
            anyhow::bail!(
                "name an application: choria builder run NAME, choria builder list shows those there are"
            );
        };
        let found = places::application(name)?;
        app::run(&format!("choria builder run {name}"), &found, words, globals)
    }
}

/// Names of applications, for shells.
pub fn names() -> Vec<String> {
    places::all().into_iter().map(|(name, _)| name).collect()
}

/// Commands and flags that can come in an application behind these words, for shells.
pub fn words(name: &str, typed: &[&str]) -> Vec<String> {
    let Ok(compiled) = places::application(name).and_then(|found| app::quietly(&found)) else {
        return vec![];
    };
    help::words(&compiled.definition, typed, &filters::flags())
}

/// Runs the application that this program is called after: `demo`, where there is a
/// `demo-app.yaml`, or `abt`, which runs the file of tasks of a project. Nothing where it is called
/// after none.
pub fn by_name(argv: &[String]) -> Option<ExitCode> {
    let program = Path::new(argv.first()?).file_name()?.to_str()?;
    if ["choria", "mco", "mc-"].iter().any(|ours| program.starts_with(ours)) {
        return None;
    }
    let found = match program {
        "abt" => places::tasks(),
        name => places::named(name).transpose()?,
    };
    let debug = std::env::var_os("BUILDER_DEBUG").is_some_and(|value| !value.is_empty());
    let globals = Globals { config: None, debug, personality: Personality::Choria, settings: vec![] };
    let words = argv.get(1..).unwrap_or_default();
    let ran = found.and_then(|found| app::run(program, &found, words, &globals));
    Some(ran.map_or_else(
        |e| {
            errln!("{program}: {}", clean(&super::sentence(&e), false));
            super::failed(&e)
        },
        |code| {
            out::finish();
            code
        },
    ))
}

/// Where the definition of an application would be that this program is called after.
pub fn missing(program: &str) -> String {
    let directories: Vec<String> =
        places::directories().iter().map(|dir| dir.display().to_string()).collect();
    format!("there is no {program}-app.yaml in {}", directories.join(", "))
}
