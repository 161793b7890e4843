//! Machines of nodes: listed, shown, moved.

use std::process::ExitCode;

use choria::core::client::RpcReply;
use choria::core::rpc::StatusCode;
use serde_json::{Map, Value};

use crate::cmd::Globals;
use crate::cmd::apps::everybody;
use crate::cmd::ask::ask;
use crate::cmd::context::{self, block_on};
use crate::cmd::exit::Exit;
use crate::cmd::fleet::fleet_command;
use crate::cmd::out::{errln, out, outln};
use crate::cmd::render::table;
use crate::cmd::render::text::{clean, counted, escaped};
use crate::cmd::request::{Request, request_command};
use crate::cmd::trouble::is_denial;

fleet_command! {
    /// list the machines of nodes and their states
    #[argh(subcommand, name = "list")]
    pub struct List {
        /// show JSON
        #[argh(switch, short = 'j')]
        json: bool,
    }
}

impl List {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let selection = self.selection();
        selection.filter()?;
        let config = context::client_config(globals)?;
        block_on(async {
            let client = context::connect(config).await?;
            let collective = client.collective(selection.target.as_deref())?;
            let found = selection.discover(&client, Some("choria_util")).await?;
            let asked =
                ask(&client, "choria_util", "machine_states", Map::new(), collective.clone(), found).await?;
            asked.report(&client, &collective);
            client.session().close().await;
            // why a policy refuses is told already
            let failed =
                |reply: &&RpcReply| reply.body.statuscode != StatusCode::Ok && !is_denial(&reply.body);
            for reply in asked.replies.iter().filter(failed) {
                errln!("choria: {}: {}", clean(&reply.sender, false), clean(&reply.body.statusmsg, false));
            }
            let mut rows = Vec::new();
            for reply in asked.replies.iter().filter(|reply| reply.body.statuscode == StatusCode::Ok) {
                let states = reply.body.data.get("states").and_then(Value::as_object);
                for state in states.into_iter().flat_map(Map::values) {
                    let text =
                        |name: &str| state.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                    rows.push(vec![reply.sender.clone(), text("name"), text("version"), text("state")]);
                }
            }
            rows.sort();
            if self.json {
                let names = ["node", "name", "version", "state"];
                let row = |row: &Vec<String>| -> Value {
                    names
                        .iter()
                        .zip(row)
                        .map(|(name, text)| ((*name).to_owned(), Value::from(text.as_str())))
                        .collect::<Map<_, _>>()
                        .into()
                };
                let document: Vec<Value> = rows.iter().map(row).collect();
                outln!("{}", escaped(&serde_json::to_string_pretty(&document)?));
            } else if rows.is_empty() {
                // who refused said nothing of machines, and is told of already
                let said =
                    asked.replies.iter().filter(|reply| reply.body.statuscode == StatusCode::Ok).count();
                if said > 0 {
                    outln!(
                        "{} {} no machine",
                        counted(said as u64, "node"),
                        if said == 1 { "runs" } else { "run" }
                    );
                }
            } else {
                out!("{}", table::render(&["Node", "Machine", "Version", "State"].map(str::to_owned), &rows));
            }
            Ok(asked.code(Exit::new(globals, false), true))
        })?
    }
}

request_command! {
    /// show one machine of nodes, and what its check found
    #[argh(subcommand, name = "state")]
    pub struct State {
        /// name of the machine
        #[argh(positional, arg_name = "name")]
        name: String,
    }
}

impl State {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let exit = Exit::new(globals, self.compat_exit);
        let request = Request {
            agent: "choria_util",
            action: "machine_state",
            inputs: vec![("name".to_owned(), self.name.clone())],
            undeclared: false,
            selection: self.selection(),
            flags: self.flags(),
            layout: None,
            elsewhere: None,
            resumed: None,
            unkept: false,
            until: None,
            exit,
        };
        request.run(globals)
    }
}

request_command! {
    /// move a machine of nodes by one of its transitions
    #[argh(subcommand, name = "transition")]
    pub struct Transition {
        /// do it on every node where no filter is given, without asking
        #[argh(switch, short = 'y')]
        yes: bool,
        /// only machines of that version
        #[argh(option, long = "machine-version", arg_name = "version")]
        machine_version: Option<String>,
        /// name of the machine
        #[argh(positional, arg_name = "name")]
        name: String,
        /// the transition
        #[argh(positional, arg_name = "transition")]
        transition: String,
    }
}

impl Transition {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let exit = Exit::new(globals, self.compat_exit);
        let mut selection = self.selection();
        let deed = format!("move machine {}", clean(&self.name, false));
        everybody(&mut selection, self.yes || self.only.is_some(), &deed, "choria machine transition")?;
        let mut inputs =
            vec![("name".to_owned(), self.name.clone()), ("transition".to_owned(), self.transition.clone())];
        inputs.extend(self.machine_version.clone().map(|version| ("version".to_owned(), version)));
        let request = Request {
            agent: "choria_util",
            action: "machine_transition",
            inputs,
            undeclared: false,
            selection,
            flags: self.flags(),
            layout: None,
            elsewhere: None,
            resumed: None,
            unkept: false,
            until: None,
            exit,
        };
        request.run(globals)
    }
}
