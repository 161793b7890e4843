//! `choria nettest`: what nodes reach.

use std::process::ExitCode;

use anyhow::bail;
use choria::core::client::RpcReply;

use super::layout::Place;
use super::{Inputs, Kind, Verb, application_command, grammar, output};
use crate::cmd::Globals;

application_command! {
    /// have nodes ping a host, or connect to a port of it
    #[argh(subcommand, name = "nettest")]
    pub struct Nettest {
        /// ping HOST, or connect HOST PORT
        #[argh(positional, arg_name = "words")]
        words: Vec<String>,
    }
}

pub const VERBS: [Verb; 2] = [Verb::on("ping"), Verb::on("connect")];

pub const KIND: Kind = Kind { command: "nettest", deed: "perform network tests", verbs: &VERBS };

impl Nettest {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let (verb, inputs) = match words.as_slice() {
            ["ping", host] => ("ping", Inputs::default().with("fqdn", *host)),
            ["connect", host, port] => ("connect", Inputs::default().with("fqdn", *host).with("port", *port)),
            [] | ["ping" | "connect", ..] => {
                bail!("write choria nettest ping HOST, or choria nettest connect HOST PORT")
            }
            [other, ..] => return Err(grammar::unknown(other, &VERBS)),
        };
        let application = self.application(globals, KIND.verb(verb)?);
        let line = |reply: &RpcReply| line(verb, reply);
        application.lines("nettest", verb, inputs, Place::Left(" "), &line)
    }
}

fn line(verb: &str, reply: &RpcReply) -> Option<String> {
    let output = |name: &str| output(reply, name);
    Some(match verb {
        "ping" => format!("time = {}", output("rtt").unwrap_or_default()),
        // Older agents have the words in the other output.
        _ => format!("status = {}", output("connect_status").or(output("connect")).unwrap_or_default()),
    })
}
