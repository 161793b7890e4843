//! `choria emulate`: many real servers in one process, good ones and others.

use crate::network::Network;

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
    ]);
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
