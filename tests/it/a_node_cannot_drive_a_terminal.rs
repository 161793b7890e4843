//! What nodes say is shown, not obeyed.

use serde_json::json;

use crate::network::{Network, node};

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
