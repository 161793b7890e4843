//! `choria facts`: how the fleet is spread over the values of a fact.

use std::collections::BTreeMap;
use std::process::ExitCode;

use choria::core::client::RpcReply;
use choria::core::rpc::StatusCode;
use choria::core::text::column;
use serde_json::{Map, Value, json};

use super::Globals;
use super::ask::{Answers, ask};
use super::context::{self, block_on};
use super::exit::Exit;
use super::fleet::fleet_command;
use super::out::{errln, out, outln};
use super::render::failures::Failures;
use super::render::footer::{counts, footer};
use super::render::table;
use super::render::text::{clean, coloured, escaped};

fleet_command! {
    /// report the values of a fact and how many nodes have each
    #[argh(subcommand, name = "facts")]
    pub struct Facts {
        /// show a table
        #[argh(switch, short = 't')]
        table: bool,
        /// show JSON
        #[argh(switch, short = 'j')]
        json: bool,
        /// show the nodes and statistics
        #[argh(switch, short = 'v')]
        verbose: bool,
        /// show the nodes of each value
        #[argh(switch, short = 'n')]
        show_nodes: bool,
        /// most frequent first
        #[argh(switch, short = 'r')]
        reverse: bool,
        /// exit codes of the original
        #[argh(switch)]
        compat_exit: bool,
        /// fact, a path such as os.release.major
        #[argh(positional)]
        fact: String,
    }
}

impl Facts {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let selection = self.selection();
        selection.filter()?;
        let config = context::client_config(globals)?;
        let colour = coloured(config.color);
        block_on(async {
            let client = context::connect(config).await?;
            let found = selection.discover(&client, Some("rpcutil")).await?;
            let collective = client.collective(selection.target.as_deref())?;
            let data = Map::from_iter([("fact".to_owned(), json!(self.fact))]);
            let asked = ask(&client, "rpcutil", "get_fact", data, collective.clone(), found).await?;
            asked.report(&client, &collective);
            let Answers { replies: answers, stats, interrupted, .. } = asked;
            client.session().close().await;
            let values = self.tally(&answers);
            if self.json {
                let entry = |(value, nodes): &(String, Vec<String>)| {
                    (value.clone(), json!({"count": nodes.len(), "identities": nodes}))
                };
                let document: BTreeMap<String, Value> = values.iter().map(entry).collect();
                outln!("{}", escaped(&serde_json::to_string_pretty(&document)?));
            } else if self.table {
                let row =
                    |(value, nodes): &(String, Vec<String>)| vec![value.clone(), nodes.len().to_string()];
                let rows: Vec<Vec<String>> = values.iter().map(row).collect();
                out!("{}", table::render(&["Fact".to_owned(), "Matches".to_owned()], &rows));
            } else {
                self.report(&values);
                out!("\n{}", footer(&stats, interrupted, self.verbose, colour));
            }
            let mut failures = Failures::default();
            answers.iter().for_each(|answer| failures.add(answer));
            failures.tell();
            if (self.json || self.table)
                && let Some(counts) = counts(&stats, interrupted)
            {
                errln!("choria: {counts}");
            }
            Ok(Exit::new(globals, self.compat_exit).of(&stats, interrupted, true))
        })?
    }

    /// Values with their nodes, rarest first; equal counts by value.
    fn tally(&self, answers: &[RpcReply]) -> Vec<(String, Vec<String>)> {
        let mut nodes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for answer in answers.iter().filter(|a| a.body.statuscode == StatusCode::Ok) {
            let value = match answer.body.data.get("value") {
                None | Some(Value::Null) => "nil".to_owned(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
            nodes.entry(value).or_default().push(answer.sender.clone());
        }
        let mut values: Vec<(String, Vec<String>)> = nodes.into_iter().collect();
        values.iter_mut().for_each(|(_, nodes)| nodes.sort());
        values.sort_by_key(|(_, nodes)| nodes.len());
        if self.reverse {
            values.reverse();
        }
        values
    }

    fn report(&self, values: &[(String, Vec<String>)]) {
        outln!("Report for fact: {}\n", clean(&self.fact, false));
        let width = column(values.iter().map(|(v, _)| v.chars().count()));
        for (value, nodes) in values {
            outln!("  {:<width$} found {} times", clean(value, false), nodes.len());
            if self.show_nodes || self.verbose {
                outln!();
                nodes.iter().for_each(|node| outln!("    {}", clean(node, false)));
                outln!();
            }
        }
    }
}
