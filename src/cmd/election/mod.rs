//! `choria election`: who of many is at work.

mod file;
mod info;
mod run;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::streams::bucket::{check_bucket, check_key};
use choria::core::streams::election::{self, BUCKET, Evicted};
use choria::core::streams::{Bucket, Streams};

use super::Globals;
use super::out::outln;
use super::streams::{Reached, sure};

/// have one of many at work, on all machines together
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "election")]
pub struct ElectionTool {
    #[argh(subcommand)]
    command: ElectionCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum ElectionCommand {
    Evict(Evict),
    File(file::File),
    Info(info::Info),
    Run(run::Run),
}

impl ElectionTool {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        match self.command {
            ElectionCommand::Evict(c) => c.run(globals),
            ElectionCommand::File(c) => c.run(globals),
            ElectionCommand::Info(c) => c.run(globals),
            ElectionCommand::Run(c) => c.run(globals),
        }
    }
}

/// take the lead of an election from whoever has it
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "evict")]
struct Evict {
    /// do not ask
    #[argh(switch, short = 'f')]
    force: bool,
    /// bucket of the election, default CHORIA_LEADER_ELECTION
    #[argh(option, arg_name = "bucket", default = "BUCKET.to_owned()")]
    bucket: String,
    /// name of the election
    #[argh(positional)]
    name: String,
}

impl Evict {
    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        check_key(&self.name)?;
        sure(self.force, &format!("take the lead of election {} from whoever has it", self.name))?;
        with_bucket(globals, &self.bucket, async |streams, bucket| {
            match election::evict(streams, bucket, &self.name).await? {
                Evicted::Nobody => bail!("nobody leads election {}", self.name),
                Evicted::AtOnce => outln!("Election {} has no leader until the next vote", self.name),
                Evicted::Marked => outln!(
                    "Election {} has no leader for up to {}",
                    self.name,
                    crate::cmd::streams::spoken(bucket.config().ttl)
                ),
            }
            Ok(())
        })
    }
}

/// Connected, with the bucket of elections.
fn with_bucket(
    globals: &Globals,
    name: &str,
    work: impl AsyncFnOnce(&Streams, &Bucket) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    check_bucket(name)?;
    super::context::block_on(async {
        let reached = Reached::new(globals).await?;
        let done = async {
            let bucket = Bucket::find(&reached.streams, name).await?;
            let bucket = bucket.with_context(|| format!("there is no bucket {name} to hold elections in"))?;
            work(&reached.streams, &bucket).await
        };
        let done = done.await;
        reached.close().await;
        done.map(|()| ExitCode::SUCCESS)
    })?
}
