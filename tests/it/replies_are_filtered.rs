//! `rpc --filter-replies`: only what an expression is true of is shown and
//! summed up; what is counted is everything.

use serde_json::json;

use crate::network::{Network, node};

const UK: &str = "ok() && data('value') == 'uk'";

#[test]
fn only_replies_that_match_are_shown_in_every_form() {
    let network = Network::start();
    let country = |name: &str, country: &str| node(name).facts(json!({"country": country}));
    let nodes = network.nodes([country("n1", "uk"), country("n2", "uk"), country("n3", "de")]);
    let alice = network.alice();
    let ask = |form: &[&str]| {
        alice.run(
            &[&["rpc", "rpcutil", "get_fact", "fact=country", "--sort", "--filter-replies", UK], form]
                .concat(),
        )
    };
    let text = ask(&[]).fine().says(&["n1.example.net", "n2.example.net", "   uk: 2\n", "3 / 3 hosts"]);
    assert!(!text.stdout.contains("n3.example.net") && !text.stdout.contains("de"), "{text:?}");
    assert_eq!(ask(&["--senders"]).fine().stdout, "n1.example.net\nn2.example.net\n");
    assert_eq!(ask(&["--senders", "--json"]).fine().json(), json!(["n1.example.net", "n2.example.net"]));
    let table = ask(&["--table"]).fine();
    assert_eq!(table.stdout.matches("uk").count(), 2, "{table:?}");
    assert!(!table.stdout.contains("n3.example.net"), "{table:?}");
    let document = ask(&["--json"]).fine().json();
    assert_eq!(document["replies"].as_array().map(Vec::len), Some(2), "{document}");
    assert_eq!(document["summaries"], json!({"value": {"uk": 2}}));
    assert_eq!(document["request_stats"]["ok"], 3);
    assert_eq!(document["request_stats"]["responses"], 3);
    let lines = ask(&["--jsonl"]).fine().stdout;
    assert_eq!(lines.matches(r#""k":"result""#).count(), 2, "{lines}");
    assert!(lines.contains(r#""responses":3"#), "{lines}");

    // Whom it drops is what it says, and none is reported as if it had failed.
    let none = ["rpc", "rpcutil", "get_fact", "fact=country", "--filter-replies", "aborted()", "--senders"];
    alice.run(&none).fine().silent();
    // One that cannot be judged is told.
    let words = ["rpc", "rpcutil", "get_fact", "fact=country", "--filter-replies", "data('value') > 1"];
    let ran = alice.run(&words).code(0).says(&["3 / 3 hosts"]);
    ran.complains(&["--filter-replies could not judge 3 replies and dropped them", "example.net: it fails"]);

    // What was asked before this: everything above.
    let asked = nodes[0].audit().len();
    for (expression, texts) in [
        ("ok(", &["--filter-replies", "the expression ok( is not valid", "does not compile"][..]),
        ("data('value') && fact('x') == 1", &["fact is no function about replies"]),
        ("value == 'uk'", &["value is no name of the language", "data(\"value\")"]),
        ("sender()", &["a text and not a boolean"]),
        ("", &["--filter-replies: an empty expression"]),
    ] {
        let words = ["rpc", "rpcutil", "get_fact", "fact=country", "--filter-replies", expression];
        let ran = alice.run(&words).code(1).silent().complains(texts);
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
    let words = ["rpc", "rpcutil", "ping", "--filter-replies", UK, "--reply-to", "mcollective.reply.x"];
    alice.run(&words).code(1).silent().complains(&["--filter-replies needs replies"]);
    assert_eq!(nodes[0].audit().len(), asked);
}
