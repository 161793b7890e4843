//! Every captured call held against the original: status code, text and shape of
//! the data; what differs on purpose is listed.

use std::path::Path;

use serde_json::{Map, json};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;

use super::keys::OwnKeys;
use super::*;
use crate::core::agents::{Counts, Traffic};
use crate::core::config::Role;
use crate::core::ddl::Metadata;
use crate::core::protocol::filter::Facts;

/// The node of the captures; `waits` or not.
pub(super) struct Act {
    pub identity: &'static str,
    pub config: Config,
    pub waits: bool,
    pub now: i64,
}

impl Node for Act {
    fn identity(&self) -> &str {
        self.identity
    }
    fn config(&self) -> &Config {
        &self.config
    }
    fn facts(&self) -> Arc<Facts> {
        Arc::new(Facts::default())
    }
    fn classes(&self) -> Arc<Vec<String>> {
        Arc::default()
    }
    fn agents(&self) -> Vec<Metadata> {
        vec![]
    }
    fn counts(&self) -> Counts {
        Counts::default()
    }
    fn started(&self) -> i64 {
        0
    }
    fn now(&self) -> i64 {
        self.now
    }
    fn connected_server(&self) -> Option<String> {
        None
    }
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
    fn provisioning(&self) -> bool {
        self.waits
    }
}

fn act(dir: &Path) -> Act {
    let text = "identity = act.example.net\n";
    let config = Config::from_text_at(Role::Server, text, &dir.join("server.conf")).unwrap();
    Act { identity: "act.example.net", config, waits: true, now: 1_795_317_170 }
}

fn agent(dir: &Path) -> Provision {
    let setup = Setup {
        token_file: dir.join("provisioning.jwt"),
        jwt: Secret::new("the.token.itself"),
        brokers: vec!["127.0.0.1:4222".to_owned()],
        by_default: true,
        access: Secret::new("toomanysecrets"),
        ..Setup::default()
    };
    Provision::new(Arc::new(setup), Arc::new(OwnKeys::begin()), Arc::new(|_| Ok(())))
}

pub(super) fn call(action: &str, data: Value, sender: &str) -> Call {
    Call {
        agent: AGENT.to_owned(),
        action: action.to_owned(),
        data: data.as_object().cloned().unwrap_or_default(),
        request_id: "0".repeat(32),
        sender: sender.to_owned(),
        caller: format!("choria={sender}"),
        collective: "provisioning".to_owned(),
        ttl: 60,
        time: 1_795_317_170,
    }
}

async fn ask(agent: &Provision, node: &Act, action: &str, mut data: Value) -> Outcome {
    let inputs = data.as_object_mut().unwrap();
    inputs.entry("token").or_insert(json!("toomanysecrets"));
    agent.run(&call(action, data, "p1"), node).await
}

/// Calls that end otherwise here, by their place in the capture, with our text.
const DIFFERENT: [(usize, i64, &str); 11] = [
    // the words of another JSON library
    (12, 4, "Could not parse request data for choria_provision#gencsr: input cn is a number, not a string"),
    (17, 1, "Could not decode configuration data: expected value at line 1 column 1"),
    (
        18,
        1,
        "Could not decode configuration data: invalid type: integer `1`, expected a string at line 1 column 6",
    ),
    // what would have the node wait again is not taken
    (
        16,
        1,
        "Could not write config: this server would wait to be provisioned again, set plugin.choria.server.provision=false",
    ),
    (
        20,
        1,
        "Could not write config: this server would wait to be provisioned again, set plugin.choria.server.provision=false",
    ),
    (
        22,
        1,
        "Could not write config: this server would wait to be provisioned again, set plugin.choria.server.provision=false",
    ),
    // names are looked at before anything is written, so nothing of a refused call stays
    (23, 1, "Could not save Action Policies: \"a/b.policy\" cannot be the name of a policy file"),
    (
        24,
        1,
        "Configuration /etc/choria/server.conf could not be parsed, restart cannot continue: open /etc/choria/server.conf: no such file or directory",
    ),
    (25, 1, "Could not save Open Policy Agent Policies: expected \"x\" to have .rego extension"),
    // who has no token does not get at the lock
    (31, 1, "Incorrect provision token supplied"),
    (30, 2, "Unknown action nosuch for agent choria_provision"),
];

#[tokio::test]
async fn every_captured_call_is_answered_alike() {
    let text = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/provisioning/provisioning-agent-actions.json"
    ));
    let captured: Value = serde_json::from_str(text).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().display().to_string();
    let (agent, node) = (agent(dir.path()), act(dir.path()));
    let mut seen = 0;
    for (place, theirs) in captured["calls"].as_array().unwrap().iter().enumerate() {
        if theirs["agent"] != AGENT {
            continue;
        }
        let data = theirs["data"].to_string().replace("/etc/choria", &here);
        let mut call = call(
            theirs["action"].as_str().unwrap(),
            serde_json::from_str(&data).unwrap(),
            theirs["sender"].as_str().unwrap(),
        );
        call.caller = theirs["caller"].as_str().unwrap().to_owned();
        let ours = agent.run(&call, &node).await;
        let reply: Value = serde_json::from_str(theirs["reply_body"].as_str().unwrap()).unwrap();
        let (code, message) = match DIFFERENT.iter().find(|(other, ..)| *other == place) {
            Some((_, code, message)) => (*code, (*message).to_owned()),
            None => {
                let keys = |map: &Map<String, Value>| {
                    let mut keys: Vec<String> = map.keys().cloned().collect();
                    keys.sort();
                    keys
                };
                assert_eq!(keys(&ours.data), keys(reply["data"].as_object().unwrap()), "{place}");
                for (key, value) in &ours.data {
                    let (ours, theirs) = (value.as_str().unwrap(), reply["data"][key].as_str().unwrap());
                    if !matches!(key.as_str(), "jwt" | "message") {
                        assert_eq!(
                            ours.lines().next().map(str::len).filter(|l| *l == 64),
                            theirs.lines().next().map(str::len).filter(|l| *l == 64),
                            "{place} {key}"
                        );
                    }
                    if key == "csr" {
                        assert_eq!(subject(ours), subject(theirs), "{place}");
                    }
                    if matches!(key.as_str(), "directory" | "ssldir") {
                        assert_eq!(ours, theirs.replace("/etc/choria", &here));
                    }
                }
                (reply["statuscode"].as_i64().unwrap(), reply["statusmsg"].as_str().unwrap().to_owned())
            }
        };
        assert_eq!(ours.code.code(), code, "{place}: {ours:?}");
        assert_eq!(ours.message, message.replace("/etc/choria", &here), "{place}");
        seen += 1;
    }
    assert_eq!(seen, 32);
    let mut left: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["server.seed", "ssl"], "no configuration, no policies");
}

fn subject(pem: &str) -> String {
    let (_, block) = parse_x509_pem(pem.as_bytes()).unwrap();
    let (_, request) =
        x509_parser::certification_request::X509CertificationRequest::from_der(&block.contents).unwrap();
    request.verify_signature().unwrap();
    assert_eq!(request.certification_request_info.iter_attributes().count(), 0);
    request.certification_request_info.subject.to_string()
}

#[tokio::test]
async fn one_flow_one_key() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut node) = (agent(dir.path()), act(dir.path()));
    let first = ask(&agent, &node, "gencsr", json!({})).await;
    let second = ask(&agent, &node, "gencsr", json!({})).await;
    assert_eq!(first, second);
    let renamed = ask(&agent, &node, "gencsr", json!({"cn": "other"})).await;
    assert_eq!(renamed.data["public_key"], first.data["public_key"]);
    let seed = ask(&agent, &node, "gen25519", json!({"nonce": "a"})).await;
    let again = ask(&agent, &node, "gen25519", json!({"nonce": "b"})).await;
    assert_eq!(seed.data["public_key"], again.data["public_key"]);
    assert_ne!(seed.data["signature"], again.data["signature"]);
    let key = std::fs::read_to_string(dir.path().join("ssl/private.pem")).unwrap();
    assert!(key.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"), "PKCS#1, as the original writes");
    // another provisioner, once the first has gone away, begins anew
    let data = json!({"token": "toomanysecrets"});
    let other = agent.run(&call("gencsr", data.clone(), "p2"), &node).await;
    assert_eq!(other.message, "Could not obtain provisioning lock");
    node.now += 121;
    let other = agent.run(&call("gencsr", data, "p2"), &node).await;
    assert_ne!(other.data["public_key"], first.data["public_key"]);
}

#[tokio::test]
async fn a_member_does_only_what_members_do() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut node) = (agent(dir.path()), act(dir.path()));
    node.waits = false;
    for action in ["jwt", "gencsr", "gen25519", "configure"] {
        let outcome = ask(&agent, &node, action, json!({})).await;
        assert_eq!(outcome.message, "Cannot reconfigure a server that is not in provisioning mode");
    }
    let outcome = ask(&agent, &node, "release_update", json!({})).await;
    assert_eq!(outcome.message, "Cannot update a server that is not in provisioning mode");
    let outcome = ask(&agent, &node, "reprovision", json!({"token": "wrong"})).await;
    assert_eq!(outcome.message, "Incorrect provision token supplied");
    let open = Setup { access: Secret::default(), ..Setup::default() };
    let agent = Provision::new(Arc::new(open), Arc::new(OwnKeys::default()), Arc::new(|_| Ok(())));
    for action in ["restart", "shutdown"] {
        let outcome = ask(&agent, &node, action, json!({})).await;
        let expected =
            format!("Cannot {action} a server that is not in provisioning mode or with no token set");
        assert_eq!(outcome.message, expected);
    }
}

#[tokio::test]
async fn an_end_is_begun_once() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, node) = (agent(dir.path()), act(dir.path()));
    let first = ask(&agent, &node, "shutdown", json!({})).await;
    assert!(first.data["message"].as_str().unwrap().starts_with("Shutting Choria Server down after "));
    assert_eq!(ask(&agent, &node, "shutdown", json!({})).await, first);
    let other = ask(&agent, &node, "jwt", json!({})).await;
    assert!(other.message.starts_with("This server is about to end"), "{}", other.message);
}
