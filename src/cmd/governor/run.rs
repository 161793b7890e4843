//! `choria governor run`: runs a command in a slot.
//!
//! The slot is a lease: it ends by its time, or because somebody takes it away. Whoever runs on
//! then is one more than there may be, so the command is ended, unless it was asked to be let.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use argh::{ArgsInfo, FromArgs};
use choria::core::lifecycle::{Event, EventType};
use choria::core::streams::governor::check_name;
use choria::core::streams::{Governor, GovernorConfig, StreamError};
use tokio::time::Instant;

use super::there;
use crate::cmd::Globals;
use crate::cmd::out::errln;
use crate::cmd::streams::held::{GENTLY, Held, code, words};
use crate::cmd::streams::{Reached, time};

/// How often a slot is looked after, at most.
const LOOK: Duration = Duration::from_secs(5);
/// What this command calls itself in events.
const COMPONENT: &str = "CLI";
/// The least time between tries.
const LEAST: Duration = Duration::from_secs(1);

/// run a command in a slot of a governor, as soon as there is one; ends with the exit status of the command, and with 1
/// if there was no slot in time
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "run")]
pub struct Run {
    /// how long a slot is waited for, default 5m
    #[argh(option, arg_name = "duration", default = "String::from(\"5m\")")]
    max_wait: String,
    /// how often it is tried, at least 1s, default 5s
    #[argh(option, arg_name = "duration", default = "String::from(\"5s\")")]
    interval: String,
    /// so many in the time that slots live: keeps the slot when the command has ended, and no slot is no failure
    #[argh(switch)]
    max_per_period: bool,
    /// let the command go on when its slot expires or is taken away
    #[argh(switch)]
    let_finish: bool,
    /// name of the governor
    #[argh(positional)]
    name: String,
    /// command and its arguments; flags of this command stand before it
    #[argh(positional, greedy)]
    command: Vec<String>,
}

impl Run {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        check_name(&self.name)?;
        let words = words(&self.command)?;
        let limit = time("--max-wait", &self.max_wait)?;
        let interval = time("--interval", &self.interval)?;
        if interval < LEAST {
            bail!("--interval {} is less than {LEAST:?}", self.interval);
        }
        crate::cmd::context::block_on(async {
            let reached = Reached::as_machine(globals).await?;
            let governor = Governor::new(&reached.streams, &reached.collective(None)?, &self.name)?;
            let holder = reached.client.config().identity.clone();
            // what it is kept by says how long a slot lives
            let (config, _) = there(&governor).await?;
            let entered = Instant::now();
            let slot = governor.wait(&holder, limit, |_| interval).await;
            let slot = match slot.map_err(|error| lost(&self.name, error))? {
                Some(slot) => slot,
                None if self.max_per_period => {
                    // cron would tell somebody each time
                    tracing::info!(governor = self.name, "as many have run as may, nothing is run");
                    return Ok(ExitCode::SUCCESS);
                }
                None => {
                    self.tell(&reached, 0, "timeouts").await;
                    reached.close().await;
                    bail!("governor {} has no slot within {}", self.name, self.max_wait)
                }
            };
            tracing::info!(governor = self.name, slot, waited = ?entered.elapsed(), "a slot was taken");
            self.tell(&reached, slot, "enter").await;
            let done = self.held(&governor, &config, slot, &words).await;
            self.tell(&reached, slot, "exit").await;
            if !self.max_per_period
                && let Err(error) = governor.leave(slot).await
            {
                errln!("choria: slot {slot} of governor {} is not given back: {error}", self.name);
            }
            reached.close().await;
            done.map(ExitCode::from)
        })?
    }

    /// Tells whoever watches events.
    async fn tell(&self, reached: &Reached, slot: u64, what: &str) {
        let (id, now) = (uuid::Uuid::new_v4().to_string(), jiff::Timestamp::now().as_second());
        let config = reached.client.config();
        let mut event = Event::new(EventType::Governor, &config.identity, COMPONENT, id, now);
        event.governor = Some(self.name.clone());
        event.sequence = Some(slot);
        event.event_type = Some(what.to_owned());
        let text = event.encode(config.choria_legacy_lifecycle_format);
        if let Err(error) = reached.client.session().publish(event.subject(), text.into()).await {
            tracing::debug!("an event of a governor was not published: {error}");
        }
    }

    /// Runs the command while the slot is held.
    async fn held(
        &self,
        governor: &Governor,
        config: &GovernorConfig,
        slot: u64,
        words: &[String],
    ) -> anyhow::Result<u8> {
        let mut command = Held::start(words)?;
        let watched = !self.max_per_period && !self.let_finish;
        let why = tokio::select! {
            ended = command.ended() => return Ok(code(ended?)),
            why = watch(governor, config, slot), if watched => why,
        };
        errln!("choria: slot {slot} of governor {} {why}, the command is ended", self.name);
        command.end(&GENTLY).await?;
        Ok(1)
    }
}

/// Waits until a slot is no longer held, and says why.
async fn watch(governor: &Governor, config: &GovernorConfig, slot: u64) -> &'static str {
    // taken a moment ago at least, so this is never too late
    let until = (!config.expire.is_zero()).then(|| Instant::now() + config.expire);
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return "has expired";
        }
        tokio::time::sleep(left.map_or(LOOK, |left| left.min(LOOK))).await;
        match governor.holds(slot).await {
            Ok(true) => {}
            Ok(false) if until.is_some_and(|until| Instant::now() >= until) => return "has expired",
            Ok(false) => return "was taken away",
            // the lease goes on until somebody knows better, or it is over
            Err(error) => tracing::debug!("slot {slot} cannot be looked after: {error}"),
        }
    }
}

/// Why there is no slot.
fn lost(name: &str, error: StreamError) -> anyhow::Error {
    match error {
        StreamError::Nobody(_) => {
            anyhow::anyhow!("governor {name} does not take requests of this collective")
        }
        error => error.into(),
    }
}
