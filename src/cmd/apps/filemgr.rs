//! `choria filemgr`: one file on many nodes.

use std::process::ExitCode;

use anyhow::bail;
use choria::core::client::RpcReply;
use serde_json::Value;

use super::layout::Place;
use super::{Inputs, Kind, Verb, application_command, grammar};
use crate::cmd::{Globals, Personality};

application_command! {
    /// touch, remove and look at a file
    #[argh(subcommand, name = "filemgr")]
    pub struct Filemgr {
        /// the file, default the one the agent is configured with
        #[argh(option, short = 'f', arg_name = "path")]
        file: Option<String>,
        /// show all that is known of the file
        #[argh(switch, short = 'd')]
        details: bool,
        /// what to do with it: touch, remove or status
        #[argh(positional, arg_name = "action")]
        words: Vec<String>,
    }
}

pub const VERBS: [Verb; 3] = [Verb::alone("touch"), Verb::alone("remove"), Verb::alone("status").looking()];

pub const KIND: Kind = Kind { command: "filemgr", deed: "change files", verbs: &VERBS };

impl Filemgr {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let verb = match self.words.as_slice() {
            // as mco always did
            [] if globals.personality == Personality::Mco => &VERBS[0],
            words => grammar::split("choria filemgr -f FILE", "", &VERBS, words)?.0,
        };
        if self.file.as_deref() == Some("") {
            bail!("-f names no file: leave it away to mean the one the agent is configured with");
        }
        let inputs = Inputs::default().maybe("file", self.file.clone());
        let application = self.application(globals, verb);
        if verb.name != "status" || self.details || application.flags.verbose {
            return application.blocks("filemgr", verb.name, inputs);
        }
        let line = |reply: &RpcReply| {
            let output = reply.body.data.get("output").and_then(Value::as_str);
            Some(output.unwrap_or_default().to_owned())
        };
        application.lines("filemgr", verb.name, inputs, Place::Left(": "), &line)
    }
}
