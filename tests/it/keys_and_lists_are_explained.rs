//! Keys, revocation lists and modes that cannot be meant: one sentence with
//! what is wrong and what to do.

use choria::core::pki::Ca;
use serde_json::Value;

use crate::network::{Network, node, now};
use crate::process::Daemon;

#[test]
fn keys_that_cannot_be_used_are_told_with_what_repairs_them() {
    let network = Network::without_broker();
    let text = include_str!("../vectors/go-made-v1.json");
    let vectors: Value = serde_json::from_str(text).expect("JSON");
    let small = &vectors["pki"]["identities"]["bob_rsa1024"];
    let pem = |name: &str| small[name].as_str().expect("a text").to_owned();
    let label = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n\
               -----END RSA PRIVATE KEY-----\n";
    let alice = network.alice();
    for (certificate, key, texts) in [
        (None, label.to_owned(), &["the key is encrypted", "openssl pkey -in"][..]),
        (None, old.to_owned(), &["private key", "openssl pkey -in"]),
        (None, "nothing".to_owned(), &["holds no private key"]),
        (
            Some(pem("cert_pem")),
            pem("key_pem"),
            &["RSA of 1024 bits, 2048 are the least", "choria tool ca issue"],
        ),
    ] {
        if let Some(certificate) = certificate {
            network.file("ssl/alice.mcollective.pem", &certificate);
        }
        network.file("ssl/alice.mcollective-key.pem", &key);
        let ran = alice.run(&["ping"]).code(1).silent().complains(texts);
        assert!(
            ran.stderr.lines().count() == 1 && ran.stderr.contains("alice.mcollective-key.pem"),
            "{ran:?}"
        );
    }
}

#[test]
fn a_list_that_revokes_nobody_and_a_mode_with_odd_bits() {
    let network = Network::start();
    let other = Ca::create(&network.path("other"), "Other CA", now()).expect("a CA");
    let list = format!("plugin.security.crl = {}\n", other.crl_file().display());
    let listed = network.node(node("n1").lines(&list));
    listed.log().says(&["warning", "revocation list", "is of none of the CAs in"]);
    let mut odd: Vec<_> = ["plugin.rpcaudit.logfile.mode = 640\n", "plugin.rpcaudit.logfile.mode = 01777\n"]
        .into_iter()
        .enumerate()
        .map(|(number, line)| network.node(node(&format!("odd{number}")).lines(line)))
        .collect();
    for node in &mut odd {
        let daemon: &mut Daemon = node.daemon();
        assert_eq!(daemon.ended().code(), Some(1));
        daemon.says(&["plugin.rpcaudit.logfile.mode", "which no log file has"]);
    }
    odd[0].log().says(&["is mode 01200", "write 0640"]);
}
