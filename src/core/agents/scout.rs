//! The `scout` agent (spec 06 §11.3): checks of a node. It is hosted where machines are.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Agent, Call, Node, Outcome, Running};
use crate::core::ddl::{self, AgentDdl};
use crate::core::machine::engine::{Refused, Wanted, fitting};
use crate::core::machine::goss::{self, Called, Source};
use crate::core::rpc::StatusCode;

/// Names of checks a caller may give.
const MOST: usize = 2000;
/// Bytes of rules, and of variables, that a caller may give.
const MOST_RULES: usize = 5120;

/// The agent.
#[derive(Default)]
pub struct Scout;

impl Agent for Scout {
    fn ddl(&self) -> &AgentDdl {
        // Compiled in; a test loads every built-in DDL.
        ddl::builtin("scout").expect("compiled in")
    }

    /// Longer than its interface says, as the original.
    fn limit(&self, _action: &str) -> Duration {
        Duration::from_secs(20)
    }

    fn run<'a>(&'a self, call: &'a Call, node: &'a dyn Node) -> Running<'a> {
        if call.action == "goss_validate" {
            return Box::pin(validated(call, node));
        }
        let outcome = match call.action.as_str() {
            "checks" => checks(node),
            "trigger" => moved(call, node, "FORCE_CHECK"),
            "maintenance" => moved(call, node, "MAINTENANCE"),
            "resume" => moved(call, node, "RESUME"),
            other => {
                Outcome::failed(StatusCode::UnknownAction, format!("Unknown action {other} for agent scout"))
            }
        };
        Box::pin(std::future::ready(outcome))
    }
}

fn checks(node: &dyn Node) -> Outcome {
    let mut all = node.machines().map(|host| host.find(Wanted::default())).unwrap_or_default();
    fitting(&mut all);
    let checks: Vec<Value> = all
        .into_iter()
        .filter(|one| one.scout)
        .map(|one| {
            json!({
                "name": one.name, "state": one.state, "version": one.version,
                "start_time": one.start_time, "status": one.current,
            })
        })
        .collect();
    Outcome::ok(json!({"checks": checks}))
}

/// Tries rules of goss: a file of this node, or what the caller gives.
async fn validated(call: &Call, node: &dyn Node) -> Outcome {
    let text = |name: &str| {
        let text = call.data.get(name).and_then(Value::as_str).unwrap_or_default();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let refused = |why: &str| Outcome::failed(StatusCode::InvalidData, why);
    let rules = match (text("file"), text("yaml_rules")) {
        (Some(file), None) => Source::File(PathBuf::from(file)),
        (None, Some(rules)) if rules.len() <= MOST_RULES => Source::Text(rules),
        (None, Some(_)) => return refused("yaml_rules is longer than 5120 bytes"),
        _ => return refused("one of file and yaml_rules is required"),
    };
    let variables = match (text("vars"), text("yaml_vars")) {
        (None, None) => None,
        (Some(file), None) => Some(Source::File(PathBuf::from(file))),
        (None, Some(variables)) if variables.len() <= MOST_RULES => Some(Source::Text(variables)),
        (None, Some(_)) => return refused("yaml_vars is longer than 5120 bytes"),
        _ => return refused("one of vars and yaml_vars may be given, not both"),
    };
    let relative = |source: &Source| matches!(source, Source::File(path) if !path.is_absolute());
    if relative(&rules) || variables.as_ref().is_some_and(relative) {
        return refused("a file of the node is named by its whole path, which begins with /");
    }
    let config = node.config();
    let called = Called {
        rules,
        variables,
        directory: PathBuf::from("/"),
        denied_local: config.scout_goss_denied_local_resources.clone(),
        denied_remote: config.scout_goss_denied_remote_resources.clone(),
    };
    match goss::validate_called(called).await {
        Ok(report) => Outcome::ok(Value::Object(report.to_data())),
        Err(e) => Outcome::failed(StatusCode::Aborted, format!("Could not validate: {e}")),
    }
}

/// Has checks that are named, or all, moved by an event.
fn moved(call: &Call, node: &dyn Node, event: &str) -> Outcome {
    let named: Vec<&str> = match call.data.get("checks") {
        None | Some(Value::Null) => vec![],
        Some(Value::Array(names)) if names.len() <= MOST && names.iter().all(Value::is_string) => {
            names.iter().filter_map(Value::as_str).collect()
        }
        Some(_) => {
            return Outcome::failed(
                StatusCode::InvalidData,
                format!("checks is no list of at most {MOST} names of checks"),
            );
        }
    };
    let (mut transitioned, mut failed, mut skipped) = (vec![], vec![], vec![]);
    if let Some(host) = node.machines() {
        let all = host.find(Wanted::default());
        for check in all.iter().filter(|one| one.scout) {
            if !named.is_empty() && !named.contains(&check.name.as_str()) {
                continue;
            }
            let valid = check.transitions.iter().any(|known| known == event);
            match host.transition(check.id, event) {
                _ if !valid => skipped.push(check.name.clone()),
                Ok(()) => transitioned.push(check.name.clone()),
                Err(Refused::Invalid { .. }) => skipped.push(check.name.clone()),
                Err(_) => failed.push(check.name.clone()),
            }
        }
    }
    let known = |name: &&str| {
        [&transitioned, &failed, &skipped].iter().any(|list| list.iter().any(|one| one == name))
    };
    let unknown: Vec<String> =
        named.iter().filter(|name| !known(name)).map(|name| (*name).to_owned()).collect();
    failed.extend(unknown);
    let bad = !named.is_empty() && !failed.is_empty();
    let mut data = Map::new();
    for (name, list) in [("failed", failed), ("skipped", skipped), ("transitioned", transitioned)] {
        data.insert(name.to_owned(), json!(list));
    }
    if bad {
        let message = format!("Some checks could not be transitioned to {event}");
        return Outcome { data, ..Outcome::failed(StatusCode::Aborted, message) };
    }
    Outcome::ok(Value::Object(data))
}
