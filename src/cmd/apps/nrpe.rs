//! `choria nrpe`: checks of Nagios that nodes run, by the agent of that name.

use std::process::ExitCode;

use anyhow::bail;
use choria::core::client::RpcReply;
use serde_json::Value;

use super::layout::Place;
use super::{Inputs, Kind, Verb, application_command, output};
use crate::cmd::Globals;

application_command! {
    /// have nodes run a check of Nagios, and show those that are not well
    #[argh(subcommand, name = "nrpe")]
    pub struct Nrpe {
        /// name of the check
        #[argh(positional, arg_name = "words")]
        words: Vec<String>,
    }
}

pub const VERBS: [Verb; 1] = [Verb::on("runcommand").looking()];

pub const KIND: Kind = Kind { command: "nrpe", deed: "run checks", verbs: &VERBS };

impl Nrpe {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let check = match words.as_slice() {
            ["runcommand", check] | [check] => *check,
            _ => bail!("write choria nrpe CHECK, the name of one check"),
        };
        let inputs = Inputs::default().with("command", check);
        let application = self.application(globals, &VERBS[0]);
        let all = application.all();
        let line = |reply: &RpcReply| line(all, reply);
        application.lines("nrpe", "runcommand", inputs, Place::Right, &line)
    }
}

/// What is well is not told, unless all is.
fn line(all: bool, reply: &RpcReply) -> Option<String> {
    let code = reply.body.data.get("exitcode").and_then(Value::as_i64);
    let state = match code {
        Some(0) => "OK",
        Some(1) => "WARNING",
        Some(2) => "CRITICAL",
        _ => "UNKNOWN",
    };
    let said = output(reply, "output").unwrap_or_default();
    (all || code != Some(0)).then(|| format!("{state}: {said}").trim_end_matches([':', ' ']).to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cmd::apps::layout::tests::reply;

    #[test]
    fn what_is_well_is_not_told() {
        for (all, data, told) in [
            (false, json!({"exitcode": 0, "output": "fine"}), None),
            (true, json!({"exitcode": 0, "output": "fine"}), Some("OK: fine")),
            (false, json!({"exitcode": 1, "output": "disk 91%"}), Some("WARNING: disk 91%")),
            (false, json!({"exitcode": 2}), Some("CRITICAL")),
            (false, json!({"exitcode": "x", "output": "?"}), Some("UNKNOWN: ?")),
            (false, json!({}), Some("UNKNOWN")),
        ] {
            assert_eq!(line(all, &reply("n1", 0, "OK", data.clone())).as_deref(), told, "{data}");
        }
    }
}
