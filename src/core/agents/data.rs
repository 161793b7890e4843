//! Data plugins (spec 02 §8.3): small questions that compound filters and
//! `rpcutil#get_data` ask of a node.

use serde_json::{Map, Value, json};

use super::{Node, bolt_tasks};
use crate::core::build;
use crate::core::config::{Config, Kind, keys};
use crate::core::machine::engine::{Found, Wanted};
use crate::core::machine::host::Host;
use crate::core::protocol::filter::{DataFunction, DataFunctions};

/// The plugins of a node that are compiled in.
pub struct DataPlugins<'a>(pub &'a dyn Node);

/// Those that are compiled in; whether they take an argument.
const PLUGINS: [(&str, bool); 5] =
    [("bolt_task", true), ("choria", false), ("config_item", true), ("machine_state", true), ("scout", true)];

/// The one that tells settings, to whoever may ask `rpcutil#get_config_item`.
pub const CONFIG_ITEM: &str = "config_item";
/// Names of those that are compiled in, sorted.
pub const OWN: [&str; 5] = ["bolt_task", "choria", "config_item", "machine_state", "scout"];

/// Names of all plugins of a node, sorted.
pub fn names(node: &dyn Node) -> Vec<String> {
    let mut names: Vec<String> = OWN.iter().map(|name| (*name).to_owned()).collect();
    names.extend(node.data_plugins().keys().cloned());
    names.sort();
    names
}

impl DataFunctions for DataPlugins<'_> {
    fn functions(&self) -> Vec<DataFunction> {
        let function =
            |(name, takes_argument): (&str, bool)| DataFunction { name: name.to_owned(), takes_argument };
        PLUGINS.into_iter().map(function).collect()
    }

    fn call(&self, name: &str, argument: Option<&str>) -> Result<Map<String, Value>, String> {
        let value = match name {
            "bolt_task" => bolt_tasks::data(self.0.config(), argument.unwrap_or_default()),
            "choria" => choria(self.0),
            CONFIG_ITEM => {
                let value = config_item(self.0.config(), argument.unwrap_or_default());
                json!({"present": value.is_some(), "value": value})
            }
            "machine_state" => machine_state(self.0, argument.unwrap_or_default())?,
            "scout" => scout(self.0, argument.unwrap_or_default()),
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

/// Machines of a node; none where it has none.
fn machines(node: &dyn Node, wanted: Wanted<'_>) -> Vec<Found> {
    node.machines().map(|host| host.find(wanted)).unwrap_or_default()
}

/// Names, versions and states of all machines, as inventories list them.
pub fn machine_list(node: &dyn Node) -> Vec<Value> {
    let all = machines(node, Wanted::default());
    all.iter().map(|one| json!({"name": one.name, "version": one.version, "state": one.state})).collect()
}

/// A machine by its id, its path or its name. Filters ask for it: no other is looked at closer.
fn machine_state(node: &dyn Node, query: &str) -> Result<Value, String> {
    let none = Wanted::default();
    let by =
        [Wanted { instance: query, ..none }, Wanted { path: query, ..none }, Wanted { name: query, ..none }];
    let asked = by.into_iter().filter(|_| !query.is_empty());
    let found = asked.flat_map(|wanted| machines(node, wanted)).next();
    found.map(|one| one.to_value()).ok_or_else(|| format!("could not find machine matching {query}"))
}

/// A check, and how it was; nothing for one that is not there.
fn scout(node: &dyn Node, name: &str) -> Value {
    if name.is_empty() {
        return json!({});
    }
    let all = machines(node, Wanted { name, ..Wanted::default() });
    let Some(found) = all.iter().find(|one| one.scout) else { return json!({}) };
    json!({
        "name": found.name,
        "version": found.version,
        "state": found.state,
        "path": found.path,
        "id": found.instance,
        "start_time": found.start_time,
        "uptime": (node.now() - found.start_time).max(0),
        "history": found.history,
    })
}

fn choria(node: &dyn Node) -> Value {
    let agents: Vec<String> = node.agents().into_iter().map(|m| m.name).collect();
    let classes = node.classes();
    let counts = node.counts();
    let machines = node.machines().map(Host::names).unwrap_or_default();
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
        "machines": machines,
        "machines_count": machines.len(),
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
