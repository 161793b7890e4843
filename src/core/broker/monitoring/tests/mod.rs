//! The pages over a real socket, held to the captured ones.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use serde_json::Value;

use super::{Monitored, Monitoring, MonitoringOptions, Process};
use crate::core::admission::X509Options;
use crate::core::broker::tests::kit::{PATIENCE, Raw, ca, loopback, plain_options, tls_options, until};
use crate::core::broker::{Broker, Limits, Options};

mod lists;
mod strangers;

fn captured() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/captured/broker-monitoring.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn watched(broker: &Broker) -> Monitoring {
    let about = MonitoringOptions {
        identity: "broker1.example.net".to_owned(),
        config_file: "/etc/choria/broker.conf".to_owned(),
        certificate_expiry: Some(std::sync::Arc::new(|| Some(2_000_000_000))),
        tokens: None,
        local: Default::default(),
        more: None,
    };
    Monitoring::start(loopback(), broker.view(), about).unwrap()
}

/// Status line, headers and body of whatever is sent.
fn exchange(address: SocketAddr, bytes: &[u8]) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // a request may be refused before it is read to its end
    let _ = stream.write_all(bytes);
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    (head.to_owned(), body.to_owned())
}

fn get(address: SocketAddr, path: &str) -> (String, String) {
    exchange(address, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
}

fn json(address: SocketAddr, path: &str) -> Value {
    let (head, body) = get(address, path);
    assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Every key of the original is there with the same kind of value.
fn same_shape(page: &str, theirs: &Value, ours: &Value, but: &[&str]) {
    for (key, value) in theirs.as_object().unwrap().iter().filter(|(key, _)| !but.contains(&key.as_str())) {
        let found = ours.get(key).unwrap_or_else(|| panic!("{page}: {key} is missing"));
        assert_eq!(kind(found), kind(value), "{page}: {key}");
    }
}

#[test]
fn pages_have_the_shapes_of_the_original() {
    let broker = Broker::start(tls_options(X509Options::default())).unwrap();
    let monitoring = watched(&broker);
    let address = monitoring.local_addr();
    let mut client =
        Raw::tls(broker.local_addr(), ca().client(Some(ca().issue("dev1.example.net")))).unwrap();
    client.login(",\"name\":\"x509 peer\",\"lang\":\"probe\",\"version\":\"1.0\"");
    client.send("SUB a.b 1\r\n");
    client.sync();
    let captured = captured();
    let theirs = |page: &str| &captured["pages"][page]["body"];

    let varz = json(address, "/varz");
    same_shape("/varz", theirs("/varz"), &varz, &[]);
    assert_eq!((&varz["connections"], &varz["subscriptions"]), (&1.into(), &1.into()), "{varz}");
    assert_eq!(varz["tls_cert_not_after"], "2033-05-18T03:33:20Z");

    let connz = json(address, "/connz?auth=1&subs=detail");
    let original = theirs("/connz?auth=1&subs=detail");
    same_shape("/connz", original, &connz, &[]);
    let (row, theirs_row) = (&connz["connections"][0], &original["connections"][0]);
    // the round trip is that of the first ping, which comes after two seconds
    same_shape("/connz row", theirs_row, row, &["rtt"]);
    let detail = &row["subscriptions_list_detail"][0];
    same_shape("/connz subscription", &theirs_row["subscriptions_list_detail"][0], detail, &[]);
    assert_eq!((&detail["subject"], &detail["sid"]), (&"a.b".into(), &"1".into()));
    assert_eq!(
        json(address, "/connz?subs=1")["connections"][0]["subscriptions_list"],
        Value::from(vec!["a.b"])
    );
    same_shape("/connz certificate", &theirs_row["tls_peer_certs"][0], &row["tls_peer_certs"][0], &[]);
    assert_eq!(row["tls_peer_certs"][0]["subject"], "CN=dev1.example.net");
    assert_eq!((&row["tls_version"], &row["account"]), (&"1.3".into(), &"choria".into()));
    assert!(row["tls_cipher_suite"].as_str().unwrap().starts_with("TLS_AES_"), "{row}");
    assert!(json(address, "/connz")["connections"][0].get("tls_peer_certs").is_none());
    assert_eq!(json(address, "/connz?state=closed")["num_connections"], 0);
    assert_eq!(json(address, "/connz?acc=system")["num_connections"], 0);
    assert_eq!(json(address, "/connz?limit=99999999&sort=bytes_to")["limit"], 1024);
    assert_eq!(json(address, "/connz?offset=1&limit=1")["connections"].as_array().unwrap().len(), 0);

    let subsz = json(address, "/subsz?subs=1&acc=choria");
    let original = theirs("/subsz?subs=1&acc=choria");
    same_shape("/subsz", original, &subsz, &[]);
    same_shape("/subsz row", &original["subscriptions_list"][0], &subsz["subscriptions_list"][0], &[]);
    for page in ["/routez", "/leafz", "/gatewayz", "/healthz", "/choria/"] {
        same_shape(page, theirs(page), &json(address, page), &[]);
    }
    same_shape("/choria/ build", &theirs("/choria/")["build"], &json(address, "/choria/")["build"], &[]);
    assert_eq!(json(address, "/choria/")["config_file"], "/etc/choria/broker.conf");
    assert!(get(address, "/choria").0.contains("location: /choria/"));
    assert!(get(address, "/").1.contains("href=\"/varz\""));
}

#[test]
fn metrics_have_the_names_of_the_original() {
    let broker = Broker::start(plain_options()).unwrap();
    let monitoring = watched(&broker);
    let address = monitoring.local_addr();
    let mut stranger = Raw::plain(broker.local_addr());
    stranger.send("PUB a 1\r\n");
    stranger.rest();
    until("the refusal to be counted", || broker.stats().refusals.contains_key("no connect"));
    let captured = captured();
    let samples = captured["prometheus"]["broker with streams"].as_object().unwrap();
    for path in ["/metrics", "/choria/metrics", "/choria/prometheus"] {
        let (head, text) = get(address, path);
        assert!(head.contains("text/plain"), "{head}");
        // a broker makes no connections and reads no requests here
        let other = ["choria_connector_", "choria_protocol_"];
        for (name, about) in samples.iter().filter(|(name, _)| !other.iter().any(|o| name.starts_with(o))) {
            let line = format!("# TYPE {name} {}\n", about["type"].as_str().unwrap());
            assert!(text.contains(&line), "{path}: {line}");
            assert!(text.contains(&format!("\n{name}{{")), "{path}: {name}");
        }
        for sample in [
            "choria_network_connections{identity=\"broker1.example.net\"} 0",
            "choria_broker_refusals_total{identity=\"broker1.example.net\",reason=\"no connect\"} 1",
            "choria_broker_account_connections{identity=\"broker1.example.net\",account=\"choria\"} 0",
            "choria_broker_certificate_expires_seconds{identity=\"broker1.example.net\"} ",
            "choria_broker_handshakes_total{",
            "choria_broker_pending_bytes{",
        ] {
            assert!(text.contains(sample), "{path}: {sample} in {text}");
        }
    }
}

#[test]
fn bad_requests_are_refused_and_cost_little() {
    let broker = Broker::start(plain_options()).unwrap();
    let monitoring = watched(&broker);
    let address = monitoring.local_addr();
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000));
    let headers = format!("GET / HTTP/1.1\r\n{}\r\n", "X-A: b\r\n".repeat(200));
    for (bytes, status) in [
        ("GET /connz?limit=x HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        ("GET /connz?sort=nothing HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        ("GET /connz?state=nothing HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        ("GET /debug/vars HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("POST /varz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "405"),
        ("hello\r\n\r\n", "400"),
        (&long, "4"),
        (&headers, "4"),
    ] {
        let (head, _) = exchange(address, bytes.as_bytes());
        let shown: String = bytes.chars().take(60).collect();
        // what comes after a refusal may arrive as a reset before the answer is read
        let reset = head.is_empty() && bytes.len() > 8192;
        assert!(reset || head.starts_with(&format!("HTTP/1.1 {status}")), "{shown:?}: {head}");
    }
    // more silent connections than places: they are all let go in the end
    let silent: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(address).unwrap()).collect();
    drop(silent);
    assert_eq!(json(address, "/healthz")["status"], "ok");
}
