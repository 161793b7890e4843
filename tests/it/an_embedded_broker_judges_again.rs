//! The example for embedders, with a CA: whom a revocation list names is off
//! after SIGHUP, and a hashed password lets in who knows it.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;

use choria::core::pki::Kind;
use rustix::process::Signal;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use serde_json::json;

use crate::nats_clients_see_no_difference::plain_broker;
use crate::network::{Network, now};
use crate::process::{Daemon, PATIENCE};
use crate::wire::provider;

/// Of "a hashed password", by the system's own library.
const HASH: &str = "$2b$05$v2stc7JC1uc.OrI4ALj24OkI2JIJQm8gCr0xbaR90tznSLyrek7ka";

/// One connection over TLS.
struct Member(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Member {
    fn open(address: SocketAddr, tls: &Arc<ClientConfig>, password: &str) -> Member {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut info = String::new();
        // the broker says nothing behind INFO before TLS
        BufReader::new(&stream).read_line(&mut info).expect("INFO");
        assert!(info.contains("\"auth_required\":true"), "{info}");
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let session = ClientConnection::new(tls.clone(), name).expect("TLS");
        let mut member = Member(BufReader::new(StreamOwned::new(session, stream)));
        let login =
            format!("CONNECT {{\"verbose\":false,\"user\":\"alice\",\"pass\":\"{password}\"}}\r\nPING\r\n");
        member.0.get_mut().write_all(login.as_bytes()).expect("a connection");
        member
    }

    /// A line, but for pings; nothing at the end.
    fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).is_err() {
                return String::new();
            }
            if line == "PING\r\n" {
                self.0.get_mut().write_all(b"PONG\r\n").expect("a connection");
                continue;
            }
            return line;
        }
    }
}

#[test]
fn on_sighup() {
    let network = Network::without_broker();
    let issued = network.ca.issue(
        Kind::Broker,
        "plain.example.net",
        &choria::core::pki::Options { loopback: true, ..Default::default() },
        now(),
    );
    let (certificate, key) = issued.and_then(|i| i.write(&network.path("ssl"))).expect("a certificate");
    let file = json!({
        "listen": "127.0.0.1:0",
        "tls": {
            "cert": certificate, "key": key, "verify": true,
            "ca": network.ca.certificate_file(), "crl": network.ca.crl_file(),
        },
        "users": [{"user": "alice", "password": HASH}],
    });
    let file = network.file("broker.json", &file.to_string());
    let mut command = Command::new(plain_broker());
    command.arg(file).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let broker = Daemon::start("plain_broker", command);
    let line = broker.says(&["the broker is listening on"]);
    let address: SocketAddr =
        line.rsplit(' ').find_map(|word| word.parse().ok()).expect("an address in the log line");

    let tls = |name: &str| {
        let caller = network.caller(name);
        provider(&caller.config, name).client_tls().expect("TLS")
    };
    let (good, bad) = (tls("alice.mcollective"), tls("mallory.mcollective"));
    let mut wrong = Member::open(address, &good, "another");
    assert_eq!(wrong.line(), "-ERR 'Authorization Violation'\r\n");
    let mut stays = Member::open(address, &good, "a hashed password");
    assert_eq!(stays.line(), "PONG\r\n");
    let mut goes = Member::open(address, &bad, "a hashed password");
    assert_eq!(goes.line(), "PONG\r\n");

    network.ca.revoke("mallory.mcollective", now()).expect("a revocation");
    broker.signal(Signal::HUP);
    assert_eq!(goes.line(), "-ERR 'User Authentication Revoked'\r\n");
    assert_eq!(goes.line(), "");
    stays.0.get_mut().write_all(b"PING\r\n").expect("a connection");
    assert_eq!(stays.line(), "PONG\r\n");
    // and does not come back by the session it had
    let mut again = Member::open(address, &bad, "a hashed password");
    assert_ne!(again.line(), "PONG\r\n");
}
