//! `choria governor`: so many at a time.

mod add;
mod api;
mod looking;
mod run;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::streams::governor::check_name;
use choria::core::streams::{Governor, GovernorConfig, Streams};
use serde_json::Value;

use super::Globals;
use super::out::outln;
use super::streams::{Reached, sure};

/// let so many at a time do something, on all machines together
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "governor")]
pub struct GovernorTool {
    #[argh(subcommand)]
    command: GovernorCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum GovernorCommand {
    Add(add::Add),
    Api(api::Api),
    Delete(Delete),
    Evict(Evict),
    List(looking::List),
    Reset(Reset),
    Run(run::Run),
    View(looking::View),
}

impl GovernorTool {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        match self.command {
            GovernorCommand::Add(c) => c.run(globals),
            GovernorCommand::Api(c) => c.run(globals),
            GovernorCommand::Delete(c) => c.run(globals),
            GovernorCommand::Evict(c) => c.run(globals),
            GovernorCommand::List(c) => c.run(globals),
            GovernorCommand::Reset(c) => c.run(globals),
            GovernorCommand::Run(c) => c.run(globals),
            GovernorCommand::View(c) => c.run(globals),
        }
    }
}

/// remove a governor, who asks it gets no slot any more; needs a privileged certificate where they go by name
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "delete")]
struct Delete {
    /// do not ask
    #[argh(switch, short = 'f')]
    force: bool,
    /// name of the governor
    #[argh(positional)]
    name: String,
}

impl Delete {
    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        check_name(&self.name)?;
        sure(self.force, &format!("remove governor {}", self.name))?;
        with_governor(globals, &self.name, async |governor, _, _| Ok(governor.delete().await.map(drop)?))
    }
}

/// free all slots of a governor; needs a privileged certificate where they go by name
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "reset")]
struct Reset {
    /// do not ask
    #[argh(switch, short = 'f')]
    force: bool,
    /// name of the governor
    #[argh(positional)]
    name: String,
}

impl Reset {
    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        check_name(&self.name)?;
        sure(self.force, &format!("free all slots of governor {}", self.name))?;
        with_governor(globals, &self.name, async |governor, _, _| {
            outln!("{}", governor.reset().await?);
            Ok(())
        })
    }
}

/// free one slot of a governor; what runs in it by `governor run` is ended
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "evict")]
struct Evict {
    /// do not ask
    #[argh(switch, short = 'f')]
    force: bool,
    /// name of the governor
    #[argh(positional)]
    name: String,
    /// number of the slot, as `governor view` shows it
    #[argh(positional)]
    slot: u64,
}

impl Evict {
    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        check_name(&self.name)?;
        sure(self.force, &format!("free slot {} of governor {}", self.slot, self.name))?;
        with_governor(globals, &self.name, async |governor, _, _| match governor.leave(self.slot).await? {
            true => Ok(()),
            false => bail!("governor {} has no slot {}", self.name, self.slot),
        })
    }
}

/// Connected as the person who calls.
fn with_streams(
    globals: &Globals,
    work: impl AsyncFnOnce(&Reached) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    super::context::block_on(async {
        let reached = Reached::new(globals).await?;
        let done = work(&reached).await;
        reached.close().await;
        done.map(|()| ExitCode::SUCCESS)
    })?
}

/// The same with a governor that is there, how it is kept, and its stream.
fn with_governor(
    globals: &Globals,
    name: &str,
    work: impl AsyncFnOnce(&Governor, GovernorConfig, Value) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    check_name(name)?;
    with_streams(globals, async |reached| {
        let governor = Governor::new(&reached.streams, &reached.collective(None)?, name)?;
        let (config, info) = there(&governor).await?;
        work(&governor, config, info).await
    })
}

/// How a governor is kept, which has to be there.
async fn there(governor: &Governor) -> anyhow::Result<(GovernorConfig, Value)> {
    let name = governor.name();
    governor
        .info()
        .await?
        .with_context(|| format!("there is no governor {name}; choria governor add {name} makes it"))
}

/// All governors of a network.
async fn all(streams: &Streams, collective: &str) -> anyhow::Result<Vec<(Governor, GovernorConfig, Value)>> {
    let mut all = vec![];
    for name in Governor::names(streams).await? {
        let Ok(governor) = Governor::new(streams, collective, &name) else { continue };
        // somebody may remove one meanwhile
        if let Some((config, info)) = governor.info().await? {
            all.push((governor, config, info));
        }
    }
    Ok(all)
}
