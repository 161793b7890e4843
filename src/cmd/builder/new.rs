//! `choria builder new`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::files::write_new;

use super::places::{DEFINITION, own};
use crate::cmd::out::outln;

/// write a first application that works, to begin with
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "new")]
pub struct New {
    /// where it is written, default ~/.config/choria/builder, where it is found from everywhere
    #[argh(option, arg_name = "dir")]
    directory: Option<PathBuf>,
    /// name of the application, which is that of the command
    #[argh(positional)]
    name: String,
}

/// An application that does something on any machine, and on any network.
const APPLICATION: &str = include_str!("new-app.yaml");

impl New {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if !self.name.starts_with(|c: char| c.is_ascii_lowercase()) || !self.name.chars().all(plain) {
            bail!("'{}' is no name for a command: a-z, 0-9, - and _ make one, a letter first", self.name);
        }
        if ["choria", "mco", "mc-", "abt"].iter().any(|ours| self.name.starts_with(ours)) {
            bail!("'{}' begins as the name of a program of ours does, which is then run instead", self.name);
        }
        let directory = self.directory.clone().map_or_else(own, Ok)?;
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let file = directory.join(format!("{}{DEFINITION}", self.name));
        write_new(&file, APPLICATION.replace("NAME", &self.name).as_bytes(), 0o644)?;
        outln!("{}", file.display());
        match self.directory {
            None => {
                outln!("run it: choria builder run {} hello you", self.name);
                outln!("have it as a command: ln -s \"$(command -v choria)\" ~/.local/bin/{}", self.name);
            }
            Some(_) => outln!("run it: choria builder run {} hello you", file.display()),
        }
        Ok(ExitCode::SUCCESS)
    }
}
