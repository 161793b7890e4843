//! Inputs of somebody who may call one slow action, and of somebody who may call none:
//! neither is another's business.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::network::{Network, node};
use crate::process::until;
use crate::shelf::{ACTIVATE, Shelf, action, ddl};
use crate::wire::{self, Wire};

/// What the node may hold at most: it is idle at a third of it, and unbounded it
/// held gigabytes.
const MEMORY: u64 = 192 << 20;
/// Records of a flood of long inputs: each is cut.
const TRAIL: u64 = 4 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_sent_along_is_paid_for_by_who_sends_it() {
    let network = Network::start();
    let shelf = Shelf::of(&network, "lib");
    shelf.ddl(&ddl("sleeper", "1.0.0", 20, json!([action("sleep", json!({}), json!({}))])));
    let woken = network.path("woken");
    // what outlives its node, as programs may, ends with the network all the same
    let sleep = format!(
        "while [ -d '{}' ] && [ ! -e '{}' ]; do sleep 0.2; done\necho '{{}}' > \"$CHORIA_EXTERNAL_REPLY\"",
        network.directory().display(),
        woken.display()
    );
    shelf.shell("sleeper", &format!("{ACTIVATE}{sleep}"));
    let policy = "policy default deny\nallow\t*\t*\t*\t*\n";
    let mut nodes = network.nodes([node("n1").lines(&shelf.lines()).policy("sleeper", policy)]);
    nodes[0].log().says(&["hosting an agent from disk", "agent=sleeper"]);
    let mallory = Wire::connect(&network, &network.caller("mallory.mcollective")).await;
    let alice = Wire::connect(&network, &network.alice()).await;
    let reply_to = alice.reply_subject();
    let mut replies = alice.subscribe(&reply_to).await;
    let zeros = Value::from(vec![0; 285_000]);
    let long = Value::from("A".repeat(400_000));
    let attack = async |agent: &str, action: &str, data: Value| {
        let request = mallory.request(agent, action, data);
        let message = mallory.signed(&request, &mallory.reply_subject());
        mallory.publish("mcollective.node.n1.example.net", message).await;
    };
    // what runs long holds its inputs long: those of an agent that is a program are all kept
    for _ in 0..40 {
        attack("sleeper", "sleep", json!({"x": zeros})).await;
        attack("sleeper", "sleep", json!({"x": 1})).await;
        attack("rpcutil", "ping", json!({"x": zeros})).await;
        attack("rpcutil", "ping", json!({"x": long})).await;
    }
    for _ in 0..400 {
        attack("sleeper", "sleep", json!({})).await;
    }
    mallory.flush().await;
    for _ in 0..5 {
        let request = alice.request("rpcutil", "ping", json!({}));
        let begun = Instant::now();
        alice.publish("mcollective.node.n1.example.net", alice.signed(&request, &reply_to)).await;
        while wire::replied(&wire::next(&mut replies).await.payload).0 != request.envelope.requestid {}
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
    // the name of a sender that is none
    let mut request = mallory.request("rpcutil", "ping", json!({}));
    request.envelope.senderid = "s".repeat(300_000);
    let message = mallory.signed(&request, &mallory.reply_subject());
    mallory.publish("mcollective.node.n1.example.net", message).await;
    nodes[0]
        .log()
        .says(&["refused a request", "the name of its sender, caller or agent, has more than 1024 bytes"]);
    let peak = nodes[0].peak_memory();
    assert!(peak < MEMORY, "{peak} bytes");
    std::fs::write(&woken, "").expect("a file");
    until("what ran to end", || (nodes[0].counter("replies") > 40).then_some(()));
    let trail = std::fs::metadata(network.path("n1.example.net/audit.log")).expect("a log").len();
    assert!(trail < TRAIL, "{trail} bytes");
    assert!(nodes[0].audit().iter().all(|line| line["sender"] == "console.example.net"));
    nodes[0].daemon().still_runs();
}
