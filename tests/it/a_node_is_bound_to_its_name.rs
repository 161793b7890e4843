//! What one stolen certificate is worth on a by-name broker: little.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use choria::core::pki::Kind;
use choria::core::protocol::subjects;
use choria::core::security::pem;
use serde_json::json;

use crate::network::{Network, node};
use crate::process::PATIENCE;
use crate::wire::{self, Wire};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stolen_node_key_reads_nothing_and_calls_nobody() {
    let network = Network::start();
    let nodes = network.nodes([node("n1")]);
    network.certify(Kind::Node, "n2.example.net");
    let thief = Wire::connect(&network, &network.caller("n2.example.net")).await;

    let alices_replies = format!("mcollective.reply.{}.>", subjects::caller_hash("choria=alice.mcollective"));
    let mut ears = vec![];
    for subject in [
        "*.reply.>",
        "mcollective.reply.>",
        &alices_replies,
        "mcollective.node.n1.example.net",
        "mcollective.node.>",
        "mcollective.node.*.example.net",
        // Where other nodes send their facts.
        "mcollective.broadcast.agent.registration",
        "choria.lifecycle.>",
        "$SYS.>",
        ">",
    ] {
        ears.push(thief.subscribe(subject).await);
        thief.refused(&format!("Permissions Violation for Subscription to \"{subject}\"")).await;
    }
    // With a queue group it would take requests from those who share it.
    for subject in ["mcollective.broadcast.agent.rpcutil", "mcollective.node.n2.example.net"] {
        let shared = thief.client.queue_subscribe(subject.to_owned(), "q".to_owned()).await;
        ears.push(shared.expect("a connection"));
        thief.refused(&format!("Subscription to \"{subject}\" using queue")).await;
    }
    let request = thief.request("rpcutil", "ping", json!({}));
    let message = thief.signed(&request, "mcollective.reply.x.y");
    for subject in [
        "mcollective.node.n1.example.net",
        "mcollective.broadcast.agent.rpcutil",
        "mcollective.broadcast.agent.discovery",
        "mcollective.broadcast.service.rpcutil",
        "choria.federation.mcollective.federation",
    ] {
        thief.publish(subject, message.clone()).await;
        thief.refused(&format!("Permissions Violation for Publish to \"{subject}\"")).await;
    }

    // Its own subject it hears, while the fleet works.
    let mut own = thief.subscribe("mcollective.node.n2.example.net").await;
    let alice = Wire::connect(&network, &network.alice()).await;
    let reply_to = alice.reply_subject();
    let mut replies = alice.subscribe(&reply_to).await;
    let ask = |name: &str| {
        let request = alice.request("rpcutil", "ping", json!({}));
        (format!("mcollective.node.{name}.example.net"), alice.signed(&request, &reply_to))
    };
    let (subject, message) = ask("n1");
    alice.publish(&subject, message).await;
    wire::next(&mut replies).await;
    // The subscription of the thief may still be on its way: ask until it is there.
    let heard = async {
        loop {
            let (subject, message) = ask("n2");
            alice.publish(&subject, message).await;
            let waited = tokio::time::timeout(Duration::from_millis(200), wire::next(&mut own)).await;
            if waited.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("a node hears its own subject");
    for ear in &mut ears {
        let nothing = tokio::time::timeout(Duration::from_millis(1), wire::next(ear)).await;
        assert!(nothing.is_err(), "{nothing:?}");
    }
    assert_eq!(nodes[0].audit().len(), 1);
    assert_eq!(nodes[0].counter("invalid"), 0, "nothing of the thief's arrived");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn callers_do_not_read_each_others_replies() {
    let network = Network::start();
    let bob = Wire::connect(&network, &network.caller("bob.mcollective")).await;
    let alices_replies = format!("mcollective.reply.{}.>", subjects::caller_hash("choria=alice.mcollective"));
    for subject in [alices_replies.as_str(), "*.reply.>", "mcollective.node.>", ">"] {
        let _ear = bob.subscribe(subject).await;
        bob.refused(&format!("\"{subject}\"")).await;
    }
    // An answer in a node's name is not a caller's to give.
    bob.publish("mcollective.reply.x.y", "pong").await;
    bob.refused("\"mcollective.reply.x.y\"").await;
    bob.publish("choria.lifecycle.event.startup.server", "{}").await;
    bob.refused("\"choria.lifecycle.event.startup.server\"").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_a_certificate_there_is_no_way_in() {
    for permissions in ["by-name", "open"] {
        let mut network =
            Network::start_with(&format!("plugin.choria.network.x509_permissions = {permissions}\n"));
        let mut roots = rustls::RootCertStore::empty();
        for certificate in pem::certificates(network.ca.certificate_pem().as_bytes()).expect("PEM") {
            roots.add(certificate).expect("a root");
        }
        let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let anonymous = rustls::ClientConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let refused = async_nats::ConnectOptions::new()
            .require_tls(true)
            .tls_client_config(anonymous)
            .connect(network.address().to_string())
            .await;
        assert!(refused.is_err());
        network.broker().says(&["warning", "no client certificate was presented"]);
        plain_text_is_refused(&network);
    }
}

/// Speaks to the broker without TLS.
fn plain_text_is_refused(network: &Network) {
    let mut socket = TcpStream::connect(network.address()).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut greeting = vec![];
    while !greeting.ends_with(b"\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("a greeting");
        greeting.push(byte[0]);
    }
    let greeting = String::from_utf8_lossy(&greeting).into_owned();
    assert!(greeting.starts_with("INFO ") && greeting.contains("\"tls_required\":true"), "{greeting}");
    socket.write_all(b"CONNECT {\"verbose\":true}\r\nSUB > 1\r\nPING\r\n").expect("a connection");
    let mut rest = vec![];
    // Closed or reset: both mean that nobody talks to us.
    let _ = socket.read_to_end(&mut rest);
    let rest = String::from_utf8_lossy(&rest);
    assert!(!rest.contains("+OK") && !rest.contains("PONG"), "{rest}");
}

#[test]
fn two_machines_with_one_certificate_are_told_apart() {
    let mut network = Network::start();
    let nodes = network.nodes([node("n1")]);
    let mut copy = crate::process::program(&network.path(""));
    copy.args(["server", "run", "--config"]).arg(&nodes[0].config);
    let copy = crate::process::Daemon::start("a copy", copy);
    copy.says(&["answering requests"]);
    let alice = network.alice();
    let warning =
        ["warning", "n1.example.net", "connected more than once", "do two machines have its certificate?"];
    crate::process::until("the broker to notice", || {
        alice.run(&["ping"]);
        let told = network.broker().matching(0, &warning).len();
        assert!(told <= 1, "told once");
        (told == 1).then_some(())
    });
}
