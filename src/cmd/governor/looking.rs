//! `choria governor list` and `view`: what there is, and who is in.

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use choria::core::streams::Governor;
use serde_json::{Value, json};

use super::{all, there, with_governor, with_streams};
use crate::cmd::Globals;
use crate::cmd::out::{out, outln};
use crate::cmd::render::table;
use crate::cmd::render::text::clean;
use crate::cmd::streams::{age, show, spoken};

/// list governors
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list")]
pub struct List {
    /// as JSON
    #[argh(switch, short = 'j')]
    json: bool,
}

impl List {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        with_streams(globals, async |reached| {
            let governors = all(&reached.streams, &reached.collective(None)?).await?;
            if self.json {
                let all: Vec<Value> = governors
                    .iter()
                    .map(|(governor, config, info)| {
                        let mut document = super::api::described(governor.name(), config);
                        document["active"] = info["state"]["messages"].clone();
                        document
                    })
                    .collect();
                show(&all.into());
                return Ok(());
            }
            if governors.is_empty() {
                outln!("There are no governors");
                return Ok(());
            }
            let rows: Vec<Vec<String>> = governors
                .iter()
                .map(|(governor, config, info)| {
                    vec![
                        governor.name().to_owned(),
                        config.capacity.to_string(),
                        spoken(config.expire),
                        config.replicas.to_string(),
                        info["state"]["messages"].to_string(),
                    ]
                })
                .collect();
            let header = ["Governor", "Capacity", "Expires", "Replicas", "Active"].map(str::to_owned);
            out!("{}", table::render(&header, &rows));
            Ok(())
        })
    }
}

/// show a governor and who holds its slots
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "view")]
pub struct View {
    /// as JSON
    #[argh(switch, short = 'j')]
    json: bool,
    /// name of the governor
    #[argh(positional)]
    name: String,
}

impl View {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        with_governor(globals, &self.name, async |governor, config, _| {
            if !self.json {
                return view(governor).await;
            }
            let mut document = super::api::described(governor.name(), &config);
            let holders = governor.holders().await?;
            let leases: Vec<Value> = holders
                .iter()
                .map(|holder| {
                    json!({"id": holder.slot, "name": holder.name, "since": holder.since.to_string()})
                })
                .collect();
            document["leases"] = leases.into();
            show(&document);
            Ok(())
        })
    }
}

/// A governor for people.
pub async fn view(governor: &Governor) -> anyhow::Result<()> {
    let (config, _) = there(governor).await?;
    let holders = governor.holders().await?;
    outln!("Configuration for Governor {}\n", governor.name());
    for (what, is) in [
        ("Capacity", config.capacity.to_string()),
        ("Expires", spoken(config.expire)),
        ("Replicas", config.replicas.to_string()),
        ("Active Leases", holders.len().to_string()),
    ] {
        outln!("{what:>15}: {is}");
    }
    if !holders.is_empty() {
        let rows: Vec<Vec<String>> = holders
            .iter()
            .map(|holder| {
                vec![holder.slot.to_string(), clean(&holder.name, false).into_owned(), age(holder.since)]
            })
            .collect();
        outln!();
        out!("{}", table::render(&["ID", "Process Name", "Age"].map(str::to_owned), &rows));
    }
    Ok(())
}
