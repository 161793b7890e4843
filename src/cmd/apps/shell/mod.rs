//! `choria shell`: commands on many nodes.

mod layouts;
mod output;
mod tail;

use std::process::ExitCode;

use anyhow::bail;
use choria::core::client::RpcReply;

use super::layout::Place;
use super::{Inputs, Kind, Verb, application_command, output as output_of};
use crate::cmd::render::text::clean;
use crate::cmd::{Globals, Personality};

application_command! {
    /// run commands, and look after those that run on
    #[argh(subcommand, name = "shell")]
    pub struct Shell {
        /// of run: show output as it comes, and end the command with an interrupt
        #[argh(switch)]
        tail: bool,
        /// run COMMAND, start COMMAND, watch HANDLE ..., list, or kill HANDLE; a command with flags of its own in quotes
        #[argh(positional, arg_name = "words")]
        words: Vec<String>,
    }
}

pub const VERBS: [Verb; 5] = [
    Verb::on("run"),
    Verb::on("start"),
    Verb::on("watch").looking(),
    Verb::alone("list").looking(),
    // A handle is of one job of one node.
    Verb::on("kill").looking(),
];

pub const KIND: Kind = Kind { command: "shell", deed: "run commands", verbs: &VERBS };

impl Shell {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let (verb, rest) = match words.split_first() {
            None => bail!("say what to do: run COMMAND, start COMMAND, watch HANDLE, list, or kill HANDLE"),
            Some((verb, rest)) => (*verb, rest),
        };
        let mut application = self.application(globals, KIND.verb(verb)?);
        if self.tail && verb != "run" {
            bail!("--tail is for run only: watch shows the output of what was started");
        }
        let command = || Inputs::default().with("command", rest.join(" "));
        match (verb, rest) {
            ("run" | "start", words) if words.concat().trim().is_empty() => {
                bail!("{verb} needs a command: choria shell {verb} uptime")
            }
            ("run", _) if self.tail => tail::run(&mut application, &command()),
            ("run", _) => {
                let runs = layouts::Runs { mco: globals.personality == Personality::Mco };
                application.call("shell", "run", command(), Some(&runs))
            }
            ("start", _) => {
                let handle = |reply: &RpcReply| Some(output_of(reply, "handle").unwrap_or_default());
                application.lines("shell", "start", command(), Place::Plain, &handle)
            }
            ("watch", []) => {
                bail!("watch needs the handle that start or list told: choria shell watch HANDLE")
            }
            ("watch", handles) => tail::watch(&mut application, handles),
            ("list", []) => {
                let jobs =
                    layouts::Jobs { mco: globals.personality == Personality::Mco, all: application.all() };
                application.call("shell", "list", Inputs::default(), Some(&jobs))
            }
            ("kill", [handle]) => {
                let line = |_: &RpcReply| None;
                let inputs = Inputs::default().with("handle", *handle);
                application.lines("shell", "kill", inputs, Place::Plain, &line)
            }
            ("kill", []) => bail!("kill needs the handle that start or list told: choria shell kill HANDLE"),
            ("list" | "kill", [.., more]) => {
                bail!("cannot use '{}' after choria shell {verb}", clean(more, false))
            }
            _ => bail!("say what to do: run COMMAND, start COMMAND, watch HANDLE, list, or kill HANDLE"),
        }
    }
}
