//! Commands of type `kv`: a value of a bucket of the network's streams.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use choria::core::builder::kinds::{Kv, KvAction};
use choria::core::streams::bucket::{Change, check_key};
use choria::core::streams::{Bucket, Entry, Start};
use serde_json::{Value, json};

use super::app::{Running, is_dry, would};
use crate::cmd::kv::{readable, with_bucket};
use crate::cmd::out::{Stdout, out, outln};
use crate::cmd::render::table;
use crate::cmd::render::text::{clean, escaped};
use crate::cmd::streams::clock;

/// Longest value in a table.
const WIDEST: usize = 40;

pub fn run(kv: &Kv, running: &Running<'_>) -> anyhow::Result<ExitCode> {
    let (bucket, key) = (running.render(&kv.bucket)?, running.render(&kv.key)?);
    let value = running.render(&kv.value)?;
    check_key(&key)?;
    if is_dry() {
        let deed = match kv.action {
            KvAction::Get => "show",
            KvAction::Put => "set",
            KvAction::Del => "remove",
            KvAction::History => "show what was done with",
        };
        return would(format_args!("{deed} key {key} of bucket {bucket}"));
    }
    let as_json = kv.json || running.run.is_set("json");
    with_bucket(running.globals, &bucket, async |bucket| match kv.action {
        KvAction::Put => {
            let revision = bucket.put(&key, value.into_bytes().into()).await?;
            outln!("Wrote revision {revision}");
            Ok(())
        }
        KvAction::Del => {
            bucket.delete(&key).await?;
            outln!("Deleted key {key}");
            Ok(())
        }
        KvAction::Get => {
            let entry = bucket.get(&key).await?;
            let entry = entry.with_context(|| format!("bucket {} has no key {key}", bucket.name()))?;
            shown(running, &entry, as_json)
        }
        KvAction::History => history(bucket, &key, as_json).await,
    })
}

/// An entry for programs.
fn document(entry: &Entry) -> Value {
    json!({
        "operation": entry.operation.as_str(), "revision": entry.revision, "value": readable(&entry.value),
        "created": entry.created.as_second(),
    })
}

fn shown(running: &Running<'_>, entry: &Entry, as_json: bool) -> anyhow::Result<()> {
    if running.run.command.transform.is_some() {
        let text = running.transformed(String::from_utf8_lossy(&entry.value).into_owned())?;
        // what others keep must not drive a terminal
        let text = clean(&text, true);
        out!("{text}{}", if text.ends_with('\n') { "" } else { "\n" });
    } else if as_json {
        outln!("{}", escaped(&format!("{:#}", document(entry))));
    } else if std::io::stdout().is_terminal() {
        outln!("{}", readable(&entry.value));
    } else {
        Stdout.write_all(&entry.value)?;
        Stdout.write_all(b"\n")?;
    }
    Ok(())
}

async fn history(bucket: &Bucket, key: &str, as_json: bool) -> anyhow::Result<()> {
    let mut changes = bucket.changes(key, Start::Oldest, false).await?;
    let mut entries = vec![];
    while let Change::Entry(entry) = changes.next().await? {
        entries.push(entry);
    }
    if entries.is_empty() {
        bail!("bucket {} has no key {key}", bucket.name());
    }
    if as_json {
        let all: Vec<Value> = entries.iter().map(document).collect();
        outln!("{}", escaped(&format!("{:#}", json!({bucket.name(): {key: all}}))));
        return Ok(());
    }
    let row = |entry: &Entry| {
        let value = readable(&entry.value);
        let letters: Vec<char> = value.chars().collect();
        let short = match letters.len() > WIDEST {
            true => {
                let part = |letters: &[char]| letters.iter().collect::<String>();
                format!("{}...{}", part(&letters[..15]), part(&letters[letters.len() - 15..]))
            }
            false => value,
        };
        vec![entry.revision.to_string(), entry.operation.as_str().to_owned(), clock(entry.created), short]
    };
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    out!("{}", table::render(&["Seq", "Operation", "Time", "Value"].map(str::to_owned), &rows));
    Ok(())
}
