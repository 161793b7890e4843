//! `choria machine`: autonomous agents, on this machine and on others.

mod calls;
mod local;
mod new;
mod plugins;
mod run;
pub mod watch;

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use super::Globals;

/// autonomous agents: state machines that watch a node and act on what they see
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "machine")]
pub struct Machine {
    #[argh(subcommand)]
    command: MachineCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum MachineCommand {
    Graph(local::Graph),
    Info(local::Info),
    List(calls::List),
    New(new::New),
    Plugins(plugins::Plugins),
    Run(run::Run),
    Simulate(local::Simulate),
    State(calls::State),
    Transition(calls::Transition),
    Validate(local::Validate),
    Watch(watch::Watch),
}

impl Machine {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        match self.command {
            MachineCommand::Graph(c) => c.run(),
            MachineCommand::Info(c) => c.run(),
            MachineCommand::List(c) => c.run(globals),
            MachineCommand::New(c) => c.run(),
            MachineCommand::Plugins(c) => c.run(),
            MachineCommand::Run(c) => c.run(globals),
            MachineCommand::Simulate(c) => c.run(),
            MachineCommand::State(c) => c.run(globals),
            MachineCommand::Transition(c) => c.run(globals),
            MachineCommand::Validate(c) => c.run(),
            MachineCommand::Watch(c) => c.run(globals),
        }
    }
}
