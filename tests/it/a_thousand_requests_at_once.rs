//! A node under load answers everything it can hold.

use std::collections::HashSet;

use serde_json::json;

use crate::network::{Network, node};
use crate::wire::{self, Wire};

const REQUESTS: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn all_are_answered_in_bounded_memory() {
    let network = Network::start();
    let mut nodes = network.nodes([node("n1")]);
    let alice = Wire::connect(&network, &network.alice()).await;
    let subject = alice.reply_subject();
    let mut replies = alice.subscribe(&subject).await;

    let requests: Vec<_> = (0..REQUESTS).map(|_| alice.request("rpcutil", "inventory", json!({}))).collect();
    let mut waiting: HashSet<String> = requests.iter().map(|r| r.envelope.requestid.clone()).collect();
    // Signed first, so that they come as fast as a connection carries them.
    let messages: Vec<String> = requests.iter().map(|r| alice.signed(r, &subject)).collect();
    for message in messages {
        alice.publish("mcollective.node.n1.example.net", message).await;
    }
    while !waiting.is_empty() {
        let message = wire::next(&mut replies).await;
        let (id, sender) = wire::replied(&message.payload);
        assert_eq!(sender, "n1.example.net");
        assert!(waiting.remove(&id), "{id} was answered twice");
    }
    nodes[0].daemon().still_runs();
    assert_eq!(nodes[0].audit().len(), REQUESTS);
    nodes[0].counts("replies", REQUESTS as u64);
    assert_eq!(nodes[0].counter("dropped"), 0);
    let peak = nodes[0].peak_memory();
    assert!(peak < 256 << 20, "{peak} bytes");
}
