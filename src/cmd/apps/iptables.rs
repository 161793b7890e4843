//! `choria iptables`: addresses that nodes let in no more, by the agent of that name.

use std::process::ExitCode;

use choria::core::client::RpcReply;

use super::layout::Place;
use super::{Inputs, Kind, Verb, application_command, grammar, output};
use crate::cmd::Globals;

application_command! {
    /// have nodes block an address, let it in again, or tell whether they block it
    #[argh(subcommand, name = "iptables")]
    pub struct Iptables {
        /// ask, and wait for no answer
        #[argh(switch, short = 's')]
        silent: bool,
        /// what to do and an address, in any order: block, unblock or isblocked
        #[argh(positional, arg_name = "words")]
        words: Vec<String>,
    }
}

pub const VERBS: [Verb; 3] = [Verb::on("isblocked").looking(), Verb::on("block"), Verb::on("unblock")];

pub const KIND: Kind = Kind { command: "iptables", deed: "change what is blocked", verbs: &VERBS };

impl Iptables {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let (verb, address) = grammar::split("choria iptables", "ADDRESS", &VERBS, &self.words)?;
        let inputs = Inputs::default().maybe("ipaddr", address);
        let mut application = self.application(globals, verb);
        application.forgets = self.silent;
        application.lines("iptables", verb.name, inputs, Place::Right, &line)
    }
}

fn line(reply: &RpcReply) -> Option<String> {
    output(reply, "output").or_else(|| output(reply, "blocked").map(|blocked| format!("blocked = {blocked}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cmd::apps::layout::tests::reply;

    #[test]
    fn its_words_or_whether() {
        let of = |data| line(&reply("n1", 0, "OK", data));
        assert_eq!(
            of(json!({"output": "192.0.2.1 is blocked", "blocked": true})).as_deref(),
            Some("192.0.2.1 is blocked")
        );
        assert_eq!(of(json!({"blocked": false})).as_deref(), Some("blocked = false"));
        assert_eq!(of(json!({})), None);
    }
}
