//! Whoever can listen can record; a recording must not be of use.

use serde_json::json;

use crate::network::{Network, node, now};
use crate::wire::{self, Wire};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_recording_does_nothing() {
    let network = Network::start_with("plugin.choria.network.x509_permissions = open\n");
    let nodes = network.nodes([node("n1")]);
    // On an open broker any certificate hears all requests.
    let thief = Wire::connect(&network, &network.caller("n9.example.net")).await;
    let mut requests = thief.subscribe("mcollective.node.>").await;
    thief.settled().await;

    let alice = network.alice();
    let words = ["rpc", "rpcutil", "ping", "-I", "n1.example.net"];
    tokio::task::block_in_place(|| alice.run(&words)).fine();
    assert_eq!(nodes[0].audit().len(), 1);

    let recording = wire::next(&mut requests).await;
    for _ in 0..3 {
        thief.publish(&recording.subject, recording.payload.clone()).await;
    }
    // The broadcast subject is another way to the same node.
    thief.publish("mcollective.broadcast.agent.rpcutil", recording.payload.clone()).await;
    nodes[0].counts("replayed", 4);
    let line = nodes[0].log().says(&["refused a request", "choria=alice.mcollective"]);
    assert!(line.contains("request="), "{line}");
    assert_eq!(nodes[0].audit().len(), 1, "it ran once");
    tokio::task::block_in_place(|| alice.run(&words)).fine();
    assert_eq!(nodes[0].audit().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_restart_does_not_forget() {
    let network = Network::start();
    let mut nodes = network.nodes([node("n1")]);
    let alice = Wire::connect(&network, &network.alice()).await;
    let subject = alice.reply_subject();
    let mut replies = alice.subscribe(&subject).await;
    let mut old = alice.request("rpcutil", "ping", json!({}));
    // Made while the first life of the node ran, within its TTL now.
    old.envelope.time = now() - 30;
    let recording = alice.signed(&old, &subject);
    nodes[0].start();
    nodes[0].connected();
    tokio::task::block_in_place(|| network.answered_by(&["n1.example.net"]));
    alice.publish("mcollective.node.n1.example.net", recording).await;
    nodes[0].counts("replayed", 1);
    let fresh = alice.request("rpcutil", "ping", json!({}));
    alice.publish("mcollective.node.n1.example.net", alice.signed(&fresh, &subject)).await;
    wire::next(&mut replies).await;
    let audit = nodes[0].audit();
    assert_eq!(audit.len(), 1, "{audit:?}");
    assert_eq!(audit[0]["request_id"], json!(fresh.envelope.requestid));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_request_past_its_time_does_nothing() {
    let network = Network::start();
    let nodes = network.nodes([node("n1")]);
    let alice = Wire::connect(&network, &network.alice()).await;
    for (time, kind) in [(now() - 61, "made 6"), (now() + 90, "made -")] {
        let mut request = alice.request("rpcutil", "ping", json!({}));
        request.envelope.time = time;
        let message = alice.signed(&request, &alice.reply_subject());
        alice.publish("mcollective.node.n1.example.net", message).await;
        let line = nodes[0].log().says(&["refused a request", &request.envelope.requestid]);
        assert!(line.contains(kind) && line.contains("check the clocks of both machines"), "{line}");
    }
    nodes[0].counts("ttlexpired", 2);
    assert!(nodes[0].audit().is_empty());
}
