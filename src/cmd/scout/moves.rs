//! `choria scout trigger`, `maintenance` and `resume`: checks of many nodes, moved.

use std::process::ExitCode;

use choria::core::client::RpcReply;
use choria::core::rpc::StatusCode;
use serde_json::{Map, Value, json};

use super::document;

use crate::cmd::Globals;
use crate::cmd::apps::everybody;
use crate::cmd::ask::ask;
use crate::cmd::context::{self, block_on};
use crate::cmd::exit::Exit;
use crate::cmd::fleet::{Selection, fleet_command};
use crate::cmd::out::{errln, out, outln};
use crate::cmd::render::table;
use crate::cmd::render::text::{clean, counted, escaped};

fleet_command! {
    /// run checks of nodes at once
    #[argh(subcommand, name = "trigger")]
    pub struct Trigger {
        /// only checks of this name; may be given several times, default all
        #[argh(option, arg_name = "name")]
        check: Vec<String>,
        /// show JSON
        #[argh(switch, short = 'j')]
        json: bool,
        /// show every node
        #[argh(switch, short = 'v')]
        verbose: bool,
    }
}

fleet_command! {
    /// keep checks of nodes from running, and from alerting anybody
    #[argh(subcommand, name = "maintenance")]
    pub struct Maintenance {
        /// only checks of this name; may be given several times, default all
        #[argh(option, arg_name = "name")]
        check: Vec<String>,
        /// where no filter is given, on every node, without asking
        #[argh(switch, short = 'y')]
        yes: bool,
        /// show JSON
        #[argh(switch, short = 'j')]
        json: bool,
        /// show every node
        #[argh(switch, short = 'v')]
        verbose: bool,
    }
}

fleet_command! {
    /// let checks of nodes run again that were kept from it
    #[argh(subcommand, name = "resume")]
    pub struct Resume {
        /// only checks of this name; may be given several times, default all
        #[argh(option, arg_name = "name")]
        check: Vec<String>,
        /// where no filter is given, on every node, without asking
        #[argh(switch, short = 'y')]
        yes: bool,
        /// show JSON
        #[argh(switch, short = 'j')]
        json: bool,
        /// show every node
        #[argh(switch, short = 'v')]
        verbose: bool,
    }
}

impl Trigger {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let done = |checks: String, nodes: String| format!("Triggered {checks} on {nodes}");
        Move { action: "trigger", column: "Triggered", done: &done, verbose: self.verbose, json: self.json }
            .run(globals, self.selection(), &self.check)
    }
}

impl Maintenance {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let done =
            |checks: String, nodes: String| format!("Placed {checks} into maintenance mode on {nodes}");
        let mut selection = self.selection();
        everybody(&mut selection, self.yes, "keep checks from running", "choria scout maintenance")?;
        Move {
            action: "maintenance",
            column: "Maintenance",
            done: &done,
            verbose: self.verbose,
            json: self.json,
        }
        .run(globals, selection, &self.check)
    }
}

impl Resume {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let done =
            |checks: String, nodes: String| format!("Placed {checks} into normal check mode on {nodes}");
        let mut selection = self.selection();
        everybody(&mut selection, self.yes, "let checks run again", "choria scout resume")?;
        Move { action: "resume", column: "Resumed", done: &done, verbose: self.verbose, json: self.json }.run(
            globals,
            selection,
            &self.check,
        )
    }
}

struct Move<'a> {
    action: &'a str,
    column: &'a str,
    done: &'a dyn Fn(String, String) -> String,
    verbose: bool,
    json: bool,
}

impl Move<'_> {
    fn run(self, globals: &Globals, selection: Selection, checks: &[String]) -> anyhow::Result<ExitCode> {
        selection.filter()?;
        let config = context::client_config(globals)?;
        let mut data = Map::new();
        if !checks.is_empty() {
            data.insert("checks".to_owned(), json!(checks));
        }
        block_on(async {
            let client = context::connect(config).await?;
            let collective = client.collective(selection.target.as_deref())?;
            let found = selection.discover(&client, Some("scout")).await?;
            let mut asked = ask(&client, "scout", self.action, data, collective.clone(), found).await?;
            asked.report(&client, &collective);
            client.session().close().await;
            asked.replies.sort_by(|a, b| a.sender.cmp(&b.sender));
            if asked.replies.is_empty() {
                errln!("choria: no responses received");
            } else {
                self.show(&asked.replies)?;
            }
            let well = asked.replies.iter().all(|reply| reply.body.statuscode == StatusCode::Ok);
            Ok(asked.code(Exit::new(globals, false), well))
        })?
    }

    fn show(&self, replies: &[RpcReply]) -> anyhow::Result<()> {
        if self.json {
            outln!("{}", escaped(&serde_json::to_string_pretty(&document(self.action, replies))?));
            return Ok(());
        }
        let bad =
            |reply: &&RpcReply| reply.body.statuscode != StatusCode::Ok || !names(reply, "failed").is_empty();
        let shown: Vec<&RpcReply> = replies.iter().filter(|reply| self.verbose || bad(reply)).collect();
        if !shown.is_empty() {
            let row = |reply: &&RpcReply| {
                let list = |name| names(reply, name).join(", ");
                let message =
                    if reply.body.statuscode == StatusCode::Ok { "" } else { &reply.body.statusmsg };
                vec![
                    reply.sender.clone(),
                    list("transitioned"),
                    list("skipped"),
                    list("failed"),
                    clean(message, false).into_owned(),
                ]
            };
            let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
            let head = ["Name", self.column, "Skipped", "Failed", "Message"].map(str::to_owned);
            out!("{}", table::render(&head, &rows));
        }
        let moved: usize = replies.iter().map(|reply| names(reply, "transitioned").len()).sum();
        let done = replies.iter().filter(|reply| reply.body.statuscode == StatusCode::Ok).count();
        let rest = match replies.len() - done {
            0 => String::new(),
            rest => format!(", {} did not do it", counted(rest as u64, "node")),
        };
        outln!("{}{rest}", (self.done)(counted(moved as u64, "check"), counted(done as u64, "node")));
        Ok(())
    }
}

/// Names of checks in a reply.
fn names(reply: &RpcReply, list: &str) -> Vec<String> {
    let all = reply.body.data.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
