//! `choria inventory`: all that one node tells about itself, or the
//! collectives of the fleet.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use choria::core::client::Client;
use choria::core::discovery::Discovered;
use choria::core::rpc::StatusCode;
use serde_json::{Map, Value};

use super::Globals;
use super::ask::{Answers, ask};
use super::context::{self, block_on};
use super::exit::INTERRUPTED;
use super::fleet::fleet_command;
use super::out::{errln, out, outln};
use super::render::text::{clean, escaped};
use super::render::{columns, table};

fleet_command! {
    /// show what a node tells about itself
    #[argh(subcommand, name = "inventory")]
    pub struct Inventory {
        /// leave the facts out
        #[argh(switch)]
        no_facts: bool,
        /// report the collectives of the fleet instead
        #[argh(switch)]
        collectives: bool,
        /// show JSON
        #[argh(switch, short = 'j')]
        json: bool,
        /// node
        #[argh(positional)]
        identity: Option<String>,
    }
}

impl Inventory {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let selection = self.selection();
        selection.filter()?;
        if self.identity.is_none() && !self.collectives {
            bail!("please specify a node to retrieve inventory for, or --collectives");
        }
        let config = context::client_config(globals)?;
        block_on(async {
            let client = context::connect(config).await?;
            let collective = client.collective(selection.target.as_deref())?;
            let whole = match &self.identity {
                Some(node) if !self.collectives => self.node(&client, collective, node).await?,
                _ => {
                    let found = selection.discover(&client, Some("rpcutil")).await?;
                    self.collectives(&client, collective, found).await?
                }
            };
            client.session().close().await;
            Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(INTERRUPTED) })
        })?
    }

    /// False when a person did not wait for the answers.
    async fn node(&self, client: &Client, collective: String, node: &str) -> anyhow::Result<bool> {
        // Both questions travel at the same time.
        let one = || Discovered::known(vec![node.to_owned()], Duration::ZERO);
        let (inventory, stats) = tokio::join!(
            ask(client, "rpcutil", "inventory", Map::new(), collective.clone(), one()),
            ask(client, "rpcutil", "daemon_stats", Map::new(), collective.clone(), one()),
        );
        let (inventory, stats) = (inventory?, stats?);
        // What keeps it from answering one question keeps it from both.
        let silent = if inventory.replies.is_empty() { &inventory } else { &stats };
        silent.report(client, &collective);
        let (inventory, stats) =
            (only_answer(inventory, "inventory", node), only_answer(stats, "daemon_stats", node));
        let (Some(inventory), Some(stats)) = (inventory?, stats?) else {
            errln!("interrupted before {} answered", clean(node, false));
            return Ok(false);
        };
        if self.json {
            let document = serde_json::json!({"identity": node, "inventory": inventory, "stats": stats});
            outln!("{}", escaped(&serde_json::to_string_pretty(&document)?));
            return Ok(true);
        }
        out!("{}", page(node, &inventory, &stats, !self.no_facts));
        Ok(true)
    }

    /// Reports those that answered; false when a person did not wait for all.
    async fn collectives(
        &self,
        client: &Client,
        collective: String,
        found: Discovered,
    ) -> anyhow::Result<bool> {
        let nodes = found.nodes.len();
        let asked = ask(client, "rpcutil", "collective_info", Map::new(), collective.clone(), found).await?;
        asked.report(client, &collective);
        let Answers { replies: answers, interrupted, .. } = asked;
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for answer in &answers {
            for name in list(answer.body.data.get("collectives")) {
                *counts.entry(name).or_default() += 1;
            }
        }
        if self.json {
            outln!("{}", escaped(&serde_json::to_string_pretty(&counts)?));
            return Ok(!interrupted);
        }
        let mut rows: Vec<(String, usize)> = counts.into_iter().collect();
        rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let rows: Vec<Vec<String>> = rows.into_iter().map(|(n, c)| vec![n, c.to_string()]).collect();
        match interrupted {
            false => outln!("Collective Report for {nodes} nodes\n"),
            true => outln!("Collective Report for {} of {nodes} nodes, interrupted\n", answers.len()),
        }
        out!("{}", table::render(&["Collective".to_owned(), "Nodes".to_owned()], &rows));
        Ok(!interrupted)
    }
}

/// What this node says; `None` when a person did not wait for it.
fn only_answer(answers: Answers, action: &str, name: &str) -> anyhow::Result<Option<Map<String, Value>>> {
    if answers.interrupted && answers.replies.is_empty() {
        return Ok(None);
    }
    let answer = answers.replies.into_iter().next().with_context(|| {
        format!(
            "no inventory received: {name} did not answer rpcutil#{action}; it may be down, unknown, or refuse \
             this caller's certificate"
        )
    })?;
    if answer.body.statuscode != StatusCode::Ok {
        bail!("{name} did not answer rpcutil#{action}: {}", clean(&answer.body.statusmsg, false));
    }
    Ok(Some(answer.body.data))
}

fn list(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn page(node: &str, inventory: &Map<String, Value>, stats: &Map<String, Value>, facts: bool) -> String {
    let text = |map: &Map<String, Value>, key: &str| match map.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => clean(text, false).into_owned(),
        // JSON leaves some of what drives a terminal as it is.
        Some(other) => clean(&other.to_string(), false).into_owned(),
    };
    let mut version = text(inventory, "version");
    if inventory.get("upgradable").and_then(Value::as_bool).unwrap_or(false) {
        version.push_str(" (upgradable during provisioning)");
    }
    let started = stats.get("starttime").and_then(Value::as_i64).unwrap_or_default();
    let started = jiff::Timestamp::from_second(started).unwrap_or_default();
    let mut out = format!("Inventory for {}:\n\n  Choria Server Statistics:\n\n", clean(node, false));
    for (label, value) in [
        ("Version", version),
        ("Start Time", started.strftime("%Y-%m-%dT%H:%M:%S+0000").to_string()),
        ("Config File", text(stats, "configfile")),
        ("Collectives", clean(&list(inventory.get("collectives")).join(", "), false).into_owned()),
        ("Main Collective", text(inventory, "main_collective")),
        ("Process ID", text(stats, "pid")),
        ("Total Messages", text(stats, "total")),
        ("Messages Passed Filters", text(stats, "passed")),
        ("Messages Filtered", text(stats, "filtered")),
        ("Expired Messages", text(stats, "ttlexpired")),
        ("Replies Sent", text(stats, "replies")),
        ("Events Published", text(stats, "events")),
    ] {
        out.push_str(&format!("{label:>27}: {value}\n"));
    }
    out.push_str("\n  Agents:\n\n");
    out.push_str(&columns::down(&list(inventory.get("agents")), 3, 4));
    let classes = list(inventory.get("classes"));
    if !classes.is_empty() {
        out.push_str("\n  Tagged Classes:\n\n");
        out.push_str(&columns::down(&classes, 2, 4));
    }
    let machines = inventory.get("machines").and_then(Value::as_array).filter(|m| !m.is_empty());
    if let Some(machines) = machines {
        out.push_str("\n  Autonomous Agents:\n\n");
        for machine in machines.iter().filter_map(Value::as_object) {
            let [name, version, state] = ["name", "version", "state"].map(|key| text(machine, key));
            out.push_str(&format!("    {name} {version} {state}\n"));
        }
    }
    if facts {
        let mut facts = inventory.get("facts").cloned().unwrap_or_default();
        facts.sort_all_objects();
        let pretty = serde_json::to_string_pretty(&facts).unwrap_or_default();
        out.push_str("\n  Facts:\n\n");
        pretty.lines().for_each(|line| out.push_str(&format!("    {}\n", clean(line, false))));
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_type_drives_no_terminal() {
        let told = |value: Value| Map::from_iter([("version".to_owned(), value)]);
        let inventory = told(serde_json::json!(["\u{9b}2J\u{202e}"]));
        let page = page("n1", &inventory, &Map::new(), true);
        assert!(!page.contains(['\u{9b}', '\u{202e}']), "{page:?}");
    }
}
