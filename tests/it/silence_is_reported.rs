//! Nodes that do not answer, and the exit codes that say so.

use std::os::unix::fs::symlink;

use rustix::process::Signal;
use serde_json::json;

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
fn nobody_is_told_from_a_node_that_says_nothing() {
    let network = Network::start();
    let nodes = network.nodes([node("n1"), node("mute")]);
    nodes[1].log().signal(Signal::STOP);
    let alice = network.alice();
    let words = [
        "rpc",
        "rpcutil",
        "ping",
        "-I",
        "n1.example.net",
        "-I",
        "gone.example.net",
        "-I",
        "mute.example.net",
    ];
    let ran = alice.run(&words).code(4).says(&["No Responses from: 2"]);
    let ran = ran.complains(&[
        "nobody listens as node gone.example.net in collective mcollective: is its daemon running?",
    ]);
    assert!(!ran.stderr.contains("mute"), "{ran:?}");
    let document = alice.run(&[&words[..], &["--json"]].concat()).code(4).json();
    assert_eq!(document["request_stats"]["nobody_listens"], json!(["gone.example.net"]));
    assert_eq!(document["request_stats"]["no_responses"].as_array().map(Vec::len), Some(2));
    // Alone it leaves the caller with what only the node could tell.
    let ran = alice.run(&["rpc", "rpcutil", "ping", "-I", "mute.example.net"]).code(3);
    ran.complains(&[
        "nobody answered: nodes are silent when",
        "another CA",
        "a clock more than 60 s from theirs",
    ]);
    nodes[1].log().signal(Signal::CONT);
    let ran = alice.run(&["rpc", "rpcutil", "ping", "-F", "country=atlantis"]).code(1).silent();
    ran.complains(&[
        "did not discover any nodes: nodes are silent when a filter does not match",
        "here it is 20",
    ]);
}

#[test]
fn an_interrupt_shows_what_is_known() {
    let network = Network::start();
    let nodes = network.nodes([node("n1").facts(json!({"country": "mt"})), node("mute")]);
    nodes[1].log().signal(Signal::STOP);
    let alice = network.caller_with("alice.mcollective", "discovery_timeout = 60\n");

    let mut ping = alice.start(&["ping", "--timeout", "60"]);
    ping.says(&["n1.example.net"]);
    ping.signal(Signal::INT);
    assert_eq!(ping.ended().code(), Some(130), "{:?}", ping.lines());
    ping.says(&["1 replies max"]);

    let mut find = alice.start(&["find", "--fixed-window"]);
    let passed = nodes[0].counter("passed");
    nodes[0].counts("replies", passed + 1);
    find.signal(Signal::INT);
    assert_eq!(find.ended().code(), Some(130), "{:?}", find.lines());
    find.says(&["interrupted before discovery was complete, 1 nodes were found so far"]);
    find.says(&["n1.example.net"]);

    let replies = nodes[0].counter("replies");
    let mut facts = alice.start(&["facts", "country", "-I", "n1.example.net", "-I", "mute.example.net"]);
    nodes[0].counts("replies", replies + 1);
    facts.signal(Signal::INT);
    assert_eq!(facts.ended().code(), Some(130), "{:?}", facts.lines());
    facts.says(&["mt", "found 1 times"]);
    facts.says(&["Finished processing 1 / 2"]);

    let replies = nodes[0].counter("replies");
    let both = ["inventory", "--collectives", "-I", "n1.example.net", "-I", "mute.example.net"];
    let mut report = alice.start(&both);
    nodes[0].counts("replies", replies + 1);
    report.signal(Signal::INT);
    assert_eq!(report.ended().code(), Some(130), "{:?}", report.lines());
    report.says(&["Collective Report for 1 of 2 nodes, interrupted"]);
    nodes[1].log().signal(Signal::CONT);
}

#[test]
fn standard_input_is_a_source_or_an_error() {
    let network = Network::start();
    let _nodes = network.nodes([node("n1"), node("web_2")]);
    let alice = network.alice();
    let rpc = ["rpc", "rpcutil", "ping", "--senders", "--sort"];
    // Whoever says that names come on standard input means these names.
    let named = [&rpc[..], &["--nodes", "-"]].concat();
    for names in ["web_2.example.net\n", "[\"web_2.example.net\"]"] {
        assert_eq!(alice.run_with_input(&named, names).fine().stdout, "web_2.example.net\n");
    }
    for (words, input, texts) in [
        (&named[..], "", &["--nodes - found no names on standard input"][..]),
        (&named, " \n\n", &["--nodes - found no names on standard input"]),
        (&named, "no such/name\n", &["standard input", "no such/name"]),
        (&rpc, "n1.example.net\n", &["would mean the whole fleet", "--nodes -", "--dm mc"]),
        // A command in front that was killed while it wrote.
        (&rpc, "{\"replies\":[{\"sender\":", &["would mean the whole fleet"]),
        (&rpc, "[]", &["did not discover any nodes"]),
    ] {
        alice.run_with_input(words, input).code(1).silent().complains(texts);
    }
    // The empty pipe of cron, and /dev/null, are no source.
    assert_eq!(alice.run_with_input(&rpc, "").fine().sorted().len(), 2);
    assert_eq!(alice.run(&rpc).fine().sorted().len(), 2);
    assert_eq!(alice.run_with_input(&[&rpc[..], &["--dm", "mc"]].concat(), "text").fine().sorted().len(), 2);
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
    alice.run(&["ping"]).complains(&["no node of collective mcollective listens at nats://"]);
    alice.run(&["ping", "--compat-exit"]).code(1);
    alice.run(&["find"]).fine().silent();
    let ran = alice.run(&["inventory", "nosuch.example.net"]).code(1).silent();
    assert_eq!(ran.stderr.matches("nobody listens as node nosuch.example.net").count(), 1, "{ran:?}");
    let lines = alice.run(&["rpc", "rpcutil", "ping", "--jsonl"]).code(1);
    assert!(lines.stdout.contains(r#""k":"error""#), "{lines:?}");
    let mco = network.path("mc-find");
    symlink(env!("CARGO_BIN_EXE_choria"), &mco).expect("a link");
    run(alice.command_by(&mco, &["--json", "--silent"]), None).code(1).says(&["[]"]);
}
