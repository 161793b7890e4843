//! Streams of the hub, used from behind the leaf as if they were here.

use serde_json::{Value, json};

use crate::network::Network;
use crate::process::until;
use crate::raw::{Raw, tls};

use super::hub::{Hub, RELEASES};
use super::leaf_of;

/// Asks and returns all of the answer's wire form.
fn ask(raw: &mut Raw, subject: &str, body: &str) -> String {
    raw.send(format!("PUB {subject} answers.1 {}\r\n{body}\r\n", body.len()));
    until(&format!("an answer about {subject}"), || {
        let heard = raw.sync();
        heard.contains("MSG answers.1").then_some(heard)
    })
}

/// The same of JSON.
fn api(raw: &mut Raw, call: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let heard = ask(raw, &format!("$JS.API.{call}"), &body);
    let text = heard.split("\r\n").nth(1).expect("a payload");
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {heard}"))
}

#[test]
fn buckets_and_streams_of_the_hub_are_used_from_behind_the_leaf() {
    for release in RELEASES {
        let mut network = Network::without_broker();
        let hub = Hub::start(&network, release);
        network.configure_broker(&hub.remote().replace("by-name", "open"));
        network.start_broker();
        network.broker().says(&["connected to the hub as a leaf"]);
        let mut raw = Raw::open(network.address(), tls(&network.alice()), "");
        raw.send("SUB answers.> 1\r\n");
        // the hub says what it serves right behind its greeting
        let info = until("streams to be there", || {
            let info = ask(&mut raw, "$JS.API.INFO", "");
            info.contains("\"streams\"").then_some(info)
        });
        assert!(info.contains("account_info_response"), "{info}");
        let bucket = json!({
            "name": "KV_T", "subjects": ["$KV.T.>"], "max_msgs_per_subject": 5, "discard": "new",
            "allow_direct": true, "allow_rollup_hdrs": true, "deny_delete": true, "storage": "memory",
        });
        let made = api(&mut raw, "STREAM.CREATE.KV_T", &bucket);
        assert_eq!(made["config"]["name"], "KV_T", "{made:#}");
        let put = ask(&mut raw, "$KV.T.colour", "green");
        assert!(put.contains("\"stream\":\"KV_T\"") && put.contains("\"seq\":1"), "{put}");
        let got = ask(&mut raw, "$JS.API.DIRECT.GET.KV_T.$KV.T.colour", "");
        assert!(got.contains("Nats-Subject: $KV.T.colour") && got.contains("green"), "{got}");

        let stream = json!({"name": "WORK", "subjects": ["work.>"], "storage": "memory"});
        api(&mut raw, "STREAM.CREATE.WORK", &stream);
        // the hub tells its leaf of the new wish
        until("the stream to be known", || {
            let stored = ask(&mut raw, "work.one", "first");
            stored.contains("\"stream\":\"WORK\"").then_some(())
        });
        let consumer =
            json!({"stream_name": "WORK", "config": {"durable_name": "c", "ack_policy": "explicit"}});
        let made = api(&mut raw, "CONSUMER.DURABLE.CREATE.WORK.c", &consumer);
        assert_eq!(made["name"], "c", "{made:#}");
        // a message shows where it was stored from, and where its acknowledgement goes
        let pulled = ask_for_one(&mut raw);
        let line = pulled.split("\r\n").find(|line| line.starts_with("MSG")).expect("a message");
        let [_, subject, sid, ack, size] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert_eq!((subject, sid, size), ("work.one", "1", "5"), "{line}");
        assert!(ack.starts_with("$JS.ACK.WORK.c.") && !ack.contains('@'), "{line}");
        raw.send(format!("PUB {ack} 4\r\n+ACK\r\n"));
        until("the acknowledgement to arrive", || {
            let info = api(&mut raw, "CONSUMER.INFO.WORK.c", &Value::Null);
            (info["num_ack_pending"] == 0 && info["ack_floor"]["stream_seq"] == 1).then_some(())
        });
    }
}

/// Pulls one message.
fn ask_for_one(raw: &mut Raw) -> String {
    let subject = "$JS.API.CONSUMER.MSG.NEXT.WORK.c";
    raw.send(format!("PUB {subject} answers.2 1\r\n1\r\n"));
    until("a message", || {
        let heard = raw.sync();
        heard.contains("MSG work.one").then_some(heard)
    })
}

#[test]
fn nobody_reads_streams_whom_his_certificate_does_not_let() {
    let mut network = Network::without_broker();
    let hub = Hub::start(&network, RELEASES[1]);
    leaf_of(&hub, &mut network);
    network.certify(choria::core::pki::Kind::Node, "n1.example.net");
    let mut node = Raw::open(network.address(), tls(&network.caller("n1.example.net")), "");
    for subject in ["$JS.API.STREAM.LIST", "$KV.T.colour", "mcollective.broadcast.agent.rpcutil"] {
        node.send(format!("PUB {subject} 0\r\n\r\n"));
        let heard = node.sync();
        assert!(heard.contains(&format!("Permissions Violation for Publish to \"{subject}\"")), "{heard}");
    }
}
