//! Client libraries end their connection at a message they cannot read: whoever may say anything to
//! somebody must not be able to cut them off by it.

use crate::network::{Network, node};
use crate::process::{Daemon, until};
use crate::raw::Raw;

/// What is said to a subject, and that no client library reads.
fn unreadable(subject: &str, reply: &str) -> Vec<Vec<u8>> {
    let blocks: [&[u8]; 9] = [
        b"XXXXX",
        b"\xff\xfe",
        b"NATS/1.0\r\nno colon\r\n\r\n",
        b"NATS/1.0\r\na\x01: b\r\n\r\n",
        b"NATS/1.0\r\n\xc3\xbc: b\r\n\r\n",
        b"NATS/1.0 99999\r\n\r\n",
        b"NATS/1.0\r\nfoo: a\rb\r\n\r\n",
        b"NATS/1.0",
        b"",
    ];
    let many = [b"NATS/1.0\r\n".as_slice(), &b"aaaa:\r\n".repeat(140_000), b"\r\n"].concat();
    let with_headers = |block: &[u8]| {
        let line = format!("HPUB {subject} {0} {0}\r\n", block.len());
        [line.as_bytes(), block, b"\r\n"].concat()
    };
    let good = b"NATS/1.0\r\na: b\r\n\r\n";
    let odd_names = [b"\xff".as_slice(), "\u{a0}1".as_bytes(), "\u{2028}".as_bytes(), b"\x0b"].map(|odd| {
        let line = [format!("PUB {subject} {reply}.").as_bytes(), odd, b" 1\r\nx\r\n"].concat();
        let size = good.len();
        let second = [format!("HPUB {subject} {reply}.").as_bytes(), odd, b"x "].concat();
        let second = [&second[..], format!("{size} {size}\r\n").as_bytes(), good, b"\r\n"].concat();
        let third = [format!("PUB {subject}.").as_bytes(), odd, b" 1\r\nx\r\n"].concat();
        [line, second, third].concat()
    });
    blocks.into_iter().chain([many.as_slice()]).map(with_headers).chain(odd_names).collect()
}

/// Says all of it, on as many connections as it takes.
fn say(mut open: impl FnMut() -> Raw, messages: &[Vec<u8>]) {
    let mut raw = open();
    for message in messages {
        if raw.try_send(message).is_err() || raw.try_sync().is_none() {
            raw = open();
        }
    }
}

#[test]
fn nobody_is_cut_by_what_somebody_says() {
    let mut network = Network::start();
    let policy = "policy default deny\nallow\tchoria=alice.mcollective\t*\t*\t*\n";
    let nodes = network.nodes([node("n1").policy("rpcutil", policy), node("n2").policy("rpcutil", policy)]);
    let (alice, eve) = (network.alice(), network.caller("eve.mcollective"));
    let mut watch = alice.command(&["tool", "event"]);
    watch.args(["--type", "startup"]);
    let watcher = Daemon::start("watcher", watch);

    // an operator without rights, to nodes
    let reply = "mcollective.reply.0123456789abcdef0123456789abcdef";
    for subject in ["mcollective.broadcast.agent.rpcutil", "mcollective.node.n1.example.net"] {
        say(|| Raw::connect(&network, &eve), &unreadable(subject, reply));
    }
    // a node, to whoever hears events
    let stolen = network.caller("n9.example.net");
    say(|| Raw::connect(&network, &stolen), &unreadable("choria.lifecycle.event.startup.server", reply));

    alice.run(&["rpc", "rpcutil", "ping", "-I", "n1.example.net"]).fine();
    alice.run(&["ping", "--expect", "2"]).fine();
    for node in &nodes {
        let ended = node.log().matching(0, &["connection ended"]);
        assert!(ended.is_empty(), "{ended:?}");
        assert!(node.log().matching(0, &["panicked"]).is_empty());
    }
    // it has heard nothing, and goes on listening
    let late = network.node(node("n3"));
    until("the watcher to hear of it", || {
        (!watcher.matching(0, &["n3.example.net"]).is_empty()).then_some(())
    });
    assert!(watcher.matching(0, &["connection ended"]).is_empty(), "{:?}", watcher.lines());
    drop(late);
    assert!(network.broker().matching(0, &["panicked"]).is_empty());
}
