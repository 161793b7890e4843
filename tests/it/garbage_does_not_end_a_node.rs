//! Messages that end the original's process, and messages that are none.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use choria::core::pki::{Kind, Options};
use choria::core::protocol::v1::SecureRequest;
use serde_json::{Value, json};

use crate::network::{Network, node, now};
use crate::wire::{self, Wire};

/// Every message of a captured conversation, cut off at several places.
fn cut_short() -> Vec<Vec<u8>> {
    let text = include_str!("../vectors/captured/denied_and_errors.json");
    let document: Value = serde_json::from_str(text).expect("JSON");
    let runs = document["runs"].as_array().expect("runs");
    let messages = runs.iter().filter_map(|r| r["messages"].as_array()).flatten();
    let payloads = messages.filter_map(|m| m["payload"].as_str()).take(12);
    let cut = |payload: &str, part: usize| payload.as_bytes()[..payload.len() * part / 7].to_vec();
    payloads.flat_map(|payload| (0..7).map(move |part| cut(payload, part))).collect()
}

fn random(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let length = random.usize(0..4096);
    (0..length).map(|_| random.u8(..)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_node_stays_up_counts_and_answers() {
    let network = Network::start();
    let mut nodes = network.nodes([node("n1")]);
    let alice = Wire::connect(&network, &network.alice()).await;
    let reply_to = alice.reply_subject();
    let mut replies = alice.subscribe(&reply_to).await;

    let good = alice.signed(&alice.request("rpcutil", "ping", json!({})), &reply_to);
    let good: Value = serde_json::from_str(&good).expect("JSON");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut document = good.clone();
        change(&mut document);
        document.to_string().into_bytes()
    };
    // Elliptic curves sign TLS handshakes, not version 1 requests.
    let curve = network.ca.issue(Kind::Broker, "eve.mcollective", &Options::default(), now());
    let request = wire::request("choria=eve.mcollective", "rpcutil", "ping", json!({}));
    let secure = |pubcert: &str, signature: &[u8]| SecureRequest {
        message: request.encode(),
        signature: STANDARD.encode(signature),
        pubcert: pubcert.to_owned(),
    };
    let curve = secure(&curve.expect("a certificate").certificate_pem, &[0; 256]);

    let mut messages: Vec<Vec<u8>> = vec![
        with(&|m| m["headers"] = Value::Null),
        with(&|m| m["headers"] = json!([])),
        with(&|m| m["data"] = Value::Null),
        with(&|m| m["data"] = json!("")),
        with(&|m| m["data"] = json!("%%%")),
        with(&|m| m["protocol"] = json!("choria:transport:9")),
        with(&|m| m["protocol"] = json!(7)),
        wire::transport(&curve, &reply_to).into_bytes(),
        wire::transport(&secure("", b""), &reply_to).into_bytes(),
        wire::transport(
            &secure("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"x"),
            &reply_to,
        )
        .into_bytes(),
        b"{".repeat(100_000),
        [b"{\"a\":".repeat(50_000), b"1".to_vec(), b"}".repeat(50_000)].concat(),
        b"[".repeat(1024 * 1024),
        vec![0; 1024 * 1024],
        b"null".to_vec(),
        b"{}".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        vec![],
    ];
    messages.extend(cut_short());
    messages.extend((0..100).map(random));
    let sent = messages.len() as u64;
    for message in messages {
        alice.publish("mcollective.node.n1.example.net", message).await;
    }
    alice.publish("mcollective.broadcast.agent.rpcutil", random(999)).await;
    alice.flush().await;
    nodes[0].counts("invalid", sent + 1);
    nodes[0].daemon().still_runs();
    assert_eq!(nodes[0].counter("invalid"), sent + 1);
    // A flood does not fill the log either.
    let lines = nodes[0].log().matching(0, &["refused a request"]).len();
    assert!((1..=120).contains(&lines), "{lines} lines");

    let request = alice.request("rpcutil", "ping", json!({}));
    alice.publish("mcollective.node.n1.example.net", alice.signed(&request, &reply_to)).await;
    let message = wire::next(&mut replies).await;
    assert_eq!(wire::reply(&message.payload).0, "n1.example.net", "the first answer is to the good request");
    assert_eq!(nodes[0].audit().len(), 1);
    let peak = nodes[0].peak_memory();
    assert!(peak < 256 << 20, "{peak} bytes");
}

/// Signed by somebody who may call, and nonsense all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nonsense_in_good_hands_is_answered_with_a_reason() {
    let network = Network::start();
    let nodes = network.nodes([node("n1")]);
    let alice = Wire::connect(&network, &network.alice()).await;
    let reply_to = alice.reply_subject();
    let mut replies = alice.subscribe(&reply_to).await;
    let mut ask = async |agent: &str, message: &str| {
        let mut request = alice.request(agent, "ping", json!({}));
        request.message = STANDARD.encode(message);
        alice.publish("mcollective.node.n1.example.net", alice.signed(&request, &reply_to)).await;
        wire::reply(&wire::next(&mut replies).await.payload).1
    };
    let deep = format!(
        "{{\"agent\":\"rpcutil\",\"action\":\"ping\",\"data\":{}{}}}",
        "[".repeat(9000),
        "]".repeat(9000)
    );
    for message in ["{", "[]", "null", "{\"agent\":7}", &deep] {
        let body = ask("rpcutil", message).await;
        assert_eq!(body.statuscode.code(), 4, "{message:.40}: {body:?}");
        assert!(body.statusmsg.contains("Could not process request"), "{body:?}");
    }
    let unknown = ask("rpcutil", r#"{"agent":"rpcutil","action":"explode","data":{}}"#).await;
    assert_eq!(
        (unknown.statuscode.code(), &*unknown.statusmsg),
        (2, "Unknown action explode for agent rpcutil")
    );
    let missing = ask("rpcutil", r#"{"agent":"rpcutil","action":"get_fact","data":{}}"#).await;
    assert_eq!(missing.statuscode.code(), 4, "{missing:?}");
    assert!(missing.statusmsg.starts_with("Validation failed: "), "{missing:?}");
    let other = ask("rpcutil", r#"{"agent":"choria_util","action":"ping","data":{}}"#).await;
    assert_eq!(other.statusmsg, "You are not authorized to call this agent or action");
    assert!(nodes[0].audit().is_empty());
}
