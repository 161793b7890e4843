//! `choria kv watch`: changes as they are made.

use std::process::ExitCode;

use anyhow::bail;
use argh::{ArgsInfo, FromArgs};
use choria::core::streams::Start;
use choria::core::streams::bucket::{Change, check_key};
use tokio::time::Instant;

use super::{document, readable, with_bucket};
use crate::cmd::Globals;
use crate::cmd::out::outln;
use crate::cmd::render::text::{clean, escaped};
use crate::cmd::streams::{clock, time};

/// show values as they are now and whenever they change, until interrupted
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "watch")]
pub struct Watch {
    /// end with the first one
    #[argh(switch)]
    once: bool,
    /// end after so long, default never; with --once it is an error to have seen nothing by then
    #[argh(option, arg_name = "duration")]
    timeout: Option<String>,
    /// as JSON lines
    #[argh(switch, short = 'j')]
    json: bool,
    /// name of the bucket
    #[argh(positional)]
    bucket: String,
    /// key; without one all keys are watched
    #[argh(positional)]
    key: Option<String>,
}

impl Watch {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let limit = self.timeout.as_deref().map(|text| time("--timeout", text)).transpose()?;
        let pattern = match &self.key {
            None => ">",
            Some(key) => {
                check_key(key)?;
                key
            }
        };
        with_bucket(globals, &self.bucket, async |bucket| {
            let until = limit.map(|limit| Instant::now() + limit);
            let mut changes = bucket.changes(pattern, Start::Last, false).await?;
            loop {
                let over = async {
                    match until {
                        Some(until) => tokio::time::sleep_until(until).await,
                        None => std::future::pending().await,
                    }
                };
                let change = tokio::select! {
                    change = changes.next() => change?,
                    () = over => match self.once {
                        true => bail!("nothing was set within {}", self.timeout.unwrap_or_default()),
                        false => return Ok(()),
                    },
                    _ = tokio::signal::ctrl_c() => return Ok(()),
                };
                let Change::Entry(entry) = change else { continue };
                match self.json {
                    true => outln!("{}", escaped(&document(bucket.name(), &entry).to_string())),
                    false => outln!(
                        "[{}] {} {}.{}: {}",
                        clock(entry.created),
                        entry.operation.as_str(),
                        bucket.name(),
                        clean(&entry.key, false),
                        readable(&entry.value)
                    ),
                }
                if self.once {
                    return Ok(());
                }
            }
        })
    }
}
