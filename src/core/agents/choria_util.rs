//! The `choria_util` agent (spec 02 §3.3): how a node is connected, and what its autonomous
//! agents do.

mod machines;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use super::system::{Jobs, Outputs, State};
use super::{Agent, Call, Node, Outcome, Running};
use crate::core::build;
use crate::core::ddl::{self, AgentDdl};
use crate::core::programs;
use crate::core::rpc::StatusCode;

/// Interfaces that one caller is given in a while: each takes a signature, some milliseconds of it.
const GIVEN: u32 = 40;
const WHILE: Duration = Duration::from_secs(10);
/// Callers that are remembered for that.
const MOST_CALLERS: usize = 1000;

/// The agent.
#[derive(Default)]
pub struct ChoriaUtil {
    jobs: Option<Jobs>,
    /// Interfaces that callers were given, and since when.
    given: Mutex<HashMap<String, (Instant, u32)>>,
}

impl ChoriaUtil {
    /// That tells what became of jobs.
    pub(super) fn telling(jobs: Jobs) -> ChoriaUtil {
        ChoriaUtil { jobs: Some(jobs), ..ChoriaUtil::default() }
    }
}

impl Agent for ChoriaUtil {
    fn ddl(&self) -> &AgentDdl {
        // Compiled in; a test loads every built-in DDL.
        ddl::builtin("choria_util").expect("compiled in")
    }

    /// Looks after jobs of a life before this one.
    fn attend<'a>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            if let Some(jobs) = &self.jobs {
                jobs.adopt().await;
            }
        })
    }

    fn run<'a>(&'a self, call: &'a Call, node: &'a dyn Node) -> Running<'a> {
        Box::pin(async move {
            match call.action.as_str() {
                "info" => info(node),
                "machine_states" => machines::states(node),
                "machine_state" => machines::state(call, node),
                "machine_transition" => machines::transition(call, node),
                "ddl" if !self.gives(&call.caller, Instant::now()) => Outcome::failed(
                    StatusCode::Aborted,
                    format!("more than {GIVEN} interfaces in {} s, ask later", WHILE.as_secs()),
                ),
                "ddl" => interface(call, node),
                "result" => self.result(call).await,
                other => Outcome::failed(
                    StatusCode::UnknownAction,
                    format!("Unknown action {other} for agent choria_util"),
                ),
            }
        })
    }
}

impl ChoriaUtil {
    /// Whether a caller is given one more interface now.
    fn gives(&self, caller: &str, now: Instant) -> bool {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if given.len() >= MOST_CALLERS {
            given.retain(|_, (since, _)| now.duration_since(*since) < WHILE);
        }
        if given.len() >= MOST_CALLERS && !given.contains_key(caller) {
            return false;
        }
        let (since, count) = given.entry(caller.to_owned()).or_insert((now, 0));
        if now.duration_since(*since) >= WHILE {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= GIVEN
    }

    /// Ours: what became of a request that took longer than its caller waited. A caller
    /// learns of none but their own.
    async fn result(&self, call: &Call) -> Outcome {
        let mut outputs = Outputs::of(self.ddl(), call);
        let request = call.text("request");
        let record = match &self.jobs {
            Some(jobs) => jobs.look(&Jobs::name_of(&call.caller, request)).await,
            None => None,
        };
        let Some(record) = record else {
            return outputs.aborted(format!("Nothing is kept here of a request {request} of yours"));
        };
        outputs.set("agent", record.about.agent.as_str()).set("action", record.about.action.as_str());
        outputs.set("command", record.about.command.as_str()).set("begun", record.about.begun);
        outputs.set("state", record.state.word());
        if let State::Ended(code) = record.state {
            outputs.set("exitcode", code);
        }
        match &record.outcome {
            Some(Outcome { code, message, data }) => {
                outputs.set("statuscode", code.code()).set("statusmsg", message.as_str());
                outputs.set("data", data.clone());
            }
            None => {
                let (stdout, stderr) = record.last().await;
                outputs.set("output", stdout + &stderr);
            }
        }
        outputs.done()
    }
}

fn info(node: &dyn Node) -> Outcome {
    let config = node.config();
    let secure = true;
    let brokers = &config.choria_middleware_hosts;
    // Passwords that somebody wrote into addresses are nobody's business.
    let public = |host: &str| host.rsplit_once('@').map_or(host, |(_, h)| h).to_owned();
    let bare = |host: &String| public(host.rsplit_once("://").map_or(host.as_str(), |(_, h)| h));
    let url = |host: &String| match host.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", public(rest)),
        None => format!("nats://{}", public(host)),
    };
    Outcome::ok(json!({
        "security": "choria",
        "connector": "choria",
        "client_version": build::VERSION,
        "client_flavour": "async-nats",
        "client_options": {
            "servers": brokers.iter().map(url).collect::<Vec<_>>(),
            "dont_randomize_servers": false,
            "name": node.identity(),
            "pedantic": false,
            "secure": secure,
            "allow_reconnect": true,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 2.0,
            "connect_timeout": config.choria_network_connect_timeout.as_secs_f64(),
            "ping_interval": 120.0,
            "max_outstanding_pings": 2,
        },
        "client_stats": node.traffic(),
        "connected_server": node.connected_server().unwrap_or_default(),
        "facter_domain": "",
        "facter_command": facter(),
        "srv_domain": config.choria_srv_domain,
        "using_srv": config.choria_use_srv,
        "middleware_servers": brokers.iter().map(bare).collect::<Vec<_>>(),
        "path": std::env::var("PATH").unwrap_or_default(),
        "choria_version": format!("choria {}", build::VERSION),
        "secure_protocol": secure,
        "connector_tls": secure,
    }))
}

/// Ours: the interface of an agent of this node, for a client that lacks it.
fn interface(call: &Call, node: &dyn Node) -> Outcome {
    let name = call.text("name");
    let Some(ddl) = node.interface(name) else {
        return Outcome::failed(
            StatusCode::Aborted,
            format!("Unknown agent {name}, this node does not have it"),
        );
    };
    let text = ddl.to_value().to_string();
    let signed = node.signed(&text, &call.request_id);
    Outcome::ok(json!({
        "name": name,
        "version": ddl.metadata.version,
        "ddl": text,
        "signed": signed.unwrap_or_default(),
    }))
}

/// Where facter is, as the original looks for it; empty where it is not.
fn facter() -> String {
    let usual = programs::find("/opt/puppetlabs/bin/facter", None);
    let path = std::env::var_os("PATH");
    let found = usual.or_else(|| programs::find("facter", path.as_deref()));
    found.map(|path| path.display().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_given_so_many_interfaces_in_a_while() {
        let (util, now) = (ChoriaUtil::default(), Instant::now());
        let given = |caller: &str, now| (0..1000).filter(|_| util.gives(caller, now)).count();
        assert_eq!((given("a", now), given("b", now)), (GIVEN as usize, GIVEN as usize));
        assert_eq!((given("a", now), given("a", now + WHILE)), (0, GIVEN as usize));
        let crowd = (0..2 * MOST_CALLERS).filter(|n| util.gives(&n.to_string(), now + WHILE)).count();
        assert!(crowd < 2 * MOST_CALLERS, "only so many are remembered");
        assert!(util.given.lock().unwrap().len() <= MOST_CALLERS);
        assert!(given("c", now + 3 * WHILE) > 0, "who is not heard makes room");
    }
}
