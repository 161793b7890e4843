//! Nodes that do not answer, and the exit codes that say so.

use std::os::unix::fs::symlink;

use crate::network::{Network, node};
use crate::process::run;

#[test]
fn missing_nodes_are_named() {
    let network = Network::start();
    let _nodes = network.nodes([node("n1")]);
    let alice = network.alice();
    let words = [
        "rpc",
        "rpcutil",
        "ping",
        "-I",
        "n1.example.net",
        "-I",
        "gone1.example.net",
        "-I",
        "gone2.example.net",
    ];
    let ran = alice.run(&words).code(4);
    let ran = ran.says(&["Finished processing 1 / 3 hosts", "No Responses from: 2"]);
    ran.says(&["gone1.example.net", "gone2.example.net"]);
    let document = alice.run(&[&words[..], &["--json"]].concat()).code(4).json();
    let mut missing = document["request_stats"]["no_responses"].as_array().expect("names").clone();
    missing.sort_by_key(|n| n.to_string());
    assert_eq!(missing, ["gone1.example.net", "gone2.example.net"]);

    // The codes of the original, three ways.
    alice.run(&[&words[..], &["--compat-exit"]].concat()).code(0);
    let mut command = alice.command(&words);
    command.env("CHORIA_COMPAT_EXIT", "1");
    run(command, None).code(0);
    let mco = network.path("mco");
    symlink(env!("CARGO_BIN_EXE_choria"), &mco).expect("a link");
    run(alice.command_by(&mco, &words), None).code(0).says(&["No Responses from: 2"]);
}

#[test]
fn an_empty_network_is_no_success() {
    let network = Network::start();
    let alice = network.alice();
    let ran = alice.run(&["rpc", "rpcutil", "ping", "-I", "gone.example.net"]).code(3);
    ran.says(&["Finished processing 0 / 1 hosts", "gone.example.net"]);
    alice.run(&["rpc", "rpcutil", "ping", "-I", "gone.example.net", "--compat-exit"]).code(0);
    let ran = alice.run(&["rpc", "rpcutil", "ping"]).code(1).silent();
    ran.complains(&["did not discover any nodes"]);
    alice.run(&["ping"]).code(3).says(&["no replies"]).complains(&["no responses received"]);
    alice.run(&["ping", "--compat-exit"]).code(1);
    alice.run(&["find"]).fine().silent();
    let lines = alice.run(&["rpc", "rpcutil", "ping", "--jsonl"]).code(1);
    assert!(lines.stdout.contains(r#""k":"error""#), "{lines:?}");
    let mco = network.path("mc-find");
    symlink(env!("CARGO_BIN_EXE_choria"), &mco).expect("a link");
    run(alice.command_by(&mco, &["--json", "--silent"]), None).code(1).says(&["[]"]);
}
