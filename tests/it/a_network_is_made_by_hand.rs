//! The first network of somebody who has nothing but this program.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::network::Network;
use crate::process::{Daemon, program, run, until};

#[test]
fn ca_certificates_broker_node_and_a_first_answer() {
    // Only a directory: everything else is done by commands.
    let network = Network::without_broker();
    let home = network.path("");
    let choria = |words: &[&str]| {
        let mut command = program(&home);
        command.args(words);
        run(command, None)
    };
    let made = choria(&["tool", "ca", "init", "--dir", "pki", "--name", "Our CA"]).fine();
    made.says(&["CA certificate: pki/ca.pem", "keep the key"]);
    choria(&["tool", "ca", "init", "--dir", "pki"]).code(1).complains(&["pki"]);
    choria(&["tool", "ca", "issue", "--dir", "none", "--node", "n1"])
        .code(1)
        .complains(&["choria tool ca init"]);
    choria(&["tool", "ca", "issue", "--dir", "pki"]).code(1).complains(&["--broker, --node or --client"]);
    choria(&["tool", "ca", "issue", "--dir", "pki", "--node", "../n1"]).code(1).complains(&["../n1"]);
    for words in [
        &["--broker", "broker.example.net", "--loopback"][..],
        &["--node", "n1.example.net"],
        &["--client", "alice"],
    ] {
        let words = [&["tool", "ca", "issue", "--dir", "pki", "--out", "ssl"], words].concat();
        choria(&words).fine().says(&["certificate: ssl/", "private key: ssl/"]);
    }
    let key = network.path("ssl/alice.mcollective-key.pem");
    assert_eq!(std::fs::metadata(key).expect("a key").permissions().mode() & 0o777, 0o600);

    let security = |name: &str| {
        format!(
            "plugin.security.provider = file\nplugin.security.file.ca = {pki}\n\
             plugin.security.file.certificate = {ssl}/{name}.pem\nplugin.security.file.key = {ssl}/{name}-key.pem\n",
            pki = network.path("pki/ca.pem").display(),
            ssl = network.path("ssl").display()
        )
    };
    let daemon = |role: &str, text: String| {
        let config = network.file(&format!("{role}.conf"), &text);
        let mut command = program(&home);
        command
            .args([role, "run", "--config"])
            .arg(config)
            .arg("--pid")
            .arg(network.path(&format!("{role}.pid")));
        Daemon::start(role, command)
    };
    let broker = daemon(
        "broker",
        format!(
            "identity = broker.example.net\nplugin.choria.broker_network = 1\n\
             plugin.choria.network.listen_address = 127.0.0.1\nplugin.choria.network.client_port = 0\n\
             plugin.choria.network.x509_permissions = by-name\n{}",
            security("broker.example.net")
        ),
    );
    let line = broker.says(&["the broker is listening"]);
    let address = line.split("address=").nth(1).and_then(|t| t.split(' ').next()).expect("an address");
    let hosts = format!("plugin.choria.middleware_hosts = {address}\n");
    let node = daemon(
        "server",
        format!("identity = n1.example.net\nrpcauthorization = 0\n{hosts}{}", security("n1.example.net")),
    );
    node.says(&["warning", "rpcauthorization is off"]);
    node.says(&["connected"]);
    let pid = std::fs::read_to_string(network.path("server.pid")).expect("a pid file");
    assert_eq!(pid, node.pid().to_string());

    // The file people have in their home directory.
    network.file(".choriarc", &format!("identity = console\n{hosts}{}", security("alice.mcollective")));
    let alice = |words: &[&str]| {
        let mut command: Command = program(&home);
        command.args(words).env("USER", "alice").env("MCOLLECTIVE_CERTNAME", "alice.mcollective");
        run(command, None)
    };
    until("the first answer", || (alice(&["ping", "--names", "--expect", "1"]).code == 0).then_some(()));
    alice(&["rpc", "rpcutil", "ping"]).fine().says(&["n1.example.net", "1 / 1"]);

    choria(&["tool", "ca", "revoke", "--dir", "pki", "alice.mcollective"])
        .fine()
        .says(&["Revoked 1 certificates"]);
    choria(&["tool", "ca", "revoke", "--dir", "pki", "nobody"])
        .code(1)
        .complains(&["nobody", "tool ca list"]);
    // What is issued is listed, and found by the name it was given.
    choria(&["tool", "ca", "issue", "--dir", "pki", "--client", "carol"]).fine();
    let listed = choria(&["tool", "ca", "list", "--dir", "pki"]).fine().stdout;
    let header: Vec<&str> = listed.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(header, ["NAME", "STATE", "FROM", "UNTIL", "SERIAL"], "{listed}");
    let carol = listed.lines().find(|line| line.starts_with("carol.mcollective")).expect("a line");
    assert!(carol.contains(" good ") && carol.contains("20"), "{carol}");
    choria(&["tool", "ca", "revoke", "--dir", "pki", "carl"]).code(1).complains(&["no certificate of carl"]);
    choria(&["tool", "ca", "revoke", "--dir", "pki", "carol"]).fine().says(&["of carol.mcollective"]);
    // A broker and a node of one name go together, and whose both were is said.
    let revoke = ["tool", "ca", "revoke", "--dir", "pki", "broker.example.net"];
    choria(&revoke).fine().says(&[
        "Revoked 1 certificates",
        "A broker's is among them",
        "choria setup broker",
    ]);
    choria(&["tool", "ca", "issue", "--dir", "pki", "--out", "again", "--node", "broker.example.net"]).fine();
    let node = choria(&revoke).fine().says(&["Revoked 1 certificates"]);
    assert!(!node.stdout.contains("A broker's"), "{node:?}");
    choria(&["tool", "ca", "issue", "--dir", "pki", "--client", "dave", "--days", "0"])
        .code(1)
        .complains(&["a certificate of 0 days"]);
}

/// Puppet's directories are enough for a network that has Puppet.
#[test]
fn certificates_of_puppet_are_used_where_they_are() {
    let mut network = Network::start();
    let nodes = network.nodes([crate::network::node("n1")]);
    let alice = network.alice();
    let (ssl, text) =
        (network.path("puppet"), |name: &str| std::fs::read_to_string(network.path(name)).expect("PEM"));
    network.file("puppet/certs/alice.mcollective.pem", &text("ssl/alice.mcollective.pem"));
    network.file("puppet/private_keys/alice.mcollective.pem", &text("ssl/alice.mcollective-key.pem"));
    network.file("puppet/certs/ca.pem", &text("ca/ca.pem"));
    network.file("puppet/crl.pem", &text("ca/crl.pem"));
    let config = network.file(
        "puppet.conf",
        &format!(
            "plugin.choria.ssldir = {}\nplugin.choria.middleware_hosts = {}\nidentity = console.example.net\n",
            ssl.display(),
            network.address()
        ),
    );
    // The name comes from the user, as people know it.
    let mut command = program(&network.path(""));
    command.args(["rpc", "rpcutil", "ping", "--config"]).arg(config).env("USER", "alice");
    run(command, None).code(0).says(&["1 / 1"]);
    assert_eq!(nodes[0].audit()[0]["caller"], "choria=alice.mcollective");
    let _ = (alice, network.broker());
}
