//! What a person should hear when not everybody answered: causes first, each in
//! one line on stderr, with the next step.

use std::collections::BTreeSet;

use choria::core::client::{Client, RequestStats};
use choria::core::ddl::REPLACEABLE;
use choria::core::discovery::Discovered;
use choria::core::rpc::{NOT_AUTHORIZED, ReplyBody, StatusCode};

use super::out::errln;
use super::render::text::clean;

/// Nodes that get a line of their own; more are counted.
const NAMED: usize = 10;
/// Complaints of the broker that are shown.
const COMPLAINTS: usize = 3;

/// Says what is known about those who did not answer a request; `found` is true where they have
/// answered when nodes were looked for. Who was not waited for is not doubted.
pub fn report(client: &Client, collective: &str, stats: &RequestStats, found: bool, interrupted: bool) {
    let since = |node: &str| {
        let since = stats.not_connected_since.get(node);
        since.map(|since| format!(" since {since}")).unwrap_or_default()
    };
    let left: Vec<String> = stats
        .not_connected
        .iter()
        .filter(|node| stats.nobody_listens.binary_search(node).is_err())
        .cloned()
        .collect();
    name(&left, |node| format!("node {node} left before it answered, it is not connected{}", since(node)));
    name(&stats.nobody_listens, |node| {
        let why = match found {
            true if stats.not_connected_since.contains_key(node) => {
                "it has answered before that: has its daemon ended?"
            }
            true => {
                "it has just answered: has it stopped meanwhile, or is its identity another name than its \
                 certificate's? Its log says so"
            }
            false => "is its daemon running?",
        };
        format!("nobody listens as node {node} in collective {collective}{}: {why}", since(node))
    });
    name(&stats.denied_by_broker, |node| {
        format!("the broker does not let this caller ask node {node} in collective {collective}")
    });
    // Otherwise it was told when nodes were looked for.
    if !found {
        down(&stats.federations_down);
    }
    overflowed(stats.overflowed_responses);
    let explained = stats.not_connected.len() + stats.denied_by_broker.len();
    if stats.responses == 0 && stats.no_responses.len() > explained && !interrupted {
        doubts(client);
    }
    complaints(client);
}

/// Why discovery found nobody, for the end of a sentence; empty when nobody was
/// asked. Where an agent was looked for, that nobody has it is the first thing to think of.
pub fn nobody_found(client: &Client, collective: &str, found: &Discovered, agent: Option<&str>) -> String {
    let doubts = client.doubts();
    match () {
        () if !found.federations_down.is_empty() && found.nobody_listens => {
            ": none of its federations is there".to_owned()
        }
        () if found.nobody_listens => {
            let broker = client.session().connected_server().unwrap_or_default();
            format!(
                ": no node of collective {collective} listens at {broker}, are servers running and members of it?"
            )
        }
        () if !doubts.is_empty() => format!(": {}", doubts.join("; ")),
        () if found.late.asked() => {
            // a ping waits for answers, all others wait for who is there first
            let option = if agent.is_some() { "--discovery-timeout" } else { "--timeout" };
            format!(": {}", [lacking(agent), unheard(client, option)].concat())
        }
        () => String::new(),
    }
}

/// How to see whether anybody has an agent; empty for those that all nodes have.
fn lacking(agent: Option<&str>) -> String {
    let Some(agent) = agent.filter(|agent| !["rpcutil", "choria_util", "discovery"].contains(agent)) else {
        return String::new();
    };
    let hosted = match agent {
        "scout" => ", which takes plugin.choria.machine.store in a node's configuration",
        "shell" => ", which takes plugin.shell.activate_agent = true in a node's configuration",
        _ if REPLACEABLE.contains(&agent) => {
            ", which no node does where rpcauthorization or plugin.AGENT.activate_agent is false"
        }
        _ => ", which takes its program below a directory of plugin.choria.agent_provider.mcorpc.libdir",
    };
    format!("no node that is meant has the agent {agent}{hosted} ('choria find -A {agent}' lists who has); ")
}

/// A service that nobody has answered for.
pub fn nobody_serves(agent: &str) {
    let how = match agent {
        "choria_registry" => {
            ": a node serves interfaces where plugin.choria.services.registry.store is set, and a by-name broker lets it by \
             plugin.choria.network.service_certnames"
        }
        _ => "",
    };
    errln!("choria: nobody answers for the service {agent}{how}");
}

/// Nodes that a list names and that were not heard of.
pub fn unanswered(nodes: &BTreeSet<String>) {
    let nodes: Vec<String> = nodes.iter().cloned().collect();
    name(&nodes, |node| format!("no answer of {node}"));
}

/// Nodes that do not let this caller do what was asked: theirs is the decision, and the file.
pub fn denied(count: usize, agent: &str) {
    if count > 0 {
        let nodes = if count == 1 { "1 node does".to_owned() } else { format!("{count} nodes do") };
        errln!(
            "choria: {nodes} not allow it: what is allowed stands in policies/{agent}.policy (policies/rego where a \
             node decides by Rego) beside its configuration, 'choria policy check' reads it there"
        );
    }
}

/// Whether a reply is a denial.
pub fn is_denial(body: &ReplyBody) -> bool {
    body.statuscode == StatusCode::Aborted && body.statusmsg == NOT_AUTHORIZED
}

/// Federations that nobody carries requests to.
pub fn down(federations: &[String]) {
    name(federations, |federation| {
        format!(
            "nobody carries requests to the federation {federation}: is its federation broker running, and is \
             plugin.choria.federation.cluster = {federation} there?"
        )
    });
}

/// Nodes that answered discovery when others were asked already.
pub fn late(nodes: &[String]) {
    name(nodes, |node| format!("node {node} was discovered too late to be asked, try --fixed-window"));
}

/// Answers of a broadcast that were lost here.
pub fn overflowed(count: u64) {
    if count > 0 {
        errln!(
            "choria: {count} replies were dropped, more bytes of them waited than this client keeps: ask \
             fewer nodes at a time, with --batch or a filter"
        );
    }
}

/// What else the broker complained about.
pub fn complaints(client: &Client) {
    let errors = client.session().broker_errors();
    // What was denied has been told by name.
    let others = errors.iter().filter(|error| !error.contains("Permissions Violation"));
    for error in others.take(COMPLAINTS) {
        errln!("choria: the broker said: {}", clean(error, false));
    }
}

fn doubts(client: &Client) {
    for doubt in client.doubts() {
        errln!("choria: nobody answered: {}", clean(doubt, false));
    }
    if client.doubts().is_empty() {
        errln!("choria: nobody answered: {}", unheard(client, "--timeout"));
    }
}

/// What keeps nodes that listen from answering. Which of it, only they know.
fn unheard(client: &Client, option: &str) -> String {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    format!(
        "nodes are silent when a filter does not match them and when they refuse a request, such as one of another \
         CA or a clock more than {} s from theirs (here it is {now}); their logs say why. Or they are at it still: \
         {option} waits longer",
        client.config().ttl
    )
}

fn name(nodes: &[String], text: impl Fn(&str) -> String) {
    for node in nodes.iter().take(NAMED) {
        errln!("choria: {}", text(&clean(node, false)));
    }
    if nodes.len() > NAMED {
        errln!("choria: the same is true of {} more nodes, see --json", nodes.len() - NAMED);
    }
}
