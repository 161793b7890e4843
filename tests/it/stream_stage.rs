//! A real nats-server with streams beside a network, for adapters to write to.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use choria::core::pki::{Kind, Options};
use serde_json::{Value, json};

use crate::network::Network;
use crate::process::Daemon;
use crate::raw::{Raw, tls};

/// A real nats-server with streams, of the CA of a network.
pub struct Streams<'a> {
    network: &'a Network,
    program: PathBuf,
    pub address: SocketAddr,
    daemon: Option<Daemon>,
}

impl<'a> Streams<'a> {
    pub fn by(network: &'a Network, program: PathBuf) -> Streams<'a> {
        let issued = network.ca.issue(
            Kind::Broker,
            "engine.example.net",
            &Options { loopback: true, ..Options::default() },
            crate::network::now(),
        );
        issued.and_then(|issued| issued.write(&network.path("ssl"))).expect("a certificate");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        let mut streams = Streams { network, program, address, daemon: None };
        streams.again();
        streams
    }

    pub fn again(&mut self) {
        let text = |path: std::path::PathBuf| path.display().to_string();
        let ssl = |name: &str| text(self.network.path(&format!("ssl/{name}")));
        let config = json!({
            "listen": self.address.to_string(),
            "tls": {"cert_file": ssl("engine.example.net.pem"), "key_file": ssl("engine.example.net-key.pem"),
                    "ca_file": text(self.network.ca_file()), "verify": true},
            "jetstream": {"store_dir": text(self.network.path("streams"))},
        });
        let file = self.network.file("engine.conf", &config.to_string());
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(file).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let daemon = Daemon::start("nats-server", command);
        daemon.says(&["Server is ready"]);
        self.daemon = Some(daemon);
    }

    pub fn kill(&mut self) {
        self.daemon = None;
    }

    /// A connection to it; two at a time hear each other's answers.
    pub fn raw(&self) -> Raw {
        let mut raw = Raw::open(self.address, tls(&self.network.alice()), "");
        raw.send("SUB _INBOX.t 1\r\n");
        raw.sync();
        raw
    }

    /// A request to it and the answer.
    fn ask(raw: &mut Raw, subject: &str, body: &Value) -> Value {
        let body = body.to_string();
        raw.send(format!("PUB {subject} _INBOX.t {}\r\n{body}\r\n", body.len()));
        let head = raw.until("\r\n").expect("an answer");
        assert!(head.starts_with("MSG _INBOX.t"), "{head}");
        let text = raw.until("\r\n").expect("an answer");
        serde_json::from_str(&text).expect("JSON")
    }

    pub fn make_stream(&self, name: &str, subject: &str) {
        let made = Streams::ask(
            &mut self.raw(),
            &format!("$JS.API.STREAM.CREATE.{name}"),
            &json!({"name": name, "subjects": [subject], "retention": "limits", "storage": "file"}),
        );
        assert!(made["error"].is_null(), "{made}");
    }

    /// The number of the last message, by a connection of [`Streams::raw`].
    pub fn last(raw: &mut Raw, name: &str) -> u64 {
        let info = Streams::ask(raw, &format!("$JS.API.STREAM.INFO.{name}"), &json!({}));
        info["state"]["last_seq"].as_u64().expect("a number")
    }

    /// Subject, headers and document of all messages.
    pub fn messages(&self, name: &str) -> Vec<(String, String, Value)> {
        let mut raw = self.raw();
        (1..=Streams::last(&mut raw, name))
            .map(|seq| {
                let got =
                    Streams::ask(&mut raw, &format!("$JS.API.STREAM.MSG.GET.{name}"), &json!({"seq": seq}));
                let message = &got["message"];
                let decoded =
                    |key: &str| STANDARD.decode(message[key].as_str().unwrap_or_default()).expect("base64");
                let headers = String::from_utf8(decoded("hdrs")).expect("text");
                let document = serde_json::from_slice(&decoded("data")).expect("JSON");
                (message["subject"].as_str().expect("a subject").to_owned(), headers, document)
            })
            .collect()
    }
}
