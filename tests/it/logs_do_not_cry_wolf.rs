//! What is as it should be is no warning; what is left over goes.

use std::fs;
use std::net::TcpStream;
use std::time::Duration;

use choria::core::protocol::v1::Envelope;
use rustix::process::Signal;
use serde_json::json;

use crate::network::{Network, node};
use crate::process::{Daemon, program, run, until};
use crate::wire::Wire;

/// Load balancers look whether somebody listens, and go by a reset.
#[test]
fn a_health_check_is_no_refusal() {
    let mut network = Network::start();
    let mark = network.broker().mark();
    for _ in 0..20 {
        let stream = TcpStream::connect(network.address()).expect("a broker");
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
    }
    let _nodes = network.nodes([node("n1")]);
    network.alice().run(&["rpc", "rpcutil", "ping"]).fine();
    let warned = network.broker().matching(mark, &["warning"]);
    assert!(warned.is_empty(), "{warned:?}");
}

#[test]
fn a_node_without_a_broker_has_a_status_all_the_same() {
    let network = Network::without_broker();
    let node = network.node(node("n1"));
    let status = until("a status file", || node.status());
    assert_eq!((&status["identity"], &status["connected_server"]), (&"n1.example.net".into(), &"".into()));
    let mut command = program(&network.path(""));
    command.args(["tool", "status", "--status-file"]).arg(node.dir.join("status.json"));
    run(command, None).code(1).says(&["not connected to a broker"]);
}

#[test]
fn what_a_killed_emulator_left_goes_with_the_next() {
    let network = Network::start();
    let temporary = network.path("tmp");
    fs::create_dir(&temporary).expect("a directory");
    let left = || fs::read_dir(&temporary).expect("a directory").count();
    let start = || {
        let mut command = program(&network.path(""));
        command.env("TMPDIR", &temporary).args(["emulate", "--count", "1", "--ca"]).arg(network.path("ca"));
        command.args(["--broker", &network.address().to_string()]);
        let daemon = Daemon::start("emulator", command);
        daemon.says(&["1 nodes are connected"]);
        daemon
    };
    drop(start());
    assert_eq!(left(), 1, "a killed one tidies nothing up");
    let mut second = start();
    assert_eq!(left(), 1, "its own");
    second.signal(Signal::TERM);
    assert!(second.ended().success());
    assert_eq!(left(), 0);
}

#[test]
fn an_emulator_says_what_keeps_its_nodes_away() {
    let network = Network::start();
    let mut command = crate::process::named_program("/bin/sh".as_ref(), &network.path(""));
    let script = "ulimit -n 100; exec \"$0\" emulate --count 200 --ca \"$1\" --broker 127.0.0.1:1";
    command.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_choria")).arg(network.path("ca"));
    run(command, None).code(1).complains(&["200 nodes need as many connections", "allows 36", "ulimit -Hn"]);
}

/// Who is refused in every way there is, and puts in what is written longer than it is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_is_refused_in_many_ways_fills_no_log() {
    const ROUNDS: usize = 60;
    let network = Network::start();
    let node = network.node(
        node("n1").policy("rpcutil", "policy default deny\nallow\tchoria=alice.mcollective\tping\t*\t*\n"),
    );
    network.answered_by(&["n1.example.net"]);
    let eve = Wire::connect(&network, &network.caller("eve.mcollective")).await;
    let long = "\u{1}".repeat(3_000);
    let subject = eve.reply_subject();
    let mark = node.log().mark();
    for _ in 0..ROUNDS {
        let whole = eve.signed(&eve.request("rpcutil", "ping", json!({})), &subject);
        let mut messages = vec![
            long.clone(),
            json!({"protocol": long}).to_string(),
            whole.replacen("\"data\":\"", "\"data\":\"AAAA", 1),
        ];
        messages.extend([whole.clone(), whole]);
        let mut odd = |change: &dyn Fn(&mut Envelope)| {
            let mut request = eve.request("rpcutil", "ping", json!({}));
            change(&mut request.envelope);
            messages.push(eve.signed(&request, &subject));
        };
        odd(&|envelope| envelope.time -= 86_400);
        odd(&|envelope| envelope.callerid = "choria=bob.mcollective".to_owned());
        odd(&|envelope| envelope.collective.clone_from(&long));
        odd(&|envelope| envelope.senderid.clone_from(&long));
        odd(&|envelope| envelope.filter.add_identity("/(/").unwrap_or_default());
        messages.push(eve.signed(&eve.request("rpcutil", "get_fact", json!({"fact": long})), &subject));
        messages.push(eve.signed(&eve.request(&long, "ping", json!({})), &subject));
        for message in messages {
            eve.publish("mcollective.node.n1.example.net", message).await;
        }
    }
    eve.flush().await;
    network.answered_by(&["n1.example.net"]);
    let lines = node.log().matching(mark, &["warning"]);
    assert!((20..90).contains(&lines.len()), "{} lines: {lines:?}", lines.len());
    assert!(lines.iter().all(|line| line.len() < 10_000));
}
