//! Replies held against what the original answered: same keys, same types, same
//! texts; values where they do not depend on the machine.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::core::config::{Config, Role};
use crate::core::ddl::Metadata;
use crate::core::machine::definition::compile;
use crate::core::machine::engine::Wanted;
use crate::core::machine::host::{Host, Settings, Surroundings};
use crate::core::protocol::filter::Facts;

/// The node of the captures, dev1.
struct Dev1 {
    config: Config,
    facts: Arc<Facts>,
    machines: Option<Host>,
}

impl Node for Dev1 {
    fn identity(&self) -> &str {
        "dev1.example.net"
    }
    fn config(&self) -> &Config {
        &self.config
    }
    fn facts(&self) -> Arc<Facts> {
        self.facts.clone()
    }
    fn classes(&self) -> Arc<Vec<String>> {
        Arc::new(["Profile::Base", "apache", "roles::web"].map(str::to_owned).to_vec())
    }
    fn agents(&self) -> Vec<Metadata> {
        let mut agents: Vec<Metadata> = built_in().iter().map(|a| a.ddl().metadata.clone()).collect();
        agents.push(discovery::metadata());
        agents.sort_by(|a, b| a.name.cmp(&b.name));
        agents
    }
    fn counts(&self) -> Counts {
        Counts { total: 9, passed: 8, ..Counts::default() }
    }
    fn started(&self) -> i64 {
        1_795_317_357
    }
    fn now(&self) -> i64 {
        1_795_317_444
    }
    fn connected_server(&self) -> Option<String> {
        Some("nats://127.0.0.1:24222".to_owned())
    }
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
    fn provisioning(&self) -> bool {
        false
    }
    fn machines(&self) -> Option<&Host> {
        self.machines.as_ref()
    }
}

fn dev1() -> Dev1 {
    let text = "identity = dev1.example.net\nplugin.choria.middleware_hosts = 127.0.0.1:24222\n\
                plugin.choria.use_srv = false\nregisterinterval = 20\nplugin.nats.pass = s3cret\n";
    let facts = json!({
        "country": "uk", "cpus": 4, "customer": "acme",
        "disks": [{"name": "nvme0n1", "size": 64}, {"name": "sda", "size": 128}],
        "load": 0.75, "nothing": null, "os": {"name": "Debian", "release": {"major": 12}, "version": "12.1"},
        "prod": false, "role": "web", "tags": ["web", "eu"], "virtual": true,
    });
    Dev1 {
        config: Config::from_text(Role::Server, text).unwrap(),
        facts: Arc::new(Facts::from_json(facts.to_string())),
        machines: None,
    }
}

async fn answer(agent: &dyn Agent, action: &str, data: Value) -> Outcome {
    answer_of(&dev1(), agent, action, data).await
}

async fn answer_of(node: &Dev1, agent: &dyn Agent, action: &str, data: Value) -> Outcome {
    let call = Call {
        agent: agent.ddl().metadata.name.clone(),
        action: action.to_owned(),
        data: data.as_object().cloned().unwrap_or_default(),
        request_id: "0".repeat(32),
        sender: "client".into(),
        caller: "choria=alice.mcollective".into(),
        collective: "mcollective".into(),
        ttl: 60,
        time: 1_795_317_444,
    };
    agent.run(&call, node).await
}

/// Request and reply bodies of every captured call of dev1 in a file.
fn captured(file: &str) -> Vec<(Value, Value)> {
    let path = format!("{}/tests/vectors/captured/{file}", env!("CARGO_MANIFEST_DIR"));
    let document: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut pairs = vec![];
    for run in document["runs"].as_array().unwrap() {
        let body = |m: &Value| m["decoded"]["body"].as_object().cloned().map(Value::Object);
        let messages = run["messages"].as_array().cloned().unwrap_or_default();
        let is_reply = |m: &&Value| m["subject"].as_str().unwrap_or_default().contains(".reply.");
        let direct =
            |m: &&Value| m["subject"].as_str().unwrap_or_default().ends_with(".node.dev1.example.net");
        let request = messages.iter().find(direct).and_then(body);
        let reply = messages.iter().find(is_reply).and_then(body);
        if let (Some(request), Some(reply)) = (request, reply) {
            pairs.push((request, reply));
        }
    }
    pairs
}

/// Keys and types, `null` fitting everything.
fn same_shape(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Null, _) | (_, Value::Null) => true,
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.keys().collect::<std::collections::BTreeSet<_>>() == theirs.keys().collect()
                && ours.iter().all(|(key, value)| same_shape(value, &theirs[key]))
        }
        (Value::Array(ours), Value::Array(theirs)) => match (ours.first(), theirs.first()) {
            (Some(ours), Some(theirs)) => same_shape(ours, theirs),
            _ => true,
        },
        (Value::Number(_), Value::Number(_)) | (Value::String(_), Value::String(_)) => true,
        (Value::Bool(_), Value::Bool(_)) => true,
        _ => false,
    }
}

/// Actions whose answers depend on nothing but facts and configuration.
const SAME_VALUES: [&str; 3] = ["get_fact", "get_facts", "collective_info"];

#[tokio::test]
async fn rpcutil_answers_as_the_original() {
    let mut seen = 0;
    for (request, theirs) in captured("rpcutil_actions.json") {
        let action = request["action"].as_str().unwrap();
        let source = request["data"]["source"].as_str().unwrap_or_default();
        if ["machine_state", "scout"].contains(&source) {
            continue; // data plugins that come with machines
        }
        let ours = answer(&RpcUtil, action, request["data"].clone()).await;
        let context = format!("{action} {}: {:?} and {theirs}", request["data"], ours);
        assert_eq!(ours.code.code(), theirs["statuscode"].as_i64().unwrap(), "{context}");
        assert_eq!(ours.message, theirs["statusmsg"].as_str().unwrap(), "{context}");
        let data = Value::Object(ours.data);
        if SAME_VALUES.contains(&action) || source == "config_item" || action == "get_config_item" {
            assert_eq!(data, theirs["data"], "{context}");
        } else {
            assert!(same_shape(&data, &theirs["data"]), "{context}");
        }
        seen += 1;
    }
    assert!(seen >= 24, "{seen} captured calls");
}

#[tokio::test]
async fn passwords_in_broker_addresses_are_not_told() {
    let text = "plugin.choria.middleware_hosts = nats://bob:s3cret@b1:4222, eve:s3cret@b2:4222\n";
    let node = Dev1 { config: Config::from_text(Role::Server, text).unwrap(), ..dev1() };
    let told =
        Value::Object(answer_of(&node, &ChoriaUtil::default(), "info", json!({})).await.data).to_string();
    assert!(told.contains("nats://b1:4222") && told.contains("nats://b2:4222"), "{told}");
    assert!(!told.contains("s3cret"), "{told}");
}

#[tokio::test]
async fn choria_util_answers_as_the_original() {
    let mut seen = 0;
    for (request, theirs) in captured("choria_util.json") {
        if request["agent"] != "choria_util" || theirs["statuscode"] == 0 && request["action"] != "info" {
            continue; // scout, and answers about machines that a node without them cannot give
        }
        let action = request["action"].as_str().unwrap();
        let ours = answer(&ChoriaUtil::default(), action, request["data"].clone()).await;
        let context = format!("{action} {}: {:?} and {theirs}", request["data"], ours);
        assert_eq!(ours.code.code(), theirs["statuscode"].as_i64().unwrap(), "{context}");
        assert!(same_shape(&Value::Object(ours.data), &theirs["data"]), "{context}");
        match theirs["statusmsg"].as_str().unwrap() {
            // A machine that is there but refuses is not something we have.
            text if text.contains("not valid while") => {}
            // The captured node ran one; of a node that runs none the original says this.
            "Could not find a matching machine" => {
                assert_eq!(ours.message, "No running machines", "{context}")
            }
            text => assert_eq!(ours.message, text, "{context}"),
        }
        seen += 1;
    }
    assert!(seen >= 4, "{seen} captured calls");
}

/// Answers about machines beside those of a node that ran some.
#[tokio::test]
async fn machines_are_told_of_and_moved_as_by_the_original() {
    let read = |file: &str| -> Value {
        let path = format!("{}/tests/vectors/captured/{file}", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let host = Host::new(Settings { identity: "dev1.example.net".to_owned(), ..Settings::default() });
    for machine in read("machine-events.json")["machines"].as_array().unwrap() {
        let name = machine["machine"].as_str().unwrap();
        if ["check_load", "switch_demo", "sub_base", "heartbeat"].contains(&name) {
            let definition = compile(machine["machine_yaml"].as_str().unwrap()).ok().unwrap();
            host.add(definition, format!("/etc/choria/machine/{name}").into(), "{}".into());
        }
    }
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(host.clone().run(Arc::new(Alone), stopped));
    while host.find(Wanted::default()).iter().any(|one| one.start_time <= 0) {
        tokio::task::yield_now().await;
    }
    let node = Dev1 { machines: Some(host.clone()), ..dev1() };
    let mut seen = 0;
    for run in read("machine-rpc.json")["runs"].as_array().unwrap() {
        let command = run["command"].as_str().unwrap();
        let Some(words) = command.strip_prefix("choria req ").filter(|_| command.ends_with("--json")) else {
            continue;
        };
        let words: Vec<&str> = words.split(' ').collect();
        let pairs = words.iter().filter_map(|word| word.split_once('='));
        let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| json!(text));
        let data: Map<String, Value> = pairs.map(|(name, text)| (name.to_owned(), value(text))).collect();
        let stdout = run["stdout"].as_str().unwrap();
        let json = stdout.get(stdout.find('{').unwrap()..).unwrap();
        let mut documents = serde_json::Deserializer::from_str(json).into_iter::<Value>();
        // some are no JSON: what does not fit the terminal was broken into lines
        let Some(Ok(theirs)) = documents.next() else { continue };
        let theirs = &theirs["replies"][0];
        let util = ChoriaUtil::default();
        let agent: &dyn Agent = match words[0] {
            "scout" => &Scout,
            "rpcutil" => &RpcUtil,
            _ => &util,
        };
        let ours = answer_of(&node, agent, words[1], Value::Object(data)).await;
        let context = format!("{command}: {ours:?} and {theirs}");
        assert_eq!(ours.code.code(), theirs["statuscode"].as_i64().unwrap(), "{context}");
        assert_eq!(ours.message, theirs["statusmsg"].as_str().unwrap(), "{context}");
        if words[1] != "machine_states" {
            assert!(same_shape(&Value::Object(ours.data), &theirs["data"]), "{context}");
        }
        seen += 1;
    }
    assert_eq!(seen, 6);
    let util = ChoriaUtil::default();
    let told = async |data: Value| answer_of(&node, &util, "machine_transition", data).await.message;
    assert_eq!(
        told(json!({"name": "switch_demo", "transition": "nosuch"})).await,
        "Could not perform nosuch transition: transition nosuch is not valid while in B state"
    );
    assert_eq!(
        told(json!({"name": "switch_demo", "transition": "back", "version": "9.9.9"})).await,
        "Could not perform back transition: could not find machine matching criteria name='switch_demo', \
         version='9.9.9', path='', id=''"
    );
    stop.send_replace(true);
    running.await.unwrap();
}

/// A host without a network and without facts.
struct Alone;

impl Surroundings for Alone {
    fn facts(&self) -> Pin<Box<dyn Future<Output = Arc<Facts>> + Send + '_>> {
        Box::pin(async { Arc::new(Facts::from_json("{}".to_owned())) })
    }

    fn publish(&self, _: String, _: String, _: Vec<(&'static str, String)>) {}
}

#[tokio::test]
async fn a_secret_setting_is_not_told() {
    let outcome = answer(&RpcUtil, "get_config_item", json!({"item": "plugin.nats.pass"})).await;
    assert_eq!(outcome.data["value"], "*****");
    let outcome =
        answer(&RpcUtil, "get_data", json!({"source": "config_item", "query": "plugin.nats.pass"})).await;
    assert_eq!(outcome.data["value"], "*****");
}

/// The look before counts, too: a caller whose answer comes later than the interface says has
/// none.
#[tokio::test]
async fn a_service_that_is_slow_is_told_of_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("service");
    // by another process: what is open for writing here cannot be run
    let write = "printf '#!/bin/sh\\ncase $2 in status) sleep 2; exit 3 ;; esac\\nsleep 9\\n' >\"$0\"; chmod 755 \"$0\"";
    assert!(std::process::Command::new("sh").args(["-c", write]).arg(&program).status().unwrap().success());
    let mut node = dev1();
    node.config.set("plugin.service.provider", "service").unwrap();
    node.config.set("plugin.service.service.servicecmd", program.to_str().unwrap()).unwrap();
    let jobs = system::Jobs::new(dir.path().join("jobs"));
    let service = service::Service::waiting(jobs, std::time::Duration::from_secs(3));
    let begun = std::time::Instant::now();
    let outcome = answer_of(&node, &service, "start", json!({"service": "slow"})).await;
    assert!(outcome.message.starts_with("Still at work"), "{outcome:?}");
    assert!(begun.elapsed().as_millis() < 4500, "{:?}", begun.elapsed());
}
