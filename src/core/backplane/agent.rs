//! Agent `backplane`: what a service can do, behind rights of its own.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::service::{LogLevel, Service};
use super::settings::Rules;
use crate::core::agents::{Agent, Call, Node, Outcome, Running};
use crate::core::build;
use crate::core::ddl::{self, AgentDdl};
use crate::core::rpc::StatusCode;

/// What callers without the right are told, by the original.
const REFUSED: &str = "You are not authorized to call this agent or action.";

/// See the module documentation.
pub(super) struct BackplaneAgent {
    ddl: AgentDdl,
    service: Service,
    rules: Rules,
    /// Shutdowns that were asked for.
    stop: tokio::sync::mpsc::UnboundedSender<Duration>,
}

impl BackplaneAgent {
    pub(super) fn new(
        service: Service,
        rules: Rules,
        stop: tokio::sync::mpsc::UnboundedSender<Duration>,
    ) -> BackplaneAgent {
        // Compiled in; a test loads every built-in DDL.
        let mut ddl = ddl::builtin("backplane").expect("compiled in").clone();
        ddl.actions.retain(|action| match action.action.as_str() {
            "pause" | "resume" | "flip" => service.pausable.is_some(),
            "health" => service.health.is_some(),
            "shutdown" => service.stopable.is_some(),
            "debuglvl" | "infolvl" | "warnlvl" | "critlvl" => service.log_level.is_some(),
            _ => true,
        });
        BackplaneAgent { ddl, service, rules, stop }
    }

    fn act(&self, call: &Call) -> Outcome {
        let action = call.action.as_str();
        let only_look = matches!(action, "ping" | "info" | "health");
        if !self.rules.allow(&call.caller, only_look) {
            tracing::warn!(caller = call.caller, action, "the backplane refused a call");
            return Outcome::failed(StatusCode::Aborted, REFUSED);
        }
        if !only_look {
            tracing::warn!(caller = call.caller, action, "called over the backplane");
        }
        self.permitted(action).unwrap_or_else(|| {
            let text = format!("Unknown action {action} for agent backplane");
            Outcome::failed(StatusCode::UnknownAction, text)
        })
    }

    fn permitted(&self, action: &str) -> Option<Outcome> {
        let Service { pausable, health, stopable, log_level, .. } = &self.service;
        let data = match action {
            "ping" => json!({ "version": build::VERSION }),
            "info" => self.info(),
            "pause" | "resume" | "flip" => {
                let pausable = pausable.as_ref()?;
                match action {
                    "pause" => pausable.pause(),
                    "resume" => pausable.resume(),
                    _ => pausable.flip(),
                }
                json!({ "paused": pausable.paused() })
            }
            "health" => {
                let (result, healthy) = health.as_ref()?.health();
                json!({ "result": result, "healthy": healthy })
            }
            "shutdown" => {
                stopable.as_ref()?;
                let most = self.service.max_stop_delay.as_secs().max(1);
                let delay = Duration::from_secs(fastrand::u64(0..most) + 1);
                let _ = self.stop.send(delay);
                json!({ "delay": format!("{}s", delay.as_secs()) })
            }
            _ => {
                let level = match action {
                    "debuglvl" => LogLevel::Debug,
                    "infolvl" => LogLevel::Info,
                    "warnlvl" => LogLevel::Warning,
                    "critlvl" => LogLevel::Critical,
                    _ => return None,
                };
                log_level.as_ref()?.set_log_level(level);
                json!({ "level": level.as_str() })
            }
        };
        Some(Outcome::ok(data))
    }

    fn info(&self) -> Value {
        let Service { info, pausable, health, stopable, log_level, .. } = &self.service;
        let level = log_level.as_ref().and_then(|log| log.log_level());
        json!({
            "backplane_version": build::VERSION,
            "version": info.version(),
            "paused": pausable.as_ref().is_some_and(|pausable| pausable.paused()),
            "facts": info.facts(),
            "healthy": health.as_ref().is_none_or(|health| health.health().1),
            "loglevel": level.map_or("unknown", LogLevel::as_str),
            "healthcheck_feature": health.is_some(),
            "pause_feature": pausable.is_some(),
            "shutdown_feature": stopable.is_some(),
            "facts_feature": true,
            "loglevel_feature": log_level.is_some(),
        })
    }
}

/// Facts of the node: the service's, and what filters select by.
pub(super) fn facts(service: &Service, name: &str) -> Map<String, Value> {
    let mut facts = service.info.facts();
    let ours = [
        ("backplane_version", json!(build::VERSION)),
        ("backplane_name", json!(name)),
        ("backplane_pausable", json!(service.pausable.is_some())),
        ("backplane_stopable", json!(service.stopable.is_some())),
        ("backplane_healthcheckable", json!(service.health.is_some())),
        ("backplane_loglevelsetable", json!(service.log_level.is_some())),
    ];
    facts.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    facts
}

impl Agent for BackplaneAgent {
    fn ddl(&self) -> &AgentDdl {
        &self.ddl
    }

    fn run<'a>(&'a self, call: &'a Call, _node: &'a dyn Node) -> Running<'a> {
        Box::pin(std::future::ready(self.act(call)))
    }
}
