//! `choria kv backup` and `restore`: a whole bucket in a directory, as the `nats` tool has it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::files::{self, read_bounded};
use choria::core::streams::backup::{CONTENTS, DESCRIPTION, restore, save};
use choria::core::streams::bucket::check_bucket;
use choria::core::text::byte_size;
use serde_json::Value;
use tempfile::NamedTempFile;

use super::{with_bucket, with_streams};
use crate::cmd::Globals;
use crate::cmd::out::outln;

/// Bytes of a description.
const MOST_DESCRIPTION: u64 = 1 << 20;

/// write a whole bucket into a directory; needs a privileged certificate where they go by name
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "backup")]
pub struct Backup {
    /// name of the bucket
    #[argh(positional)]
    bucket: String,
    /// directory, which is made where it is missing
    #[argh(positional)]
    directory: PathBuf,
}

impl Backup {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        check_bucket(&self.bucket)?;
        let (contents, description) = (self.directory.join(CONTENTS), self.directory.join(DESCRIPTION));
        let shown = self.directory.display();
        if contents.exists() || description.exists() {
            bail!("{shown} has a backup already, which is not replaced");
        }
        let made = (!self.directory.exists()).then_some(&self.directory);
        std::fs::create_dir_all(&self.directory).with_context(|| shown.to_string())?;
        let done = with_bucket(globals, &self.bucket, async |bucket| {
            // nobody but the person: values may be secrets
            let temporary = NamedTempFile::new_in(&self.directory).with_context(|| shown.to_string())?;
            let mut file = tokio::fs::File::from_std(temporary.reopen()?);
            let (said, size) = save(bucket.streams(), &bucket.stream(), &mut file).await?;
            file.sync_all().await?;
            temporary.persist_noclobber(&contents).with_context(|| contents.display().to_string())?;
            files::write_atomic(&description, format!("{said:#}").as_bytes(), files::SECRET)?;
            outln!("Bucket {} is in {shown}: {}", self.bucket, byte_size(size as f64));
            Ok(())
        });
        if let (Err(_), Some(made)) = (&done, made) {
            // of what did not come to be nothing stays; where something is in it, it does
            let _ = std::fs::remove_dir(made);
        }
        done
    }
}

/// make a bucket again from a directory; needs a privileged certificate where they go by name
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "restore")]
pub struct Restore {
    /// directory
    #[argh(positional)]
    directory: PathBuf,
}

impl Restore {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let (contents, description) = (self.directory.join(CONTENTS), self.directory.join(DESCRIPTION));
        let said: Value = serde_json::from_slice(&read_bounded(&description, MOST_DESCRIPTION)?)
            .with_context(|| format!("{} is no description of a backup", description.display()))?;
        let stream = said["config"]["name"].as_str().unwrap_or_default();
        let Some(bucket) = stream.strip_prefix("KV_").map(str::to_owned) else {
            bail!("{} is of stream '{stream}', which is no bucket", description.display());
        };
        check_bucket(&bucket)?;
        with_streams(globals, async |streams| {
            if streams.info(stream).await?.is_some() {
                bail!("there is a bucket {bucket} already; remove it first, or keep it");
            }
            let file = tokio::fs::File::open(&contents).await;
            let mut file = file.with_context(|| contents.display().to_string())?;
            restore(streams, &said, &mut file).await?;
            outln!("Bucket {bucket} is as it was");
            Ok(())
        })
    }
}
