//! `choria plugin`: for those who write agents, and for those who call them.

mod client;
mod client_python;
mod client_rust;
mod ddl;
mod new;
mod test;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::ddl::AgentDdl;
use choria::core::files;

use super::Globals;

/// Largest interface that is read.
const MAX_DDL: u64 = 1024 * 1024;

/// make agents, try them, and make interfaces and clients of them; choria doc shows what they do
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "plugin")]
pub struct Plugin {
    #[argh(subcommand)]
    command: PluginCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum PluginCommand {
    Generate(Generate),
    New(new::New),
    Test(test::Test),
}

/// write what follows from an interface, or the interface itself
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "generate")]
struct Generate {
    #[argh(subcommand)]
    command: GenerateCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of it in a process")]
enum GenerateCommand {
    Client(client::Client),
    Ddl(ddl::Ddl),
}

impl Plugin {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        match self.command {
            PluginCommand::New(c) => c.run(),
            PluginCommand::Test(c) => c.run(globals),
            PluginCommand::Generate(Generate { command: GenerateCommand::Ddl(c) }) => c.run(),
            PluginCommand::Generate(Generate { command: GenerateCommand::Client(c) }) => c.run(globals),
        }
    }
}

/// An interface from a file.
fn read_ddl(file: &Path) -> anyhow::Result<AgentDdl> {
    let json = files::read_bounded(file, MAX_DDL)?;
    AgentDdl::parse(&json).with_context(|| file.display().to_string())
}

/// Writes a new file; one that is there stays as it is.
fn write_new(file: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    if file.symlink_metadata().is_ok() {
        bail!("{} is there already, it stays as it is", file.display());
    }
    if let Some(dir) = file.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    Ok(files::write_atomic(file, text.as_bytes(), mode)?)
}

/// Whether a text is the name of an agent, an action, an input or an output.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}
