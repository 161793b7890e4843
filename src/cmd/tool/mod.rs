//! `choria tool`: small tools around a network.

mod audit;
mod ca;
mod config;
mod event;
mod federation;
mod inventory;
mod man;
pub mod place;
mod provisioner;
mod release;
mod status;
mod submit;
mod tally;

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use super::Globals;

/// small tools around a network
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "tool")]
pub struct Tool {
    #[argh(subcommand)]
    command: ToolCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum ToolCommand {
    Audit(audit::Audit),
    Ca(ca::Ca),
    Config(config::ConfigTool),
    Event(event::EventTool),
    Federation(federation::Federation),
    Inventory(inventory::Inventory),
    Man(man::Man),
    Provisioner(provisioner::Provisioner),
    Release(release::Release),
    Status(status::Status),
    Submit(submit::Submit),
    Tally(tally::TallyTool),
}

impl Tool {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        match self.command {
            ToolCommand::Audit(c) => c.run(globals),
            ToolCommand::Ca(c) => c.run(),
            ToolCommand::Config(c) => c.run(globals),
            ToolCommand::Event(c) => c.run(globals),
            ToolCommand::Federation(c) => c.run(globals),
            ToolCommand::Inventory(c) => c.run(globals),
            ToolCommand::Man(c) => c.run(),
            ToolCommand::Provisioner(c) => c.run(),
            ToolCommand::Release(c) => c.run(),
            ToolCommand::Status(c) => c.run(globals),
            ToolCommand::Submit(c) => c.run(globals),
            ToolCommand::Tally(c) => c.run(globals),
        }
    }
}
