//! Who reads slowly what nodes answer him keeps them neither from answering others nor in memory.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::a_hostile_node_does_not_hurt_the_broker::resident;
use crate::network::{Network, node};
use crate::raw::Raw;
use crate::wire::{self, Wire};

/// How long it is tried.
const TIME: Duration = Duration::from_secs(20);
/// Bytes a second he reads.
const RATE: usize = 3 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_answers_others_and_keeps_its_memory() {
    let network = Network::start();
    let facts = json!({"long": "x".repeat(400 * 1024)});
    let mut nodes = network.nodes([node("n1").facts(facts).policy("rpcutil", "policy default allow\n")]);
    let mallory = network.caller("mallory.mcollective");
    let asks = Wire::connect(&network, &mallory).await;
    let subject = asks.reply_subject();
    let over = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (mut raw, over) = (Raw::connect(&network, &mallory), over.clone());
        raw.send(format!("SUB {subject} 1\r\n"));
        move || {
            let (begun, mut read, mut buffer) = (Instant::now(), 0_usize, vec![0; 64 * 1024]);
            while !over.load(Ordering::Relaxed) {
                if read as f64 <= begun.elapsed().as_secs_f64() * RATE as f64 {
                    match raw.stream.read(&mut buffer) {
                        Ok(0) | Err(_) => break,
                        Ok(bytes) => read += bytes,
                    }
                } else {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            read
        }
    });
    let alice = Wire::connect(&network, &network.alice()).await;
    let own = alice.reply_subject();
    let mut replies = alice.subscribe(&own).await;
    let (begun, mut worst, mut memory, mut answered) = (Instant::now(), Duration::ZERO, 0, 0);
    while begun.elapsed() < TIME {
        for _ in 0..40 {
            let request = asks.request("rpcutil", "inventory", json!({}));
            asks.publish("mcollective.node.n1.example.net", asks.signed(&request, &subject)).await;
        }
        let asked = Instant::now();
        let request = alice.request("rpcutil", "ping", json!({}));
        alice.publish("mcollective.node.n1.example.net", alice.signed(&request, &own)).await;
        assert_eq!(wire::replied(&wire::next(&mut replies).await.payload).1, "n1.example.net");
        answered += 1;
        worst = worst.max(asked.elapsed());
        memory = memory.max(resident(nodes[0].daemon().pid()));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    over.store(true, Ordering::Relaxed);
    let read = reader.join().expect("no panic");
    assert!(read > 4 << 20, "he read {read} bytes");
    assert!(answered >= 3 && worst < Duration::from_secs(8), "{answered} answers, the slowest in {worst:?}");
    assert!(memory < 120 << 20, "{memory} bytes");
}

/// What nobody may call is not said again at length.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn long_names_are_not_said_again() {
    let network = Network::start();
    let mut nodes = network.nodes([node("n1")]);
    let mallory = Wire::connect(&network, &network.caller("mallory.mcollective")).await;
    let subject = mallory.reply_subject();
    let mut replies = mallory.subscribe(&subject).await;
    let long = "x".repeat(100_000);
    let request = mallory.request("rpcutil", &long, json!({}));
    mallory.publish("mcollective.node.n1.example.net", mallory.signed(&request, &subject)).await;
    assert!(wire::next(&mut replies).await.payload.len() < 16 * 1024);
    let mut request = mallory.request("rpcutil", "ping", json!({}));
    request.envelope.agent = long;
    mallory.publish("mcollective.node.n1.example.net", mallory.signed(&request, &subject)).await;
    nodes[0].log().says(&["the name of its sender, caller or agent"]);
    let longest = nodes[0].log().lines().iter().map(String::len).max();
    assert!(longest < Some(8 * 1024), "{longest:?}");
    nodes[0].daemon().still_runs();
}
