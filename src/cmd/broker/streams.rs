//! `choria broker streams` and `broker doctor`: what the network keeps, and how that is.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::nats::subject::valid_pattern;
use choria::core::protocol::subjects::is_token;
use choria::core::streams::Streams;
use choria::core::streams::health::{Weight, look};
use choria::core::text::byte_size;
use serde_json::{Value, json};

use crate::cmd::Globals;
use crate::cmd::out::{out, outln};
use crate::cmd::render::table;
use crate::cmd::render::text::clean;
use crate::cmd::streams::{Reached, show, spoken, time};

/// list streams, or show or make one
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "streams")]
pub struct ListStreams {
    /// as JSON
    #[argh(switch, short = 'j')]
    json: bool,
    /// make the stream: it keeps what is published to this subject, default none is made; may be given several times
    #[argh(option, arg_name = "subject")]
    add: Vec<String>,
    /// with --add, how long messages are kept, such as 1h or 30d, default for ever
    #[argh(option, arg_name = "time")]
    max_age: Option<String>,
    /// with --add, copies in a cluster, 1 to 5, default 1
    #[argh(option, arg_name = "number", default = "1")]
    replicas: i64,
    /// name of a stream
    #[argh(positional)]
    stream: Option<String>,
}

/// look for what is wrong with streams: 1 where something is
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "doctor")]
pub struct Doctor {
    /// as JSON
    #[argh(switch, short = 'j')]
    json: bool,
}

/// What is known of all streams.
async fn all(streams: &Streams) -> anyhow::Result<Vec<Value>> {
    let mut names = streams.names(None).await?;
    names.sort_unstable();
    let mut infos = vec![];
    for name in names {
        // somebody may remove one meanwhile
        infos.extend(streams.info(&name).await?);
    }
    Ok(infos)
}

fn connected<T>(
    globals: &Globals,
    work: impl AsyncFnOnce(&Streams) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    crate::cmd::context::block_on(async {
        let reached = Reached::new(globals).await?;
        let done = work(&reached.streams).await;
        reached.close().await;
        done
    })?
}

impl ListStreams {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if self.add.is_empty() && (self.max_age.is_some() || self.replicas != 1) {
            bail!("--max-age and --replicas are of a stream that is made, by --add SUBJECT");
        }
        connected(globals, async |streams| {
            if !self.add.is_empty() {
                let made = streams.create(self.new_name()?, &self.configuration()?).await?;
                match self.json {
                    true => show(&made),
                    false => describe(&made),
                }
                return Ok(());
            }
            let Some(name) = &self.stream else {
                let infos = all(streams).await?;
                match self.json {
                    true => show(&infos.into()),
                    false => list(&infos),
                }
                return Ok(());
            };
            let info = streams.info(name).await?.with_context(|| format!("there is no stream {name}"))?;
            match self.json {
                true => show(&info),
                false => describe(&info),
            }
            Ok(())
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl ListStreams {
    fn new_name(&self) -> anyhow::Result<&str> {
        let name = self.stream.as_deref().context("--add makes a stream, which needs a name")?;
        if !is_token(name) {
            bail!(
                "'{name}' is no name of a stream: it is one part of a subject, without dots, spaces and wildcards"
            );
        }
        Ok(name)
    }

    /// What is asked for: what is full or old makes room, as events do.
    fn configuration(&self) -> anyhow::Result<Value> {
        if let Some(wrong) = self.add.iter().find(|subject| !valid_pattern(subject)) {
            bail!("--add '{wrong}' is no subject");
        }
        if !(1..=5).contains(&self.replicas) {
            bail!("--replicas {} is not between 1 and 5", self.replicas);
        }
        let age = self.max_age.as_deref().map_or(Ok(Duration::ZERO), |text| time("--max-age", text))?;
        Ok(json!({
            "name": self.new_name()?, "subjects": self.add, "retention": "limits", "storage": "file",
            "discard": "old", "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_msg_size": -1,
            "max_age": u64::try_from(age.as_nanos()).unwrap_or(0), "num_replicas": self.replicas,
            "allow_direct": true,
        }))
    }
}

fn age(info: &Value) -> String {
    spoken(std::time::Duration::from_nanos(info["config"]["max_age"].as_u64().unwrap_or(0)))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn size(info: &Value) -> String {
    byte_size(info["state"]["bytes"].as_f64().unwrap_or(0.0))
}

fn subjects(info: &Value) -> String {
    let subjects = info["config"]["subjects"].as_array().map_or(&[][..], Vec::as_slice);
    subjects.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn list(infos: &[Value]) {
    if infos.is_empty() {
        outln!("There are no streams");
        return;
    }
    let rows: Vec<Vec<String>> = infos
        .iter()
        .map(|info| {
            vec![
                text(&info["config"]["name"]),
                subjects(info),
                text(&info["state"]["messages"]),
                size(info),
                age(info),
                text(&info["config"]["num_replicas"]),
            ]
        })
        .collect();
    let header = ["Stream", "Subjects", "Messages", "Size", "Expires", "Replicas"].map(str::to_owned);
    out!("{}", table::render(&header, &rows));
}

fn describe(info: &Value) {
    let (config, state) = (&info["config"], &info["state"]);
    let replicas = info["cluster"]["replicas"].as_array().map_or(&[][..], Vec::as_slice);
    let copies: Vec<String> = replicas
        .iter()
        .map(|other| {
            let how = match (other["offline"] == true, other["current"] == true) {
                (true, _) => "not reached",
                (false, true) => "current",
                (false, false) => "behind",
            };
            format!("{} ({how})", text(&other["name"]))
        })
        .collect();
    let end = |number: &Value, at: &Value| match state["messages"] == 0 {
        true => "none".to_owned(),
        false => format!("{} at {}", text(number), text(at)),
    };
    let lines = [
        ("Stream", text(&config["name"])),
        ("Subjects", subjects(info)),
        ("Messages", text(&state["messages"])),
        ("Size", size(info)),
        ("First", end(&state["first_seq"], &state["first_ts"])),
        ("Last", end(&state["last_seq"], &state["last_ts"])),
        ("Expires", age(info)),
        ("When full", if config["discard"] == "new" { "refuses" } else { "drops the oldest" }.to_owned()),
        ("Listeners", text(&state["consumer_count"])),
        ("Replicas", text(&config["num_replicas"])),
        ("Led by", info["cluster"]["leader"].as_str().unwrap_or("the one there is").to_owned()),
        ("Copies", if copies.is_empty() { "none".to_owned() } else { copies.join(", ") }),
    ];
    for (what, is) in lines {
        outln!("{what:>10}: {}", clean(&is, false));
    }
}

impl Doctor {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let found = connected(globals, async |streams| {
            let account = streams.api("INFO", &Value::Null).await?;
            Ok(look(&account, &all(streams).await?))
        })?;
        let word = |weight| match weight {
            Weight::Fine => "OK",
            Weight::Warning => "WARNING",
            Weight::Broken => "CRITICAL",
        };
        if self.json {
            let all: Vec<Value> = found
                .iter()
                .map(|one| json!({"status": word(one.weight), "stream": one.stream, "message": one.text}))
                .collect();
            show(&all.into());
        } else {
            for one in &found {
                let of = if one.stream.is_empty() { "network" } else { &one.stream };
                outln!("{:8} {}: {}", word(one.weight), clean(of, false), clean(&one.text, false));
            }
        }
        match found.iter().all(|one| one.weight == Weight::Fine) {
            true => Ok(ExitCode::SUCCESS),
            false => Ok(ExitCode::FAILURE),
        }
    }
}
