//! A name that no agent has is told soon, whoever could be asked about it.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::network::{Caller, Network, node};
use crate::process::Ran;
use crate::shelf::{Shelf, action, ddl};

/// Beside what starting a program takes on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(1500);
const SOON: Duration = Duration::from_millis(3500);

/// What a request of an agent says, which fails in one sentence within this time.
#[track_caller]
fn fails(caller: &Caller, agent: &str, within: Duration, words: &[&str]) -> Ran {
    let begun = Instant::now();
    let ran = caller.run(&["rpc", agent, "status"]);
    let took = begun.elapsed();
    println!("{agent} after {took:?}: {}", ran.stderr);
    let ran = ran.code(1).silent().complains(words);
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    assert!(took < within, "{agent} took {took:?}");
    ran
}

/// Somebody who knows the interface of `package`, with `lines` in the configuration.
fn alice(network: &Network, lines: &str) -> Caller {
    let shelf = Shelf::of(network, "lib");
    shelf.ddl(&ddl("package", "1.0.0", 10, json!([action("status", json!({}), json!({}))])));
    network.caller_with("alice.mcollective", &format!("libdir = {}\n{lines}", network.path("lib").display()))
}

#[test]
fn without_a_broker() {
    let network = Network::without_broker();
    // one that nobody listens at, and one that never says a word
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    for address in [gone, mute.local_addr().expect("an address")] {
        let alice = alice(&network, &format!("plugin.choria.middleware_hosts = {address}\n"));
        fails(&alice, "pakage", AT_ONCE, &["could not resolve pakage DDL", "did you mean package?"]);
        fails(&alice, "packages", AT_ONCE, &["did you mean package?"]);
        fails(&alice, "nosuch", SOON, &["could not resolve nosuch DDL", "was asked for"]);
        // there are names that differ by a number
        fails(&alice, "package2", SOON, &["did you mean package?", "was asked for"]);
    }
}

#[test]
fn where_nobody_knows_it() {
    let network = Network::start();
    let _nodes = network.nodes([node("n1")]);
    let alice = alice(&network, "");
    fails(&alice, "pakage", AT_ONCE, &["did you mean package?"]);
    fails(
        &alice,
        "nosuch",
        SOON,
        &["could not resolve nosuch DDL", "neither the registry nor a node has it"],
    );
}
