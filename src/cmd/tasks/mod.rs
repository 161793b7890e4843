//! `choria tasks`: Puppet Tasks on many nodes.
//!
//! A run is one request: nodes fetch what they lack of a task's files before they begin. What
//! came of it is shown by `results`, in the layouts of the original (spec 07 §A6).

pub mod again;
#[cfg(feature = "puppet")]
mod describe;
#[cfg(feature = "puppet")]
mod kill;
#[cfg(feature = "puppet")]
mod list;
#[cfg(feature = "puppet")]
mod node;
#[cfg(feature = "puppet")]
mod request;
#[cfg(feature = "puppet")]
mod results;
#[cfg(feature = "puppet")]
mod run;
#[cfg(feature = "puppet")]
mod serve;
#[cfg(feature = "puppet")]
mod status;
#[cfg(feature = "puppet")]
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use choria::core::tasks::runner;

use super::errln;

#[cfg(feature = "puppet")]
pub use command::Tasks;
#[cfg(all(feature = "puppet", feature = "builder"))]
pub use command::run_by_words;
#[cfg(all(feature = "puppet", feature = "builder"))]
pub use request::Kept;

/// This program as what stands between a node and a task; people do not call it.
pub fn runner() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    if words.next()? != runner::WORD {
        return None;
    }
    let words: Vec<OsString> = words.collect();
    let (code, complaint) = runner::main(&words);
    if let Some(complaint) = complaint {
        errln!("choria: {complaint}");
    }
    Some(ExitCode::from(code))
}

#[cfg(feature = "puppet")]
mod command {
    use std::process::ExitCode;

    use argh::{ArgsInfo, FromArgs};

    use super::{describe, kill, list, run, serve, status};
    use crate::cmd::Globals;

    /// run Puppet Tasks on many nodes, see what they take and what became of them, and serve them
    #[derive(FromArgs, ArgsInfo)]
    #[argh(subcommand, name = "tasks")]
    pub struct Tasks {
        #[argh(subcommand)]
        command: Sub,
    }

    #[allow(clippy::large_enum_variant, reason = "there is one of it in a process")]
    #[derive(FromArgs, ArgsInfo)]
    #[argh(subcommand)]
    enum Sub {
        Describe(describe::Describe),
        Kill(kill::Kill),
        List(list::List),
        Run(run::Run),
        Serve(serve::Serve),
        Status(status::Status),
    }

    /// A task run by words of another command, of which so much is kept; these parameters are secrets, too.
    #[cfg(feature = "builder")]
    pub fn run_by_words(
        words: &[String],
        globals: &Globals,
        kept: super::Kept,
        secrets: &[String],
    ) -> anyhow::Result<ExitCode> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match run::Run::from_args(&["run"], &words) {
            Ok(run) => run.run_kept(globals, kept, secrets),
            Err(early) => anyhow::bail!("{}", early.output.trim()),
        }
    }

    impl Tasks {
        pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
            match self.command {
                Sub::Describe(c) => c.run(globals),
                Sub::Kill(c) => c.run(globals),
                Sub::List(c) => c.run(globals),
                Sub::Run(c) => c.run(globals),
                Sub::Serve(c) => c.run(globals),
                Sub::Status(c) => c.run(globals),
            }
        }
    }
}
