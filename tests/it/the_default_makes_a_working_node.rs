//! What the built-in helper makes of a node that nothing else was said of.

use std::fs;

use choria::core::pki::Kind;
use choria::core::provisioner::helper::{Surroundings, of_settings};
use choria::core::provisioner::question::{CertificateRequest, Question};
use choria::core::provisioner::settings::Settings;

use crate::network::Network;
use crate::process::{Daemon, program, run, until};

#[test]
fn it_answers_callers_and_keeps_its_secrets() {
    let network = Network::start();
    let dir = network.path("n1");
    let ssl = dir.join("ssl");
    fs::create_dir_all(&ssl).expect("a directory");
    let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048);
    let key = key.expect("a key");
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "n1.example.net");
    let csr = params.serialize_request(&key).expect("a request").pem().expect("PEM");
    let question = Question {
        identity: "n1.example.net".into(),
        csr: Some(CertificateRequest { csr, public_key: String::new(), ssldir: ssl.display().to_string() }),
        ed25519_pubkey: None,
        inventory: "{}".into(),
        jwt: None,
    };
    // the network's CA is the provisioner's
    let settings = Settings { ca_dir: network.ca.dir().to_owned(), ..Settings::default() };
    let brokers = vec![network.address().to_string()];
    let around = Surroundings { brokers, ..Surroundings::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answer = runtime.block_on(async { of_settings(&settings, &around)?.ask(&question).await });
    let answer = answer.expect("an answer");

    for (name, text) in
        [("private.pem", key.serialize_pem()), ("certificate.pem", answer.certificate), ("ca.pem", answer.ca)]
    {
        choria::core::files::write_atomic(&ssl.join(name), text.as_bytes(), 0o600).expect("a file");
    }
    let lines: String = answer.configuration.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    fs::write(dir.join("server.conf"), lines).expect("a file");
    fs::create_dir(dir.join("policies")).expect("a directory");
    for (name, text) in &answer.action_policies {
        fs::write(dir.join("policies").join(name), text).expect("a file");
    }
    let mut command = program(&dir);
    command.args(["server", "run", "--config"]).arg(dir.join("server.conf"));
    let node = Daemon::start("n1", command);
    node.says(&["answering requests"]);

    let alice = network.alice();
    until("an answer", || (alice.run(&["ping"]).code == 0).then_some(()));
    alice.run(&["rpc", "rpcutil", "inventory"]).code(0).says(&["n1.example.net"]);
    alice.run(&["rpc", "choria_util", "info"]).code(0);
    let denied = alice.run(&["rpc", "rpcutil", "get_config_item", "item=identity"]);
    assert_ne!(denied.code, 0, "{denied:?}");

    // what was signed can be listed and taken back by the tool
    let tool = |words: &[&str]| {
        let mut command = program(&dir);
        command.args(["tool", "ca"]).args(words).arg("--dir").arg(network.ca.dir());
        run(command, None)
    };
    network.certify(Kind::Node, "other.example.net");
    tool(&["list"]).fine().says(&["n1.example.net", "other.example.net", "alice.mcollective"]);
    tool(&["revoke", "n1.example.net"]).code(0).says(&["Revoked 1 certificates of n1.example.net"]);
    tool(&["list"]).fine().says(&["revoked"]);
}
