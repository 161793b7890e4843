//! Brokers and nodes come and go; nobody has to be told.

use std::sync::Arc;
use std::time::Duration;

use choria::core::agents::{Agent, Call, Node as NodeView, Outcome, Running};
use choria::core::config::{Config, Fixed, Role};
use choria::core::ddl::AgentDdl;
use choria::core::security::Provider;
use choria::core::server::{Server, ServerOptions};
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::{Notify, watch};

use crate::network::{Network, node};
use crate::process::{PATIENCE, until};
use crate::wire::{self, Wire};

#[test]
fn nodes_come_back_by_themselves() {
    let mut network = Network::start();
    let nodes = network.nodes([node("n1"), node("n2")]);
    let marks: Vec<usize> = nodes.iter().map(|n| n.log().mark()).collect();
    network.kill_broker();
    for (node, mark) in nodes.iter().zip(&marks) {
        node.log().says_after(*mark, &["warning", "the broker connection ended, reconnecting"]);
    }
    network.start_broker();
    for (node, mark) in nodes.iter().zip(&marks) {
        node.log().says_after(*mark, &["connected", "broker="]);
    }
    network.answered_by(&["n1.example.net", "n2.example.net"]);
    network.alice().run(&["rpc", "rpcutil", "ping"]).fine().says(&["2 / 2"]);
}

#[test]
fn a_node_that_starts_first_waits_for_the_broker() {
    let mut network = Network::start();
    network.kill_broker();
    let node = network.node(node("n1"));
    node.log().says(&["warning", "cannot connect", &network.address().to_string()]);
    network.start_broker();
    node.connected();
    network.answered_by(&["n1.example.net"]);
}

#[test]
fn a_broker_told_to_stop_closes_gently_and_at_once_when_told_twice() {
    let mut network = Network::start();
    let nodes = network.nodes([node("n1")]);
    network.broker().signal(Signal::TERM);
    network.broker().says(&["stopping, connections are closed over"]);
    nodes[0].log().says(&["reconnecting"]);
    network.broker().signal(Signal::TERM);
    assert_eq!(network.broker().ended().code(), Some(0));
}

#[test]
fn comings_and_goings_are_events() {
    let network = Network::start();
    let words = ["tool", "event", "--component", "server", "--count"];
    let mut startups = network.alice().start(&[&words[..], &["2", "--type", "startup"]].concat());
    startups.says(&["Waiting for events from topic choria.lifecycle.event.>"]);
    let mut nodes = network.nodes([node("n1"), node("n2")]);
    for name in ["n1", "n2"] {
        startups.says(&["[startup]", &format!("{name}.example.net: server version ")]);
    }
    assert_eq!(startups.ended().code(), Some(0));

    let shutdowns = network.alice().start(&["tool", "event", "--json"]);
    shutdowns.says(&["Waiting for events"]);
    // A subscription is made when something is heard on it.
    let mut other = network.node(node("n3"));
    until("an event to be heard", || {
        other.start();
        other.connected();
        other.daemon().signal(Signal::TERM);
        other.daemon().ended();
        shutdowns.matching(0, &["startup", "n3.example.net"]).pop()
    });
    nodes[0].daemon().signal(Signal::TERM);
    assert_eq!(nodes[0].daemon().ended().code(), Some(0));
    shutdowns.says(&["{", "shutdown", "n1.example.net"]);
    network.answered_by(&["n2.example.net"]);
}

/// What is still on its way to a node that ends must not take its last words
/// along.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_busy_node_says_goodbye() {
    let network = Network::start();
    let alice = Wire::connect(&network, &network.alice()).await;
    let mut events = alice.subscribe("choria.lifecycle.event.shutdown.>").await;
    alice.served().await;
    for round in 0..5 {
        let mut nodes = tokio::task::block_in_place(|| network.nodes([node("n1")]));
        let request = alice.request("rpcutil", "ping", json!({}));
        let message = alice.signed(&request, &alice.reply_subject());
        for number in 0..3000 {
            alice.publish("mcollective.node.n1.example.net", message.clone()).await;
            if number == 1000 {
                nodes[0].daemon().signal(Signal::TERM);
            }
        }
        let status = tokio::task::block_in_place(|| nodes[0].daemon().ended());
        assert_eq!(status.code(), Some(0), "round {round}");
        let event = wire::next(&mut events).await;
        assert!(String::from_utf8_lossy(&event.payload).contains("n1.example.net"), "round {round}");
    }
}

#[test]
fn a_dead_broker_in_the_list_is_passed_over() {
    let network = Network::start();
    let hosts = format!("plugin.choria.middleware_hosts = 127.0.0.1:1, {}\n", network.address());
    let nodes = network.nodes([node("n1").lines(&hosts)]);
    let alice = network.caller_with("alice.mcollective", &hosts);
    // Which comes first is chance: often enough it is the dead one.
    for _ in 0..5 {
        alice.run(&["rpc", "rpcutil", "ping", "-I", "n1.example.net"]).code(0).says(&["1 / 1"]);
    }
    drop(nodes);
}

#[test]
fn a_request_outlives_its_broker() {
    let mut network = Network::start();
    let nodes = network.nodes([node("n1"), node("gone")]);
    nodes[1].log().signal(Signal::STOP);
    let alice = network.caller_with("alice.mcollective", "discovery_timeout = 4\n");
    let mut request =
        alice.start(&["rpc", "rpcutil", "ping", "-I", "n1.example.net", "-I", "gone.example.net"]);
    request.says(&["n1.example.net"]);
    network.kill_broker();
    let ended = request.ended();
    assert_eq!(ended.code(), Some(4), "{:?}", request.lines());
    request.says(&["Finished processing 1 / 2 hosts"]);
    request.says(&["gone.example.net"]);
}

/// An agent that is done when the test says so.
struct Slow {
    ddl: AgentDdl,
    begun: Arc<Notify>,
    go_on: Arc<Notify>,
}

impl Agent for Slow {
    fn ddl(&self) -> &AgentDdl {
        &self.ddl
    }

    fn run<'a>(&'a self, _: &'a Call, _: &'a dyn NodeView) -> Running<'a> {
        Box::pin(async {
            self.begun.notify_one();
            self.go_on.notified().await;
            Outcome::ok(json!({}))
        })
    }
}

const SLOW: &str = r#"{"$schema":"https://choria.io/schemas/mcorpc/ddl/v1/agent.json",
"metadata":{"name":"slow","description":"slow","author":"us","license":"Apache-2.0","version":"1.0.0",
"url":"https://choria.io","timeout":60},
"actions":[{"action":"work","description":"works","display":"always","input":{},"output":{},"aggregate":[]}]}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_told_to_stop_answers_what_is_running() {
    let network = Network::start();
    // The files of a node; its process is this one, for the sake of the agent.
    let mut files = network.node(node("n1").lines("soft_shutdown_timeout = 60\n"));
    files.kill();
    let config = Config::load(Role::Server, Some(&files.config), &Fixed::default()).expect("a configuration");
    let provider = Arc::new(Provider::new(&config, Role::Server, &Fixed::default()).expect("keys"));
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let mut options = ServerOptions::new(config, provider).unwrap();
    let ddl = AgentDdl::parse(SLOW.as_bytes()).expect("a DDL");
    options.agents.push(Arc::new(Slow { ddl, begun: begun.clone(), go_on: go_on.clone() }));
    let (stop, stopping) = watch::channel(false);
    let server = tokio::spawn(Server::new(options).expect("a server").run(stopping));
    tokio::task::block_in_place(|| network.answered_by(&["n1.example.net"]));

    let alice = Wire::connect(&network, &network.alice()).await;
    let subject = alice.reply_subject();
    let mut replies = alice.subscribe(&subject).await;
    let mut events = alice.subscribe("choria.lifecycle.event.shutdown.>").await;
    let request = alice.request("slow", "work", json!({}));
    alice.publish("mcollective.node.n1.example.net", alice.signed(&request, &subject)).await;
    tokio::time::timeout(PATIENCE, begun.notified()).await.expect("the request runs");
    stop.send(true).expect("a server");
    // It waits for the request, and does not say goodbye before.
    let early = tokio::time::timeout(Duration::from_millis(200), wire::next(&mut events)).await;
    assert!(early.is_err() && !server.is_finished());
    go_on.notify_one();
    assert_eq!(wire::reply(&wire::next(&mut replies).await.payload).0, "n1.example.net");
    let event = wire::next(&mut events).await;
    assert!(String::from_utf8_lossy(&event.payload).contains("n1.example.net"));
    let ended = tokio::time::timeout(PATIENCE, server).await.expect("in time");
    ended.expect("no panic").expect("a clean end");
}
