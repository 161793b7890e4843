//! A node that wants an ed25519 key and a token, as the original's nodes do:
//! `choria provision run` against the recorded node, held against what the
//! original's provisioner asked, told its helper, and signed.
//!
//! The recording was by protocol v2; ours asks by v1, so the node here speaks
//! that and says what the recorded one said. Its tokens are the recorded ones
//! with another expiry, and its key is the recorded one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use choria::core::connection::Session;
use choria::core::protocol::v1::{
    Headers, Reply, ReplyEnvelope, Request, SecureReply, SecureRequest, Transport,
};
use choria::core::security::tokens::{self, SigningKey};
use choria::core::text::{hex, unhex};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::a_fleet_is_provisioned::Provisioning;
use crate::network::now;
use crate::process::{PATIENCE, until};
use crate::waiting_room::WaitingRoom;

const NODE: &str = "v2node1.example.net";

fn json_in(text: &Value) -> Value {
    serde_json::from_slice(&STANDARD.decode(text.as_str().expect("a text")).expect("base64")).expect("JSON")
}

fn unverified(token: &str) -> Value {
    tokens::unverified(token).expect("a token")
}

/// A recording, and what is inside its messages.
struct Recorded(Value);

impl Recorded {
    fn load() -> Recorded {
        let file =
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/provisioning/provisioning-v2-ed25519.json");
        Recorded(serde_json::from_str(&fs::read_to_string(file).expect("a file")).expect("JSON"))
    }

    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer}"))
    }

    fn key(&self, name: &str) -> SigningKey {
        let seed = unhex::<32>(self.text(&format!("/keys/{name}"))).expect("a seed");
        SigningKey::from_seed(&seed).expect("a key")
    }

    /// A recorded token by its own issuer, valid today.
    fn renewed(&self, name: &str) -> String {
        let mut claims: Value = tokens::unverified(self.text(&format!("/tokens/{name}"))).expect("a token");
        claims["exp"] = json!(now() + 365 * 86_400);
        self.key("issuer_seed").sign(&claims).expect("a token")
    }

    fn bodies(&self, inner: &str) -> Vec<Value> {
        let messages = self.0["messages"].as_array().expect("messages").iter();
        let transports = messages
            .map(|m| serde_json::from_str::<Value>(m["payload"].as_str().expect("a text")).expect("JSON"));
        let secure = transports.filter(|t| t["data"].is_string()).map(|t| json_in(&t["data"]));
        let inside = secure.filter(|s| s[inner].is_string()).map(|s| json_in(&s[inner]));
        inside.filter(|m| m["agent"] != "discovery").map(|m| json_in(&m["message"])).collect()
    }

    /// The reply to this action.
    fn reply(&self, action: &str) -> Value {
        self.bodies("reply").into_iter().find(|body| body["action"] == action).expect("a reply")
    }

    fn request(&self, action: &str) -> Value {
        self.bodies("request").into_iter().find(|body| body["action"] == action).expect("a request")
    }

    fn file(&self, path: &str) -> &str {
        let files = self.0["node_files_after"].as_array().expect("files");
        let file = files.iter().find(|file| file["path"] == path).expect("a file");
        file["content"].as_str().expect("a content")
    }
}

/// Key of whoever signs tokens of nodes.
fn signer_public(recorded: &Recorded) -> String {
    let claims = unverified(recorded.text("/tokens/provisioner_client_jwt"));
    claims["public_key"].as_str().expect("a key").to_owned()
}

/// Answers as the recorded node did; says what it was asked.
async fn stand_in(
    session: Session,
    answer: impl Fn(&Value) -> Value + Send + 'static,
) -> mpsc::UnboundedReceiver<Value> {
    let mut requests = session.subscribe(&format!("provisioning.node.{NODE}"), 100).await;
    session.flush().await;
    let (sender, asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(message) = requests.recv().await {
            let transport = Transport::decode(&message.payload).expect("a transport message");
            let secure = SecureRequest::decode(&transport.data).expect("a secure request");
            let request = Request::decode(secure.message.as_bytes()).expect("a request");
            let body: Value = serde_json::from_slice(&request.payload()).expect("a body");
            let reply = Reply {
                message: answer(&body).to_string().into(),
                envelope: ReplyEnvelope {
                    requestid: request.envelope.requestid.into(),
                    senderid: NODE.into(),
                    agent: request.envelope.agent.into(),
                    time: now(),
                },
            };
            let data = SecureReply::of(&reply.encode()).encode().into_bytes();
            let headers = Headers { sender: NODE.to_owned(), ..Headers::default() };
            let text = Transport { data, headers }.encode();
            let to = transport.headers.reply_to.expect("a reply subject");
            session.publish(to, text.into()).await.expect("a connection");
            if sender.send(body).is_err() {
                return;
            }
        }
    });
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_by_the_original() {
    let recorded = Recorded::load();
    let room = WaitingRoom::open();
    // the recorded answer of the helper, for a time to come
    let expires = now() + 30 * 86_400;
    let mut answer: Value = serde_json::from_str(recorded.text("/helper/stdout")).expect("JSON");
    answer["server_claims"]["exp"] = json!(expires);
    let answer_file = room.network.file("answer.json", &answer.to_string());
    let told_file = room.network.path("told.json");
    let script = format!("#!/bin/sh\ncat > {}\ncat {}\n", told_file.display(), answer_file.display());
    let helper = room.network.file("helper.sh", &script);
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).expect("a mode");
    let signer = room.network.file("provisioner.seed", recorded.text("/keys/provisioner_seed"));
    let signer_claims = recorded.renewed("provisioner_client_jwt");
    let signer_token = room.network.file("provisioner.jwt", &signer_claims);
    let lines = format!(
        "helper: {}\njwt_signing_key: {}\njwt_signing_token: {}\n",
        helper.display(),
        signer.display(),
        signer_token.display()
    );
    let mut provisioner = Provisioning::new(&room, "p1", "provisioner.example.net", &lines);
    // as the recorded one: its features, and the key of its organization
    let file = room.network.path("p1/provisioner.yaml");
    let settings = fs::read_to_string(&file).expect("settings");
    let settings = settings
        .replace("features: {jwt: true, pki: true}", "features: {ed25519: true}")
        .replace(&room.key.public_hex().expect("ed25519"), recorded.text("/keys/issuer_public"));
    fs::write(&file, settings).expect("a file");

    let (session, ..) = room.session().await;
    let seed = unhex::<32>(recorded.file("/etc/choria/server.seed")).expect("a seed");
    let node_key = SigningKey::from_seed(&seed).expect("a key");
    let provisioning_token = recorded.renewed("provisioning_jwt");
    let shown = provisioning_token.clone();
    let replies: Vec<(&str, Value)> = ["jwt", "gen25519", "inventory", "configure", "restart"]
        .map(|action| (action, recorded.reply(action)))
        .into();
    let mut asked = stand_in(session.clone(), move |body| {
        let action = body["action"].as_str().expect("an action");
        let (_, mut reply) = replies.iter().find(|(of, _)| *of == action).expect("a known action").clone();
        match action {
            "jwt" => reply["data"]["jwt"] = json!(shown),
            "gen25519" => {
                let nonce = body["data"]["nonce"].as_str().expect("a nonce");
                let signature = node_key.sign_bytes(nonce.as_bytes()).expect("a signature");
                assert_eq!(reply["data"]["public_key"], node_key.public_hex().expect("ed25519"));
                reply["data"]["signature"] = json!(hex(&signature));
            }
            _ => {}
        }
        reply
    })
    .await;
    tokio::task::block_in_place(|| provisioner.start());
    // found by the recorded event
    let event = recorded.0["messages"][0].clone();
    let subject = event["subject"].as_str().expect("a subject").to_owned();
    let payload = event["payload"].as_str().expect("a text").to_owned();
    let mut requests = vec![];
    let begun = Instant::now();
    // events are lossy, and this one may come before the broker knows who listens
    while requests.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "the event was never heard");
        session.publish(subject.clone(), payload.clone().into()).await.expect("a connection");
        let first = tokio::time::timeout(Duration::from_secs(1), asked.recv()).await;
        requests.extend(first.into_iter().map(|request| request.expect("a request")));
    }
    while requests.last().map(|body: &Value| &body["action"]) != Some(&json!("restart")) {
        requests
            .push(tokio::time::timeout(PATIENCE, asked.recv()).await.expect("in time").expect("a request"));
    }
    // inventory and token are asked at once, the rest in the original's order
    let mut actions: Vec<&str> =
        requests.iter().map(|body| body["action"].as_str().expect("a word")).collect();
    actions[..2].sort_unstable();
    assert_eq!(actions, ["inventory", "jwt", "gen25519", "configure", "restart"]);
    let ours = |action: &str| requests.iter().find(|body| body["action"] == action).expect("asked");
    for action in ["jwt", "inventory", "restart"] {
        assert_eq!(ours(action)["data"], recorded.request(action)["data"], "{action}");
    }
    assert_eq!(ours("gen25519")["data"]["nonce"].as_str().map(str::len), Some(32));

    // what the helper was told, byte for byte but for what is made anew
    let theirs: Value = serde_json::from_str(recorded.text("/helper/stdin")).expect("JSON");
    let mut told: Value = serde_json::from_slice(&fs::read(&told_file).expect("a file")).expect("JSON");
    assert_eq!(told["ed25519_pubkey"]["signature"].as_str().map(str::len), Some(128));
    told["ed25519_pubkey"]["signature"] = theirs["ed25519_pubkey"]["signature"].clone();
    told["jwt"]["exp"] = theirs["jwt"]["exp"].clone();
    let inventory = |value: &Value| -> Value {
        serde_json::from_str(value["inventory"].as_str().expect("a text")).expect("JSON")
    };
    assert_eq!(inventory(&told), inventory(&theirs));
    told["inventory"] = theirs["inventory"].clone();
    assert_eq!(told.to_string(), theirs.to_string(), "also the order of the keys");

    // what the node was given
    let mut given = ours("configure")["data"].clone();
    let mut expected = recorded.request("configure")["data"].clone();
    let config = |value: &Value| -> Value {
        serde_json::from_str(value["config"].as_str().expect("a text")).expect("JSON")
    };
    assert_eq!(config(&given), config(&expected));
    let claims = |value: &Value| -> Value {
        tokens::unverified(value["server_jwt"].as_str().expect("a text")).expect("a token")
    };
    let (mut token, mut theirs) = (claims(&given), claims(&expected));
    assert_eq!(
        theirs,
        tokens::unverified::<Value>(recorded.file("/etc/choria/server.jwt")).expect("a token")
    );
    assert_eq!(token["exp"], json!(expires));
    assert_eq!(token["issexp"], unverified(&signer_claims)["exp"]);
    assert!(token["iat"].as_i64().is_some_and(|at| (now() - at).abs() < 600) && token["nbf"] == token["iat"]);
    assert_eq!(token["jti"].as_str().map(str::len), Some(27));
    // each link is the signer's, over the token's own id and the links before it
    let public = signer_public(&recorded);
    for claims in [&mut token, &mut theirs] {
        let text = |name: &str| claims[name].as_str().expect("a text");
        let (chain, link) = text("tcs").rsplit_once('.').expect("links");
        let link = unhex::<64>(link).expect("a signature");
        let signed = format!("{}.{chain}", text("jti"));
        let key = UnparsedPublicKey::new(&ED25519, unhex::<32>(&public).expect("a key"));
        key.verify(signed.as_bytes(), &link).expect("the signer's link");
        claims["tcs"] = json!(chain);
    }
    for name in ["exp", "issexp", "iat", "nbf", "jti"] {
        assert!(theirs.as_object_mut().expect("claims").remove(name).is_some(), "{name}");
        token.as_object_mut().expect("claims").remove(name);
    }
    assert_eq!(token, theirs, "chain, issuer, key, permissions, names");
    for value in [&mut given, &mut expected] {
        for name in ["config", "server_jwt"] {
            value.as_object_mut().expect("inputs").remove(name);
        }
    }
    assert_eq!(given, expected);
    let verify = tokens::VerifyKey::from_hex(&public).expect("a key");
    let text = ours("configure")["data"]["server_jwt"].as_str().expect("a text");
    verify.verify::<tokens::ServerClaims>(text).expect("signed by the provisioner");
    tokio::task::block_in_place(|| {
        until("the end in the status", || (provisioner.status()["provisioned"] == 1).then_some(()));
        let log = provisioner.log().lines().join("\n");
        assert!(!log.contains(text) && !log.contains(&provisioning_token), "no tokens in the log");
    });
}
