//! Every conversation recorded with the original broker, byte for byte.

use std::collections::BTreeSet;

use serde_json::Value;

use super::kit::{Raw, ca, plain_broker, tls_options};
use crate::core::broker::Broker;

/// Where this broker answers otherwise, each by decision, with what it answers.
const DEVIATIONS: [(&str, &str, bool); 3] = [
    // client libraries end their connection at it: nobody is cut by what somebody else says
    (
        "HPUB with header block not starting NATS/1.0",
        "-ERR 'Permissions Violation for Publish to \"a\": of its headers it has no end'\r\n",
        false,
    ),
    // anonymous peers get no free relay: only CONNECT and PING before CONNECT (spec 04 §1.3)
    ("SUB before CONNECT", "-ERR 'Authorization Violation'\r\n", true),
    // tokens are large: CONNECT may be 64 KiB (spec 04 §6.4)
    ("CONNECT line of 5000 bytes", "PONG\r\n", false),
];

fn vectors() -> Value {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/captured/broker-protocol.json"
    ))
    .unwrap();
    serde_json::from_str(&text).unwrap()
}

/// `<x repeated N>` written out; characters above U+007F stand for single bytes.
fn unpack(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<x repeated ") {
        let (count, after) = after.split_once('>').unwrap();
        bytes.extend(before.chars().map(|letter| letter as u8));
        bytes.extend(std::iter::repeat_n(b'x', count.parse().unwrap()));
        rest = after;
    }
    bytes.extend(rest.chars().map(|letter| letter as u8));
    bytes
}

/// INFO lines differ in content by nature.
fn without_info(text: &str) -> String {
    text.split_inclusive("\r\n")
        .map(|line| if line.starts_with("INFO {") { "INFO\r\n" } else { line })
        .collect()
}

fn converse(broker: &Broker, sent: &[u8], received: &[u8], closed: bool, with_tls: bool) -> Vec<u8> {
    let address = broker.local_addr();
    let mut client = if with_tls {
        Raw::tls(address, ca().client(Some(ca().issue("dev1.example.net")))).unwrap()
    } else {
        Raw::plain(address)
    };
    client.send(sent);
    let text = if closed {
        client.rest()
    } else {
        // a round trip of our own shows what follows the last answer
        client.send("PING\r\n");
        let mut text = String::new();
        let pongs = |text: &[u8]| memchr::memmem::find_iter(text, b"PONG\r\n").count();
        let wanted = pongs(received) + 1;
        while pongs(text.as_bytes()) < wanted {
            text.push_str(&client.until("\n"));
        }
        text.strip_suffix("PONG\r\n").unwrap().to_owned()
    };
    text.into_bytes()
}

#[test]
fn recorded_conversations() {
    let vectors = vectors();
    let plain = plain_broker();
    let encrypted = Broker::start(tls_options(Default::default())).unwrap();
    let mut deviating = BTreeSet::new();
    let mut count = 0;
    for vector in vectors["vectors"].as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        let sent = unpack(vector["sent"].as_str().unwrap());
        let mut expected = vector["received"].as_str().unwrap();
        let mut closed = vector["closed"].as_bool().unwrap();
        if let Some((name, text, ends)) = DEVIATIONS.iter().find(|(deviation, ..)| *deviation == name) {
            deviating.insert(*name);
            (expected, closed) = (text, *ends);
        }
        let expected = String::from_utf8_lossy(&unpack(expected)).into_owned();
        for (broker, with_tls) in [(&plain, false), (&encrypted, true)] {
            let got = converse(broker, &sent, expected.as_bytes(), closed, with_tls);
            let (got, mut want) = (without_info(&String::from_utf8(got).unwrap()), without_info(&expected));
            // our round trip may bring the second INFO forward: it follows the first PONG in any case
            let got = got.replacen("PONG\r\nINFO\r\n", "PONG\r\n", 1);
            want = want.replacen("PONG\r\nINFO\r\n", "PONG\r\n", 1);
            if name.starts_with("queue group over") {
                let one_of = ["1", "2", "3"].map(|sid| want.replace("MSG a.b 3", &format!("MSG a.b {sid}")));
                assert!(one_of.contains(&got), "{name}: {got:?}");
            } else if name == "two subscriptions, two copies" {
                let swapped = want.replace(
                    "MSG a.b q2 1\r\nx\r\nMSG a.b 1 1\r\nx\r\n",
                    "MSG a.b 1 1\r\nx\r\nMSG a.b q2 1\r\nx\r\n",
                );
                assert!(got == want || got == swapped, "{name}: {got:?}");
            } else {
                assert_eq!(got, want, "{name} (TLS: {with_tls})");
            }
        }
        count += 1;
    }
    assert_eq!(count, 100, "vectors were lost");
    assert_eq!(deviating.len(), DEVIATIONS.len(), "a deviation names no vector");
}

#[test]
fn info_carries_the_fields_clients_read() {
    let broker = Broker::start(tls_options(Default::default())).unwrap();
    let client = Raw::tls(broker.local_addr(), ca().client(None)).unwrap();
    let json = client.info.strip_prefix("INFO ").unwrap();
    let info: Value = serde_json::from_str(json.trim_end()).unwrap();
    let recorded = vectors();
    let absent = ["git_commit", "api_lvl", "xkey"];
    for key in recorded["info"]["original_x509"]["keys_in_order"].as_array().unwrap() {
        let key = key.as_str().unwrap();
        assert!(absent.contains(&key) || info.get(key).is_some(), "INFO lacks {key}: {json}");
    }
    assert_eq!(info["auth_required"], true);
    assert_eq!(info["server_name"], "broker1.example.net");
    assert_eq!(info["cluster"], "CHORIA");
    assert_eq!(info["client_ip"], "127.0.0.1");
    assert_eq!(info["port"], broker.local_addr().port());
    assert!(json.ends_with("} \r\n"));
}
