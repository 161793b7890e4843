//! Somebody stops listening: a pipe closes, a person interrupts.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::network::{Network, node};
use crate::process::{Daemon, PATIENCE, program, until};

#[test]
fn a_closed_pipe_ends_a_command_quietly() {
    let network = Network::start();
    // Far more than a pipe holds.
    let facts = serde_json::json!({"list": (0..20_000).map(|i| format!("entry {i}")).collect::<Vec<_>>()});
    let _nodes = network.nodes([node("n1").facts(facts)]);
    let alice = network.alice();
    for words in [
        &["rpc", "rpcutil", "inventory", "-v", "-I", "n1.example.net"][..],
        &["rpc", "rpcutil", "inventory", "--json", "-I", "n1.example.net"],
        &["rpc", "rpcutil", "inventory", "--jsonl", "-I", "n1.example.net"],
        &["inventory", "n1.example.net"],
        &["facts", "list", "-I", "n1.example.net"],
        &["tool", "config", "--list"],
    ] {
        let mut child = alice.command(words).spawn().expect("the program");
        // As `| head -1` does.
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("an end");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(stderr, "", "{words:?}");
        assert_eq!(output.status.code(), Some(0), "{words:?}");
    }
}

#[test]
fn an_interrupted_request_says_how_far_it_got() {
    let network = Network::start();
    // Somebody who is there and says nothing: nobody would be told at once.
    let nodes = network.nodes([node("n1"), node("gone")]);
    nodes[1].log().signal(Signal::STOP);
    let slow = network.caller_with("alice.mcollective", "discovery_timeout = 600\n");
    let words = ["rpc", "rpcutil", "ping", "-I", "n1.example.net", "-I", "gone.example.net"];
    let mut child = slow.command(&words).spawn().expect("the program");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map(|l| l.expect("text"));
    assert!(lines.by_ref().any(|line| line.starts_with("n1.example.net")), "the first answer");
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::INT).expect("the child is ours");
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().expect("an end").code(), Some(130), "{rest:?}");
    let rest = rest.join("\n");
    assert!(rest.contains("Finished processing 1 / 2 hosts") && rest.contains("gone.example.net"), "{rest}");
}

#[test]
fn a_node_nobody_listens_to_still_answers() {
    let network = Network::start();
    let mut node = network.node(node("n1"));
    node.kill();
    let mut command = program(&network.path(""));
    command.args(["server", "run", "--config"]).arg(&node.config);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program");
    drop((child.stdout.take(), child.stderr.take()));
    let daemon = Daemon::adopt("deaf node", child);
    network.answered_by(&["n1.example.net"]);
    // Every denial is a log line that goes nowhere.
    let bob = network.caller("bob.mcollective");
    bob.run(&["rpc", "rpcutil", "ping"]).code(2);
    bob.run(&["rpc", "rpcutil", "ping"]).code(2);
    network.alice().run(&["rpc", "rpcutil", "ping"]).fine();
    drop(daemon);
}

#[test]
fn a_node_without_a_broker_can_be_told_to_stop() {
    let network = Network::without_broker();
    let mut node = network.node(node("n1"));
    node.log().says(&["cannot connect"]);
    node.log().signal(Signal::TERM);
    let begun = std::time::Instant::now();
    assert_eq!(node.daemon().ended().code(), Some(0));
    assert!(begun.elapsed() < PATIENCE / 6, "{:?}", begun.elapsed());
}

#[test]
fn a_log_file_is_opened_anew() {
    let network = Network::start();
    let log = network.path("n1.log");
    let nodes = network.node(node("n1").lines(&format!("logfile = {}\n", log.display())));
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    until("a log file", || read().contains("connected").then_some(()));
    for line in read().lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("a JSON object a line");
        assert!(line["time"].is_string() && line["level"].is_string() && line["msg"].is_string(), "{line}");
    }
    std::fs::rename(&log, network.path("n1.log.1")).expect("a rotation");
    nodes.log().signal(Signal::HUP);
    until("a new log file", || read().contains("read keys, CA and revocation lists again").then_some(()));
    assert!(nodes.log().lines().is_empty(), "{:?}", nodes.log().lines());
}
