//! The `rpcutil` agent (spec 02 §3.2): what every node answers about itself.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::data::{self, DataPlugins, config_file, config_item, cpus};
use super::{Agent, Call, Deed, Node, Outcome, Running};
use crate::core::build;
use crate::core::ddl::{self, AgentDdl, Metadata};
use crate::core::protocol::filter::DataFunctions;
use crate::core::rpc::{NOT_AUTHORIZED, StatusCode};

/// What a data plugin that is a program may take.
const DATA: Duration = Duration::from_secs(10);

/// The agent.
pub struct RpcUtil;

impl Agent for RpcUtil {
    fn ddl(&self) -> &AgentDdl {
        // Compiled in; a test loads every built-in DDL.
        ddl::builtin("rpcutil").expect("compiled in")
    }

    /// A setting is a setting, however it is asked for.
    fn deed(&self, call: &Call) -> Option<Deed> {
        let asks = call.action == "get_data" && call.text("source") == data::CONFIG_ITEM;
        asks.then(|| Deed { names: vec!["get_config_item".to_owned()], refusal: NOT_AUTHORIZED.to_owned() })
    }

    /// A data plugin that is a program is ended, and that told, by the agent itself.
    fn limit(&self, action: &str) -> Duration {
        let usual = Duration::from_secs(self.ddl().metadata.timeout);
        if action == "get_data" { DATA + usual } else { usual }
    }

    fn run<'a>(&'a self, call: &'a Call, node: &'a dyn Node) -> Running<'a> {
        Box::pin(async move {
            match call.action.as_str() {
                "ping" => Outcome::ok(json!({"pong": node.now()})),
                "get_fact" => get_fact(call, node),
                "get_facts" => get_facts(call, node),
                "collective_info" => Outcome::ok(json!({
                    "main_collective": node.config().main_collective,
                    "collectives": node.config().collectives,
                })),
                "agent_inventory" => agent_inventory(node),
                "inventory" => inventory(node),
                "daemon_stats" => daemon_stats(node),
                "get_data" => get_data(call, node).await,
                "get_config_item" => get_config_item(call, node),
                other => Outcome::failed(
                    StatusCode::UnknownAction,
                    format!("Unknown action {other} for agent rpcutil"),
                ),
            }
        })
    }
}

fn get_fact(call: &Call, node: &dyn Node) -> Outcome {
    let fact = call.text("fact");
    Outcome::ok(json!({"fact": fact, "value": node.facts().get(fact)}))
}

fn get_facts(call: &Call, node: &dyn Node) -> Outcome {
    let facts = node.facts();
    let names = call.text("facts").split(',').map(str::trim).filter(|n| !n.is_empty());
    let values: Map<String, Value> =
        names.map(|name| (name.to_owned(), facts.get(name).unwrap_or_default())).collect();
    Outcome::ok(json!({"values": values}))
}

/// Metadata of an agent as inventories and registration show it.
pub(crate) fn describe(agent: &Metadata) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("license".into(), json!(agent.license));
    members.insert("author".into(), json!(agent.author));
    members.insert("timeout".into(), json!(agent.timeout));
    members.insert("name".into(), json!(agent.name));
    members.insert("version".into(), json!(agent.version));
    members.insert("url".into(), json!(agent.url));
    members.insert("description".into(), json!(agent.description));
    if let Some(provider) = agent.provider.as_ref().filter(|p| !p.is_empty()) {
        members.insert("provider".into(), json!(provider));
    }
    if agent.service {
        members.insert("service".into(), json!(true));
    }
    members
}

fn agent_inventory(node: &dyn Node) -> Outcome {
    let agents: Vec<Value> = node
        .agents()
        .iter()
        .map(|agent| {
            let mut members = Map::from_iter([("agent".to_owned(), json!(agent.name))]);
            members.extend(describe(agent));
            Value::Object(members)
        })
        .collect();
    Outcome::ok(json!({"agents": agents}))
}

fn inventory(node: &dyn Node) -> Outcome {
    let agents: Vec<String> = node.agents().into_iter().map(|a| a.name).collect();
    let plugins = if node.provisioning() { vec![] } else { data::names(node) };
    let mut data = json!({
        "agents": agents,
        "classes": *node.classes(),
        "collectives": node.config().collectives,
        "data_plugins": plugins,
        "facts": node.facts().to_value(),
        "machines": data::machine_list(node),
        "main_collective": node.config().main_collective,
        "version": build::VERSION,
        "upgradable": node.upgradable(),
    });
    if let Some(mark) = node.mark() {
        mark.add_to(&mut data);
    }
    Outcome::ok(data)
}

fn daemon_stats(node: &dyn Node) -> Outcome {
    let agents: Vec<String> = node.agents().into_iter().map(|a| a.name).collect();
    let counts = node.counts();
    Outcome::ok(json!({
        "agents": agents,
        "configfile": config_file(node),
        "filtered": counts.filtered,
        "pid": std::process::id(),
        "passed": counts.passed,
        "threads": [format!("{} on {} cores", build::COMPILER, cpus())],
        "replies": counts.replies,
        "starttime": node.started(),
        "ttlexpired": counts.ttlexpired,
        "events": counts.events,
        "times": {"cstime": 0, "cutime": 0, "stime": 0, "utime": 0},
        "total": counts.total,
        "unvalidated": counts.unvalidated,
        "validated": counts.validated,
        "version": build::VERSION,
    }))
}

async fn get_data(call: &Call, node: &dyn Node) -> Outcome {
    let source = call.text("source");
    if node.provisioning() {
        return Outcome::failed(StatusCode::Aborted, "Could not load data sources");
    }
    let query = call.data.get("query").and_then(Value::as_str);
    if let Some(plugin) = node.data_plugins().get(source) {
        let facts = node.facts().as_json().to_owned();
        return match plugin.ask(query, DATA, facts).await {
            Ok(data) => Outcome::ok(Value::Object(data)),
            Err(problem) => Outcome::failed(StatusCode::Aborted, format!("Data plugin {source}: {problem}")),
        };
    }
    if !data::OWN.contains(&source) {
        return Outcome::failed(StatusCode::Aborted, "Unknown data plugin");
    }
    match DataPlugins(node).call(source, query) {
        Ok(data) => Outcome::ok(Value::Object(data)),
        Err(reason) => {
            // The original answers OK with null data; an empty object says the
            // same to every client and keeps `data` an object.
            tracing::warn!(source, "data plugin failed: {reason}");
            Outcome::ok(json!({}))
        }
    }
}

fn get_config_item(call: &Call, node: &dyn Node) -> Outcome {
    let item = call.text("item");
    match config_item(node.config(), item) {
        Some(value) => Outcome::ok(json!({"item": item, "value": value})),
        None => Outcome::failed(StatusCode::Aborted, "Unknown key"),
    }
}
