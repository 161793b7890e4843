//! `choria emulate`: many real servers in one process, good ones and others.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::emulated::Emulated;
use crate::network::Network;
use crate::process::{PATIENCE, until};
use crate::task_stage::Tasks;

#[test]
fn emulated_nodes_are_real_and_misbehave_as_told() {
    let network = Network::start();
    let broker = network.address().to_string();
    let ca = network.path("ca").display().to_string();
    let alice = network.alice();
    let emulator = alice.start(&[
        "emulate",
        "--count",
        "40",
        "--broker",
        &broker,
        "--ca",
        &ca,
        "--name",
        "e{}.example.net",
        "--rate",
        "200",
        "--silent",
        "10",
        "--denying",
        "20",
        "--monitor",
        "0",
    ]);
    let page = emulator.says(&["counters are at http://127.0.0.1:"]);
    emulator.says(&["40 nodes are connected"]);

    // Silent nodes have no room for discovery either.
    let found = alice.run(&["find", "-S", "fact('emulated')", "--json"]).code(0).json();
    let found: Vec<&str> = found.as_array().unwrap().iter().filter_map(|n| n.as_str()).collect();
    assert_eq!(found.len(), 36, "{found:?}");

    // Everybody has a name, and by name the silent are missed.
    let all: Vec<String> = (1..=40).map(|n| format!("-Ie{n}.example.net")).collect();
    let mut words = vec!["rpc", "rpcutil", "ping", "--json"];
    words.extend(all.iter().map(String::as_str));
    let stats = alice.run(&words).code(2).json()["request_stats"].clone();
    assert_eq!((&stats["ok"], &stats["failed"]), (&28.into(), &8.into()), "{stats}");
    assert_eq!(stats["no_responses"].as_array().unwrap().len(), 4, "{stats}");

    // The counters of all nodes together.
    let address = page.split("http://").nth(1).and_then(|t| t.split('/').next()).expect("an address");
    let text = get(address, "/metrics");
    let value = |name: &str| {
        let line = text.lines().find(|l| l.starts_with(&format!("{name}{{"))).expect("a sample");
        line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok()).expect("a number")
    };
    assert_eq!((value("choria_emulator_nodes"), value("choria_emulator_connected")), (40.0, 40.0));
    assert_eq!(value("choria_server_denied"), 8.0, "{text}");
    assert!(value("choria_server_replies") >= 36.0 + 36.0, "{text}");
}

/// A page over HTTP.
fn get(address: &str, path: &str) -> String {
    let mut socket = TcpStream::connect(address).expect("a listener");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("a connection");
    let mut text = String::new();
    socket.read_to_string(&mut text).expect("an answer");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    text
}

#[test]
fn nodes_may_share_one_certificate_where_the_broker_binds_nobody_to_a_name() {
    let network = Network::start_with("plugin.choria.network.x509_permissions = open\n");
    let broker = network.address().to_string();
    let ca = network.path("ca").display().to_string();
    let alice = network.alice();
    let words = ["emulate", "--count", "3", "--broker", &broker, "--ca", &ca, "--name", "e{}.example.net"];
    let emulator = alice.start(&[&words[..], &["--one-certificate", "--one-address"]].concat());
    emulator.says(&["3 nodes are connected"]);
    network.answered_by(&["e1.example.net", "e2.example.net", "e3.example.net"]);
}

#[test]
fn a_pattern_without_a_number_is_explained() {
    let network = Network::without_broker();
    let ca = network.path("ca").display().to_string();
    network
        .alice()
        .run(&["emulate", "--broker", "127.0.0.1:1", "--ca", &ca, "--name", "same"])
        .code(1)
        .complains(&["choria: the name pattern 'same' has no {} where the number goes"]);
}

/// Tasks run on emulated nodes as on others: each fetches the files and keeps them for itself.
#[test]
fn emulated_nodes_run_tasks() {
    let tasks = Tasks::start(&[], "", &[("demo/tasks/who.sh", "#!/bin/sh\necho \"in $PT__installdir\"\n")]);
    let server = format!("127.0.0.1:{}", tasks.port);
    let fleet = Emulated::members(&tasks.network, 5, &["--tasks", &server, "--denying", "20"]);
    fleet.counts("choria_emulator_connected", 5);
    let alice = tasks.caller("alice.mcollective");
    let ran = alice.run(&["tasks", "run", "demo::who", "--json", "-y"]).code(2).json();
    let items = ran["items"].as_array().expect("items");
    let mut places: Vec<&str> = items.iter().filter_map(|item| item["stdout"]["_output"].as_str()).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!((items.len(), places.len()), (5, 4), "{ran}");
    let ran = alice.run(&["emulate", "--broker", "127.0.0.1:1", "--ca", "x", "--tasks", "nowhere"]);
    ran.code(1).complains(&["--tasks nowhere is no host:port"]);
}

/// Checks of emulated nodes are those of nodes: they are looked at, triggered and kept quiet.
#[test]
fn emulated_nodes_have_checks() {
    let network = Network::start();
    let _fleet = Emulated::members(&network, 2, &["--checks", "3"]);
    let alice = network.alice();
    network.answered_by(&["e1.example.net", "e2.example.net"]);
    alice.run(&["scout", "trigger"]).code(0).says(&["Triggered 6 checks on 2 nodes"]);
    let resting = ["scout", "maintenance", "--check", "check_02", "-I", "e2.example.net"];
    alice.run(&resting).code(0);
    until("the checks to be as told", || {
        let found = alice.run(&["scout", "status", "e2.example.net", "--json"]).json();
        let checks = found["replies"][0]["data"]["checks"].as_array()?;
        let of = |state: &str| checks.iter().filter(|check| check["state"] == state).count();
        ((of("OK"), of("MAINTENANCE")) == (2, 1)).then_some(())
    });
}
