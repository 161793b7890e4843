//! `choria election file`: a file that is there while this machine leads.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::files::{self, read_bounded};
use choria::core::streams::bucket::{check_bucket, check_key};
use choria::core::streams::election::{BUCKET, Campaign, Happened};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::cmd::Globals;
use crate::cmd::out::{errln, outln};
use crate::cmd::signals::told_to_end;
use crate::cmd::streams::Reached;

/// Seconds after which nobody who leads has written a file that says no more than when that was, as the original's.
const OLD: i64 = 60;
/// Bytes of such a file.
const MOST: u64 = 4096;

/// keep a file while this machine leads an election, for programs that only look whether it is there
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "file")]
pub struct File {
    /// say whether this machine leads: 1 where the file is missing, or the time is over until which it leads
    #[argh(switch)]
    check: bool,
    /// bucket of the election, default CHORIA_LEADER_ELECTION
    #[argh(option, arg_name = "bucket", default = "BUCKET.to_owned()")]
    bucket: String,
    /// file
    #[argh(positional)]
    file: PathBuf,
    /// name of the election
    #[argh(positional)]
    name: String,
}

impl File {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if self.check {
            return self.checked();
        }
        check_bucket(&self.bucket)?;
        check_key(&self.name)?;
        self.remove()?;
        crate::cmd::context::block_on(async {
            let reached = Reached::as_machine(globals).await?;
            let identity = reached.client.config().identity.clone();
            let ended = told_to_end()?;
            let campaign = Campaign::new(&reached.streams, &self.bucket, &self.name, &identity).await?;
            let (sink, mut happened) = mpsc::unbounded_channel();
            let running = campaign.run(move |what| {
                let _ = sink.send(what);
            });
            let done = tokio::select! {
                () = running => Ok(()),
                done = self.follow(&mut happened) => done,
                () = ended => Ok(()),
            };
            // whoever looks is not to believe that we lead
            self.remove()?;
            reached.close().await;
            done.map(|()| ExitCode::SUCCESS)
        })?
    }

    async fn follow(&self, happened: &mut mpsc::UnboundedReceiver<Happened>) -> anyhow::Result<()> {
        let (mut until, mut count) = (None, 0_u64);
        // a vote may be further away than the file of the original may be old
        let mut tick = tokio::time::interval(Duration::from_secs(20));
        loop {
            tokio::select! {
                what = happened.recv() => match what {
                    Some(Happened::Won) => errln!("choria: leading election {}", self.name),
                    Some(Happened::Lost) => {
                        errln!("choria: election {} is lost", self.name);
                        until = None;
                        self.remove()?;
                    }
                    Some(Happened::Voted(vote)) => until = vote.leads_until,
                    None => return Ok(()),
                },
                _ = tick.tick() => {}
            }
            if let Some(until) = until {
                count += 1;
                let now = Timestamp::now();
                let until = now.as_millisecond() + i64::try_from((until - Instant::now()).as_millis())?;
                let text =
                    json!({"count": count, "timestamp": now.as_second(), "until": until as f64 / 1000.0});
                files::write_atomic(&self.file, text.to_string().as_bytes(), files::PUBLIC)?;
            }
        }
    }

    fn remove(&self) -> anyhow::Result<()> {
        match std::fs::remove_file(&self.file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.file.display()))
            }
            _ => Ok(()),
        }
    }

    fn checked(&self) -> anyhow::Result<ExitCode> {
        let shown = self.file.display();
        if !self.file.exists() {
            bail!("this machine does not lead: there is no {shown}");
        }
        let said: Value = serde_json::from_slice(&read_bounded(&self.file, MOST)?)
            .with_context(|| format!("{shown} is no file of an election"))?;
        let written = said["timestamp"].as_i64().with_context(|| format!("{shown} has no timestamp"))?;
        let now = Timestamp::now();
        let age = now.as_second().saturating_sub(written);
        let is_over = match said["until"].as_f64() {
            // whoever wrote it has ended, or the clock was set
            Some(until) => now.as_millisecond() as f64 >= until * 1000.0 || age < -OLD,
            None => age > OLD,
        };
        if is_over {
            bail!("this machine does not lead: {shown} was written {age} s ago");
        }
        outln!("This machine leads election {}", self.name);
        Ok(ExitCode::SUCCESS)
    }
}
