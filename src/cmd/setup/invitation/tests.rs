//! Files that somebody may have had in hand on their way.

use choria::core::pki::{Ca, Options};
use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_800_000_000;

fn good() -> (tempfile::TempDir, Value) {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::create(dir.path(), "Test CA", NOW).unwrap();
    let issued = ca.issue(Kind::Node, "n1.example.net", &Options::default(), NOW).unwrap();
    let invitation = Invitation::new(Who::Node, "b.example.net:4222", ca.certificate_pem(), &issued);
    let text = invitation.text().unwrap();
    (dir, serde_json::from_str(&text).unwrap())
}

fn read(value: &Value) -> Result<Invitation, String> {
    Invitation::read(value.to_string().as_bytes(), Who::Node, NOW).map_err(|e| e.to_string())
}

#[test]
fn what_was_made_is_read() {
    let (_dir, value) = good();
    let invitation = read(&value).unwrap();
    assert_eq!(
        (invitation.name.as_str(), invitation.broker.as_str()),
        ("n1.example.net", "b.example.net:4222")
    );
    assert!(invitation.key().unwrap().contains("PRIVATE KEY"));
    assert!(!format!("{invitation:?}").contains("PRIVATE"));
    // Who made their own key is told by it alone.
    let mut without = value.clone();
    without.as_object_mut().unwrap().remove("key");
    let without = read(&without).unwrap();
    assert!(without.key().is_none());
    without.check_key(value["key"].as_str().unwrap()).unwrap();
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let (_dir, value) = good();
    let (_other_dir, other) = good();
    let with = |name: &str, new: Value| {
        let mut changed = value.clone();
        changed[name] = new;
        changed
    };
    let both = [&value, &other].map(|of| of["ca"].as_str().unwrap()).concat();
    for (changed, reason) in [
        (with("ca", json!(both)), "names 2 CAs"),
        (with("who", json!("operator")), "it is for operator: choria setup operator"),
        (with("who", json!("broker")), "no file of 'choria setup broker'"),
        (with("name", json!("n2.example.net")), "for \"n1.example.net\", not"),
        (with("name", json!("../n1")), "no name"),
        (with("name", json!("bob.mcollective")), "the name of a caller"),
        (with("broker", json!("b.example.net")), "has no port"),
        (with("broker", json!("b:4222\nloglevel = debug")), "no address of a broker"),
        (with("ca", other["ca"].clone()), "none of its CA"),
        (with("ca", json!("")), "its CA holds no certificate"),
        (with("certificate", other["certificate"].clone()), "none of its CA"),
        (with("certificate", json!("")), "not one certificate"),
        (with("key", other["key"].clone()), "not that of the certificate"),
        (with("key", json!("x")), "the private key"),
        (with("more", json!(1)), "no file of 'choria setup broker'"),
        (json!([]), "no file of 'choria setup broker'"),
    ] {
        let refused = read(&changed).expect_err(reason);
        assert!(refused.contains(reason), "{refused}");
    }
    let late = NOW + 4_000 * 86_400;
    let refused = Invitation::read(value.to_string().as_bytes(), Who::Node, late).unwrap_err();
    assert!(refused.to_string().contains("good now"), "{refused}");
}
