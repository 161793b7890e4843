//! `choria scout alertd`: tells people of checks that are not well and of nodes that fell silent.

mod asking;
mod elected;
mod telling;

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::files::SECRET;
use choria::core::scout::alerts::{self, Alerts, Settings, Target};
use choria::core::scout::{self, Heard};
use rustix::fs::{FlockOperation, flock};
use tokio_util::sync::CancellationToken;

use crate::cmd::Globals;
use crate::cmd::context::{self, block_on};
use crate::cmd::out::{errln, outln};
use crate::cmd::render::text::counted;
use crate::cmd::signals::told_to_end;
use elected::elect;
use telling::{LAST_WORDS, Telling, now};

/// tell Alertmanager, a web hook or a program of checks that are not well, until interrupted
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "alertd")]
pub struct Alertd {
    /// who is told of what, default /etc/choria/alertd.yaml
    #[argh(option, arg_name = "file", default = "\"/etc/choria/alertd.yaml\".into()")]
    settings: PathBuf,
    /// say whether that file is right, and end
    #[argh(switch)]
    check: bool,
}

impl Alertd {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let settings = Settings::load(&self.settings)?;
        reachable(&settings).with_context(|| self.settings.display().to_string())?;
        if self.check {
            outln!("{} is right: {} told", self.settings.display(), settings.receivers.len());
            return Ok(ExitCode::SUCCESS);
        }
        let config = context::client_config(globals)?;
        let state = settings.state.clone();
        let kept = || {
            let (state, file) = (state.display(), self.settings.display());
            format!("what was told has to be kept at {state}: state in {file}")
        };
        let _alone = alone(&state).with_context(kept)?;
        let mut all = Alerts::new(settings.clone());
        alerts::load(&mut all, &state, now())?;
        // a place that cannot be written to is told of now, not when something happens
        alerts::save(&all.snapshot(), &state).with_context(kept)?;
        block_on(async {
            let client = context::connect(config).await?;
            let ended = told_to_end()?;
            let names: Vec<&str> = settings.receivers.iter().map(|receiver| receiver.name.as_str()).collect();
            let (nodes, cases) = all.counts();
            let telling = Telling::new(all, &settings);
            let (campaign, shared) = match &settings.elected {
                Some(elected) => Some(elect(&client, elected).await?).unzip(),
                None => (None, None),
            };
            errln!(
                "Telling {} of checks{}; {} and {} were kept",
                names.join(", "),
                if campaign.is_some() { ", once elected" } else { "" },
                counted(nodes as u64, "node"),
                counted(cases as u64, "alert")
            );
            let ending = CancellationToken::new();
            let receivers = settings.receivers.iter().enumerate();
            let receivers = receivers.map(|(place, receiver)| telling.tell(place, receiver, &ending));
            let receivers = futures::future::join_all(receivers);
            tokio::pin!(receivers);
            let listening = scout::listen(&client, "server", false, |heard| {
                telling.heard(|all| match heard {
                    Heard::Machine(seen) => all.machine(&seen, now()),
                    Heard::Life(event) => all.life(&event, now()),
                    Heard::Odd => {}
                });
                true
            });
            let shared = shared.map(tokio::sync::Mutex::new);
            tokio::select! {
                heard = listening => heard?,
                _ = &mut receivers => {}
                () = asking::asks(&client, &telling) => {}
                () = telling.looks(&client, shared.as_ref()) => {}
                () = elected::follow(campaign, shared.as_ref(), &telling) => {}
                () = ended => {}
            }
            // Who is being told knows it: that is kept, or a restart would not take it back.
            ending.cancel();
            let _ = tokio::time::timeout(LAST_WORDS, receivers).await;
            let _ = tokio::time::timeout(LAST_WORDS, telling.keep_at_last(shared.as_ref())).await;
            client.session().close().await;
            Ok(ExitCode::SUCCESS)
        })?
    }
}

/// Whether what receivers need on this machine is there.
fn reachable(settings: &Settings) -> anyhow::Result<()> {
    let directory = settings.state.parent().filter(|directory| !directory.as_os_str().is_empty());
    if let Some(directory) = directory {
        directory.read_dir().with_context(|| format!("state: its directory {}", directory.display()))?;
    }
    if settings.state.exists() && !settings.state.is_file() {
        bail!("state: {} is no file: name one in it, such as state.json", settings.state.display());
    }
    for receiver in &settings.receivers {
        let of = |path: &Path| format!("receiver {}: {}", receiver.name, path.display());
        match &receiver.target {
            Target::Alertmanager(web) | Target::Webhook(web) => {
                for file in [&web.ca, &web.token_file].into_iter().flatten() {
                    let about =
                        File::open(file).and_then(|file| file.metadata()).with_context(|| of(file))?;
                    if about.is_dir() {
                        bail!("{} is a directory, and has to be a file", of(file));
                    }
                }
            }
            Target::Program(words) => {
                let program = Path::new(words.first().map_or("", String::as_str));
                let access = rustix::fs::access(program, rustix::fs::Access::EXEC_OK);
                access.map_err(std::io::Error::from).with_context(|| of(program))?;
                if !program.is_file() {
                    bail!("{} is no program, and has to be one", of(program));
                }
            }
        }
    }
    Ok(())
}

/// Sees to it that no other one keeps what it told in the same file, as long as what is returned lives.
fn alone(state: &Path) -> anyhow::Result<File> {
    let mut lock = state.as_os_str().to_owned();
    lock.push(".lock");
    let lock = PathBuf::from(lock);
    // made where it is missing and never replaced: two that begin at once lock the same
    let file = File::options().write(true).create(true).truncate(false).mode(SECRET).open(&lock);
    let file = file.with_context(|| lock.display().to_string())?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        bail!("another alertd does; with election and bucket in both, and a state each, one of them tells");
    }
    Ok(file)
}
