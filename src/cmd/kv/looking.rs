//! `choria kv history`, `keys`, `list` and `status`: what there is.

use std::process::ExitCode;

use anyhow::bail;
use argh::{ArgsInfo, FromArgs};
use choria::core::streams::bucket::{Change, check_key};
use choria::core::streams::{Bucket, Operation, Start};
use choria::core::text::byte_size;
use serde_json::Value;

use super::{document, readable, with_bucket, with_streams};
use crate::cmd::Globals;
use crate::cmd::out::{out, outln};
use crate::cmd::render::table;
use crate::cmd::render::text::clean;
use crate::cmd::streams::{clock, show, spoken};

/// Characters of a value in a table.
const SHOWN: usize = 80;

/// show what was done with a key
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "history")]
pub struct History {
    /// as JSON
    #[argh(switch, short = 'j')]
    json: bool,
    /// name of the bucket
    #[argh(positional)]
    bucket: String,
    /// key
    #[argh(positional)]
    key: String,
}

impl History {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        check_key(&self.key)?;
        with_bucket(globals, &self.bucket, async |bucket| {
            let mut changes = bucket.changes(&self.key, Start::Oldest, false).await?;
            let mut entries = vec![];
            while let Change::Entry(entry) = changes.next().await? {
                entries.push(entry);
            }
            if entries.is_empty() {
                bail!("bucket {} has no key {}", self.bucket, self.key);
            }
            if self.json {
                let all: Vec<Value> = entries.iter().map(|entry| document(bucket.name(), entry)).collect();
                show(&all.into());
                return Ok(());
            }
            let rows: Vec<Vec<String>> = entries
                .iter()
                .map(|entry| {
                    vec![
                        entry.revision.to_string(),
                        entry.operation.as_str().to_owned(),
                        clock(entry.created),
                        entry.value.len().to_string(),
                        readable(&entry.value).chars().take(SHOWN).collect(),
                    ]
                })
                .collect();
            out!(
                "{}",
                table::render(&["Seq", "Operation", "Time", "Length", "Value"].map(str::to_owned), &rows)
            );
            Ok(())
        })
    }
}

/// list the keys of a bucket that have a value
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "keys")]
pub struct Keys {
    /// as JSON
    #[argh(switch, short = 'j')]
    json: bool,
    /// name of the bucket
    #[argh(positional)]
    bucket: String,
}

impl Keys {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        with_bucket(globals, &self.bucket, async |bucket| {
            let mut changes = bucket.changes(">", Start::Last, true).await?;
            let mut keys = vec![];
            while let Change::Entry(entry) = changes.next().await? {
                if entry.operation == Operation::Put {
                    keys.push(entry.key);
                }
            }
            keys.sort_unstable();
            match self.json {
                true => show(&keys.into()),
                false => keys.iter().for_each(|key| outln!("{}", clean(key, false))),
            }
            Ok(())
        })
    }
}

/// list buckets
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list")]
pub struct List {
    /// as JSON
    #[argh(switch, short = 'j')]
    json: bool,
}

impl List {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        with_streams(globals, async |streams| {
            let mut buckets = vec![];
            for name in Bucket::names(streams).await? {
                // somebody may remove one meanwhile
                buckets.extend(Bucket::find(streams, &name).await?);
            }
            if self.json {
                let all: Vec<Value> = buckets.iter().map(status).collect();
                show(&all.into());
                return Ok(());
            }
            if buckets.is_empty() {
                outln!("There are no buckets");
                return Ok(());
            }
            let rows: Vec<Vec<String>> = buckets
                .iter()
                .map(|bucket| {
                    let state = &bucket.info()["state"];
                    vec![
                        bucket.name().to_owned(),
                        bucket.config().history.to_string(),
                        state["messages"].to_string(),
                        spoken(bucket.config().ttl),
                        bucket.config().replicas.to_string(),
                        byte_size(state["bytes"].as_f64().unwrap_or(0.0)),
                    ]
                })
                .collect();
            let header = ["Bucket", "History", "Values", "Expires", "Replicas", "Size"].map(str::to_owned);
            out!("{}", table::render(&header, &rows));
            Ok(())
        })
    }
}

/// show how a bucket is kept, and what is in it
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "status")]
pub struct Status {
    /// as JSON
    #[argh(switch, short = 'j')]
    json: bool,
    /// name of the bucket
    #[argh(positional)]
    bucket: String,
}

impl Status {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        with_bucket(globals, &self.bucket, async |bucket| {
            match self.json {
                true => show(&status(bucket)),
                false => describe(bucket),
            }
            Ok(())
        })
    }
}

/// A bucket for programs: what the `api` says of it, and what is in it.
fn status(bucket: &Bucket) -> Value {
    let mut document = super::api::described(bucket);
    let state = &bucket.info()["state"];
    document["direct"] = bucket.config().direct.into();
    document["values"] = state["messages"].clone();
    document["bytes"] = state["bytes"].clone();
    document["last_revision"] = state["last_seq"].clone();
    document
}

/// A bucket for people.
pub fn describe(bucket: &Bucket) {
    let (config, state) = (bucket.config(), &bucket.info()["state"]);
    let limit = |n: i64| if n > 0 { byte_size(n as f64) } else { "any".to_owned() };
    let lines = [
        ("Bucket", bucket.name().to_owned()),
        ("Values of a key", config.history.to_string()),
        ("Values", state["messages"].to_string()),
        ("Size", byte_size(state["bytes"].as_f64().unwrap_or(0.0))),
        ("Last revision", state["last_seq"].to_string()),
        ("Values expire", spoken(config.ttl)),
        ("Largest value", limit(config.max_value_size)),
        ("Largest size", limit(config.max_bucket_size)),
        ("Copies", config.replicas.to_string()),
        ("Any copy answers", if config.direct { "yes" } else { "no" }.to_owned()),
        ("Led by", led_by(bucket.info())),
    ];
    for (what, is) in lines {
        outln!("{what:>17}: {}", clean(&is, false));
    }
}

fn led_by(info: &Value) -> String {
    info["cluster"]["leader"].as_str().unwrap_or("the one there is").to_owned()
}
