//! A panic in one request: the node goes on, and says who asked.

use std::sync::Arc;

use choria::core::agents::{Agent, Call, Node as NodeView, Outcome, Running};
use choria::core::config::{Config, Fixed, Role};
use choria::core::ddl::AgentDdl;
use choria::core::security::Provider;
use choria::core::server::{Server, ServerOptions};
use serde_json::json;
use tokio::sync::watch;

use crate::network::{Network, node};
use crate::process::{PATIENCE, until};
use crate::wire::{self, Wire};

/// An agent with a fault: at once, or in the middle of its work.
struct Faulty(AgentDdl);

impl Agent for Faulty {
    fn ddl(&self) -> &AgentDdl {
        &self.0
    }

    fn run<'a>(&'a self, call: &'a Call, _: &'a dyn NodeView) -> Running<'a> {
        assert_ne!(call.action, "at_once", "a fault of this agent");
        Box::pin(async {
            tokio::task::yield_now().await;
            if call.action == "later" {
                panic!("a fault of this agent");
            }
            Outcome::ok(json!({}))
        })
    }
}

fn interface() -> AgentDdl {
    let action = |name: &str| json!({"action": name, "description": "fails", "display": "always", "input": {}, "output": {}, "aggregate": []});
    let document = json!({
        "$schema": "https://choria.io/schemas/mcorpc/ddl/v1/agent.json",
        "metadata": {"name": "faulty", "description": "fails", "author": "us", "license": "Apache-2.0",
            "version": "1.0.0", "url": "https://choria.io", "timeout": 60},
        "actions": [action("at_once"), action("later"), action("work")],
    });
    AgentDdl::parse(document.to_string().as_bytes()).expect("a DDL")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_goes_on_and_counts_it() {
    let network = Network::start();
    // The files of a node; its process is this one, for the sake of the agent.
    let mut files = network.node(node("n1"));
    files.kill();
    let config = Config::load(Role::Server, Some(&files.config), &Fixed::default()).expect("a configuration");
    let provider = Arc::new(Provider::new(&config, Role::Server, &Fixed::default()).expect("keys"));
    let mut options = ServerOptions::new(config, provider).expect("options");
    options.agents.push(Arc::new(Faulty(interface())));
    let (stop, stopping) = watch::channel(false);
    let server = Server::new(options).expect("a server");
    let counters = server.node().clone();
    let server = tokio::spawn(server.run(stopping));
    tokio::task::block_in_place(|| network.answered_by(&["n1.example.net"]));

    let alice = Wire::connect(&network, &network.alice()).await;
    let subject = alice.reply_subject();
    let mut replies = alice.subscribe(&subject).await;
    for action in ["at_once", "later", "at_once", "later", "work"] {
        let request = alice.request("faulty", action, json!({}));
        alice.publish("mcollective.node.n1.example.net", alice.signed(&request, &subject)).await;
        if action == "work" {
            let reply = wire::next(&mut replies).await;
            assert_eq!(wire::replied(&reply.payload).0, request.envelope.requestid);
        }
    }
    until("four faults to be counted", || (counters.counters().snapshot().panicked == 4).then_some(()));
    // Their places are free again: nothing keeps the node from ending.
    stop.send(true).expect("a server");
    let ended = tokio::time::timeout(PATIENCE, server).await.expect("in time");
    ended.expect("no panic").expect("a clean end");
}
