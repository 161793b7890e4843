//! DDLs of the agents that are compiled in.

use std::sync::LazyLock;

use super::agent::AgentDdl;

macro_rules! builtins {
    ($($name:literal),* $(,)?) => {
        static BUILTINS: LazyLock<Vec<AgentDdl>> = LazyLock::new(|| {
            // A broken file of ours is left out here and found by the test below.
            [$(AgentDdl::parse(include_bytes!(concat!("builtin/", $name, ".json")))),*]
                .into_iter()
                .flatten()
                .collect()
        });
        const NAMES: &[&str] = &[$($name),*];
    };
}

builtins!(
    "backplane",
    "bolt_tasks",
    "choria_provision",
    "choria_registry",
    "choria_util",
    "filemgr",
    "nettest",
    "package",
    "process",
    "puppet",
    "rpcutil",
    "scout",
    "service",
    "shell"
);

/// The interface of a compiled-in agent. `discovery` has none.
pub fn builtin(name: &str) -> Option<&'static AgentDdl> {
    BUILTINS.iter().find(|ddl| ddl.metadata.name == name)
}

/// Whether an agent of that name that somebody has put on disk takes the place of ours, as
/// its interface does: names that others used before us.
pub fn is_replaceable(name: &str) -> bool {
    REPLACEABLE.contains(&name)
}

/// Agents that manage a machine, sorted.
pub const REPLACEABLE: [&str; 8] = crate::core::config::MANAGING_AGENTS;

/// Names of the compiled-in agents that have an interface, sorted.
pub fn builtin_names() -> &'static [&'static str] {
    NAMES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ddl::{Spelling, Summary};

    #[test]
    fn every_builtin_is_a_ddl_of_its_name() {
        assert!(NAMES.is_sorted());
        for name in NAMES {
            let ddl = builtin(name).unwrap_or_else(|| panic!("{name} is broken"));
            assert!(ddl.metadata.timeout >= 2 && !ddl.actions.is_empty(), "{name}");
            for action in &ddl.actions {
                assert!(!action.description.is_empty(), "{name}#{}", action.action);
                let outputs = action.aggregate.iter().filter_map(|a| a.args.get(0)?.as_str());
                for output in outputs {
                    assert!(action.output.contains_key(output), "{name}#{} sums {output}", action.action);
                }
            }
        }
        assert!(builtin("discovery").is_none());
    }

    /// Labels, display modes and aggregates give the recorded human output.
    #[test]
    fn builtins_render_the_recorded_replies() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/captured");
        let mut seen = 0;
        for file in ["rpcutil_actions", "choria_util", "facts_inventory", "req_rpcutil_ping"] {
            let text = std::fs::read_to_string(format!("{dir}/{file}.json")).unwrap();
            let file: serde_json::Value = serde_json::from_str(&text).unwrap();
            for run in file["runs"].as_array().unwrap() {
                seen += usize::from(check_run(run));
            }
        }
        assert!(seen >= 20, "{seen}");
    }

    /// False for commands that show something else.
    fn check_run(run: &serde_json::Value) -> bool {
        let command = run["command"].as_str().unwrap();
        let words: Vec<&str> = command.split(' ').collect();
        let ["choria", "req", agent, action, rest @ ..] = words.as_slice() else { return false };
        let forms =
            ["-j", "--json", "--jsonl", "--table", "--senders", "-v", "--display", "-o", "--output-file"];
        let plain = run["exit_code"] == 0 && !rest.iter().any(|word| forms.contains(word));
        let Some(ddl) = builtin(agent).filter(|_| plain) else { return false };
        let action = ddl.action(action).unwrap_or_else(|| panic!("{command}"));
        let stdout = run["stdout"].as_str().unwrap();
        let mut aggregator = action.aggregator();
        let mut replies = 0;
        for message in run["messages"].as_array().unwrap() {
            let payload = message["payload"].as_str().unwrap();
            let mut reader = crate::core::client::ReplyReader::default();
            let Ok(reply) = reader.read(payload.as_bytes()) else { continue };
            let Ok(body) = crate::core::rpc::ReplyBody::decode(reply.message.as_bytes()) else { continue };
            replies += 1;
            aggregator.add(&body.data);
            let shown = action.display.shows(body.statuscode.is_ok());
            for output in body.data.keys().filter(|_| body.statuscode.is_ok() && !stdout.contains("[usage")) {
                let line = format!("{}: ", action.label(output));
                let before_summary = stdout.split("Summary of").next().unwrap();
                assert_eq!(before_summary.contains(&line), shown, "{command}: {line}");
            }
        }
        let summaries = aggregator.summaries(Spelling::Today);
        for Summary { output, lines, .. } in &summaries {
            assert!(stdout.contains(&format!("Summary of {}:", action.label(output))), "{command}");
            assert!(
                lines.iter().all(|line| stdout.contains(&format!("   {line}\n"))),
                "{command}: {lines:?}"
            );
        }
        assert_eq!(stdout.matches("Summary of").count(), summaries.len(), "{command}");
        replies > 0
    }
}
