//! What a broker does not let a caller do is said at once and by name, and what
//! could not be heard was not asked.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use choria::core::pki::{Kind, Options};
use serde_json::{Value, json};

use crate::nats_clients_see_no_difference::plain_broker;
use crate::network::{Network, node, now};
use crate::process::{Daemon, PATIENCE};

/// A broker with users of its own: what NATS servers can be told to deny and a
/// by-name broker does not.
fn with_users(users: Value) -> (Network, Daemon, String) {
    let network = Network::without_broker();
    let loopback = Options { loopback: true, ..Options::default() };
    let issued = network.ca.issue(Kind::Broker, "plain.example.net", &loopback, now());
    let (certificate, key) = issued.and_then(|i| i.write(&network.path("ssl"))).expect("a certificate");
    let ca = network.ca.certificate_file();
    let file = json!({
        "listen": "127.0.0.1:0",
        "tls": {"cert": certificate, "key": key, "verify": true, "ca": ca},
        "users": users,
    });
    let file = network.file("broker.json", &file.to_string());
    let mut command = Command::new(plain_broker());
    command.arg(file).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let broker = Daemon::start("plain_broker", command);
    let line = broker.says(&["the broker is listening on"]);
    let address = line.rsplit(' ').find(|word| word.contains(':')).expect("an address").to_owned();
    (network, broker, address)
}

fn lines(address: &str, user: &str) -> String {
    // The last of a setting that is given twice counts.
    format!(
        "plugin.choria.middleware_hosts = {address}\nplugin.nats.user = {user}\nplugin.nats.pass = p\n\
         discovery_timeout = 600\n"
    )
}

#[test]
fn ten_thousand_nodes_that_may_not_be_asked_are_not_waited_for() {
    let (network, _broker, address) = with_users(json!([
        {"user": "node", "password": "p"},
        {"user": "alice", "password": "p", "permissions": {
            "publish": ["mcollective.node.n1.example.net"], "subscribe": [">"],
        }},
        {"user": "nobody", "password": "p", "permissions": {"publish": ["x"], "subscribe": [">"]}},
    ]));
    let n1 = network.node(node("n1").lines(&lines(&address, "node")));
    n1.connected();
    let mut names = String::new();
    for number in 0..10_000 {
        writeln!(names, "denied{number}.example.net").expect("text");
    }
    names.push_str("n1.example.net\n");
    let list = network.file("nodes.txt", &names);
    let list = list.to_str().expect("text");
    let words = ["rpc", "rpcutil", "ping", "--nodes", list, "--json"];

    let alice = network.caller_with("alice.mcollective", &lines(&address, "alice"));
    let begun = Instant::now();
    let document = alice.run(&words).code(4).json();
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    assert_eq!(document["request_stats"]["denied_by_broker"].as_array().map(Vec::len), Some(10_000));
    assert_eq!(document["replies"][0]["sender"], "n1.example.net");

    let nobody = network.caller_with("alice.mcollective", &lines(&address, "nobody"));
    let ran = nobody.run(&words[..5]).code(1);
    ran.complains(&["the broker does not let choria=alice.mcollective ask any of the nodes"]);
    assert_eq!(n1.audit().len(), 1);
}

#[test]
fn what_cannot_be_heard_is_not_asked() {
    let (network, _broker, address) = with_users(json!([
        {"user": "node", "password": "p"},
        {"user": "deaf", "password": "p", "permissions": {"publish": [">"], "subscribe": ["x"]}},
        {"user": "full", "password": "p", "max_subscriptions": 1},
    ]));
    let n1 = network.node(node("n1").lines(&lines(&address, "node")));
    n1.connected();
    for (user, reason) in [("deaf", "listen to mcollective.reply."), ("full", "maximum subscriptions")] {
        let caller = network.caller_with("alice.mcollective", &lines(&address, user));
        for words in [
            &["rpc", "rpcutil", "ping", "-I", "n1.example.net"][..],
            &["rpc", "rpcutil", "ping"],
            &["ping"],
            &["find"],
            &["facts", "x", "-I", "n1.example.net"],
            &["inventory", "n1.example.net"],
        ] {
            caller.run(words).code(1).silent().complains(&["choria: the broker does not", reason]);
        }
    }
    assert!(n1.audit().is_empty(), "{:?}", n1.audit());
    // Who waits for events is not left to wait for those it may not hear.
    let deaf = network.caller_with("alice.mcollective", &lines(&address, "deaf"));
    let ran = deaf.run(&["tool", "event"]).code(1).silent();
    ran.complains(&["does not let choria=alice.mcollective listen to choria.lifecycle.event.>"]);
}
