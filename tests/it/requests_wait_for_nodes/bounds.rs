//! What those who have no rights in the engine may make it keep, and what a node is busy with.

use async_nats::Client;
use choria::core::deferred::{Deferred, Place};
use choria::core::pki::Kind;
use choria::core::protocol::deferred::{consumer_of, of_node, subject};
use choria::core::protocol::subjects::caller_inbox_prefix;
use choria::core::protocol::v1::Envelope;
use futures::StreamExt;
use serde_json::{Value, json};

use super::adversaries::{N1, ask, connect_within, stores};
use super::{comes_to, keep, keeping, keeping_of, taking};
use crate::a_broker_is_a_leaf::hub::{RELEASES, Release};
use crate::network::{Network, now};
use crate::process::until;
use crate::streams_are_used::Keeping;
use crate::wire::provider;

const ROOT: &str = "root.privileged.mcollective";
const BOB: &str = "choria=bob.mcollective";

fn json_of(answer: Option<Vec<u8>>) -> Value {
    answer.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Makes a consumer; nothing where the broker does not let it through.
async fn make(client: &Client, subject: &str, stream: &str, config: Value) -> Option<Value> {
    let body = json!({"stream_name": stream, "config": config});
    ask(client, &format!("$JS.API.CONSUMER.{subject}"), body).await.map(|answer| json_of(Some(answer)))
}

/// On a machine that is busy answers take a while.
async fn connect(network: &Network, name: &str, inboxes: &str) -> Client {
    connect_within(network, name, inboxes, 3000).await
}

async fn root_of(network: &Network) -> Client {
    connect(network, ROOT, &caller_inbox_prefix("mcollective", "choria=root.privileged.mcollective")).await
}

async fn operator(network: &Network, name: &str) -> Client {
    let certname = format!("{name}.mcollective");
    network.caller(&certname);
    connect(network, &certname, &caller_inbox_prefix("mcollective", &format!("choria={certname}"))).await
}

/// Names of the consumers of a stream.
async fn names(root: &Client, stream: &str) -> Vec<String> {
    let subject = format!("$JS.API.CONSUMER.NAMES.{stream}");
    let answer = json_of(ask(root, &subject, Value::Null).await);
    let names = answer["consumers"].as_array().unwrap_or_else(|| panic!("no consumers: {answer}"));
    names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

#[test]
fn nodes_and_operators_make_consumers_that_end_and_so_many() {
    RELEASES.into_iter().for_each(consumers_are_bounded);
}

/// Whoever looks at what is kept is not locked out by it, however much that is.
#[test]
fn a_list_of_all_is_one_look() {
    let lines = "plugin.choria.network.stream.requests = true\n\
                 plugin.choria.network.limits.client = consumers=30\n";
    let Keeping { network, alice, .. } = &Keeping::of(Release::Newest, lines);
    let _node = network.node_elsewhere(taking("n1"));
    let ids: Vec<String> =
        (0..8).map(|_| keep(alice, "n1.example.net", &["rpcutil", "ping", "--until", "1h"])).collect();
    let mut looks = 0;
    let refused = loop {
        let ran = alice.run(&["requests", "list", "--json"]);
        if ran.code != 0 {
            break ran;
        }
        let listed = ran.json();
        let listed: Vec<&str> =
            listed.as_array().unwrap().iter().filter_map(|kept| kept["id"].as_str()).collect();
        assert_eq!(listed, ids.iter().rev().map(String::as_str).collect::<Vec<_>>());
        looks += 1;
    };
    assert!((15..30).contains(&looks), "{looks}");
    refused.complains(&["plugin.choria.network.limits.client"]);
}

fn consumers_are_bounded(release: Release) {
    let lines = "plugin.choria.network.stream.requests = true\n\
                 plugin.choria.network.stream.max_consumers = 50\n\
                 plugin.choria.network.limits.client = consumers=40\n\
                 plugin.choria.network.limits.node = consumers=10\n";
    let Keeping { network, alice, root } = &Keeping::of(release, lines);
    network.certify(Kind::Node, N1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let inboxes = caller_inbox_prefix("mcollective", N1);
        let node = connect(network, N1, &inboxes).await;
        let (own, name) = (of_node(N1), consumer_of(N1));
        let good = json!({
            "deliver_subject": format!("{inboxes}.c"), "ack_policy": "none", "mem_storage": true,
            "filter_subject": own, "inactive_threshold": 60_000_000_000_u64,
            "flow_control": true, "idle_heartbeat": 5_000_000_000_u64,
        });
        let with = |more: Value| {
            let mut config = good.clone();
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            config
        };
        let create = format!("CREATE.CHORIA_REQUESTS.{name}.{own}");
        for (subject, config) in [
            (format!("CREATE.CHORIA_REQUESTS.other.{own}"), good.clone()),
            (format!("DURABLE.CREATE.CHORIA_REQUESTS.{name}"), with(json!({"durable_name": name}))),
            (create.clone(), with(json!({"durable_name": name}))),
            (create.clone(), with(json!({"inactive_threshold": 120_000_000_000_u64}))),
            (create.clone(), with(json!({"mem_storage": false}))),
            (create.clone(), with(json!({"direct": true}))),
            (create.clone(), with(json!({"flow_control": false}))),
        ] {
            let made = make(&node, &subject, "CHORIA_REQUESTS", config.clone()).await;
            assert_eq!(made, None, "{release:?} {subject} {config}");
        }
        // so many in a time, and one of them at a time
        let mut made = 0;
        while let Some(answer) = make(&node, &create, "CHORIA_REQUESTS", good.clone()).await {
            assert_eq!(answer["name"], name.as_str(), "{release:?} {answer}");
            made += 1;
        }
        let master = root_of(network).await;
        assert_eq!((made, names(&master, "CHORIA_REQUESTS").await), (10, vec![name.clone()]), "{release:?}");

        let (bob, carol) = (operator(network, "bob").await, operator(network, "carol").await);
        let pulls = json!({"ack_policy": "explicit", "inactive_threshold": 300_000_000_000_u64});
        for (subject, more) in [
            ("DURABLE.CREATE.CHORIA_EVENTS.d", json!({"durable_name": "d"})),
            ("CREATE.CHORIA_EVENTS.d", json!({"durable_name": "d"})),
            ("CREATE.CHORIA_EVENTS.e", json!({"inactive_threshold": 3_600_000_000_000_u64})),
            ("CREATE.CHORIA_EVENTS.f", json!({"direct": true})),
        ] {
            let mut config = pulls.clone();
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert_eq!(make(&bob, subject, "CHORIA_EVENTS", config).await, None, "{release:?} {subject}");
        }
        let mut made = 0;
        // those without a name are counted, too
        while let Some(answer) = match made % 2 {
            0 => make(&bob, &format!("CREATE.CHORIA_EVENTS.e{made}"), "CHORIA_EVENTS", pulls.clone()).await,
            _ => make(&bob, "CREATE.CHORIA_EVENTS", "CHORIA_EVENTS", pulls.clone()).await,
        } {
            assert!(answer["name"].is_string(), "{release:?} {answer}");
            made += 1;
        }
        assert_eq!(made, 40, "{release:?}");
        // the stream has so many, of everybody together
        let mut refused = Value::Null;
        for n in 0..11 {
            let subject = format!("CREATE.CHORIA_EVENTS.c{n}");
            refused = make(&carol, &subject, "CHORIA_EVENTS", pulls.clone()).await.expect("an answer");
        }
        assert_eq!(refused["error"]["err_code"], 10_026, "{release:?} {refused}");
        // whoever may make and remove streams removes them
        for name in names(&master, "CHORIA_EVENTS").await {
            let subject = format!("$JS.API.CONSUMER.DELETE.CHORIA_EVENTS.{name}");
            assert_eq!(json_of(ask(&master, &subject, Value::Null).await)["success"], true, "{release:?}");
        }
        let config = json!({"durable_name": "d", "ack_policy": "explicit"});
        let made = make(&master, "DURABLE.CREATE.CHORIA_EVENTS.d", "CHORIA_EVENTS", config).await;
        assert_eq!(made.expect("an answer")["name"], "d", "{release:?}");
    });
    root.run(&["kv", "add", "CFG"]).fine();
    alice.run(&["kv", "put", "CFG", "a", "one"]).fine();
    assert_eq!(alice.run(&["kv", "keys", "CFG"]).fine().sorted(), ["a"]);
}

/// What reads a stream for all, such as a backup, misses nothing by whoever may only look at it.
#[test]
fn consumers_of_others_are_neither_changed_nor_emptied() {
    RELEASES.into_iter().for_each(consumers_are_their_makers);
}

fn consumers_are_their_makers(release: Release) {
    let Keeping { network, .. } = &keeping_of(release);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (root, bob) = (root_of(network).await, operator(network, "bob").await);
        let lasting = json!({"durable_name": "keep", "name": "keep", "ack_policy": "explicit"});
        let made = make(&root, "DURABLE.CREATE.CHORIA_EVENTS.keep", "CHORIA_EVENTS", lasting).await;
        assert_eq!(made.expect("an answer")["name"], "keep", "{release:?}");
        let about = async |what: &str| {
            let info = ask(&root, &format!("$JS.API.CONSUMER.INFO.CHORIA_EVENTS.{what}"), Value::Null).await;
            json_of(info)["config"].clone()
        };
        let before = about("keep").await;
        for (more, action) in [
            (json!({"filter_subject": "choria.lifecycle.nothing"}), None),
            (json!({"inactive_threshold": 1_000_000_000}), None),
            (json!({}), None),
            (json!({}), Some("create")),
            (json!({}), Some("update")),
            (json!({}), Some("")),
        ] {
            let mut config = json!({"name": "keep", "ack_policy": "explicit"});
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let mut body = json!({"stream_name": "CHORIA_EVENTS", "config": config});
            if let Some(action) = action {
                body["action"] = action.into();
            }
            for subject in ["CREATE.CHORIA_EVENTS.keep", "CREATE.CHORIA_EVENTS"] {
                let answer = ask(&bob, &format!("$JS.API.CONSUMER.{subject}"), body.clone()).await;
                assert_ne!(json_of(answer)["name"], "keep", "{release:?} {subject} {body}");
            }
        }
        // to try is to own nothing
        let next = |name: &str| format!("$JS.API.CONSUMER.MSG.NEXT.CHORIA_EVENTS.{name}");
        let pull = json!({"batch": 1, "expires": 1_000_000_000, "idle_heartbeat": 500_000_000});
        assert!(ask(&bob, &next("keep"), pull.clone()).await.is_none(), "{release:?}");
        assert!(ask(&bob, "$JS.ACK.CHORIA_EVENTS.keep.1.1.1.1.0", Value::Null).await.is_none());
        assert!(ask(&bob, "$JS.API.CONSUMER.DELETE.CHORIA_EVENTS.keep", Value::Null).await.is_none());
        assert_eq!(about("keep").await, before, "{release:?}");
        // an answer to something else is none, where the one that is waited for was not heard
        for subject in ["CREATE.CHORIA_EVENTS.keep", "CREATE.CHORIA_EVENTS"] {
            let place = bob.new_inbox();
            let body =
                json!({"stream_name": "CHORIA_EVENTS", "config": {"ack_policy": "explicit"}}).to_string();
            let create = format!("$JS.API.CONSUMER.{subject}");
            bob.publish_with_reply(create, place.clone(), body.into()).await.expect("a line");
            let mut heard = bob.subscribe(place.clone()).await.expect("a subscription");
            let info = "$JS.API.CONSUMER.INFO.CHORIA_EVENTS.keep";
            bob.publish_with_reply(info, place, "".into()).await.expect("a line");
            heard.next().await.expect("an answer");
            assert!(ask(&bob, &next("keep"), pull.clone()).await.is_none(), "{release:?}");
        }

        // his own are, by the name he or the engine gave them
        let own = json!({"ack_policy": "explicit", "inactive_threshold": 60_000_000_000_u64});
        for subject in ["CREATE.CHORIA_EVENTS.own", "CREATE.CHORIA_EVENTS"] {
            let made = make(&bob, subject, "CHORIA_EVENTS", own.clone()).await.expect("an answer");
            let name = made["name"].as_str().unwrap_or_else(|| panic!("{release:?} {made}")).to_owned();
            assert!(ask(&bob, &next(&name), pull.clone()).await.is_some(), "{release:?} {subject}");
            let gone = ask(&bob, &format!("$JS.API.CONSUMER.DELETE.CHORIA_EVENTS.{name}"), Value::Null).await;
            assert_eq!(json_of(gone)["success"], true, "{release:?} {subject}");
        }
    });
}

#[test]
fn no_number_of_consumers_ends_all_streams() {
    let lines = "plugin.choria.network.limits.hub = subscriptions=600\n";
    let Keeping { mut network, alice, root } = Keeping::of(Release::Newest, lines);
    root.run(&["kv", "add", "CFG"]).fine();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let master = root_of(&network).await;
        for n in 0..300 {
            let subject = format!("DURABLE.CREATE.KV_CFG.d{n}");
            let config = json!({"durable_name": format!("d{n}"), "ack_policy": "explicit"});
            make(&master, &subject, "KV_CFG", config).await.expect("an answer");
        }
    });
    network.broker().says(&["streams have too many consumers"]);
    for value in ["one", "two"] {
        alice.run(&["kv", "put", "CFG", "a", value]).fine();
        assert_eq!(alice.run(&["kv", "get", "CFG", "a", "--raw"]).fine().stdout.trim(), value);
        assert_eq!(alice.run(&["kv", "keys", "CFG"]).fine().sorted(), ["a"]);
        network.kill_broker();
        network.start_broker();
        network.broker().says(&["system streams are as configured"]);
    }
    runtime.block_on(async {
        let master = root_of(&network).await;
        for name in names(&master, "KV_CFG").await {
            let subject = format!("$JS.API.CONSUMER.DELETE.KV_CFG.{name}");
            ask(&master, &subject, Value::Null).await.expect("an answer");
        }
        assert_eq!(names(&master, "KV_CFG").await, Vec::<String>::new());
    });
}

#[test]
fn events_take_no_more_than_their_share() {
    let lines = "plugin.choria.network.stream.event_size = 5M\n";
    let Keeping { mut network, .. } = Keeping::of(Release::Newest, lines);
    network.certify(Kind::Node, N1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let kept = async |root: &Client, stream: &str| {
        json_of(ask(root, &format!("$JS.API.STREAM.INFO.{stream}"), Value::Null).await)
    };
    // as it was made before there were bounds
    runtime.block_on(async {
        let root = root_of(&network).await;
        let mut config = kept(&root, "CHORIA_EVENTS").await["config"].clone();
        (config["max_bytes"], config["max_msg_size"]) = (json!(-1), json!(-1));
        let updated = ask(&root, "$JS.API.STREAM.UPDATE.CHORIA_EVENTS", config).await;
        assert_eq!(json_of(updated)["config"]["max_bytes"], -1);
    });
    network.kill_broker();
    network.start_broker();
    network.broker().says(&["system streams are as configured", "changed=1"]);
    runtime.block_on(async {
        let root = root_of(&network).await;
        let node = connect(&network, N1, &caller_inbox_prefix("mcollective", N1)).await;
        for (stream, subject) in [
            ("CHORIA_EVENTS", "choria.lifecycle.event.startup.server"),
            ("CHORIA_MACHINE", "choria.machine.transition"),
        ] {
            for _ in 0..20 {
                node.publish(subject, vec![b'x'; 900_000].into()).await.unwrap();
            }
            for _ in 0..150 {
                node.publish(subject, vec![b'y'; 60_000].into()).await.unwrap();
            }
            node.flush().await.unwrap();
            let last = "z".repeat(1000);
            node.publish(subject, last.clone().into()).await.unwrap();
            node.flush().await.unwrap();
            let mut state = Value::Null;
            for _ in 0..100 {
                let info = kept(&root, stream).await;
                assert_eq!(info["config"]["max_msg_size"], 65_536, "{info}");
                state = info["state"].clone();
                if state["last_seq"].as_u64() >= Some(151) {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            assert_eq!(state["last_seq"], 151, "{stream}: none of the large ones is kept: {state}");
            assert!(state["bytes"].as_u64() <= Some(5 * 1024 * 1024), "{stream}: {state}");
        }
    });
}

#[test]
fn who_keeps_much_for_a_node_holds_up_nobody() {
    let Keeping { network, alice, .. } = &keeping();
    let bob = network.caller("bob.mcollective");
    let mut away = network.node_elsewhere(taking("n1"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(operator(network, "bob"));
    let signer = provider(&bob.config, "bob.mcollective").signer().expect("a signer");
    // half of them of a time to come, and none with any right
    let ids: Vec<String> = (0..400).map(|n| format!("{n:032x}")).collect();
    runtime.block_on(async {
        for (n, id) in ids.iter().enumerate() {
            let envelope = Envelope {
                requestid: id.clone(),
                callerid: BOB.to_owned(),
                senderid: "console".to_owned(),
                collective: "mcollective".to_owned(),
                agent: "rpcutil".to_owned(),
                time: now() + if n % 2 == 0 { 3000 } else { 0 },
                ..Envelope::default()
            };
            let body = r#"{"agent":"rpcutil","action":"inventory","data":{}}"#;
            let deferred = Deferred::new(&envelope, N1, now() + 7200, false, body);
            let text = Place::asked(&signer.sign_deferred(&deferred).expect("signed")).encode();
            let kept = client.request(subject(BOB, id, N1), text.into()).await.ok();
            assert!(stores(&kept.map(|answer| answer.payload.to_vec())), "{id}");
        }
    });
    let id = keep(alice, N1, &["rpcutil", "ping", "--until", "1h"]);
    away.start();
    comes_to(alice, &id, "answered");
    // each is read once, and is over then
    let reasons: Vec<String> = until("all of them to be over", || {
        runtime.block_on(async {
            let mut reasons = vec![];
            for id in &ids {
                let get = format!("$JS.API.DIRECT.GET.CHORIA_REQUESTS.{}", subject(BOB, id, N1));
                match Place::decode(&ask(&client, &get, Value::Null).await?)? {
                    Place::Answered(answer) => reasons.push(answer.reason),
                    _ => return None,
                }
            }
            Some(reasons)
        })
    });
    let beyond = reasons.iter().filter(|reason| reason.contains("too many requests for this node")).count();
    assert_eq!(beyond, ids.len() - 256, "{reasons:?}");
    assert!(reasons[0].contains("dated more than a minute ahead"), "{reasons:?}");
}
