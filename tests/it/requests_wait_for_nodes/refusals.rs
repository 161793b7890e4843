//! What does not run.

use std::fs;

use choria::core::pki::Kind;

use super::{Marks, audited, comes_to, keep, keeping, shown, taking};
use crate::network::{Network, node, now};
use crate::process::{program, run, until};
use crate::streams_are_used::Keeping;

#[test]
fn rights_are_those_of_the_time_it_runs() {
    let Keeping { network, alice, .. } = &keeping();
    let mut away = network.node_elsewhere(taking("n1"));
    let marks = Marks::of(network, "marks");
    let id = keep(alice, "n1.example.net", &["shell", "run", &marks.command(""), "--until", "1h"]);
    let deny = "policy default deny\nallow\tchoria=alice.mcollective\tping\t*\t*\n";
    fs::write(away.dir.join("policies/default.policy"), deny).unwrap();
    away.start();
    let answer = comes_to(alice, &id, "answered");
    assert_eq!(answer["statusmsg"], "You are not authorized to call this agent or action", "{answer}");
    assert_eq!((marks.count(), audited(&away, &id)), (0, 0));
    away.log().says(&["denied", &id, "choria=alice.mcollective"]);
}

#[test]
fn a_caller_who_was_revoked_is_refused() {
    let Keeping { network, alice, .. } = &keeping();
    let mallory = network.caller("mallory.mcollective");
    let allow = "policy default allow\n";
    let mut away = network.node_elsewhere(taking("n1").policy("default", allow));
    let marks = Marks::of(network, "marks");
    let id = keep(&mallory, "n1.example.net", &["shell", "run", &marks.command(""), "--until", "1h"]);
    network.ca.revoke("mallory.mcollective", now()).expect("a revocation");
    away.start();
    away.log().says(&["does not run", "has been revoked"]);
    // whoever looks in his name sees it
    let ran = alice.run(&["requests", "show", &id, "--caller", "choria=mallory.mcollective", "--json"]);
    let document = until("the refusal to be kept", || {
        let ran = alice.run(&["requests", "show", &id, "--caller", "choria=mallory.mcollective", "--json"]);
        let document = ran.json();
        (document["nodes"][0]["state"] == "refused").then_some(document)
    });
    assert!(document["nodes"][0]["reason"].as_str().unwrap().contains("revoked"), "{ran:?}");
    assert_eq!(marks.count(), 0);
}

#[test]
fn what_is_cancelled_or_over_does_not_run_and_only_its_caller_cancels() {
    let Keeping { network, alice, root } = &keeping();
    let bob = network.caller("bob.mcollective");
    let mut away = network.node_elsewhere(taking("n1"));
    let marks = Marks::of(network, "marks");
    let words = ["shell", "run", &marks.command(""), "--until", "1h"];
    let (first, second) = (keep(alice, "n1.example.net", &words), keep(alice, "n1.example.net", &words));
    let brief = keep(alice, "n1.example.net", &["shell", "run", &marks.command(""), "--until", "30s"]);

    let in_her_name = ["requests", "cancel", &first, "-f", "--caller", "choria=alice.mcollective"];
    bob.run(&in_her_name).code(1).complains(&["still waits for 1 nodes", "only its caller"]);
    assert_eq!(shown(alice, &first)["nodes"][0]["state"], "waiting");
    alice.run(&["requests", "cancel", &first, "-f"]).fine().says(&["1 cancelled, 0 had begun"]);
    let of_root = ["requests", "cancel", &second, "-f", "--caller", "choria=alice.mcollective"];
    root.run(&of_root).fine().says(&["1 cancelled"]);
    assert_eq!(shown(alice, &second)["nodes"][0]["state"], "cancelled");
    // what is ended is told again, and stays as it is
    alice.run(&["requests", "cancel", &first, "-f"]).fine().says(&["1 cancelled"]);
    until("it to be over", || (shown(alice, &brief)["nodes"][0]["state"] == "expired").then_some(()));
    let last = keep(alice, "n1.example.net", &["rpcutil", "ping", "--until", "1h"]);
    away.start();
    comes_to(alice, &last, "answered");
    assert_eq!(comes_to(alice, &brief, "refused")["reason"], "its time is over");
    assert_eq!(marks.count(), 0);
    assert_eq!(shown(alice, &first)["nodes"][0]["state"], "cancelled");
}

#[test]
fn nodes_take_none_unless_they_are_told_to_and_old_ones_never() {
    let Keeping { network, alice, .. } = &keeping();
    let mut off = network.node_elsewhere(node("n1"));
    let id = keep(alice, "n1.example.net", &["rpcutil", "ping", "--until", "1h"]);
    off.start();
    off.connected();
    network.answered_by(&["n1.example.net"]);
    assert_eq!(shown(alice, &id)["nodes"][0]["state"], "waiting");
    // nor what waited for longer than it allows
    let picky = network.node_elsewhere(taking("n2").lines("plugin.choria.requests.max_age = 1s\n"));
    let id = keep(alice, "n2.example.net", &["rpcutil", "ping", "--until", "1h"]);
    until("a second to pass", || (now() > made(&shown(alice, &id)) + 2).then_some(()));
    let mut picky = picky;
    picky.start();
    let answer = comes_to(alice, &id, "refused");
    assert!(answer["reason"].as_str().unwrap().contains("max_age"), "{answer}");
}

fn made(shown: &serde_json::Value) -> i64 {
    let made: jiff::Timestamp = shown["made"].as_str().expect("a time").parse().expect("a time");
    made.as_second()
}

#[test]
fn what_cannot_be_kept_is_not_asked() {
    let Keeping { alice, .. } = &keeping();
    let asks =
        |words: &[&str]| alice.run(&[&["rpc", "rpcutil", "ping", "-I", "n1.example.net"], words].concat());
    asks(&["--until", "31d"]).code(1).complains(&["between 30s and 30d"]);
    asks(&["--until", "soon"]).code(1).complains(&["--until soon"]);
    asks(&["--until", "1h", "--nr"]).code(1).complains(&["no answers are waited for"]);
    asks(&["--until", "1h", "--stages", "1,100%"]).code(1).complains(&["--stages"]);
    alice.run(&["requests", "list"]).code(0).complains(&["no request is kept"]);
    alice.run(&["requests", "show", "last"]).code(1).complains(&["no request is kept"]);
    alice.run(&["requests", "show", "abc"]).code(1).complains(&["no request abc"]);
    // of a broker that keeps none
    let none = Keeping::start("");
    none.alice
        .run(&["rpc", "rpcutil", "ping", "-I", "n1.example.net", "--until", "1h"])
        .code(1)
        .complains(&["no requests are kept for absent nodes", "stream.requests = true"]);
}

#[test]
fn a_broker_that_is_open_keeps_none() {
    let network = Network::without_broker();
    network.certify(Kind::Broker, "b.example.net");
    let config = network.file(
        "open.conf",
        &format!(
            "identity = b.example.net\nplugin.choria.broker_network = true\n{}\
             plugin.choria.network.stream.requests = true\n",
            network.security("b.example.net")
        ),
    );
    let mut command = program(network.directory());
    command.args(["broker", "run", "--check-config", "--config"]).arg(config);
    run(command, None).code(1).complains(&["stream.requests needs", "by-name"]);
}
