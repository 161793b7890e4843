//! Speaking to a network byte by byte, as other programs and attackers do.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, Subscriber};
use choria::core::client::ReplyReader;
use choria::core::config::{Config, Fixed, Role};
use choria::core::protocol::filter::Filter;
use choria::core::protocol::subjects;
use choria::core::protocol::v1::{Envelope, Headers, Request, SecureRequest, Transport, new_request_id};
use choria::core::rpc::ReplyBody;
use choria::core::security::{Provider, Signer};
use futures::StreamExt;
use serde_json::{Map, Value};

use crate::network::{Caller, Network, now};
use crate::process::PATIENCE;

/// A connection with a certificate, and that certificate's signature.
pub struct Wire {
    pub client: Client,
    pub caller: String,
    pub signer: Signer,
    errors: Arc<Mutex<Vec<String>>>,
}

/// Keys and trust of a client configuration.
pub fn provider(config: &Path, name: &str) -> Provider {
    let env = Fixed::default().with_var("MCOLLECTIVE_CERTNAME", name);
    let config = Config::load(Role::Client, Some(config), &env).expect("a configuration");
    Provider::new(&config, Role::Client, &env).expect("keys")
}

/// A signature, without a connection.
pub fn signer(caller: &Caller) -> Signer {
    provider(&caller.config, &caller.name).signer().expect("an RSA key")
}

impl Wire {
    pub async fn connect(network: &Network, caller: &Caller) -> Wire {
        let provider = provider(&caller.config, &caller.name);
        let tls = provider.client_tls().expect("TLS");
        let errors = Arc::new(Mutex::new(vec![]));
        let seen = errors.clone();
        let client = ConnectOptions::new()
            .require_tls(true)
            .tls_client_config((*tls).clone())
            .connection_timeout(PATIENCE)
            .subscription_capacity(100_000)
            .event_callback(move |event| {
                if let Event::ServerError(e) = &event {
                    seen.lock().expect("errors").push(e.to_string());
                }
                async {}
            })
            .connect(network.address().to_string())
            .await
            .expect("a connection");
        let caller = provider.caller_id().as_str().to_owned();
        Wire { client, caller, signer: provider.signer().expect("an RSA key"), errors }
    }

    /// A subject of this caller for replies.
    pub fn reply_subject(&self) -> String {
        subjects::reply("mcollective", &self.caller, &new_request_id())
    }

    pub async fn subscribe(&self, subject: &str) -> Subscriber {
        let subscriber = self.client.subscribe(subject.to_owned()).await.expect("a subscription");
        self.flush().await;
        subscriber
    }

    /// Writes out what was said.
    pub async fn flush(&self) {
        tokio::time::timeout(PATIENCE, self.client.flush()).await.expect("in time").expect("a connection");
    }

    /// Waits until the broker has taken every subscription made so far; for
    /// connections that may say and hear everything.
    pub async fn settled(&self) {
        let subject = format!("settled.{}", new_request_id());
        let mut echo = self.subscribe(&subject).await;
        self.publish(&subject, "").await;
        next(&mut echo).await;
    }

    /// The same for callers of a by-name broker, who may ask it who they are.
    pub async fn served(&self) {
        let subject = self.reply_subject();
        let mut told = self.subscribe(&subject).await;
        let asked = self.client.publish_with_reply("$SYS.REQ.USER.INFO", subject, "".into()).await;
        asked.expect("a connection");
        next(&mut told).await;
    }

    pub async fn publish(&self, subject: &str, payload: impl Into<bytes::Bytes>) {
        self.client.publish(subject.to_owned(), payload.into()).await.expect("a connection");
    }

    /// Waits until the broker has complained about `text`.
    pub async fn refused(&self, text: &str) -> String {
        let complaint = async {
            loop {
                let errors = self.errors.lock().expect("errors").clone();
                if let Some(found) = errors.iter().find(|e| e.contains(text)) {
                    return found.clone();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, complaint).await {
            Ok(found) => found,
            Err(_) => panic!("the broker never complained about {text}: {:?}", self.errors.lock()),
        }
    }

    /// A request of this caller.
    pub fn request(&self, agent: &str, action: &str, data: Value) -> Request {
        request(&self.caller, agent, action, data)
    }

    /// The bytes of a signed request.
    pub fn signed(&self, request: &Request, reply_to: &str) -> String {
        transport(&self.signer.sign(request).expect("a signature"), reply_to)
    }
}

/// Logs in as `caller` and says `line`, which no client library would; returns
/// when the broker has read it.
pub fn say(network: &Network, caller: &Caller, line: &str) {
    use std::io::{Read, Write};
    let tls = provider(&caller.config, &caller.name).client_tls().expect("TLS");
    let mut socket = std::net::TcpStream::connect(network.address()).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut byte = [0];
    while byte != *b"\n" {
        socket.read_exact(&mut byte).expect("a greeting");
    }
    let name = network.address().ip().into();
    let session = rustls::ClientConnection::new(tls, name).expect("TLS");
    let mut stream = rustls::StreamOwned::new(session, socket);
    let connect =
        "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n";
    stream.write_all(format!("{connect}{line}PING\r\n").as_bytes()).expect("a connection");
    let mut heard = Vec::new();
    while !heard.ends_with(b"PONG\r\n") {
        stream.read_exact(&mut byte).expect("an answer");
        heard.push(byte[0]);
    }
}

/// A request of `caller`, unsigned.
pub fn request(caller: &str, agent: &str, action: &str, data: Value) -> Request {
    let data: Map<String, Value> = data.as_object().cloned().unwrap_or_default();
    let body = choria::core::rpc::RequestBody { agent: agent.into(), action: action.into(), data };
    let message = match agent {
        "discovery" => "ping".to_owned(),
        _ => body.encode(),
    };
    use base64::Engine;
    Request {
        message: base64::engine::general_purpose::STANDARD.encode(message),
        envelope: Envelope {
            requestid: new_request_id(),
            senderid: "console.example.net".into(),
            callerid: caller.into(),
            collective: "mcollective".into(),
            agent: agent.into(),
            ttl: 60,
            time: now(),
            filter: Filter::default(),
        },
    }
}

/// The bytes of a secure request.
pub fn transport(secure: &SecureRequest, reply_to: &str) -> String {
    let hop = ["wire".to_owned(), "console.example.net".to_owned(), "wire".to_owned()];
    let headers = Headers {
        reply_to: Some(reply_to.to_owned()),
        sender: "console.example.net".into(),
        seen_by: vec![hop],
        federation: None,
    };
    Transport { data: secure.encode().into_bytes(), headers }.encode()
}

/// The next message of a subscription.
pub async fn next(subscriber: &mut Subscriber) -> async_nats::Message {
    let next = tokio::time::timeout(PATIENCE, subscriber.next()).await;
    next.expect("a message in time").expect("a connection")
}

/// A reply, opened: who sent it, and its body.
pub fn reply(payload: &[u8]) -> (String, ReplyBody) {
    let mut reader = ReplyReader::default();
    let reply = reader.read(payload).expect("a sealed reply");
    (reply.envelope.senderid.into_owned(), ReplyBody::decode(reply.message.as_bytes()).expect("a reply body"))
}

/// Which request a reply answers, and who does.
pub fn replied(payload: &[u8]) -> (String, String) {
    let mut reader = ReplyReader::default();
    let reply = reader.read(payload).expect("a sealed reply");
    (reply.envelope.requestid.into_owned(), reply.envelope.senderid.into_owned())
}
