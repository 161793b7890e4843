//! `choria broker account`: what the broker lets this caller do.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::streams::Streams;
use serde_json::Value;

use crate::cmd::Globals;
use crate::cmd::out::outln;
use crate::cmd::render::text::clean;
use crate::cmd::streams::{Reached, show};

/// who one is to the broker
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "account")]
pub struct Account {
    #[argh(subcommand)]
    command: AccountCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum AccountCommand {
    Info(Info),
}

/// show who one is to the broker, what one may publish and what one may hear
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "info")]
struct Info {
    /// as JSON
    #[argh(switch, short = 'j')]
    json: bool,
}

/// What a broker is asked.
const SUBJECT: &str = "$SYS.REQ.USER.INFO";

impl Account {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let AccountCommand::Info(info) = self.command;
        crate::cmd::context::block_on(async {
            let reached = Reached::new(globals).await?;
            let asked = asked(&reached.streams).await;
            let server = reached.client.session().connected_server().unwrap_or_default();
            reached.close().await;
            let answer = asked?;
            match info.json {
                true => show(&answer),
                false => describe(&server, &answer),
            }
            Ok(ExitCode::SUCCESS)
        })?
    }
}

async fn asked(streams: &Streams) -> anyhow::Result<Value> {
    let answer = streams.within(Duration::from_secs(5)).ask_anybody(SUBJECT).await?;
    let answer: Value = serde_json::from_slice(&answer).context("the broker answers something else")?;
    if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
        bail!("the broker refuses: {}", error["description"].as_str().unwrap_or_default());
    }
    Ok(answer["data"].clone())
}

fn describe(server: &str, data: &Value) {
    let word = |value: &Value| value.as_str().filter(|text| !text.is_empty()).unwrap_or("(none)").to_owned();
    outln!(" Broker: {}", clean(server, false));
    outln!("   User: {}", clean(&word(&data["user"]), false));
    outln!("Account: {}", clean(&word(&data["account"]), false));
    for (key, what) in [("publish", "May publish"), ("subscribe", "May hear")] {
        let of = &data["permissions"][key];
        outln!("\n{what}:");
        let list = |list: &Value, sign: &str| {
            let subjects = list.as_array().map_or(&[][..], Vec::as_slice);
            for subject in subjects.iter().filter_map(Value::as_str) {
                outln!("  {sign}{}", clean(subject, false));
            }
        };
        match of.get("allow") {
            None | Some(Value::Null) => outln!("  everything"),
            Some(allowed) => list(allowed, ""),
        }
        list(&of["deny"], "not ");
    }
}
