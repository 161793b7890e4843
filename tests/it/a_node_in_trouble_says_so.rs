//! Nodes whose surroundings are not as they should be, and what callers see.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::network::{Network, node};
use crate::process::PATIENCE;

#[test]
fn a_reply_too_large_for_the_network_is_an_error_not_a_silence() {
    let network = Network::start();
    let nodes = network.nodes([node("n1").facts(json!({"blob": "x".repeat(1 << 20)})), node("n2")]);
    let ran = network
        .alice()
        .run(&["rpc", "rpcutil", "get_fact", "fact=blob", "-I", "n1.example.net", "-I", "n2.example.net"])
        .code(2);
    ran.says(&["the reply of ", "bytes is larger than the broker takes", "2 / 2"]);
    network.alice().run(&["rpc", "rpcutil", "ping"]).fine();
    assert!(nodes[0].log().matching(0, &["reconnecting"]).is_empty());
}

#[test]
fn two_nodes_of_one_name_give_one_answer() {
    let network = Network::start();
    let nodes = network.nodes([node("n1")]);
    let twin = network.node(node("n1"));
    twin.connected();
    let ran =
        network.alice().run(&["rpc", "rpcutil", "ping", "-I", "n1.example.net", "--json"]).code(0).json();
    assert_eq!(ran["replies"].as_array().map(Vec::len), Some(1), "{ran}");
    drop(nodes);
}

#[test]
fn an_audit_log_that_cannot_be_written_is_told_with_every_call() {
    let network = Network::start();
    let nodes = network.nodes([node("n1").lines("plugin.rpcaudit.logfile = /no/such/dir/audit.log\n")]);
    let document = network.alice().run(&["rpc", "rpcutil", "ping", "--json"]).fine().json();
    let id = document["request_stats"]["requestid"].as_str().expect("an id");
    nodes[0].log().says(&["error", "the audit record was not written", "/no/such/dir/audit.log", id]);
}

#[test]
fn changed_facts_and_classes_count_at_once() {
    let network = Network::start();
    let nodes = network.nodes([node("n1").facts(json!({"country": "mt"})).classes(&["apache"])]);
    let alice = network.alice();
    let find = |filter: &[&str]| alice.run(&[&["find"], filter].concat()).fine().sorted().len();
    assert_eq!((find(&["-F", "country=mt"]), find(&["-C", "nginx"])), (1, 0));
    std::fs::write(nodes[0].dir.join("facts.json"), r#"{"country":"de"}"#).expect("facts");
    std::fs::write(nodes[0].dir.join("classes.txt"), "nginx\n").expect("classes");
    assert_eq!((find(&["-F", "country=mt"]), find(&["-C", "nginx"])), (0, 1));
    // Broken facts are no facts, and said to be broken.
    std::fs::write(nodes[0].dir.join("facts.json"), "{").expect("facts");
    assert_eq!((find(&["-F", "country=de"]), find(&["-C", "nginx"])), (0, 1));
    nodes[0].log().says(&["warning", "facts.json"]);
}

#[test]
fn sub_collectives_are_separate() {
    let network = Network::start_with(
        "plugin.choria.network.x509_permissions = by-name\ncollectives = mcollective,uk,de\n",
    );
    let member = |name: &str, of: &str| node(name).lines(&format!("collectives = mcollective,{of}\n"));
    let _nodes = network.nodes([member("n1", "uk"), member("n2", "de")]);
    let alice = network.caller_with("alice.mcollective", "collectives = mcollective,uk,de\n");
    assert_eq!(alice.run(&["find"]).fine().sorted().len(), 2);
    assert_eq!(alice.run(&["find", "-T", "uk"]).fine().sorted(), ["n1.example.net"]);
    assert_eq!(
        alice.run(&["rpc", "rpcutil", "ping", "-T", "de", "--senders"]).fine().sorted(),
        ["n2.example.net"]
    );
    alice.run(&["rpc", "rpcutil", "ping", "-T", "uk", "-I", "n2.example.net"]).code(3);
    alice.run(&["inventory", "--collectives"]).fine().says(&["mcollective", "uk", "de"]);
    let bob = network.caller_with("bob.mcollective", "collectives = uk\n");
    bob.run(&["find", "-T", "de"]).code(1).complains(&["'de'"]);
}

#[test]
fn a_broker_may_turn_nodes_away() {
    let lines = "plugin.choria.network.x509_permissions = by-name\n\
                 plugin.choria.network.deny_server_connections = 1\n";
    let network = Network::start_with(lines);
    let node = network.node(node("n1"));
    node.log().says(&["warning", "ermissions"]);
    network.alice().run(&["ping"]).code(3);
}

/// Strangers on the broker's port, while the fleet works.
#[test]
fn garbage_does_not_end_a_broker() {
    let mut network = Network::start();
    let _nodes = network.nodes([node("n1")]);
    let mut random = fastrand::Rng::with_seed(7);
    let mut idle = vec![];
    for round in 0..60 {
        let mut socket = TcpStream::connect(network.address()).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let bytes: Vec<u8> = match round % 6 {
            0 => (0..random.usize(0..5000)).map(|_| random.u8(..)).collect(),
            1 => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            2 => [&b"\x16\x03\x01\x40\x00\x01"[..], &[0xff; 5000]].concat(),
            3 => b"CONNECT ".repeat(2000),
            4 => b"PUB a 99999999999999999999\r\n".repeat(100),
            // Says nothing at all.
            _ => vec![],
        };
        // The broker may hang up while we talk.
        let _ = socket.write_all(&bytes);
        idle.push(socket);
    }
    network.alice().run(&["rpc", "rpcutil", "ping"]).fine();
    // Whoever does not identify itself is cut off in the end.
    for mut socket in idle {
        let mut rest = vec![];
        let _ = socket.read_to_end(&mut rest);
        assert!(rest.len() < 4096, "{} bytes", rest.len());
    }
    network.broker().still_runs();
    network.alice().run(&["rpc", "rpcutil", "ping"]).fine();
}
