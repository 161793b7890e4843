//! Authorization and audit, as caller, node log and audit log show them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::network::{Caller, Network, node, now};

#[test]
fn a_denial_is_told_to_the_caller_and_logged_and_nothing_runs() {
    let network = Network::start();
    let nodes = network.nodes([node("n1")]);
    let mark = nodes[0].log().mark();
    let bob = network.caller("bob.mcollective");

    let ran = bob.run(&["rpc", "rpcutil", "get_fact", "fact=country"]).code(2);
    let ran = ran.says(&[
        "n1.example.net",
        "Request Aborted",
        "You are not authorized to call this agent or action",
        "Finished processing 1 / 1 hosts",
    ]);
    ran.complains(&["1 node does not allow it", "policies/rpcutil.policy"]);
    let document = bob.run(&["rpc", "rpcutil", "get_fact", "fact=country", "--json"]).code(2).json();
    assert_eq!(document["replies"][0]["statuscode"], 1);
    assert_eq!(document["replies"][0]["data"], serde_json::json!({}));
    let id = document["request_stats"]["requestid"].as_str().expect("an id").to_owned();

    nodes[0].log().says_after(mark, &["denied", &id]);
    let lines = nodes[0].log().matching(mark, &[&id]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let reason = "default.policy: no rule is about choria=bob.mcollective rpcutil#get_fact";
    for text in ["warning", "caller=choria=bob.mcollective", "agent=rpcutil", "action=get_fact", reason] {
        assert!(lines[0].contains(text), "{text} is missing: {lines:?}");
    }
    nodes[0].counts("denied", 2);
    assert!(nodes[0].audit().is_empty(), "{:?}", nodes[0].audit());
}

#[test]
fn an_allowed_call_leaves_one_audit_line() {
    let network = Network::start();
    let nodes = network.nodes([node("n1")]);
    let before = now();
    let words = ["rpc", "rpcutil", "get_fact", "fact=country", "--json"];
    let document = network.alice().run(&words).fine().json();
    network.alice().run(&["ping"]).fine();
    network.alice().run(&["find", "-F", "x=y"]).fine();

    let audit = nodes[0].audit();
    assert_eq!(audit.len(), 1, "discovery is not audited: {audit:?}");
    let line = &audit[0];
    let keys = |line: &Value| line.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
    let text = include_str!("../vectors/captured/server_files.json");
    let captured: Value = serde_json::from_str(text).expect("JSON");
    let captured = captured["audit_lines"][0].as_str().expect("a line");
    assert_eq!(keys(line), keys(&serde_json::from_str(captured).expect("JSON")));

    assert_eq!(line["request_id"], document["request_stats"]["requestid"]);
    assert_eq!(line["caller"], "choria=alice.mcollective");
    assert_eq!(line["sender"], "console.example.net");
    assert_eq!((&line["agent"], &line["action"]), (&"rpcutil".into(), &"get_fact".into()));
    assert_eq!(line["data"]["fact"], "country");
    assert!((before..=now()).contains(&line["request_time"].as_i64().expect("seconds")));
}

#[test]
fn policies_decide_by_agent_action_and_fact() {
    let network = Network::start();
    let policy = "policy default deny\nallow\tchoria=bob.mcollective\tping\tcountry=mt\t*\n";
    let place = |country: &str| serde_json::json!({"country": country});
    let nodes = network.nodes([
        node("n1").policy("rpcutil", policy).facts(place("mt")),
        node("n2").policy("rpcutil", policy).facts(place("de")),
    ]);
    let bob = network.caller("bob.mcollective");
    let ran = bob.run(&["rpc", "rpcutil", "ping", "--senders"]).code(2);
    assert_eq!(ran.sorted(), ["n1.example.net"]);
    bob.run(&["rpc", "rpcutil", "inventory", "--senders"]).code(2).silent();
    bob.run(&["rpc", "choria_util", "info", "--senders"]).code(2).silent();

    // A policy counts from the next request on.
    for node in &nodes {
        std::fs::write(node.dir.join("policies/rpcutil.policy"), "policy default allow\n").expect("a policy");
    }
    assert_eq!(bob.run(&["rpc", "rpcutil", "ping", "--senders"]).fine().sorted().len(), 2);
    std::fs::remove_file(nodes[0].dir.join("policies/rpcutil.policy")).expect("a policy");
    std::fs::remove_file(nodes[0].dir.join("policies/default.policy")).expect("a policy");
    let ran = network.alice().run(&["rpc", "rpcutil", "ping", "-I", "n1.example.net"]).code(2);
    ran.says(&["You are not authorized"]);
    nodes[0].log().says(&["denied", "there is no policy for agent rpcutil"]);
}

#[test]
fn an_authorizer_nobody_knows_allows_nothing() {
    let network = Network::start();
    let nodes = network.nodes([node("n1").lines("rpcauthprovider = aaasvc\n")]);
    nodes[0].log().says(&["warning", "rpcauthprovider aaasvc is not supported: every request is denied"]);
    network.alice().run(&["rpc", "rpcutil", "ping"]).code(2).says(&["You are not authorized"]);
}

/// A policy in Rego sees inputs, too.
#[test]
fn a_policy_in_rego_decides_by_inputs_and_facts() {
    let network = Network::start();
    let policy = "package io.choria.mcorpc.authpolicy\n\ndefault allow := false\n\n\
        allow if input.action == \"ping\"\n\n\
        allow if {\n input.action == \"get_fact\"\n input.callerid == \"choria=alice.mcollective\"\n \
        input.data.fact in {\"country\", \"role\"}\n input.facts.country == \"mt\"\n}\n";
    network.file("n1.example.net/policies/rego/rpcutil.rego", policy);
    let lines = "rpcauthprovider = rego_policy\nplugin.regopolicy.tracing = true\n";
    let nodes = network.nodes([node("n1").facts(json!({"country": "mt", "secret": "x"})).lines(lines)]);
    let (alice, bob) = (network.alice(), network.caller("bob.mcollective"));
    let fact = |name: &str| ["rpc", "rpcutil", "get_fact", name, "-I", "n1.example.net"].map(str::to_owned);
    let run = |who: &Caller, name: &str| {
        let words = fact(name);
        who.run(&words.each_ref().map(String::as_str))
    };
    bob.run(&["rpc", "rpcutil", "ping"]).fine();
    run(&alice, "fact=country").fine().says(&["mt"]);
    run(&alice, "fact=secret").code(2).says(&["You are not authorized"]);
    run(&bob, "fact=country").code(2).says(&["You are not authorized"]);
    nodes[0].log().says(&["denied", "agent=rpcutil", "action=get_fact", "rpcutil.rego denies choria=bob"]);
    nodes[0].log().says(&["allow is true", "rpcutil.rego"]);
    // no policy, and one that cannot be read
    alice.run(&["rpc", "package", "status", "package=bash"]).code(2).says(&["You are not authorized"]);
    network
        .file("n1.example.net/policies/rego/rpcutil.rego", "package io.choria.mcorpc.authpolicy\nallow {\n");
    bob.run(&["rpc", "rpcutil", "ping"]).code(2).says(&["You are not authorized"]);
    nodes[0].log().says(&["denied", "action=ping", "rpcutil.rego"]);
    assert!(nodes[0].audit().iter().all(|line| line["data"]["fact"] != "secret"));
}
