//! Nodes to ask helpers about.

use serde_json::Value;

use crate::core::pki::{Ca, Kind, Options};
use crate::core::provisioner::answer::AnswerContext;
use crate::core::provisioner::csr::{self, CheckedCsr};
use crate::core::provisioner::question::{CertificateRequest, Question};

/// A node's key and request; keys are EC, which take no time to find.
pub(super) fn request(identity: &str) -> (rcgen::KeyPair, CertificateRequest) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, identity);
    let csr = params.serialize_request(&key).unwrap().pem().unwrap();
    (key, CertificateRequest { csr, public_key: String::new(), ssldir: "/etc/choria/ssl".into() })
}

/// What a helper is told of a node with these facts.
pub(super) fn question(identity: &str, facts: &Value) -> Question {
    Question {
        identity: identity.into(),
        csr: Some(request(identity).1),
        ed25519_pubkey: None,
        inventory: serde_json::json!({ "facts": facts }).to_string(),
        jwt: None,
    }
}

/// What a question's answer is held against.
pub(super) fn checked(question: &Question) -> (CheckedCsr, &CertificateRequest) {
    let request = question.csr.as_ref().unwrap();
    (csr::check(&request.csr, &question.identity, &csr::Denied::default()).unwrap(), request)
}

pub(super) fn about<'a>(question: &'a Question, checked: &'a CheckedCsr) -> AnswerContext<'a> {
    AnswerContext {
        identity: &question.identity,
        request: Some((checked, question.csr.as_ref().unwrap())),
        denied: &csr::NOBODY,
        takes_key: true,
        inject_disabled: true,
        now: jiff::Timestamp::now().as_second(),
    }
}

/// A good answer to a question, as JSON.
pub(super) fn good_answer(question: &Question) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let now = jiff::Timestamp::now().as_second();
    let ca = Ca::create(&dir.path().join("ca"), "Test CA", now).unwrap();
    let issuer = crate::core::pki::NodeIssuer::new(ca).unwrap();
    let spki = checked(question).0.spki;
    // asked from inside runtimes too
    let issued = std::thread::scope(|scope| {
        let issue = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let validity = std::time::Duration::from_secs(3600);
            runtime.block_on(issuer.issue(&question.identity, &spki, validity, now))
        };
        scope.spawn(issue).join().unwrap().unwrap()
    });
    serde_json::json!({
        "defer": false,
        "msg": "",
        "certificate": issued,
        "ca": issuer.ca().certificate_pem(),
        "configuration": {
            "identity": question.identity, "plugin.choria.server.provision": "false", "loglevel": "info",
        },
    })
}

/// A certificate and key that have nothing to do with any question.
pub(super) fn foreign(kind: Kind) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::create(&dir.path().join("ca"), "Other CA", 1_800_000_000).unwrap();
    let issued = ca.issue(kind, "n1.example.net", &Options::default(), 1_800_000_000).unwrap();
    (issued.certificate_pem, issued.key_pem.to_string())
}
