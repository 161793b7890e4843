//! Monitoring pages of both, field by field: the same clients do the same on
//! both, and what moves (ids, times, sizes of the process) is compared by kind.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Map, Value, json};

use super::servers::{Kind, Setting, monitored};
use crate::process::{Daemon, PATIENCE, until};

/// Questions whose answers must agree, values included.
const QUESTIONS: [&str; 24] = [
    "/connz",
    "/connz?subs=1",
    "/connz?subs=detail",
    "/connz?auth=1",
    "/connz?state=closed",
    "/connz?state=all&limit=2&offset=1",
    "/connz?state=closed&sort=reason",
    "/connz?sort=subs&limit=1",
    "/connz?sort=msgs_to&limit=1",
    "/connz?sort=bytes_from&limit=1",
    "/connz?sort=stop",
    "/connz?sort=bogus",
    "/connz?state=all&sort=stop",
    "/connz?limit=x",
    "/connz?limit=-1",
    "/connz?limit=0&offset=-3",
    "/connz?offset=99",
    "/connz?cid=abc",
    "/connz?subs=x",
    "/connz?auth=x",
    "/subsz?subs=x",
    "/subsz?test=red.*&subs=1",
    "/subsz?test=red..a&subs=1",
    "/healthz",
];

struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: SocketAddr, name: &str) -> Client {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let reader = BufReader::new(stream.try_clone().expect("a socket"));
        let mut client = Client { stream, reader };
        let options = json!({"verbose": false, "pedantic": false, "name": name, "lang": "probe",
            "version": "1.0", "protocol": 1, "headers": true});
        client.say(&format!("CONNECT {options}\r\n"));
        client
    }

    /// Says something and waits until it is heard.
    fn say(&mut self, text: &str) {
        write!(self.stream, "{text}PING\r\n").expect("a connection");
        let mut line = String::new();
        while line != "PONG\r\n" {
            line.clear();
            assert!(self.reader.read_line(&mut line).expect("an answer") > 0, "closed after {text}");
        }
    }
}

/// A body that came in chunks.
fn whole(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((length, rest)) = chunks.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).expect("the length of a chunk");
        body.push_str(&rest[..length]);
        chunks = &rest[length + 2..];
    }
    body
}

fn get(address: SocketAddr, path: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).expect("monitoring");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    // 1.0 is what proxies speak, who are shown no names
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { &whole(body) } else { body };
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// Values that tell the server or the moment, replaced by their kind.
fn steady(value: &Value) -> Value {
    let moving = [
        "server_id",
        "now",
        "start",
        "stop",
        "last_activity",
        "uptime",
        "idle",
        "rtt",
        "port",
        "cid",
        "pending_bytes",
    ];
    match value {
        Value::Object(object) => object
            .iter()
            // a ping may have been answered on one and not yet on the other; nats-server
            // does not name the account of those who have none
            .filter(|(key, value)| *key != "rtt" && !(*key == "account" && **value == "$G"))
            .map(|(key, value)| {
                let value = if moving.contains(&key.as_str()) { kind(value).into() } else { steady(value) };
                (key.clone(), value)
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(array) => {
            let mut steadied: Vec<Value> = array.iter().map(steady).collect();
            // neither promises an order within a list of subscriptions
            if array.iter().all(|one| one.is_string() || one.get("sid").is_some()) {
                steadied.sort_by_key(Value::to_string);
            }
            steadied.into()
        }
        other => other.clone(),
    }
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

/// The same life on both.
fn lived(setting: &Setting, whose: Kind) -> (Daemon, SocketAddr, Vec<Client>) {
    let (daemon, clients, pages) = monitored(setting, whose);
    let mut gone = Client::connect(clients, "gone");
    gone.say("SUB was.here 1\r\nPUB nobody 2\r\nhi\r\n");
    drop(gone);
    until("the end of a connection", || (get(pages, "/connz?state=closed").1["total"] == 1).then_some(()));
    let mut reader = Client::connect(clients, "reader");
    reader.say("SUB red.> 1\r\nSUB red.a pack 2\r\nSUB blue 3\r\nUNSUB 3 9\r\nSUB x 4\r\nUNSUB 4\r\n");
    let mut writer = Client::connect(clients, "writer");
    writer.say(&"PUB red.a 5\r\nhello\r\n".repeat(4));
    writer.say("PUB blue 3\r\nabc\r\n");
    let delivered = || (get(pages, "/connz").1["connections"][0]["out_msgs"] == 9).then_some(());
    until("all messages to be delivered", delivered);
    (daemon, pages, vec![reader, writer])
}

#[test]
fn pages_are_the_same() {
    let setting = Setting::new();
    let [ours, theirs] = [Kind::Ours, Kind::NatsServer].map(|whose| lived(&setting, whose));
    let mut differences = vec![];
    let mut differ = |page: &str, theirs: &dyn std::fmt::Display, ours: &dyn std::fmt::Display| {
        differences.push(format!("{page}\n  nats-server: {theirs}\n  ours:        {ours}"));
    };
    for question in QUESTIONS {
        let [(our_status, our_page), (their_status, their_page)] =
            [ours.1, theirs.1].map(|address| get(address, question));
        if our_status != their_status {
            differ(question, &their_status, &our_status);
        }
        let (our_page, their_page) = (steady(&our_page), steady(&their_page));
        if our_page != their_page && their_status == 200 {
            differ(question, &their_page, &our_page);
        }
    }
    // the account has other subscriptions there, of the server itself
    let test = "/subsz?subs=1&test=red.a";
    let [our_page, their_page] = [ours.1, theirs.1].map(|address| get(address, test).1);
    for key in ["total", "offset", "limit", "subscriptions_list"] {
        let [our_value, their_value] = [&our_page, &their_page].map(|page| steady(&page[key]));
        if our_value != their_value {
            differ(&format!("{test} {key}"), &their_value, &our_value);
        }
    }
    for key in their_page.as_object().expect("a page").keys() {
        if kind(&our_page[key]) != kind(&their_page[key]) {
            differ(&format!("{test} {key}"), &kind(&their_page[key]), &kind(&our_page[key]));
        }
    }
    // everything nats-server says of itself is there, in the same kind
    let [our_varz, their_varz] = [ours.1, theirs.1].map(|address| get(address, "/varz").1);
    let unlike_us = ["disk_io_wait_stats"];
    for (key, value) in their_varz.as_object().expect("a page") {
        if kind(&our_varz[key]) != kind(value) && !unlike_us.contains(&key.as_str()) {
            differ(&format!("/varz {key}"), value, &our_varz[key]);
        }
    }
    for key in ["connections", "total_connections", "in_msgs", "out_msgs", "in_bytes", "out_bytes"] {
        if our_varz[key] != their_varz[key] {
            differ(&format!("/varz {key}"), &their_varz[key], &our_varz[key]);
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The fields that nats-top reads, of the types it reads them as, by its own requests.
#[test]
fn nats_top_can_read_them() {
    let setting = Setting::new();
    for whose in [Kind::Ours, Kind::NatsServer] {
        let (_daemon, pages, _clients) = lived(&setting, whose);
        let varz = get(pages, "/varz").1;
        for (kind_of, names) in [
            ("string", &["server_id", "version", "uptime", "now"][..]),
            ("number", &["cpu", "mem", "slow_consumers", "in_msgs", "out_msgs", "in_bytes", "out_bytes"]),
        ] {
            for name in names {
                assert_eq!(kind(&varz[name]), kind_of, "/varz {name}: {varz}");
            }
        }
        for sort in [
            "cid",
            "start",
            "subs",
            "pending",
            "msgs_to",
            "msgs_from",
            "bytes_to",
            "bytes_from",
            "last",
            "idle",
            "uptime",
            "rtt",
        ] {
            let (status, connz) = get(pages, &format!("/connz?limit=1024&sort={sort}&subs=1"));
            assert_eq!((status, &connz["num_connections"]), (200, &json!(2)), "{sort}");
            for row in connz["connections"].as_array().expect("rows") {
                for name in ["ip", "uptime", "last_activity", "name", "lang", "version"] {
                    assert!(row[name].is_string(), "{name}: {row}");
                }
                for name in [
                    "cid",
                    "port",
                    "subscriptions",
                    "pending_bytes",
                    "out_msgs",
                    "in_msgs",
                    "out_bytes",
                    "in_bytes",
                ] {
                    assert!(row[name].is_u64(), "{name}: {row}");
                }
                let time = row["last_activity"].as_str().expect("text");
                assert!(time.parse::<jiff::Timestamp>().is_ok(), "{row}");
                let listed = row["subscriptions_list"].as_array().map_or(0, Vec::len);
                assert_eq!(row["subscriptions"], listed, "{row}");
            }
        }
    }
}
