//! `choria election run`: runs a command that is told when this machine leads.

use std::process::ExitCode;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use choria::core::streams::bucket::{check_bucket, check_key};
use choria::core::streams::election::{BUCKET, Campaign, Happened};
use rustix::process::Signal;
use tokio::sync::mpsc;

use crate::cmd::Globals;
use crate::cmd::out::errln;
use crate::cmd::streams::Reached;
use crate::cmd::streams::held::{Held, code, words};

/// How a command is ended that no longer leads.
const AT_LOSS: [(Signal, Duration); 2] =
    [(Signal::INT, Duration::from_secs(1)), (Signal::TERM, Duration::from_secs(10))];

/// run a command from when this machine leads an election first: it gets USR1 whenever the lead is won again, USR2
/// whenever it is lost; ends with its exit status
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "run")]
pub struct Run {
    /// end the command when the lead is lost, by INT and a second later by TERM
    #[argh(switch)]
    terminate: bool,
    /// bucket of the election, default CHORIA_LEADER_ELECTION
    #[argh(option, arg_name = "bucket", default = "BUCKET.to_owned()")]
    bucket: String,
    /// name of the election
    #[argh(positional)]
    name: String,
    /// command and its arguments; flags of this command stand before it
    #[argh(positional, greedy)]
    command: Vec<String>,
}

impl Run {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        check_bucket(&self.bucket)?;
        check_key(&self.name)?;
        let words = words(&self.command)?;
        crate::cmd::context::block_on(async {
            let reached = Reached::as_machine(globals).await?;
            let identity = reached.client.config().identity.clone();
            let campaign = Campaign::new(&reached.streams, &self.bucket, &self.name, &identity).await?;
            let (sink, mut happened) = mpsc::unbounded_channel();
            let running = campaign.run(move |what| {
                if !matches!(what, Happened::Voted(_)) {
                    let _ = sink.send(what);
                }
            });
            let done = tokio::select! {
                () = running => Ok(1),
                done = self.follow(&mut happened, &words) => done,
            };
            reached.close().await;
            done.map(ExitCode::from)
        })?
    }

    async fn follow(
        &self,
        happened: &mut mpsc::UnboundedReceiver<Happened>,
        words: &[String],
    ) -> anyhow::Result<u8> {
        while happened.recv().await != Some(Happened::Won) {}
        tracing::info!(election = self.name, "leading");
        let mut command = Held::start(words)?;
        loop {
            let what = tokio::select! {
                ended = command.ended() => return Ok(code(ended?)),
                what = happened.recv() => what,
            };
            match what {
                Some(Happened::Won) => command.signal(Signal::USR1),
                Some(Happened::Lost) if self.terminate => {
                    errln!("choria: election {} is lost, the command is ended", self.name);
                    command.end(&AT_LOSS).await?;
                    return Ok(1);
                }
                Some(Happened::Lost) => command.signal(Signal::USR2),
                Some(Happened::Voted(_)) | None => {}
            }
        }
    }
}
