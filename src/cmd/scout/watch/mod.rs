//! `choria scout watch`: what checks find, as it happens: on a terminal in panes, else a line each.

mod board;
mod screen;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::client::Client;
use choria::core::config::parse_duration;
use choria::core::machine::event;
use choria::core::streams::{Heard, Start, Watching};
use futures::StreamExt as _;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::cmd::Globals;
use crate::cmd::context::{self, block_on};
use crate::cmd::machine::watch::{clock, events, waiting};
use crate::cmd::out::outln;
use crate::cmd::render::terminal::is_dumb;
use crate::cmd::render::text::clean;

const CHECKS: &str = "choria.machine.watcher.nagios.state";
/// Where events of machines are stored.
const STORED: &str = "CHORIA_MACHINE";
/// The longest time of history, as of the original.
const LONGEST: Duration = Duration::from_secs(3600);

/// watch what checks find, and how their machines move, until q or an interrupt ends it
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "watch")]
pub struct Watch {
    /// show nodes only that have this in their name
    #[argh(option, arg_name = "text")]
    identity: Option<String>,
    /// show checks only that have this in their name
    #[argh(option, arg_name = "text")]
    check: Option<String>,
    /// show the numbers of checks, too
    #[argh(switch)]
    perf: bool,
    /// begin with what happened so long ago, at most 1h, where the broker keeps streams, default with what comes
    #[argh(option, arg_name = "time")]
    history: Option<String>,
    /// show nothing of checks that are OK
    #[argh(switch)]
    no_ok: bool,
    /// show no transitions of this machine; may be given several times
    #[argh(option, arg_name = "machine")]
    ignore_machine_transition: Vec<String>,
    /// a line each on a terminal, too
    #[argh(switch)]
    lines: bool,
    /// end after so many lines
    #[argh(option, arg_name = "n")]
    count: Option<usize>,
}

impl Watch {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let since = self.since()?;
        let config = context::client_config(globals)?;
        let panes = !self.lines && self.count.is_none() && std::io::stdout().is_terminal() && !is_dumb();
        block_on(async {
            let client = context::connect(config).await?;
            match panes {
                true => screen::show(&self, &client, since).await?,
                false => {
                    waiting(&client);
                    let mut left = self.count.unwrap_or(usize::MAX);
                    follow(&client, since, |data, at| {
                        if left > 0
                            && let Some(line) = self.line(data)
                        {
                            outln!("[{}] {}", clock(at), clean(&line, false));
                            left -= 1;
                        }
                        left > 0
                    })
                    .await?;
                }
            }
            client.session().close().await;
            Ok(ExitCode::SUCCESS)
        })?
    }

    /// Since when history is wanted.
    fn since(&self) -> anyhow::Result<Option<Timestamp>> {
        let Some(text) = &self.history else { return Ok(None) };
        let time = parse_duration(text).ok().filter(|time| !time.is_zero());
        let time = time.with_context(|| format!("--history {text} is no length of time such as 30m"))?;
        if time > LONGEST {
            bail!("--history {text} is too long, 1h is the most");
        }
        Ok(Some(Timestamp::now() - jiff::SignedDuration::try_from(time)?))
    }

    /// Whether it is of a node and a check that are looked at.
    fn concerns(&self, data: &Map<String, Value>) -> bool {
        let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
        let has =
            |name: &str, part: &Option<String>| part.as_deref().is_none_or(|part| text(name).contains(part));
        has("identity", &self.identity) && has("machine", &self.check)
    }

    fn line(&self, data: &Map<String, Value>) -> Option<String> {
        let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
        if !self.concerns(data) {
            return None;
        }
        if event::kind(data)? == "transition" {
            let ignored = self.ignore_machine_transition.iter().any(|machine| machine == text("machine"));
            let quiet = self.no_ok && text("to_state") == "OK";
            return if ignored || quiet { None } else { event::line(data) };
        }
        if self.no_ok && text("status") == "OK" {
            return None;
        }
        let mut line = event::line(data)?;
        if !self.perf
            && let Some((words, _)) = line.split_once('|')
        {
            line = words.trim_end().to_owned();
        }
        Some(line)
    }
}

/// Hands over events with the moment they are of, until that says it is enough: those that are stored since then,
/// or those that come.
async fn follow(
    client: &Client,
    since: Option<Timestamp>,
    mut each: impl FnMut(&Map<String, Value>, Timestamp) -> bool,
) -> anyhow::Result<()> {
    let Some(since) = since else {
        let subjects = [event::TRANSITIONS.to_owned(), CHECKS.to_owned()];
        return events(client, &subjects, |data| each(data, Timestamp::now())).await;
    };
    let streams = client.streams();
    if streams.info(STORED).await.context("--history")?.is_none() {
        bail!("--history: the broker has no stream {STORED}");
    }
    let begin = async |subject| Watching::begin(&streams, STORED, subject, Start::Since(since), false).await;
    // nothing of one is given up because the other one was faster
    let each_of = |watching: Watching| {
        Box::pin(futures::stream::unfold(watching, |mut watching| async {
            let heard = watching.next().await;
            Some((heard, watching))
        }))
    };
    let (moves, checks) = (begin(event::TRANSITIONS).await?, begin(CHECKS).await?);
    let mut all = futures::stream::select(each_of(moves), each_of(checks));
    loop {
        let heard = tokio::select! {
            heard = all.next() => heard,
            _ = tokio::signal::ctrl_c() => None,
        };
        let Some(heard) = heard else { return Ok(()) };
        let Heard::Stored(stored) = heard? else { continue };
        if let Some(data) = event::data(&stored.payload)
            && !each(&data, stored.created)
        {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_wanted_is_not_shown() {
        let watch = |words: &[&str]| Watch::from_args(&["watch"], words).unwrap();
        let check = json!({
            "protocol": "io.choria.machine.watcher.nagios.v1.state", "identity": "n1", "type": "nagios",
            "machine": "load", "name": "check", "status": "OK", "output": "OK: fine|load=1",
        });
        let moved = json!({
            "protocol": "io.choria.machine.v1.transition", "identity": "n1", "machine": "load", "transition": "OK",
            "from_state": "UNKNOWN", "to_state": "OK",
        });
        let line = |words: &[&str], data: &Value| watch(words).line(data.as_object().unwrap());
        assert_eq!(line(&[], &check).as_deref(), Some("n1 load#check OK: OK: fine"));
        assert_eq!(line(&["--perf"], &check).as_deref(), Some("n1 load#check OK: OK: fine|load=1"));
        assert_eq!(line(&["--no-ok"], &check), None);
        assert_eq!(line(&["--check", "disk"], &check), None);
        assert_eq!(line(&["--identity", "n2"], &check), None);
        assert_eq!(line(&[], &moved).as_deref(), Some("n1 load transitioned via event OK: UNKNOWN => OK"));
        assert_eq!(line(&["--ignore-machine-transition", "load"], &moved), None);
    }

    #[test]
    fn history_is_an_hour_at_most() {
        let of = |text: &str| Watch::from_args(&["watch"], &["--history", text]).unwrap().since();
        assert!(of("1h").unwrap().is_some());
        assert!(of("2h").unwrap_err().to_string().contains("1h is the most"));
        assert!(of("x").unwrap_err().to_string().contains("no length of time"));
    }
}
