//! Whoever can listen can record; a recording must not be of use.

use serde_json::json;

use crate::faults_lose_only_what_they_break::SmallDisk;
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

    // Before it, the caller has asked the broker whether it will hear the reply.
    let mut recording = wire::next(&mut requests).await;
    while recording.payload.is_empty() {
        recording = wire::next(&mut requests).await;
    }
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
async fn a_request_to_few_is_of_no_use_elsewhere() {
    let network = Network::start_with("plugin.choria.network.x509_permissions = open\n");
    let nodes = network.nodes([node("n1"), node("n2")]);
    let thief = Wire::connect(&network, &network.caller("n9.example.net")).await;
    let mut requests = thief.subscribe("mcollective.node.n1.example.net").await;
    thief.settled().await;
    let alice = network.alice();
    tokio::task::block_in_place(|| alice.run(&["rpc", "rpcutil", "ping", "-I", "n1.example.net"])).fine();
    let recording = wire::next(&mut requests).await;
    // it is in time, signed by alice, and nobody has asked n2
    for subject in ["mcollective.node.n2.example.net", "mcollective.broadcast.agent.rpcutil"] {
        thief.publish(subject, recording.payload.clone()).await;
    }
    nodes[1].counts("filtered", 1);
    nodes[1].counts("replayed", 1);
    assert!(nodes[1].audit().is_empty());
    assert_eq!(nodes[0].audit().len(), 1);
    tokio::task::block_in_place(|| alice.run(&["rpc", "rpcutil", "ping", "-I", "/^n[12]/"])).fine();
    assert_eq!(nodes[1].audit().len(), 1);
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
async fn a_restart_on_a_full_disk_does_not_forget() {
    let network = Network::start();
    let Some(disk) = SmallDisk::mount(network.path("disk")) else {
        eprintln!("not tried: this user may mount no file system");
        return;
    };
    let lines = format!("plugin.choria.replay_file = {}\n", disk.0.join("replay").display());
    let mut nodes = network.nodes([node("n1").lines(&lines)]);
    let alice = Wire::connect(&network, &network.alice()).await;
    let subject = alice.reply_subject();
    let mut replies = alice.subscribe(&subject).await;
    let request = alice.request("rpcutil", "ping", json!({}));
    let recording = alice.signed(&request, &subject);
    alice.publish("mcollective.node.n1.example.net", recording.clone()).await;
    wire::next(&mut replies).await;
    let _filler = disk.fill();
    nodes[0].start();
    nodes[0].connected();
    tokio::task::block_in_place(|| network.answered_by(&["n1.example.net"]));
    alice.publish("mcollective.node.n1.example.net", recording).await;
    nodes[0].counts("replayed", 1);
    assert_eq!(nodes[0].audit().len(), 1, "it ran once");
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

/// A clock that is ahead makes requests that are not from before a start.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_request_dated_ahead_does_not_run_again_after_a_restart() {
    let network = Network::start();
    let mut nodes = network.nodes([node("n1")]);
    let alice = Wire::connect(&network, &network.alice()).await;
    let subject = alice.reply_subject();
    let mut replies = alice.subscribe(&subject).await;
    let dated_ahead = |seconds: i64| {
        let mut request = alice.request("rpcutil", "ping", json!({}));
        request.envelope.time = now() + seconds;
        alice.signed(&request, &subject)
    };
    let recording = dated_ahead(45);
    alice.publish("mcollective.node.n1.example.net", recording.clone()).await;
    wire::next(&mut replies).await;
    assert_eq!(nodes[0].audit().len(), 1);
    // Killed, not told to end.
    for life in 1..=2 {
        nodes[0].start();
        nodes[0].connected();
        let bob = network.caller("bob.mcollective");
        tokio::task::block_in_place(|| {
            crate::process::until("an answer to somebody else", || {
                (bob.run(&["ping", "--names", "--expect", "1"]).sorted() == ["n1.example.net"]).then_some(())
            });
        });
        alice.publish("mcollective.node.n1.example.net", recording.clone()).await;
        let line = nodes[0].log().says(&["refused a request", "choria=alice.mcollective"]);
        assert!(line.contains("before this node started"), "{line}");
        assert_eq!(nodes[0].audit().len(), 1, "life {life}");
    }
    // Who made it goes on: his clock is as far ahead as before.
    alice.publish("mcollective.node.n1.example.net", dated_ahead(55)).await;
    wire::next(&mut replies).await;
    assert_eq!(nodes[0].audit().len(), 2);
}

/// Somebody without rights sends more than a node remembers, each request as
/// long-lived and as far ahead as it may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_floods_the_memory_of_a_node_shuts_out_himself() {
    let network = Network::start();
    let nodes = network.nodes([node("n1")]);
    let alice = Wire::connect(&network, &network.alice()).await;
    let reply_to = alice.reply_subject();
    let mut replies = alice.subscribe(&reply_to).await;
    let mallory = Wire::connect(&network, &network.caller("mallory.mcollective")).await;
    let recording = alice.signed(&alice.request("rpcutil", "ping", json!({})), &reply_to);
    alice.publish("mcollective.node.n1.example.net", recording.clone()).await;
    wire::next(&mut replies).await;

    // Years ahead is refused, and remembered by nobody.
    for (ahead, ttl) in [(86_400 * 365, i64::MAX), (61, i64::MAX), (3600, 7200)] {
        let mut request = mallory.request("discovery", "ping", json!({}));
        (request.envelope.time, request.envelope.ttl) = (now() + ahead, ttl);
        mallory.publish("mcollective.node.n1.example.net", mallory.signed(&request, "")).await;
    }
    nodes[0].counts("ttlexpired", 3);
    let many = crate::process::parameter("CHORIA_TEST_REPLAYS", 8_500);
    let begun = now() + 50;
    for n in 0..many {
        let mut request = mallory.request("discovery", "ping", json!({}));
        (request.envelope.time, request.envelope.ttl) = (now() + 50, 86_400 * 365 * 10);
        mallory.publish("mcollective.node.n1.example.net", mallory.signed(&request, "")).await;
        if n % 1000 == 0 {
            let fresh = alice.request("rpcutil", "ping", json!({}));
            let message = alice.signed(&fresh, &reply_to);
            alice.publish("mcollective.node.n1.example.net", message).await;
            wire::next(&mut replies).await;
        }
    }
    if many > 8_192 {
        let mut request = mallory.request("discovery", "ping", json!({}));
        (request.envelope.time, request.envelope.ttl) = (begun, 86_400);
        mallory.publish("mcollective.node.n1.example.net", mallory.signed(&request, "")).await;
        nodes[0].log().says(&["choria=mallory.mcollective", "more requests than this node can remember"]);
    }
    let before = nodes[0].audit().len();
    alice.publish("mcollective.node.n1.example.net", recording).await;
    nodes[0].log().says(&["choria=alice.mcollective", "already run here"]);
    assert_eq!(nodes[0].audit().len(), before);
    let peak = nodes[0].peak_memory();
    assert!(peak < 96 << 20, "{peak} bytes");
}
