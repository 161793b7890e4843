//! Data plugins (spec 02 §8.3): small questions that compound filters and
//! `rpcutil#get_data` ask of a node.

use serde_json::{Map, Value, json};

use super::Node;
use crate::core::build;
use crate::core::config::{Config, Kind, keys};
use crate::core::protocol::filter::{DataFunction, DataFunctions};

/// The plugins of a node.
pub struct DataPlugins<'a>(pub &'a dyn Node);

/// Names of the plugins, sorted; whether they take an argument.
const PLUGINS: [(&str, bool); 2] = [("choria", false), ("config_item", true)];

/// Names of the plugins, sorted.
pub fn names() -> Vec<&'static str> {
    PLUGINS.iter().map(|(name, _)| *name).collect()
}

impl DataFunctions for DataPlugins<'_> {
    fn functions(&self) -> Vec<DataFunction> {
        let function =
            |(name, takes_argument): (&str, bool)| DataFunction { name: name.to_owned(), takes_argument };
        PLUGINS.into_iter().map(function).collect()
    }

    fn call(&self, name: &str, argument: Option<&str>) -> Result<Map<String, Value>, String> {
        let value = match name {
            "choria" => choria(self.0),
            "config_item" => {
                let value = config_item(self.0.config(), argument.unwrap_or_default());
                json!({"present": value.is_some(), "value": value})
            }
            other => return Err(format!("there is no data plugin {other}")),
        };
        match value {
            Value::Object(members) => Ok(members),
            _ => Err(format!("data plugin {name} made no object")),
        }
    }
}

/// A setting in its own type; `None` for a key nobody knows. Secrets read as
/// `*****`: the original shows broker passwords to every caller.
pub fn config_item(config: &Config, key: &str) -> Option<Value> {
    let known = keys().iter().find(|k| k.name == key)?;
    let text = config.typed_text(key)?;
    if known.is_secret() && !text.is_empty() {
        return Some(json!("*****"));
    }
    Some(match known.kind {
        Kind::Int => json!(text.parse::<i64>().unwrap_or_default()),
        Kind::Bool => json!(text == "true"),
        Kind::Duration => {
            let nanoseconds = crate::core::config::parse_nanoseconds(&text).unwrap_or_default();
            json!(nanoseconds)
        }
        // Nanoseconds, and null for an unset list: as the original answers.
        Kind::CommaList | Kind::NameList | Kind::HostList | Kind::PathList | Kind::Lines
            if text.is_empty() =>
        {
            Value::Null
        }
        Kind::CommaList | Kind::NameList | Kind::HostList | Kind::PathList | Kind::Lines => {
            json!(text.split(',').collect::<Vec<_>>())
        }
        _ => json!(text),
    })
}

fn choria(node: &dyn Node) -> Value {
    let agents: Vec<String> = node.agents().into_iter().map(|m| m.name).collect();
    let classes = node.classes();
    let counts = node.counts();
    json!({
        "agents": agents,
        "agents_count": agents.len(),
        "built": build::date(),
        "classes": *classes,
        "classes_count": classes.len(),
        "commit": build::SHA,
        "configfile": config_file(node),
        "connected_broker": node.connected_server().unwrap_or_default(),
        "cpus": cpus(),
        "events": counts.events,
        "filtered": counts.filtered,
        "go_version": build::COMPILER,
        "goroutines": 0,
        "license": build::LICENSE,
        "machines": [],
        "machines_count": 0,
        "passed": counts.passed,
        "pid": std::process::id(),
        "provisioning": node.provisioning(),
        "replies": counts.replies,
        "total": counts.total,
        "ttlexpired": counts.ttlexpired,
        "unvalidated": counts.unvalidated,
        "uptime": node.now() - node.started(),
        "validated": counts.validated,
        "version": build::VERSION,
    })
}

/// Path of the configuration file as text.
pub(super) fn config_file(node: &dyn Node) -> String {
    node.config().file().map(|f| f.display().to_string()).unwrap_or_default()
}

/// Processors this process may use.
pub(super) fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
