//! `choria kv`: buckets of the network's streams.

mod add;
mod api;
mod backup;
mod looking;
mod values;
mod watch;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use choria::core::streams::bucket::{check_bucket, check_key};
use choria::core::streams::{Bucket, Entry, StreamError, Streams};
use serde_json::{Value, json};

use super::Globals;
use super::out::outln;
use super::render::text::clean;
use super::streams::{self, Reached, sure};

/// keep values by key, in buckets of the network's streams
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "kv")]
pub struct Kv {
    #[argh(subcommand)]
    command: KvCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum KvCommand {
    Add(add::Add),
    Api(api::Api),
    Backup(backup::Backup),
    Create(values::Create),
    Del(Del),
    Get(values::Get),
    History(looking::History),
    Keys(looking::Keys),
    List(looking::List),
    Purge(values::Purge),
    Put(values::Put),
    Restore(backup::Restore),
    Status(looking::Status),
    Update(values::Update),
    Watch(watch::Watch),
}

impl Kv {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        match self.command {
            KvCommand::Add(c) => c.run(globals),
            KvCommand::Api(c) => c.run(globals),
            KvCommand::Backup(c) => c.run(globals),
            KvCommand::Create(c) => c.run(globals),
            KvCommand::Del(c) => c.run(globals),
            KvCommand::Get(c) => c.run(globals),
            KvCommand::History(c) => c.run(globals),
            KvCommand::Keys(c) => c.run(globals),
            KvCommand::List(c) => c.run(globals),
            KvCommand::Purge(c) => c.run(globals),
            KvCommand::Put(c) => c.run(globals),
            KvCommand::Restore(c) => c.run(globals),
            KvCommand::Status(c) => c.run(globals),
            KvCommand::Update(c) => c.run(globals),
            KvCommand::Watch(c) => c.run(globals),
        }
    }
}

/// remove a key, whose past stays to be seen; or a bucket with all that is in it
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "del")]
struct Del {
    /// do not ask
    #[argh(switch, short = 'f')]
    force: bool,
    /// name of the bucket
    #[argh(positional)]
    bucket: String,
    /// key; without one the bucket is removed
    #[argh(positional)]
    key: Option<String>,
}

impl Del {
    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let Some(key) = &self.key else {
            check_bucket(&self.bucket)?;
            sure(self.force, &format!("remove bucket {} with all that is in it", self.bucket))?;
            return with_streams(globals, async |streams| {
                match Bucket::remove(streams, &self.bucket).await? {
                    true => Ok(()),
                    false => bail!("there is no bucket {}", self.bucket),
                }
            });
        };
        check_key(key)?;
        sure(self.force, &format!("remove key {key} of bucket {}", self.bucket))?;
        with_bucket(globals, &self.bucket, async |bucket| match bucket.get(key).await? {
            None => bail!("bucket {} has no key {key}", self.bucket),
            Some(_) => Ok(bucket.delete(key).await.map(drop)?),
        })
    }
}

/// Connected, with the streams.
fn with_streams<T: Ends>(
    globals: &Globals,
    work: impl AsyncFnOnce(&Streams) -> anyhow::Result<T>,
) -> anyhow::Result<ExitCode> {
    super::context::block_on(async {
        let reached = Reached::new(globals).await?;
        let done = work(&reached.streams).await;
        reached.close().await;
        Ok(done?.code())
    })?
}

/// Connected, with a bucket that is there.
pub fn with_bucket<T: Ends>(
    globals: &Globals,
    name: &str,
    work: impl AsyncFnOnce(&Bucket) -> anyhow::Result<T>,
) -> anyhow::Result<ExitCode> {
    check_bucket(name)?;
    with_streams(globals, async |streams| {
        let bucket = Bucket::find(streams, name).await?;
        work(&bucket.with_context(|| format!("there is no bucket {name}; choria kv add {name} makes it"))?)
            .await
    })
}

/// What a command ends with.
pub trait Ends {
    fn code(self) -> ExitCode;
}

impl Ends for () {
    fn code(self) -> ExitCode {
        ExitCode::SUCCESS
    }
}

impl Ends for ExitCode {
    fn code(self) -> ExitCode {
        self
    }
}

/// Why a change was not made, for people.
fn explained(error: StreamError, key: &str) -> anyhow::Error {
    match error.is_conflict() {
        true => anyhow::anyhow!("key {key} has changed since, or is there already: {error}"),
        false => error.into(),
    }
}

/// A value as it can be shown: text as it is, all else as base64.
pub fn readable(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if !text.contains(|c: char| c.is_control() && !"\n\r\t".contains(c)) => {
            clean(text, true).into_owned()
        }
        _ => STANDARD.encode(value),
    }
}

/// An entry for programs; what is no text is base64 under another name.
fn document(bucket: &str, entry: &Entry) -> Value {
    let mut document = json!({
        "bucket": bucket, "key": entry.key, "revision": entry.revision, "created": entry.created.to_string(),
        "operation": entry.operation.as_str(),
    });
    match std::str::from_utf8(&entry.value) {
        Ok(text) => document["value"] = text.into(),
        Err(_) => document["value_base64"] = STANDARD.encode(&entry.value).into(),
    }
    document
}

/// Says what was stored.
fn stored(revision: u64) {
    outln!("{revision}");
}
