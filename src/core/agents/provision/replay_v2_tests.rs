//! A node of the original that was given an ed25519 key and a token: its whole
//! flow, asked of our agent.
//!
//! The exchange itself was by protocol v2, which is only unwrapped here; agents
//! see what is inside.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::tests::{Act, call};
use super::*;
use crate::core::agents::provision::keys::OwnKeys;
use crate::core::config::Role;
use crate::core::provisioner::question::Ed25519Key;
use crate::core::provisioner::server_token::check_proof;
use crate::core::security::tokens::{self, ProvisioningClaims};

const NODE: &str = "v2node1.example.net";

fn captured() -> Value {
    let text = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/provisioning/provisioning-v2-ed25519.json"
    ));
    serde_json::from_str(text).unwrap()
}

fn json_in(text: &Value) -> Value {
    serde_json::from_slice(&STANDARD.decode(text.as_str().unwrap()).unwrap()).unwrap()
}

/// Bodies of requests to the node and of its replies, in pairs.
fn exchanges(captured: &Value) -> Vec<(Value, Value)> {
    let bodies = |kind: &str, inner: &str| -> Vec<(String, Value)> {
        let messages = captured["messages"].as_array().unwrap().iter();
        let transports = messages.map(|m| m["payload"].as_str().unwrap());
        let secure = transports.filter_map(|text| {
            let transport: Value = serde_json::from_str(text).unwrap();
            transport["data"].is_string().then(|| json_in(&transport["data"]))
        });
        let secure = secure.filter(|secure| secure["protocol"].as_str().unwrap().ends_with(kind));
        let found = secure.map(|secure| json_in(&secure[inner])).filter(|m| m["agent"] == AGENT);
        let id = if inner == "request" { "id" } else { "request" };
        found.map(|m| (m[id].as_str().unwrap().to_owned(), json_in(&m["message"]))).collect()
    };
    let replies = bodies("secure_reply", "reply");
    let answer = |id: &str| replies.iter().find(|(of, _)| of == id).unwrap().1.clone();
    bodies("secure_request", "request").into_iter().map(|(id, body)| (body, answer(&id))).collect()
}

/// Settings of a configuration, whatever their order; not the comment, which names times and ids.
fn settings(text: &str) -> BTreeSet<&str> {
    assert!(text.starts_with("# configuration file written in request "), "{text}");
    text.lines().skip(1).collect()
}

#[tokio::test]
async fn an_ed25519_node_of_the_original_is_configured_alike() {
    let captured = captured();
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().display().to_string();
    let moved = |text: &str| text.replace("/etc/choria", &here);
    let token = captured["tokens"]["provisioning_jwt"].as_str().unwrap();
    let file = dir.path().join("provisioning.jwt");
    std::fs::write(&file, token).unwrap();
    let mut setup = Setup { token_file: file, ..Setup::default() };
    // v2 is told of, and the rest is heeded
    assert_eq!(setup.read_token().len(), 1);
    let claims: ProvisioningClaims = tokens::unverified(token).unwrap();
    assert!(claims.protocol_v2 && setup.access.expose() == "toomanysecrets");
    // from an earlier life
    std::fs::write(dir.path().join("server.jwt"), "old").unwrap();
    let agent = Provision::new(Arc::new(setup), Arc::new(OwnKeys::default()), Arc::new(|_| Ok(())));
    let text = format!("identity = {NODE}\n");
    let config = Config::from_text_at(Role::Server, &text, &dir.path().join("server.conf")).unwrap();
    let node = Act { identity: NODE, config, waits: true, now: 1_795_316_870 };

    let exchanges = exchanges(&captured);
    let mut asked = vec![];
    let mut proof = None;
    for (request, theirs) in &exchanges {
        let action = request["action"].as_str().unwrap();
        let data = serde_json::from_str(&moved(&request["data"].to_string())).unwrap();
        let ours = agent.run(&call(action, data, "provisioner.example.net"), &node).await;
        assert_eq!(ours.code.code(), theirs["statuscode"].as_i64().unwrap(), "{action}: {ours:?}");
        assert_eq!(ours.message, theirs["statusmsg"].as_str().unwrap(), "{action}");
        let theirs = theirs["data"].as_object().unwrap();
        let names = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(&ours.data), names(theirs), "{action}");
        for (name, value) in theirs {
            let (ours, theirs) = (ours.data[name].as_str().unwrap(), value.as_str().unwrap());
            match name.as_str() {
                // made anew by every node
                "public_key" | "signature" | "ecdh_public" => {
                    assert_eq!(ours.len(), theirs.len(), "{action} {name}");
                    assert!(ours.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
                }
                _ => assert_eq!(ours, moved(theirs), "{action} {name}"),
            }
        }
        if action == "gen25519" {
            assert!(!dir.path().join("server.jwt").exists(), "a token of an earlier key is gone");
            let text = |name: &str| ours.data[name].as_str().unwrap().to_owned();
            let key = Ed25519Key {
                public_key: text("public_key"),
                directory: text("directory"),
                signature: text("signature"),
            };
            check_proof(&key, request["data"]["nonce"].as_str().unwrap()).unwrap();
            proof = Some(key.public_key);
        }
        asked.push(action);
    }
    assert_eq!(asked, ["jwt", "gen25519", "configure", "restart"]);

    let mut checked = 0;
    for theirs in captured["node_files_after"].as_array().unwrap() {
        let (path, content) = (theirs["path"].as_str().unwrap(), theirs["content"].as_str().unwrap_or(""));
        let Some(name) = path.strip_prefix("/etc/choria/server.") else { continue };
        let path = dir.path().join(format!("server.{name}"));
        let mode = format!("0o{:o}", std::fs::metadata(&path).unwrap().permissions().mode() & 0o777);
        assert_eq!(mode, theirs["mode"].as_str().unwrap(), "{name}");
        let ours = std::fs::read_to_string(&path).unwrap();
        match name {
            "seed" => {
                assert_eq!(ours.len(), content.len(), "64 digits and no line end");
                let key = tokens::SigningKey::from_file(&path).unwrap();
                assert_eq!(key.public_hex(), proof, "the key that was shown");
            }
            "conf" => assert_eq!(settings(&ours), settings(&moved(content))),
            _ => assert_eq!(ours, content, "{name}"),
        }
        checked += 1;
    }
    assert_eq!(checked, 3, "configuration, token and seed");
    assert!(!dir.path().join("ssl").exists(), "nobody asked for a certificate");
}
