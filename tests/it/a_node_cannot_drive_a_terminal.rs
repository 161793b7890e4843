//! What nodes say is shown, not obeyed.

use serde_json::json;

use crate::network::{Network, node};
use crate::shelf::{ACTIVATE, Shelf, action, ddl};

#[test]
fn escape_sequences_do_not_reach_the_screen() {
    let network = Network::start();
    let evil = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\u{9b}31mred\u{202e}desrever";
    let facts = json!({"motd": evil, "deep": {evil: [evil]}});
    let class = format!("class{}", "\u{1b}[31m");
    let _nodes = network.nodes([node("n1").facts(facts).classes(&[&class])]);
    let alice = network.alice();
    let at = ["-I", "n1.example.net"];
    for words in [
        &["rpc", "rpcutil", "get_fact", "fact=motd"][..],
        &["rpc", "rpcutil", "get_fact", "fact=deep"],
        &["rpc", "rpcutil", "get_fact", "fact=motd", "-v"],
        &["rpc", "rpcutil", "get_fact", "fact=motd", "--table"],
        &["rpc", "rpcutil", "get_fact", "fact=deep", "--table"],
        &["rpc", "rpcutil", "get_fact", "fact=motd", "--json"],
        &["rpc", "rpcutil", "get_fact", "fact=motd", "--jsonl"],
        &["rpc", "rpcutil", "inventory"],
        &["rpc", "rpcutil", "inventory", "-v"],
        &["facts", "motd"],
        &["facts", "motd", "--table"],
        &["facts", "motd", "--json"],
        &["inventory", "n1.example.net"],
        &["inventory", "n1.example.net", "--json"],
    ] {
        let ran = alice.run(&[words, if words[0] == "inventory" { &[] } else { &at }].concat()).code(0);
        let harmful: Vec<char> = (ran.stdout.chars().chain(ran.stderr.chars()))
            .filter(|c| c.is_control() && *c != '\n' || *c == '\u{202e}')
            .collect();
        assert!(harmful.is_empty(), "{words:?}: {harmful:?} {:?}", ran.stdout);
    }
    // Programs get the value as it is, in JSON's own escapes.
    let document = alice.run(&["rpc", "rpcutil", "get_fact", "fact=motd", "--json"]).fine().json();
    assert_eq!(document["replies"][0]["data"]["value"], evil);
}

/// A column is not as wide as the longest word that somebody can think of: others keep their
/// lines, and the command its life.
#[test]
fn a_word_without_end_widens_nobody_elses_line() {
    let network = Network::start();
    let long = "x".repeat(70_000);
    let (shelf, output) = (Shelf::of(&network, "lib"), json!({"description": "d", "display_as": long}));
    let outputs = json!({"a": output, long.as_str(): output});
    shelf.ddl(&ddl("talker", "1.0.0", 5, json!([action("talk", json!({}), outputs)])));
    let answer = format!("echo '{{\"statuscode\":0,\"statusmsg\":\"OK\",\"data\":{{\"a\":\"{long}\"}}}}'");
    shelf.shell("talker", &format!("{ACTIVATE}{answer} > \"$CHORIA_EXTERNAL_REPLY\""));
    let facts = |motd: &str| json!({"motd": motd, motd: 1});
    let policy = "policy default deny\nallow\t*\t*\t*\t*\n";
    let lines = shelf.lines();
    let _nodes = network.nodes([
        node("n1").facts(facts(&long)).classes(&[&long]).lines(&lines).policy("talker", policy),
        node("n2").facts(facts("hi")),
    ]);
    _nodes[0].log().says(&["hosting an agent from disk", "agent=talker"]);
    let alice = network.caller_with("alice.mcollective", &shelf.libdir());
    for words in [
        &["rpc", "rpcutil", "get_fact", "fact=motd"][..],
        &["rpc", "rpcutil", "get_fact", "fact=motd", "-v"],
        &["rpc", "rpcutil", "get_fact", "fact=motd", "--table"],
        &["rpc", "rpcutil", "inventory"],
        &["rpc", "talker", "talk", "-I", "n1.example.net"],
        &["rpc", "talker", "talk", "-I", "n1.example.net", "--table"],
        &["facts", "motd"],
        &["facts", "motd", "--table"],
        &["inventory", "n1.example.net"],
    ] {
        let ran = alice.run(words).code(0);
        let short = ran.stdout.lines().find(|line| line.contains(": hi") || line.contains("  hi "));
        assert!(short.is_none_or(|line| line.len() < 1000), "{words:?}: {:?}", short.map(str::len));
    }
}
