//! `choria election info`: who leads.

use std::process::ExitCode;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use choria::core::streams::bucket::Change;
use choria::core::streams::election::BUCKET;
use choria::core::streams::{Bucket, Operation, Start};
use regex::Regex;
use serde_json::{Value, json};

use super::with_bucket;
use crate::cmd::Globals;
use crate::cmd::out::{out, outln};
use crate::cmd::render::table;
use crate::cmd::render::text::clean;
use crate::cmd::streams::{show, spoken};

/// show elections and who leads them
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "info")]
pub struct Info {
    /// bucket of the elections, default CHORIA_LEADER_ELECTION
    #[argh(option, arg_name = "bucket", default = "BUCKET.to_owned()")]
    bucket: String,
    /// as JSON
    #[argh(switch, short = 'j')]
    json: bool,
    /// only elections whose name it matches
    #[argh(positional)]
    regex: Option<String>,
}

impl Info {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let wanted = self.regex.as_deref().map(Regex::new).transpose()?;
        with_bucket(globals, &self.bucket, async |_, bucket| {
            let mut changes = bucket.changes(">", Start::Last, false).await?;
            let mut led = vec![];
            while let Change::Entry(entry) = changes.next().await? {
                let is_wanted = wanted.as_ref().is_none_or(|wanted| wanted.is_match(&entry.key));
                if entry.operation == Operation::Put && is_wanted {
                    led.push((entry.key, String::from_utf8_lossy(&entry.value).into_owned()));
                }
            }
            led.sort_unstable();
            let warnings = warnings(bucket);
            if self.json {
                let elections: Vec<Value> =
                    led.iter().map(|(name, leader)| json!({"election": name, "leader": leader})).collect();
                show(&json!({
                    "bucket": bucket.name(), "ttl": bucket.config().ttl.as_secs(), "replicas": bucket.config().replicas,
                    "warnings": warnings, "elections": elections,
                }));
                return Ok(());
            }
            warnings.iter().for_each(|warning| outln!("WARNING: {warning}"));
            outln!("Election bucket {}", bucket.name());
            outln!("\n     A leader is forgotten after: {}", spoken(bucket.config().ttl));
            outln!("                          Copies: {}", bucket.config().replicas);
            outln!("                       Elections: {}\n", led.len());
            if !led.is_empty() {
                let rows: Vec<Vec<String>> = led
                    .iter()
                    .map(|(name, leader)| {
                        vec![clean(name, false).into_owned(), clean(leader, false).into_owned()]
                    })
                    .collect();
                out!("{}", table::render(&["Election", "Leader"].map(str::to_owned), &rows));
            }
            Ok(())
        })
    }
}

/// What makes a bucket a bad one for elections.
fn warnings(bucket: &Bucket) -> Vec<String> {
    let config = bucket.config();
    let mut warnings = vec![];
    let range = Duration::from_secs(1)..=Duration::from_secs(3600);
    if !range.contains(&config.ttl) {
        warnings.push(format!(
            "values live {}, elections need between 1s and 1h: nobody can be elected",
            match config.ttl.is_zero() {
                true => "for ever".to_owned(),
                false => spoken(config.ttl),
            }
        ));
    } else if config.ttl < Duration::from_secs(5) {
        warnings.push(format!("values live {}, a short disturbance ends a leader", spoken(config.ttl)));
    }
    if config.history != 1 {
        warnings.push(format!("{} values of each key are kept, one is enough", config.history));
    }
    warnings
}
