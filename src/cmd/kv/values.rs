//! `choria kv get`, `put`, `create`, `update` and `purge`: one key.

use std::io::{Read, Write};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use bytes::Bytes;
use choria::core::streams::bucket::check_key;

use super::{document, explained, readable, stored, with_bucket};
use crate::cmd::Globals;
use crate::cmd::out::{Stdout, outln};
use crate::cmd::render::terminal;
use crate::cmd::streams::{show, sure};

/// Largest value that is read from standard input.
const MOST: u64 = 64 << 20;

/// show the value of a key
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "get")]
pub struct Get {
    /// the value alone, as it is
    #[argh(switch)]
    raw: bool,
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

impl Get {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        check_key(&self.key)?;
        with_bucket(globals, &self.bucket, async |bucket| {
            let entry = bucket.get(&self.key).await?;
            let entry = entry.with_context(|| format!("bucket {} has no key {}", self.bucket, self.key))?;
            if self.raw {
                return Ok(Stdout.write_all(&entry.value)?);
            }
            if self.json {
                show(&document(bucket.name(), &entry));
                return Ok(());
            }
            let zone = jiff::tz::TimeZone::system();
            let created = entry.created.to_zoned(zone).strftime("%d %b %y %H:%M %Z").to_string();
            outln!("{} > {} sequence {} created @ {created}\n", bucket.name(), entry.key, entry.revision);
            let value = readable(&entry.value);
            match terminal::width().filter(|_| value.lines().count() <= 1) {
                Some(width) => outln!("{}", value.chars().take(width).collect::<String>()),
                None => outln!("{value}"),
            }
            Ok(())
        })
    }
}

/// A value as it is given; - is what standard input says.
fn value(text: &str) -> anyhow::Result<Bytes> {
    if text != "-" {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    }
    let mut read = vec![];
    std::io::stdin().take(MOST + 1).read_to_end(&mut read).context("standard input")?;
    if read.len() as u64 > MOST {
        bail!("standard input has more than {MOST} bytes");
    }
    Ok(read.into())
}

/// set the value of a key; prints its revision
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "put")]
pub struct Put {
    /// name of the bucket
    #[argh(positional)]
    bucket: String,
    /// key
    #[argh(positional)]
    key: String,
    /// value, - for standard input
    #[argh(positional)]
    value: String,
}

impl Put {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        check_key(&self.key)?;
        let value = value(&self.value)?;
        with_bucket(globals, &self.bucket, async |bucket| {
            stored(bucket.put(&self.key, value).await?);
            Ok(())
        })
    }
}

/// set the value of a key that has none; prints its revision
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "create")]
pub struct Create {
    /// name of the bucket
    #[argh(positional)]
    bucket: String,
    /// key
    #[argh(positional)]
    key: String,
    /// value, - for standard input
    #[argh(positional)]
    value: String,
}

impl Create {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        check_key(&self.key)?;
        let value = value(&self.value)?;
        with_bucket(globals, &self.bucket, async |bucket| {
            stored(bucket.create_key(&self.key, value).await.map_err(|e| explained(e, &self.key))?);
            Ok(())
        })
    }
}

/// set the value of a key if nobody has since; prints its revision
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "update")]
pub struct Update {
    /// name of the bucket
    #[argh(positional)]
    bucket: String,
    /// key
    #[argh(positional)]
    key: String,
    /// value, - for standard input
    #[argh(positional)]
    value: String,
    /// revision that the value has to have now
    #[argh(positional)]
    revision: u64,
}

impl Update {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        check_key(&self.key)?;
        let value = value(&self.value)?;
        with_bucket(globals, &self.bucket, async |bucket| {
            let updated = bucket.update(&self.key, value, self.revision).await;
            stored(updated.map_err(|e| explained(e, &self.key))?);
            Ok(())
        })
    }
}

/// remove a key and its past
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "purge")]
pub struct Purge {
    /// do not ask
    #[argh(switch, short = 'f')]
    force: bool,
    /// name of the bucket
    #[argh(positional)]
    bucket: String,
    /// key
    #[argh(positional)]
    key: String,
}

impl Purge {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        check_key(&self.key)?;
        sure(self.force, &format!("remove key {} of bucket {} and its past", self.key, self.bucket))?;
        with_bucket(globals, &self.bucket, async |bucket| Ok(bucket.purge(&self.key).await.map(drop)?))
    }
}
