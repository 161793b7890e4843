//! Who may write and read what, by the broker's permissions, and what is no good even from who may.

use std::collections::BTreeMap;

use async_nats::{Client, ConnectOptions, HeaderMap};
use choria::core::deferred::{Deferred, Place};
use choria::core::pki::Kind;
use choria::core::protocol::deferred::{consumer_of, of_node, subject};
use choria::core::protocol::subjects::caller_inbox_prefix;
use choria::core::protocol::v1::{Envelope, SecureRequest};
use serde_json::{Value, json};

use super::{Marks, audited, comes_to, keep, keep_while_stopped, keeping, keeping_of, shown, taking};
use crate::a_broker_is_a_leaf::hub::{RELEASES, Release};
use crate::network::{Network, now};
use crate::process::{PATIENCE, until};
use crate::streams_are_used::Keeping;
use crate::wire::provider;

const ALICE: &str = "choria=alice.mcollective";
pub(super) const N1: &str = "n1.example.net";

/// A connection of whoever holds a certificate, and what the broker complained of.
pub(super) async fn connect(network: &Network, name: &str, inboxes: &str) -> Client {
    connect_within(network, name, inboxes, 1000).await
}

/// The same with another time for answers, in milliseconds.
pub(super) async fn connect_within(network: &Network, name: &str, inboxes: &str, patience: u64) -> Client {
    let config = network.caller(name).config;
    let tls = provider(&config, name).client_tls().expect("TLS");
    ConnectOptions::new()
        .require_tls(true)
        .tls_client_config((*tls).clone())
        .connection_timeout(PATIENCE)
        .custom_inbox_prefix(inboxes)
        .request_timeout(Some(std::time::Duration::from_millis(patience)))
        .connect(network.address().to_string())
        .await
        .expect("a connection")
}

/// What the engine answers; nothing where the broker lets nothing through.
pub(super) async fn ask(client: &Client, subject: &str, payload: Value) -> Option<Vec<u8>> {
    let payload = if payload.is_null() { String::new() } else { payload.to_string() };
    Some(client.request(subject.to_owned(), payload.into()).await.ok()?.payload.to_vec())
}

pub(super) fn stores(answer: &Option<Vec<u8>>) -> bool {
    let answer: Value =
        answer.as_deref().and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default();
    answer["seq"].as_u64().is_some_and(|seq| seq > 0)
}

#[test]
fn a_node_reads_and_ends_its_own_and_nothing_else() {
    RELEASES.into_iter().for_each(reads_and_ends_its_own);
}

fn reads_and_ends_its_own(release: Release) {
    let Keeping { network, alice, .. } = &keeping_of(release);
    let id = keep(alice, N1, &["rpcutil", "ping", "--until", "1h"]);
    network.certify(Kind::Node, N1);
    network.certify(Kind::Node, "n2.example.net");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let place = subject(ALICE, &id, N1);
        for (name, may) in [("n2.example.net", false), (N1, true)] {
            let inboxes = caller_inbox_prefix("mcollective", name);
            let node = connect(network, name, &inboxes).await;
            let get = |what: &str| format!("$JS.API.DIRECT.GET.CHORIA_REQUESTS.{what}");
            for what in [place.clone(), of_node(N1)] {
                let read = ask(&node, &get(&what), Value::Null).await;
                let is_there =
                    read.is_some_and(|read| matches!(Place::decode(&read), Some(Place::Asked { .. })));
                assert_eq!(is_there, may, "{name} reads {what}");
            }
            // not by a consumer, nor by number
            for (subject, body) in [
                ("$JS.API.STREAM.MSG.GET.CHORIA_REQUESTS", json!({"seq": 1})),
                ("$JS.API.DIRECT.GET.CHORIA_REQUESTS", json!({"seq": 1})),
                ("$JS.API.STREAM.INFO.CHORIA_REQUESTS", Value::Null),
                ("$JS.API.STREAM.PURGE.CHORIA_REQUESTS", Value::Null),
                ("$JS.API.STREAM.MSG.DELETE.CHORIA_REQUESTS", json!({"seq": 1})),
                (
                    "$JS.API.CONSUMER.CREATE.CHORIA_REQUESTS.x",
                    json!({"stream_name": "CHORIA_REQUESTS", "config": {
                        "name": "x", "deliver_subject": format!("{inboxes}.x"), "ack_policy": "none",
                    }}),
                ),
                ("$JS.API.CONSUMER.NAMES.CHORIA_REQUESTS", Value::Null),
            ] {
                assert_eq!(ask(&node, subject, body).await, None, "{name} {subject}");
            }
            // what is asked is said by the subject, whatever the request says beside it
            let own = of_node("n2.example.net");
            for body in [
                json!({"seq": 1}),
                json!({"last_by_subj": place}),
                json!({"seq": 1, "next_by_subj": "choria.requests.>"}),
                json!({"multi_last": ["choria.requests.>"], "batch": 10}),
            ] {
                let read = ask(&node, &get(&own), body.clone()).await.unwrap_or_default();
                assert!(Place::decode(&read).is_none(), "{name} {body}");
            }
            for filters in [
                json!({"filter_subjects": [own.clone(), place.clone()]}),
                json!({"filter_subject": own.clone(), "filter_subjects": [place.clone()]}),
                json!({"filter_subject": own.clone(), "Filter_Subject": place.clone()}),
            ] {
                let mut config = json!({
                    "deliver_subject": format!("{inboxes}.z"), "ack_policy": "none",
                    "inactive_threshold": 1_000_000_000, "mem_storage": true,
                    "flow_control": true, "idle_heartbeat": 5_000_000_000_u64,
                });
                config.as_object_mut().unwrap().extend(filters.as_object().unwrap().clone());
                let heard = node.subscribe(format!("{inboxes}.z")).await.expect("a subscription");
                let subject = format!("$JS.API.CONSUMER.CREATE.CHORIA_REQUESTS.{}.{own}", consumer_of(name));
                let body = json!({"stream_name": "CHORIA_REQUESTS", "config": config});
                let made = ask(&node, &subject, body).await.unwrap_or_default();
                let wait = std::time::Duration::from_millis(300);
                let heard = tokio::time::timeout(wait, futures::StreamExt::into_future(heard)).await;
                let heard =
                    heard.ok().and_then(|(message, _)| message).map(|message| message.payload.to_vec());
                let heard = heard.as_deref().and_then(Place::decode);
                assert!(heard.is_none(), "{name} {filters}: {}", String::from_utf8_lossy(&made));
            }
            let filter = of_node("n2.example.net");
            let consumer = consumer_of(name);
            let of_others = format!("$JS.API.CONSUMER.CREATE.CHORIA_REQUESTS.{consumer}.{filter}");
            let body = json!({"stream_name": "CHORIA_REQUESTS", "config": {
                "mem_storage": true, "deliver_subject": format!("{inboxes}.y"), "ack_policy": "none",
                "flow_control": true, "idle_heartbeat": 5_000_000_000_u64,
                "filter_subject": of_node(N1),
            }});
            let made = ask(&node, &of_others, body).await.unwrap_or_default();
            assert!(!String::from_utf8_lossy(&made).contains("created"), "{name} hears what is another's");
            // nor all at once
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Rollup", "all");
            let rolled = node.request_with_headers(place.clone(), headers, "{}".into()).await.ok();
            assert!(!stores(&rolled.map(|answer| answer.payload.to_vec())), "{name} rolls up");
            let written = ask(&node, &place, json!({"cancelled": {"at": 1}})).await;
            assert_eq!(stores(&written), may, "{name} writes {place}");
        }
    });
    // who has the node's certificate ends what is the node's, which its caller sees
    assert_eq!(shown(alice, &id)["nodes"][0]["state"], "cancelled");
}

#[test]
fn nobody_asks_in_anothers_name() {
    let Keeping { network, alice, .. } = &keeping();
    let bob = network.caller("bob.mcollective");
    let mut away = network.node_elsewhere(taking("n1"));
    let id = keep(alice, N1, &["rpcutil", "ping", "--until", "1h"]);
    let other = "0123456789abcdef0123456789abcdef";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let put = |client: Client, at: String, text: Vec<u8>| async move {
        let answer = client.request(at, text.into()).await.ok().map(|answer| answer.payload.to_vec());
        stores(&answer)
    };
    runtime.block_on(async {
        let inboxes = caller_inbox_prefix("mcollective", "choria=bob.mcollective");
        let client = connect(network, "bob.mcollective", &inboxes).await;
        let signer = provider(&bob.config, "bob.mcollective").signer().expect("a signer");
        let envelope = |id: &str, caller: &str| Envelope {
            requestid: id.to_owned(),
            callerid: caller.to_owned(),
            senderid: "console".to_owned(),
            collective: "mcollective".to_owned(),
            agent: "rpcutil".to_owned(),
            time: now(),
            ..Envelope::default()
        };
        let body = r#"{"agent":"rpcutil","action":"ping","data":{}}"#;
        let signed = |envelope: &Envelope, node: &str| -> SecureRequest {
            signer.sign_deferred(&Deferred::new(envelope, node, now() + 3600, false, body)).expect("signed")
        };
        // in her place
        let hers = subject(ALICE, &id, N1);
        assert!(!put(client.clone(), hers, Place::Cancelled { at: 1 }.encode()).await);
        let as_alice = Place::asked(&signed(&envelope(other, ALICE), N1)).encode();
        assert!(!put(client.clone(), subject(ALICE, other, N1), as_alice.clone()).await);
        // in his own: her name by his key, a request for another node, another id, and no request at all
        let bob = "choria=bob.mcollective";
        let own = |id: &str| subject(bob, id, N1);
        let ids: Vec<String> = (0..4).map(|n| format!("{n}{}", &other[1..])).collect();
        let foreign = Place::asked(&signed(&envelope(&ids[1], bob), "n2.example.net")).encode();
        let moved = Place::asked(&signed(&envelope(other, bob), N1)).encode();
        let broken = Place::Asked { request: "{}".to_owned() }.encode();
        for (id, text) in ids.iter().zip([as_alice, foreign, moved, broken]) {
            assert!(put(client.clone(), own(id), text).await, "{id}");
        }
        // and one that is dated ahead
        let ahead = format!("9{}", &other[1..]);
        let envelope = Envelope { time: now() + 1800, ..envelope(&ahead, bob) };
        let deferred = Deferred::new(&envelope, N1, now() + 3600, false, body);
        let text = Place::asked(&signer.sign_deferred(&deferred).expect("signed")).encode();
        assert!(put(client.clone(), own(&ahead), text).await);
        away.start();
        comes_to(alice, &id, "answered");
        let mut reasons = BTreeMap::new();
        for id in ids.iter().chain([&ahead]) {
            let get = format!("$JS.API.DIRECT.GET.CHORIA_REQUESTS.{}", own(id));
            let reason = loop {
                let text = ask(&client, &get, Value::Null).await.unwrap_or_default();
                if let Some(Place::Answered(answer)) = Place::decode(&text) {
                    assert!(answer.refused);
                    break answer.reason;
                }
            };
            reasons.insert(id.clone(), reason);
        }
        let said: Vec<&str> = reasons.values().map(String::as_str).collect();
        assert!(said[0].contains("is not a name of the certificate"), "{said:?}");
        assert!(
            said[1].contains("another node") && said[2].contains("not where its caller keeps it"),
            "{said:?}"
        );
        assert!(!said[3].is_empty() && said[4].contains("dated more than a minute ahead"), "{said:?}");
    });
    assert_eq!(away.audit().len(), 1);
}

#[test]
fn what_is_put_back_does_not_run_again() {
    let Keeping { network, alice, root } = &keeping();
    let mut away = network.node_elsewhere(taking("n1"));
    let marks = Marks::of(network, "marks");
    let id = keep(alice, N1, &["shell", "run", &marks.command(""), "--until", "1h"]);
    let place = subject(ALICE, &id, N1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let inboxes = caller_inbox_prefix("mcollective", "choria=root.privileged.mcollective");
    let client = runtime.block_on(connect(network, "root.privileged.mcollective", &inboxes));
    let get = format!("$JS.API.DIRECT.GET.CHORIA_REQUESTS.{place}");
    let asked = runtime.block_on(ask(&client, &get, Value::Null)).expect("what was asked");
    away.start();
    comes_to(alice, &id, "answered");
    // as by an older copy of the stream
    let done = runtime.block_on(async {
        let done = client.request_with_headers(place.clone(), HeaderMap::new(), asked.clone().into()).await;
        done.ok().map(|answer| answer.payload.to_vec())
    });
    assert!(stores(&done));
    let answer = comes_to(alice, &id, "refused");
    assert!(answer["reason"].as_str().unwrap().contains("ran here already"), "{answer}");
    // nor as a request of the ordinary kind, to which nobody who takes requests would listen
    let Some(Place::Asked { request }) = Place::decode(&asked) else { panic!("it was asked") };
    runtime.block_on(async {
        let transport = json!({"protocol": "choria:transport:1", "headers": {"mc_sender": "x"},
            "data": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &request)});
        client.publish("mcollective.node.n1.example.net", transport.to_string().into()).await.unwrap();
        client.flush().await.unwrap();
    });
    away.log().says(&["refused a request"]);
    let next = keep_while_stopped(&mut away, alice);
    comes_to(alice, &next, "answered");
    until("all to be quiet", || (audited(&away, &id) == 1 && marks.count() == 1).then_some(()));
    let _ = root;
}
