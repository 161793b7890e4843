//! Telling a mistyped key from one we do not read on purpose.

use super::Role;
use super::table::KEYS;
use super::values::parse_bool;
use crate::core::text;

/// Top level keys only Ruby reads (spec 03 appendix C).
const RUBY: &[&str] = &[
    "activate_agents",
    "connection_timeout",
    "connector",
    "daemonize",
    "default_batch_size",
    "default_batch_sleep_time",
    "direct_addressing",
    "direct_addressing_threshold",
    "fact_cache_time",
    "factsource",
    "keeplogs",
    "logfacility",
    "logger_type",
    "max_log_size",
    "publish_timeout",
    "rpcauditprovider",
    "securityprovider",
    "soft_shutdown",
    "ssl_cipher",
    "threaded",
    "plugin.choria.discovery_host",
    "plugin.choria.discovery_port",
    "plugin.choria.discovery_proxy",
    "plugin.choria.randomize_middleware_hosts",
    "plugin.choria.security.request_signer.plugin",
    "plugin.choria.security.request_signer.token_environment",
    "plugin.choria.tasks.own_status_only",
    "plugin.choria.tasks.wrapper_path",
    "plugin.choria.tasks_cache",
    "plugin.choria.use_srv_records",
    "plugin.nats.ngs",
    "plugin.process.fields",
];

/// What Ruby's keys say in files that Puppet has made for a decade, and is so here anyway.
const SO_ANYWAY: &[(&str, &[&str])] = &[
    ("connector", &["nats", "choria"]),
    ("daemonize", &["0", "1", "true", "false"]),
    ("direct_addressing", &["1", "true", "yes", "y"]),
    ("factsource", &["yaml", "choria"]),
    ("logger_type", &["file", "console"]),
    ("rpcauditprovider", &["choria", "logfile"]),
    ("securityprovider", &["choria"]),
    ("plugin.choria.use_srv_records", &["true", "false", "1", "0", "yes", "no", "y", "n", "t", "f"]),
];

/// Keys of older releases that no longer exist (spec 01 §9).
const RETIRED: &[&str] = &["plugin.security.always_overwrite_cache", "plugin.security.file.cache"];

/// Raw options (spec 03 appendix B); `*` stands for one name.
const RAW: &[&str] = &[
    "plugin.*.activate_agent",
    "plugin.*.activate_client",
    "plugin.choria.adapter.*.ingest.workers",
    "plugin.choria.adapter.*.stream.workers",
    "plugin.choria.network.gateway_remote.*.tls.*",
    "plugin.choria.network.gateway_remote.*.urls",
    "plugin.choria.network.leafnode_remote.*.account",
    "plugin.choria.network.leafnode_remote.*.credentials",
    "plugin.choria.network.leafnode_remote.*.tls.ca",
    "plugin.choria.network.leafnode_remote.*.tls.cert",
    "plugin.choria.network.leafnode_remote.*.tls.disable",
    "plugin.choria.network.leafnode_remote.*.tls.key",
    "plugin.choria.network.leafnode_remote.*.tls.verify",
    "plugin.choria.network.leafnode_remote.*.url",
    "plugin.choria.network.mapping.*.destination",
    "plugin.choria.network.mapping.*.source",
    "plugin.security.issuer.*.public",
];

/// The same of what this version acts on; whoever does checks the rest of them.
const NAMED: &[&str] = &["plugin.choria.adapter."];
/// Those of the raw options that a broker acts on.
const LEAVES: &str = "plugin.choria.network.leafnode_remote.";

/// Our agents that manage a machine, sorted: their settings are known here.
pub const MANAGING_AGENTS: [&str; 8] =
    ["bolt_tasks", "filemgr", "nettest", "package", "process", "puppet", "service", "shell"];

/// Namespaces whose keys are all ours: anything unknown in them is a mistake.
/// Every other `plugin.NAME.` belongs to whoever wrote the agent NAME.
const OURS: &[&str] = &[
    "plugin.actionpolicy.",
    "plugin.choria.",
    "plugin.login.",
    "plugin.machines.",
    "plugin.nats.",
    "plugin.regopolicy.",
    "plugin.rpcaudit.",
    "plugin.security.",
];

/// Keys of our agents that manage machines. Those of agents of others are theirs, so only what
/// is a typing error away from one of the same agent is taken for a mistake.
const AGENTS: &[(&str, Value)] = &[
    ("plugin.filemgr.touch_file", Value::Text),
    ("plugin.package.provider", Value::Text),
    ("plugin.package.yum_clean_mode", Value::Text),
    ("plugin.puppet.allow_server_override", Value::Switch),
    ("plugin.puppet.command", Value::Text),
    ("plugin.puppet.config", Value::Text),
    ("plugin.puppet.resource_allow_managed_resources", Value::Switch),
    ("plugin.puppet.resource_type_blacklist", Value::Text),
    ("plugin.puppet.resource_type_whitelist", Value::Text),
    ("plugin.puppet.signal_daemon", Value::Switch),
    ("plugin.puppet.splay", Value::Switch),
    ("plugin.puppet.splaylimit", Value::Text),
    ("plugin.service.provider", Value::Text),
    ("plugin.service.service.servicecmd", Value::Text),
];

/// What an agent's key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Text,
    Switch,
}

/// The agent a key is of, by its name.
fn agent_of(key: &str) -> Option<&str> {
    key.strip_prefix("plugin.")?.split_once('.').map(|(agent, _)| agent)
}

/// What to say about a line with the key of an agent.
fn of_agents(key: &str, value: &str) -> Option<String> {
    let agent = agent_of(key)?;
    let activates = key.strip_prefix("plugin.").and_then(|rest| rest.strip_suffix(".activate_agent"));
    let switch = activates.is_some_and(|name| !name.contains('.')) || AGENTS.contains(&(key, Value::Switch));
    if switch {
        let is_one = parse_bool(value).is_ok();
        return (!is_one).then(|| format!("{key}: \"{value}\" is not a boolean, false counts"));
    }
    if !MANAGING_AGENTS.contains(&agent) || AGENTS.iter().any(|(name, _)| *name == key) {
        return None;
    }
    let activate = format!("plugin.{agent}.activate_agent");
    let of_same = AGENTS.iter().map(|(name, _)| *name).filter(|name| agent_of(name) == Some(agent));
    let meant = text::nearest(key, of_same.chain([activate.as_str()]))?;
    Some(format!("unknown key {key}, did you mean {meant}?"))
}

/// What to say about a line whose key is no row of the table; `None` = nothing.
pub fn complaint(key: &str, value: &str) -> Option<String> {
    if let Some(told) = of_agents(key, value) {
        return Some(told);
    }
    let named = NAMED.iter().any(|named| key.starts_with(named));
    if named || RUBY.contains(&key) || RETIRED.contains(&key) || RAW.iter().any(|raw| matches(raw, key)) {
        return None;
    }
    let nearest = nearest(key);
    let theirs = key.starts_with("plugin.") && !OURS.iter().any(|ours| key.starts_with(ours));
    match nearest {
        Some(name) => Some(format!("unknown key {key}, did you mean {name}?")),
        None if theirs => None,
        None => Some(format!("unknown key {key}")),
    }
}

/// Whether a key that is no row of the table means something to others than this version.
pub fn is_unused(key: &str, value: &str, role: Role) -> bool {
    if let Some((_, values)) = SO_ANYWAY.iter().find(|(name, _)| *name == key) {
        return !values.iter().any(|so| so.eq_ignore_ascii_case(value));
    }
    if RUBY.contains(&key) || RETIRED.contains(&key) {
        return true;
    }
    RAW.iter().any(|raw| {
        let whose = match raw.split('.').next_back() {
            Some("activate_agent") => return false,
            _ if raw.starts_with(LEAVES) => return false,
            Some("activate_client") => role == Role::Client,
            Some("tracing") => role == Role::Server,
            Some("public") => true,
            _ => role == Role::Broker,
        };
        whose && matches(raw, key)
    })
}

fn matches(pattern: &str, key: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('.'), key.split('.'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some("*"), Some(name)) if !name.is_empty() => {}
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return false,
        }
    }
}

/// The known key a typing error away from `key`.
fn nearest(key: &str) -> Option<&'static str> {
    text::nearest(key, KEYS.iter().map(|key| key.name).chain(RUBY.iter().copied()))
}
