//! `choria puppet count`: how many agents are in which state.

use std::io::{self, Write};

use choria::core::client::RpcReply;
use serde_json::Value;

use crate::cmd::render::forms::{Asked, Flags, Form, Outcome, Timing};

/// A fixed table.
pub struct Count;

impl Form for Count {
    fn wanted(&self, _: Flags) -> bool {
        true
    }

    fn timing(&self) -> Timing {
        Timing::Together
    }

    fn finish(&self, out: &mut dyn Write, _: &Asked<'_>, outcome: &Outcome<'_>) -> io::Result<()> {
        let ok: Vec<&RpcReply> =
            outcome.replies.iter().filter(|reply| reply.body.statuscode.is_ok()).collect();
        let count = |output: &str, wanted: bool| {
            ok.iter()
                .filter(|reply| reply.body.data.get(output).and_then(Value::as_bool) == Some(wanted))
                .count()
        };
        writeln!(out, "Total Puppet nodes: {}\n", ok.len())?;
        for (label, output, wanted, last) in [
            ("Nodes currently enabled", "enabled", true, false),
            ("Nodes currently disabled", "enabled", false, true),
            ("Nodes currently doing puppet runs", "applying", true, false),
            ("Nodes currently stopped", "applying", false, true),
            ("Nodes with daemons started", "daemon_present", true, false),
            ("Nodes without daemons started", "daemon_present", false, false),
            ("Daemons started but idling", "idling", true, true),
        ] {
            writeln!(out, "{label:>33}: {}{}", count(output, wanted), if last { "\n" } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cmd::apps::layout::tests::{reply, shown};

    #[test]
    fn states_are_counted() {
        let state = |enabled, applying, daemon, idling| json!({"enabled": enabled, "applying": applying, "daemon_present": daemon, "idling": idling});
        let text = shown(
            &Count,
            &[
                reply("n1", 0, "OK", state(true, true, true, false)),
                reply("n2", 0, "OK", state(true, false, true, true)),
                reply("n3", 0, "OK", state(false, false, false, false)),
                reply("n4", 5, "broken", state(true, true, true, true)),
            ],
            &[],
        );
        assert_eq!(
            text,
            "Total Puppet nodes: 3\n\n          Nodes currently enabled: 2\n         Nodes currently disabled: 1\n\n\
             Nodes currently doing puppet runs: 1\n          Nodes currently stopped: 2\n\n       \
             Nodes with daemons started: 2\n    Nodes without daemons started: 1\n       \
             Daemons started but idling: 1\n\n"
        );
    }
}
