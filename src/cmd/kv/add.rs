//! `choria kv add`: makes a bucket.

use std::process::ExitCode;

use anyhow::bail;
use argh::{ArgsInfo, FromArgs};
use choria::core::streams::bucket::{MOST_HISTORY, check_bucket};
use choria::core::streams::{Bucket, BucketConfig};

use super::{looking, streams, with_streams};
use crate::cmd::Globals;

/// make a bucket; needs a privileged certificate where they go by name
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "add")]
pub struct Add {
    /// values that are kept of each key, 1 to 64, default 5
    #[argh(option, arg_name = "n", default = "5")]
    history: i64,
    /// how long a value lives, default for ever
    #[argh(option, arg_name = "duration")]
    ttl: Option<String>,
    /// copies, default 1
    #[argh(option, arg_name = "n", default = "1")]
    replicas: i64,
    /// largest value in bytes, default 10240; 0 for any
    #[argh(option, arg_name = "bytes", default = "10240")]
    max_value_size: i64,
    /// bytes of the whole bucket, default any
    #[argh(option, arg_name = "bytes", default = "0")]
    max_bucket_size: i64,
    /// any machine that has a copy answers, which is the default
    #[argh(switch)]
    direct: bool,
    /// only the machine that leads the bucket answers
    #[argh(switch)]
    no_direct: bool,
    /// name of the bucket
    #[argh(positional)]
    bucket: String,
}

impl Add {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        check_bucket(&self.bucket)?;
        let config = BucketConfig {
            history: self.history,
            ttl: self.ttl.as_deref().map_or(Ok(Default::default()), |text| streams::time("--ttl", text))?,
            replicas: self.replicas,
            max_value_size: self.max_value_size,
            max_bucket_size: self.max_bucket_size,
            direct: self.direct || !self.no_direct,
        };
        check(&config)?;
        with_streams(globals, async |streams| {
            if Bucket::find(streams, &self.bucket).await?.is_some() {
                bail!("there is a bucket {} already, choria kv status {} shows it", self.bucket, self.bucket);
            }
            Bucket::create(streams, &self.bucket, &config).await?;
            if let Some(bucket) = Bucket::find(streams, &self.bucket).await? {
                looking::describe(&bucket);
            }
            Ok(())
        })
    }
}

/// What no bucket can be.
pub fn check(config: &BucketConfig) -> anyhow::Result<()> {
    if !(1..=MOST_HISTORY).contains(&config.history) {
        bail!("--history {} is not between 1 and {MOST_HISTORY}", config.history);
    }
    if !(1..=5).contains(&config.replicas) {
        bail!("--replicas {} is not between 1 and 5", config.replicas);
    }
    Ok(())
}
