//! A new laptop knows no agents: it asks the registry, then a node.

use std::fs;

use serde_json::json;

use crate::network::{Network, node};
use crate::shelf::{ACTIVATE, Shelf, action, ddl, text};

const N1: &str = "n1.example.net";

fn echo(version: &str) -> serde_json::Value {
    let outputs = json!({"msg": {"description": "M", "display_as": "Message"}});
    ddl("demo", version, 10, json!([action("echo", json!({"msg": text(false)}), outputs)]))
}

#[test]
fn a_node_that_has_the_agent_gives_its_interface() {
    let network = Network::start();
    let shelf = Shelf::of(&network, "lib");
    shelf.shell(
        "demo",
        &format!("{ACTIVATE}\necho '{{\"data\":{{\"msg\":\"hi\"}}}}' > $CHORIA_EXTERNAL_REPLY"),
    );
    shelf.ddl(&echo("1.0.0"));
    let nodes = network.nodes([node("n1").lines(&shelf.lines()), node("n2")]);
    nodes[0].log().says(&["hosting an agent from disk", "agent=demo"]);
    let cache = network.path("cache");
    let alice = network.caller_with(
        "alice.mcollective",
        &format!("plugin.choria.services.registry.cache = {}\n", cache.display()),
    );
    // Who only wants to read is given it, too; by either way to ask.
    for words in [&["doc", "demo", "echo"][..], &["rpc", "demo", "echo", "--help"]] {
        let ran = alice.run(words).code(0).says(&["choria rpc demo echo msg=STRING"]);
        ran.complains(&["the interface of demo 1.0.0 was given by n1.example.net"]);
        fs::remove_file(cache.join("agent/demo.json")).expect("what was kept");
    }
    let ran = alice.run(&["rpc", "demo", "echo", "msg=x", "--json"]).code(0);
    let ran = ran.complains(&["the interface of demo 1.0.0 was given by n1.example.net"]).json();
    assert_eq!(ran["replies"][0]["data"]["msg"], "hi", "{ran}");
    let kept = fs::read_to_string(cache.join("agent/demo.json")).expect("it was kept");
    assert!(kept.contains("\"version\": \"1.0.0\""), "{kept}");
    // Inputs are checked by it, and nobody is asked again.
    let mark = nodes[0].audit().len();
    alice.run(&["rpc", "demo", "echo", "msg=a;b"]).code(1).complains(&["may not contain ';'"]);
    assert_eq!(nodes[0].audit().len(), mark);
    alice.run(&["doc", "demo", "echo"]).fine().says(&["choria rpc demo echo msg=STRING"]);
    // What nobody has is told as before, and so is what is no name.
    let ran = alice.run(&["rpc", "nosuch", "echo"]).code(1);
    ran.silent().complains(&["could not resolve nosuch DDL in any resolver"]);
    alice.run(&["rpc", "../demo", "echo"]).code(1).complains(&["could not resolve ../demo DDL"]);
    // Who may not ask is told by whom.
    let bob = network
        .caller_with("bob.mcollective", "plugin.choria.services.registry.cache = /nonexistent/cache\n");
    let ran = bob.run(&["rpc", "demo", "echo", "msg=x", "-I", N1]).code(1);
    ran.complains(&[
        "the interface of demo was asked for",
        "You are not authorized",
        "could not resolve demo DDL",
    ]);
}

#[test]
fn the_registry_gives_interfaces_of_agents_it_does_not_have() {
    let mut network = Network::without_broker();
    network.configure_broker(
        "plugin.choria.network.x509_permissions = by-name\n\
         plugin.choria.network.service_certnames = n2.example.net\n",
    );
    network.start_broker();
    let store = Shelf::of(&network, "store");
    store.ddl(&echo("1.2.3"));
    let lines = format!("plugin.choria.services.registry.store = {}\n", network.path("store").display());
    let nodes = network.nodes([node("n1"), node("n2").lines(&lines)]);
    let cache = network.path("cache");
    let alice = network.caller_with(
        "alice.mcollective",
        &format!("plugin.choria.services.registry.cache = {}\n", cache.display()),
    );
    let ask = |words: &[&str]| {
        let words = [&["rpc", "choria_registry"], words, &["--json"]].concat();
        alice.run(&words).json()["replies"][0].clone()
    };
    let reply = ask(&["names"]);
    assert_eq!(
        (&reply["sender"], &reply["data"]),
        (&json!("n2.example.net"), &json!({"names": ["demo"], "plugin_type": "agent"}))
    );
    let reply = ask(&["ddl", "name=demo"]);
    assert_eq!(reply["data"]["version"], "1.2.3");
    let given = reply["data"]["ddl"].as_str().expect("a text");
    assert!(given.starts_with(
        "{\"$schema\":\"https://choria.io/schemas/mcorpc/ddl/v1/agent.json\",\"metadata\":{\"license\""
    ));
    let reply = ask(&["ddl", "name=demo", "format=ddl"]);
    assert!(reply["data"]["ddl"].as_str().expect("a text").starts_with("metadata :name => 'demo'"));
    let reply = ask(&["ddl", "name=nosuch"]);
    assert_eq!((&reply["statuscode"], &reply["statusmsg"]), (&json!(1), &json!("Could not load DDL")));
    for output in ["name", "plugin_type", "version", "ddl"] {
        assert_eq!(reply["data"][output], "");
    }
    // An agent that no node has: its interface is known all the same.
    let ran = alice.run(&["rpc", "demo", "echo", "msg=x", "-I", N1]).code(2);
    ran.says(&["Unknown agent demo, this node does not have it"]);
    assert!(cache.join("agent/demo.json").exists());
    assert!(nodes[1].audit().iter().any(|line| line["agent"] == "choria_registry"));
}

/// Names of an interface end up in command lines, by completion: those of others are words.
#[test]
fn an_interface_of_names_that_are_no_words_is_not_used() {
    let network = Network::start();
    let shelf = Shelf::of(&network, "lib");
    shelf.shell("odd", ACTIVATE);
    let input = json!({"`>pwned`name": text(true)});
    shelf.ddl(&ddl("odd", "1.0.0", 10, json!([action("echo", input, json!({}))])));
    let nodes = network.nodes([node("n1").lines(&shelf.lines())]);
    nodes[0].log().says(&["hosting an agent from disk", "agent=odd"]);
    let cache = network.path("cache");
    let lines = format!("plugin.choria.services.registry.cache = {}\n", cache.display());
    let alice = network.caller_with("alice.mcollective", &lines);
    let ran = alice.run(&["rpc", "odd", "echo"]).code(1);
    ran.complains(&["the interface of odd was asked for", "other characters than letters, digits, _ and -"]);
    assert!(!cache.join("agent/odd.json").exists());
    // one's own may be what it likes, and is completed by its words only
    let own = network.caller_with("alice.mcollective", &shelf.libdir());
    let line = ["completion", "--list", "line", "--", "rpc", "odd", "echo", ""];
    assert!(!own.run(&line).fine().stdout.contains('`'));
}
