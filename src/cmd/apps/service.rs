//! `choria service`: services of the operating system.

use std::process::ExitCode;

use choria::core::client::RpcReply;
use serde_json::Value;

use super::layout::Place;
use super::{Inputs, Kind, Verb, application_command, grammar};
use crate::cmd::Globals;

application_command! {
    /// start, stop, restart and look at services
    #[argh(subcommand, name = "service")]
    pub struct Service {
        /// a service and what to do with it, in any order: start, stop, restart or status
        #[argh(positional, arg_name = "words")]
        words: Vec<String>,
    }
}

pub const VERBS: [Verb; 4] =
    [Verb::on("status").looking(), Verb::on("start"), Verb::on("stop"), Verb::on("restart")];

pub const KIND: Kind = Kind { command: "service", deed: "operate on services", verbs: &VERBS };

impl Service {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let (verb, service) = grammar::split("choria service", "SERVICE", &VERBS, &self.words)?;
        let inputs = Inputs::default().maybe("service", service);
        let application = self.application(globals, verb);
        let all = application.all();
        let line = |reply: &RpcReply| line(verb.name, all, reply);
        application.lines("service", verb.name, inputs, Place::Right, &line)
    }
}

/// Where a service is what was asked for there is nothing to tell.
fn line(verb: &str, all: bool, reply: &RpcReply) -> Option<String> {
    let status = reply.body.data.get("status").and_then(Value::as_str).unwrap_or("unknown");
    let as_asked = match verb {
        "start" | "restart" => status == "running",
        "stop" => status == "stopped",
        _ => false,
    };
    (all || !as_asked).then(|| status.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cmd::apps::layout::tests::reply;

    #[test]
    fn what_went_as_asked_is_not_told() {
        for (verb, all, status, told) in [
            ("status", false, "running", true),
            ("start", false, "running", false),
            ("start", true, "running", true),
            ("restart", false, "stopped", true),
            ("stop", false, "stopped", false),
            ("stop", false, "unknown", true),
        ] {
            let line = line(verb, all, &reply("n1", 0, "OK", json!({"status": status})));
            assert_eq!(line.as_deref(), told.then_some(status), "{verb} {status}");
        }
    }
}
