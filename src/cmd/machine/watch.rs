//! `choria machine watch`: events of machines as they happen.

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use choria::core::client::Client;
use choria::core::machine::event;
use serde_json::{Map, Value};

use crate::cmd::Globals;
use crate::cmd::context::{self, block_on};
use crate::cmd::out::{errln, outln};
use crate::cmd::render::text::clean;

/// watch transitions and watchers of machines until interrupted
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "watch")]
pub struct Watch {
    /// show transitions; neither or both of these two show both
    #[argh(switch)]
    transitions: bool,
    /// show what watchers say
    #[argh(switch)]
    watchers: bool,
    /// show watchers of this type only, such as exec; may be given several times
    #[argh(option, long = "type", arg_name = "type")]
    kinds: Vec<String>,
    /// show nodes only that have this in their name
    #[argh(option, arg_name = "text")]
    identity: Option<String>,
    /// show machines only that have this in their name
    #[argh(option, arg_name = "text")]
    machine: Option<String>,
    /// end after so many events
    #[argh(option, arg_name = "n")]
    count: Option<usize>,
}

impl Watch {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let config = context::client_config(globals)?;
        let both = self.transitions == self.watchers;
        let mut subjects = Vec::new();
        if both || self.transitions {
            subjects.push(event::TRANSITIONS.to_owned());
        }
        if both || self.watchers {
            match self.kinds.as_slice() {
                [] => subjects.push("choria.machine.watcher.*.state".to_owned()),
                kinds => {
                    subjects.extend(kinds.iter().map(|kind| format!("choria.machine.watcher.{kind}.state")))
                }
            }
        }
        block_on(async {
            let client = context::connect(config).await?;
            let mut left = self.count.unwrap_or(usize::MAX);
            let wanted = |data: &Map<String, Value>| {
                let has = |name: &str, part: &Option<String>| {
                    let text = data.get(name).and_then(Value::as_str).unwrap_or_default();
                    part.as_deref().is_none_or(|part| text.contains(part))
                };
                has("identity", &self.identity) && has("machine", &self.machine)
            };
            waiting(&client);
            events(&client, &subjects, |data| {
                if left > 0 && wanted(data) {
                    outln!("[{}] {}", now(), clean(&event::line(data).unwrap_or_default(), false));
                    left -= 1;
                }
                left > 0
            })
            .await?;
            client.session().close().await;
            Ok(ExitCode::SUCCESS)
        })?
    }
}

/// The time of day here.
pub fn now() -> String {
    clock(jiff::Timestamp::now())
}

/// The time of day here at a moment.
pub fn clock(at: jiff::Timestamp) -> String {
    at.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string()
}

/// Says for what is waited, and where.
pub fn waiting(client: &Client) {
    let broker = client.session().connected_server().unwrap_or_default();
    errln!("Waiting for events of machines on {broker}");
}

/// Hands over the data of events on these subjects, until that is enough or interrupted.
pub async fn events(
    client: &Client,
    subjects: &[String],
    mut enough: impl FnMut(&Map<String, Value>) -> bool,
) -> anyhow::Result<()> {
    let mut all = Vec::with_capacity(subjects.len());
    for subject in subjects {
        all.push(client.listen(subject, 1024).await);
    }
    loop {
        let next = futures::future::select_all(all.iter_mut().map(|events| Box::pin(events.next())));
        let message = tokio::select! {
            (message, ..) = next => message?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        let Some(message) = message else { return Ok(()) };
        match event::data(&message.payload) {
            Some(data) => {
                if !enough(&data) {
                    return Ok(());
                }
            }
            None => tracing::debug!("ignored a message on {} that is no event of a machine", message.subject),
        }
    }
}
