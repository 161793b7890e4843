//! What a web service says that is no configuration: not now, and never.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::a_fleet_is_provisioned::Provisioning;
use crate::process::until;
use crate::waiting_room::WaitingRoom;

/// When it was asked, and about whom.
type Asked = Arc<Mutex<Vec<(Instant, String)>>>;

/// A helper that is busy the first time, and then wants nodes to end.
fn service(asked: Asked) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(&stream);
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a question");
            let question: Value = serde_json::from_slice(&body).expect("JSON");
            let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.push((Instant::now(), question["identity"].as_str().expect("a name").to_owned()));
            let answer = json!({"shutdown": true, "msg": "this machine is retired"}).to_string();
            let (status, body) = match asked.len() {
                1 => ("503 Service Unavailable\r\nRetry-After: 2", ""),
                _ => ("200 OK", answer.as_str()),
            };
            let text = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = (&stream).write_all(text.as_bytes());
        }
    });
    address
}

#[test]
fn that_a_node_waits_and_that_it_ends() {
    let room = WaitingRoom::open();
    let asked = Asked::default();
    let address = service(asked.clone());
    let lines = format!("helper_url: 'http://{address}/nodes'\n");
    let mut provisioner = Provisioning::new(&room, "p1", "p1.example.net", &lines);
    provisioner.start();
    let mut node = room.node("n1.example.net");
    node.start();
    provisioner.log().says(&["n1.example.net", "not provisioned now", "503", "again in 2 s"]);
    provisioner.log().says(&["n1.example.net", "told to end itself"]);
    provisioner.log().says(&["n1.example.net", "the helper has it end itself: this machine is retired"]);
    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let [(first, a), (second, b), ..] = &asked[..] else { panic!("asked twice: {asked:?}") };
    assert_eq!((a.as_str(), b.as_str()), ("n1.example.net", "n1.example.net"));
    // as long as it was asked for, and not the minute of those that say nothing
    let pause = second.duration_since(*first);
    assert!((Duration::from_secs(2)..Duration::from_secs(45)).contains(&pause), "{pause:?}");
    // within ten seconds, for good, and with nothing of ours
    assert!(node.daemon().ended().success());
    node.log().says(&["Shutting Choria Server down after"]);
    assert!(!node.config().exists());
    let status = until("the end in the status", || {
        Some(provisioner.status()).filter(|status| status["recent"][0]["end"] == "shutdown")
    });
    assert_eq!((&status["provisioned"], &status["reasons"]["deferred"]), (&json!(0), &json!(1)));
}
