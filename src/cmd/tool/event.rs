//! `choria tool event`: lifecycle events as they happen.

use std::process::ExitCode;

use anyhow::Context as _;
use argh::{ArgsInfo, FromArgs};
use choria::core::lifecycle::{Event, EventType};

use super::super::out::{errln, outln};
use crate::cmd::Globals;
use crate::cmd::context::{self, block_on};
use crate::cmd::render::text::{clean, escaped};

/// watch lifecycle events until interrupted
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "event")]
pub struct EventTool {
    /// only of this component, such as server
    #[argh(option, arg_name = "name")]
    component: Option<String>,
    /// only of this type: alive, governor, provisioned, shutdown, startup, upgraded
    #[argh(option, long = "type", arg_name = "type")]
    kind: Option<String>,
    /// end after so many events
    #[argh(option, arg_name = "n")]
    count: Option<usize>,
    /// show the events as JSON lines
    #[argh(switch, short = 'j')]
    json: bool,
}

impl EventTool {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let kind = match self.kind.as_deref() {
            None => None,
            Some(word) => Some(EventType::parse(word).with_context(|| {
                let all: Vec<&str> = EventType::ALL.iter().map(|t| t.as_str()).collect();
                format!("--type must be one of {}, got '{word}'", all.join(", "))
            })?),
        };
        let config = context::client_config(globals)?;
        block_on(async {
            let client = context::connect(config).await?;
            let subject = "choria.lifecycle.event.>";
            let mut events = client.listen(subject, 1024).await;
            let broker = client.session().connected_server().unwrap_or_default();
            errln!("Waiting for events from topic {subject} on {broker}");
            let mut left = self.count.unwrap_or(usize::MAX);
            while left > 0 {
                let message = tokio::select! {
                    message = events.next() => message?,
                    _ = tokio::signal::ctrl_c() => None,
                };
                let Some(message) = message else { break };
                let event = match Event::decode(&message.payload) {
                    Ok(event) => event,
                    Err(e) => {
                        tracing::warn!("ignored a message on {}: {e}", message.subject);
                        continue;
                    }
                };
                let wanted =
                    |value: &str, filter: &Option<String>| filter.as_deref().is_none_or(|f| f == value);
                if kind.is_some() && event.kind() != kind || !wanted(&event.component, &self.component) {
                    continue;
                }
                if self.json {
                    outln!("{}", escaped(&event.encode(true)));
                } else {
                    outln!("{}", line(&event));
                }
                left -= 1;
            }
            client.session().close().await;
            Ok(ExitCode::SUCCESS)
        })?
    }
}

fn line(event: &Event) -> String {
    let time = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S");
    let kind = event.kind().map_or("unknown", EventType::as_str);
    let mut text =
        format!("{time} [{kind}] {}: {}", clean(&event.identity, false), clean(&event.component, false));
    if let Some(version) = &event.version {
        text.push_str(&format!(" version {}", clean(version, false)));
    }
    if let Some(version) = &event.new_version {
        text.push_str(&format!(" to {}", clean(version, false)));
    }
    if let Some(governor) = &event.governor {
        let (governor, slot) = (clean(governor, false), event.sequence.unwrap_or(0));
        let what = match event.event_type.as_deref() {
            Some("enter") => format!("obtained slot {slot} on {governor}"),
            Some("exit") => format!("vacated slot {slot} on {governor}"),
            Some("timeouts") => format!("failed to obtain a slot on {governor}"),
            Some("eviction") => format!("evicted from slot {slot} on {governor}"),
            other => format!("{} {governor}", clean(other.unwrap_or_default(), false)),
        };
        text.push_str(&format!(" {what}"));
    }
    text
}
