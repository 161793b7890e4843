//! Nodes in this process whose agents do what a test says, whatever agents the
//! program brings along.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use choria::core::agents::{Agent, Call, Node as NodeView, Outcome, Running};
use choria::core::config::{Config, Fixed, Role};
use choria::core::ddl::AgentDdl;
use choria::core::pki::Kind;
use choria::core::rpc::StatusCode;
use choria::core::security::Provider;
use choria::core::server::{Server, ServerOptions};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::network::{Caller, Network};
use crate::shelf::Shelf;

/// What an agent does: by the name of its node and the call.
pub type Act = Arc<dyn Fn(&str, &Call) -> Outcome + Send + Sync>;

/// An agent of a test.
struct Actor {
    node: String,
    ddl: AgentDdl,
    act: Act,
}

impl Agent for Actor {
    fn ddl(&self) -> &AgentDdl {
        &self.ddl
    }

    fn judges_inputs(&self) -> bool {
        true
    }

    fn run<'a>(&'a self, call: &'a Call, _: &'a dyn NodeView) -> Running<'a> {
        Box::pin(async { (self.act)(&self.node, call) })
    }
}

/// Running nodes; they end with it.
pub struct Stage {
    runtime: Option<Runtime>,
    stop: watch::Sender<bool>,
    shelf: Shelf,
}

impl Stage {
    /// Nodes of these names, each with agents by these interfaces, and waits until all
    /// answer.
    pub fn of(network: &Network, names: &[&str], ddls: &[Value], act: Act) -> Stage {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (stop, stopping) = watch::channel(false);
        let shelf = Shelf::of(network, "interfaces");
        ddls.iter().for_each(|ddl| drop(shelf.ddl(ddl)));
        for name in names {
            let config = configuration(network, name);
            let provider = Arc::new(Provider::new(&config, Role::Server, &Fixed::default()).expect("keys"));
            let mut options = ServerOptions::new(config, provider).expect("options");
            for ddl in ddls {
                let ddl = AgentDdl::parse(ddl.to_string().as_bytes()).expect("an interface");
                options.agents.retain(|agent| agent.ddl().metadata.name != ddl.metadata.name);
                options.agents.push(Arc::new(Actor { node: (*name).to_owned(), ddl, act: act.clone() }));
            }
            let stopping = stopping.clone();
            runtime.spawn(async move { Server::new(options).expect("a server").run(stopping).await });
        }
        network.answered_by(names);
        Stage { runtime: Some(runtime), stop, shelf }
    }

    /// Somebody who calls and knows the interfaces.
    pub fn alice(&self, network: &Network, lines: &str) -> Caller {
        network.caller_with("alice.mcollective", &format!("{}{lines}", self.shelf.libdir()))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(10));
        }
    }
}

fn configuration(network: &Network, name: &str) -> Config {
    network.certify(Kind::Node, name);
    network.file(
        &format!("{name}/policies/default.policy"),
        "policy default deny\nallow\tchoria=alice.mcollective\t*\t*\t*\n",
    );
    let facts = network.file(&format!("{name}/facts.json"), r#"{"country": "mt"}"#);
    let text = format!(
        "identity = {name}\nplugin.choria.middleware_hosts = {}\nplugin.yaml = {}\nclassesfile = {}\n\
         plugin.actionpolicy.enable_default = 1\nsoft_shutdown_timeout = 1\n{}",
        network.address(),
        facts.display(),
        network.file(&format!("{name}/classes.txt"), "web\n").display(),
        network.security(name),
    );
    let file = network.file(&format!("{name}/server.conf"), &text);
    Config::load(Role::Server, Some(&file), &Fixed::default()).expect("a configuration")
}

/// A failure with outputs.
pub fn failed(code: i64, message: &str, data: Value) -> Outcome {
    let Outcome { data, .. } = Outcome::ok(data);
    Outcome { code: StatusCode::from(code), message: message.to_owned(), data }
}

/// An interface of an agent: each action with its inputs as `name: type`, a question
/// mark after those that may be left away, its outputs, and what is summed up.
pub fn interface(name: &str, timeout: u64, actions: &[(&str, &[&str], &[&str], Value)]) -> Value {
    let actions: Vec<Value> = actions
        .iter()
        .map(|(action, inputs, outputs, aggregate)| {
            let inputs: BTreeMap<&str, Value> = inputs.iter().map(described).collect();
            let outputs: BTreeMap<&str, Value> = outputs
                .iter()
                .map(|output| (*output, json!({"description": "O", "display_as": label(output)})))
                .collect();
            json!({"action": action, "description": "It", "display": "failed", "input": inputs,
                   "output": outputs, "aggregate": aggregate})
        })
        .collect();
    json!({
        "$schema": "https://choria.io/schemas/mcorpc/ddl/v1/agent.json",
        "metadata": {"name": name, "description": "Test", "author": "A <a@example.net>", "license": "Apache-2.0",
            "version": "1.0.0", "url": "https://example.net", "timeout": timeout},
        "actions": actions,
    })
}

fn described<'a>(input: &&'a str) -> (&'a str, Value) {
    let (name, kind) = input.split_once(':').expect("a type");
    let optional = kind.ends_with('?');
    let kind = kind.trim_end_matches('?').trim();
    (
        name,
        json!({"prompt": "P", "description": "D", "type": kind, "optional": optional,
        "validation": ".", "maxlength": 10_000}),
    )
}

fn label(output: &str) -> String {
    let mut letters = output.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}
