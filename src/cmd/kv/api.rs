//! `choria kv api`: what the type `choria_kv_bucket` of Puppet reads and has done.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::streams::bucket::check_bucket;
use choria::core::streams::{Bucket, BucketConfig, Streams};
use serde_json::{Value, json};

use super::add;
use crate::cmd::Globals;
use crate::cmd::streams::{Reached, api};

/// look after buckets, for programs: one line of JSON
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "api")]
pub struct Api {
    /// say whether this works
    #[argh(switch)]
    check: bool,
    /// list buckets
    #[argh(switch)]
    list: bool,
    /// have a bucket as it is described
    #[argh(switch)]
    ensure: bool,
    /// remove a bucket
    #[argh(switch)]
    delete: bool,
    /// name of the bucket
    #[argh(option, arg_name = "bucket")]
    name: Option<String>,
    /// values that are kept of each key, default 1
    #[argh(option, arg_name = "n", default = "1")]
    history: i64,
    /// seconds a value lives, default for ever
    #[argh(option, arg_name = "seconds", default = "0")]
    expire: u64,
    /// copies, default 1
    #[argh(option, arg_name = "n", default = "1")]
    replicas: i64,
    /// largest value in bytes, default any
    #[argh(option, arg_name = "bytes", default = "-1")]
    max_value_size: i64,
    /// bytes of the whole bucket, default any
    #[argh(option, arg_name = "bytes", default = "-1")]
    max_bucket_size: i64,
    /// make a bucket anew, and empty, where that is the only way
    #[argh(switch)]
    force: bool,
}

/// A bucket as Puppet knows it.
pub fn described(bucket: &Bucket) -> Value {
    let config = bucket.config();
    json!({
        "name": bucket.name(), "history": config.history, "expire": config.ttl.as_secs(),
        "replicas": config.replicas, "max_value_size": config.max_value_size,
        "max_bucket_size": config.max_bucket_size,
    })
}

impl Api {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        api(self.done(globals))
    }

    fn done(&self, globals: &Globals) -> anyhow::Result<Value> {
        match [self.check, self.list, self.ensure, self.delete].iter().filter(|is| **is).count() {
            1 => {}
            _ => bail!("one of --check, --list, --ensure and --delete has to be given"),
        }
        if self.check {
            return Ok(json!({"api": "ok"}));
        }
        if !self.list && self.name.is_none() {
            bail!("--name is required");
        }
        crate::cmd::context::block_on(async {
            let reached = Reached::as_machine(globals).await?;
            let done = self.asked(&reached.streams).await;
            reached.close().await;
            done
        })?
    }

    async fn asked(&self, streams: &Streams) -> anyhow::Result<Value> {
        if self.list {
            let mut all = vec![];
            for name in Bucket::names(streams).await? {
                all.extend(Bucket::find(streams, &name).await?.as_ref().map(described));
            }
            return Ok(all.into());
        }
        let name = self.name.as_deref().context("--name is required")?;
        check_bucket(name)?;
        if self.delete {
            Bucket::remove(streams, name).await?;
            return Ok(json!({"success": true}));
        }
        self.ensured(streams, name).await
    }

    async fn ensured(&self, streams: &Streams, name: &str) -> anyhow::Result<Value> {
        let wanted = BucketConfig {
            history: self.history,
            ttl: Duration::from_secs(self.expire),
            replicas: self.replicas,
            max_value_size: self.max_value_size,
            max_bucket_size: self.max_bucket_size,
            direct: true,
        };
        add::check(&wanted)?;
        match Bucket::find(streams, name).await? {
            Some(bucket) if bucket.config().replicas == wanted.replicas => bucket.change(&wanted).await?,
            Some(bucket) if !self.force => bail!(
                "bucket {name} has {} copies: it is only made anew with {}, and empty, by --force",
                bucket.config().replicas,
                wanted.replicas
            ),
            Some(_) => {
                Bucket::remove(streams, name).await?;
                Bucket::create(streams, name, &wanted).await?;
            }
            None => Bucket::create(streams, name, &wanted).await?,
        }
        let bucket = Bucket::find(streams, name).await?;
        bucket.as_ref().map(described).with_context(|| format!("bucket {name} is gone again"))
    }
}
