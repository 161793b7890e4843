//! What `kv`, `governor`, `election` and `broker streams` share: the way to the streams, questions, times.

pub mod held;

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use choria::core::client::{Client, ClientOptions};
use choria::core::config::{Config, Role, System, parse_duration};
use choria::core::log::{self, Destination};
use choria::core::protocol::subjects;
use choria::core::streams::Streams;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::Globals;
use super::context;
use super::out::{complain, outln};
use super::render::text::escaped;

/// How long may be done at the end what nobody waits for.
const SETTLED: Duration = Duration::from_secs(2);

/// Somebody connected, and the streams he asks.
pub struct Reached {
    pub client: Client,
    pub streams: Streams,
}

impl Reached {
    /// As the person who calls.
    pub async fn new(globals: &Globals) -> anyhow::Result<Reached> {
        let config = context::client_config(globals)?;
        let client = context::connect(config).await?;
        Ok(Reached::by(client, None))
    }

    /// As this machine, for root who names no configuration of his own: so do Puppet and cron jobs. As the person who
    /// calls otherwise.
    pub async fn as_machine(globals: &Globals) -> anyhow::Result<Reached> {
        let file = match &globals.config {
            None if rustix::process::geteuid().is_root() => server_file(),
            Some(file) if is_server(file) => Some(file.clone()),
            _ => None,
        };
        let Some(file) = file else { return Reached::new(globals).await };
        let config = Config::load(Role::Server, Some(&file), &System)?;
        log::init(Destination::Stderr, if globals.debug { "debug" } else { "warn" })?;
        let provider = context::provider(&config, Role::Server)?;
        let identity = config.identity.clone();
        let options = ClientOptions { workers: 1, first_failure: Some(Arc::new(|_| ())) };
        let client = Client::connect(Arc::new(config), &provider, &System, options).await?;
        Ok(Reached::by(client, Some(&identity)))
    }

    fn by(client: Client, node: Option<&str>) -> Reached {
        let collective = &client.config().main_collective;
        let inboxes = subjects::caller_inbox_prefix(collective, node.unwrap_or(client.caller()));
        let streams = Streams::new(client.session().clone(), &inboxes);
        Reached { client, streams }
    }

    /// The collective whose governors are meant.
    pub fn collective(&self, wanted: Option<&str>) -> anyhow::Result<String> {
        Ok(self.client.collective(wanted)?)
    }

    pub async fn close(&self) {
        self.streams.settled(SETTLED).await;
        self.client.session().close().await;
    }
}

fn server_file() -> Option<PathBuf> {
    Some(context::usual_file(Role::Server)).filter(|file| file.exists())
}

/// Whether a file is that of a node, by its name.
fn is_server(file: &std::path::Path) -> bool {
    file.file_name().is_some_and(|name| name == "server.conf")
}

/// Asks a person whether it is meant; refuses where there is nobody to ask.
pub fn sure(force: bool, deed: &str) -> anyhow::Result<()> {
    if force {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        bail!("{deed} needs -f where nobody can be asked");
    }
    complain(format_args!("Really {deed}? (y/n): "));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        true => Ok(()),
        false => bail!("nothing was done"),
    }
}

/// A length of time a person gave.
pub fn time(flag: &str, text: &str) -> anyhow::Result<Duration> {
    parse_duration(text).with_context(|| format!("{flag} {text}"))
}

/// A length of time as people say it.
pub fn spoken(time: Duration) -> String {
    if time.is_zero() {
        return "never".to_owned();
    }
    let seconds = time.as_secs();
    let parts = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut rest = seconds;
    let mut text = String::new();
    for (size, unit) in parts {
        if rest >= size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    if text.is_empty() { format!("{}ms", time.as_millis()) } else { text }
}

/// A time of the clock on the wall here.
pub fn clock(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// How long ago.
pub fn age(since: Timestamp) -> String {
    let seconds = Timestamp::now().duration_since(since).as_secs();
    spoken(Duration::from_secs(u64::try_from(seconds).unwrap_or(0).max(1)))
}

/// JSON for programs.
pub fn show(document: &Value) {
    outln!("{}", escaped(&format!("{document:#}")));
}

/// What the `api` commands say that Puppet reads: one line of JSON, and errors are one, too.
pub fn api(done: anyhow::Result<Value>) -> anyhow::Result<ExitCode> {
    match done {
        Ok(document) => {
            outln!("{document}");
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            outln!("{}", json!({"error": super::sentence(&error)}));
            Ok(ExitCode::FAILURE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spoken() {
        for (time, text) in [
            (Duration::ZERO, "never"),
            (Duration::from_millis(200), "200ms"),
            (Duration::from_secs(60), "1m"),
            (Duration::from_secs(90_061), "1d1h1m1s"),
        ] {
            assert_eq!(spoken(time), text);
        }
    }
}
