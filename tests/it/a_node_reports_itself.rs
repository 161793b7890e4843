//! Registration data and the status file.

use std::collections::BTreeSet;
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use choria::core::protocol::v1::{Request, SecureRequest, Transport};
use serde_json::{Value, json};

use crate::network::{Network, node};
use crate::process::{program, run};
use crate::wire::{self, Wire};

fn unpacked(document: &Value) -> Vec<u8> {
    let packed = STANDARD.decode(document["zcontent"].as_str().expect("text")).expect("base64");
    let mut content = vec![];
    flate2::read::GzDecoder::new(&*packed).read_to_end(&mut content).expect("gzip");
    content
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_registration_plugins_are_both_heard() {
    let targets = "plugin.choria.registration.file_content.target = reg.file\n\
                   plugin.choria.registration.inventory_content.target = reg.inventory\n";
    // The ear has to hear targets, which clients by name may not: an open broker.
    let network = Network::start_with(&format!("plugin.choria.network.x509_permissions = open\n{targets}"));
    let ear = Wire::connect(&network, &network.alice()).await;
    let mut heard = ear.subscribe("reg.>").await;
    ear.settled().await;
    let file = network.file("inventory.txt", "rack 7\n");
    let lines = format!(
        "{targets}registration = file_content,inventory_content\nregisterinterval = 2\nregistration_splay = 0\n\
         plugin.choria.registration.file_content.data = {}\n",
        file.display()
    );
    let setup = node("n1").facts(json!({"country": "mt"})).classes(&["apache"]).lines(&lines);
    let _nodes = tokio::task::block_in_place(|| network.nodes([setup]));

    let mut subjects = vec![];
    // Two rounds: each plugin keeps time for itself.
    while subjects.iter().filter(|s| *s == "reg.file").count() < 2
        || subjects.iter().filter(|s| *s == "reg.inventory").count() < 2
    {
        let message = wire::next(&mut heard).await;
        let transport = Transport::decode(&message.payload).expect("a transport message");
        let secure = SecureRequest::decode(&transport.data).expect("a secure request");
        let request = Request::decode(secure.message.as_bytes()).expect("a request");
        assert_eq!(request.envelope.callerid, "choria=n1.example.net");
        assert_eq!(request.envelope.agent, "registration");
        let document: Value = serde_json::from_slice(&request.payload()).expect("JSON");
        match message.subject.as_str() {
            "reg.file" => {
                assert_eq!(document["protocol"], "choria:registration:filecontent:1");
                assert_eq!(document["file"], json!(file));
                assert_eq!(unpacked(&document), b"rack 7\n");
            }
            _ => {
                assert_eq!(document["protocol"], "choria:registration:inventorycontent:1");
                let inventory: Value = serde_json::from_slice(&unpacked(&document)).expect("JSON");
                assert_eq!(inventory["facts"]["country"], "mt");
                assert_eq!(inventory["classes"], json!(["apache"]));
                assert_eq!(inventory["status"]["identity"], "n1.example.net");
            }
        }
        subjects.push(message.subject.to_string());
    }
}

/// Under by-name a node may publish to the targets its broker knows, and those only.
#[test]
fn registration_targets_are_the_brokers_to_allow() {
    for (target, allowed) in [("reg.inventory", true), ("reg.elsewhere", false)] {
        let key = "plugin.choria.registration.inventory_content.target";
        let network = Network::start_with(&format!(
            "plugin.choria.network.x509_permissions = by-name\n{key} = reg.inventory\n"
        ));
        let lines = format!("registration = inventory_content\nregistration_splay = 0\n{key} = {target}\n");
        let nodes = network.nodes([node("n1").lines(&lines)]);
        if allowed {
            // Nothing to see is what success looks like; the node's events counter
            // and the broker's silence are the other half of this test.
            nodes[0].counts("events", 1);
            assert!(nodes[0].log().matching(0, &["ermissions"]).is_empty());
        } else {
            nodes[0].log().says(&["warning", "broker: ", "ermissions", target]);
        }
    }
}

#[test]
fn the_status_file_says_how_a_node_is() {
    let mut network = Network::start();
    let nodes = network.nodes([node("n1")]);
    nodes[0].counts("events", 1);
    network.alice().run(&["rpc", "rpcutil", "ping"]).fine();
    nodes[0].counts("replies", 3);
    let status = nodes[0].status().expect("a file");

    let keys = |v: &Value| v.as_object().expect("an object").keys().cloned().collect::<BTreeSet<String>>();
    let captured = include_str!("../vectors/captured/server_files.json");
    let captured: Value = serde_json::from_str(captured).expect("JSON");
    let theirs = find(&captured, "certificate_expires").expect("a captured status file");
    assert!(keys(&status).is_superset(&keys(&theirs)), "{status} {theirs}");
    assert!(keys(&status["stats"]).is_superset(&keys(&theirs["stats"])), "{status} {theirs}");
    assert_eq!(status["identity"], "n1.example.net");
    assert_eq!(status["connected_server"], format!("nats://{}", network.address()));
    assert_eq!(status["provisioning_mode"], false);

    let file = nodes[0].dir.join("status.json");
    let home = network.path("");
    let check = |flags: &[&str]| {
        let mut command = program(&home);
        command.args(["tool", "status", "--status-file"]).arg(&file).args(flags);
        run(command, None)
    };
    check(&[]).fine().says(&["status.json OK"]);
    check(&["--provisioned"]).fine();
    check(&["--unprovisioned"]).code(1).says(&["provisioned while it should not be"]);
    check(&["--certificate-age", "10y"]).code(1).says(&["certificate expires at"]);
    check(&["--max-age", "soon"]).code(1).complains(&["--max-age soon"]);

    network.kill_broker();
    crate::process::until("the status file to tell", || {
        nodes[0].status().filter(|s| s["connected_server"] == "").map(|_| ())
    });
    check(&[]).code(1).says(&["not connected to a broker"]);
    check(&["--no-disconnected"]).fine();
}

/// The first object below `value` that has `key`, also in texts that are JSON.
fn find(value: &Value, key: &str) -> Option<Value> {
    match value {
        Value::Object(members) if members.contains_key(key) => Some(value.clone()),
        Value::Object(members) => members.values().find_map(|v| find(v, key)),
        Value::Array(items) => items.iter().find_map(|v| find(v, key)),
        Value::String(text) => {
            serde_json::from_str::<Value>(text).ok().filter(|v| v.is_object()).and_then(|v| find(&v, key))
        }
        _ => None,
    }
}
