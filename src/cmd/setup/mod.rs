//! `choria setup`: a first network in three commands, one on each kind of machine.
//!
//! Each looks at everything first and refuses with one sentence before it has changed
//! anything; what is there already is kept, so each can be said again. What a person has
//! changed is never replaced.

mod broker;
mod invitation;
pub mod machine;
mod node;
mod operator;
mod request;
pub mod steps;
mod texts;

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

/// make this machine a broker or a node, or somebody an operator
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "setup")]
pub struct Setup {
    #[argh(subcommand)]
    command: SetupCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum SetupCommand {
    Broker(broker::Broker),
    Node(node::Node),
    Operator(operator::Operator),
}

impl Setup {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let now = jiff::Timestamp::now().as_second();
        match self.command {
            SetupCommand::Broker(broker) => broker.run(now)?,
            SetupCommand::Node(node) => node.run(now)?,
            SetupCommand::Operator(operator) => operator.run(now)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
