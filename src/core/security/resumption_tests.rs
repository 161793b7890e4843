//! Sessions of both sides, by their own rules.

use std::fs;

use rustls::server::ProducesTickets;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};

use super::*;
use crate::core::config::{Config, Fixed, Role};
use crate::core::pki::{Ca, Kind, Options};
use crate::core::security::Provider;

fn provider(ca: &Ca, dir: &std::path::Path, role: Role, name: &str) -> Provider {
    let kind = if role == Role::Broker { Kind::Broker } else { Kind::Node };
    let issued = ca.issue(kind, name, &Options { loopback: true, ..Options::default() }, now()).unwrap();
    let (certificate, key) = issued.write(dir).unwrap();
    let text = format!(
        "identity = {name}\nplugin.security.provider = file\nplugin.security.file.certificate = {}\n\
         plugin.security.file.key = {}\nplugin.security.file.ca = {}\n",
        certificate.display(),
        key.display(),
        ca.certificate_file().display()
    );
    let env = Fixed { euid: 0, ..Fixed::default() };
    Provider::new(&Config::from_text(role, &text).unwrap(), role, &env).unwrap()
}

/// A handshake, and the ticket that comes after it.
fn meet(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> HandshakeKind {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(client.clone(), name).unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    for _ in 0..4 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        if !wire.is_empty() {
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    assert_eq!(client.handshake_kind(), server.handshake_kind());
    client.handshake_kind().unwrap()
}

#[test]
fn our_nodes_resume_at_our_broker_until_something_changes() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::create(&dir.path().join("ca"), "Site CA", now()).unwrap();
    let broker = provider(&ca, dir.path(), Role::Broker, "broker.example.net");
    let node = provider(&ca, dir.path(), Role::Server, "n1.example.net");
    let (client, server) = (node.client_tls().unwrap(), broker.server_tls().unwrap());
    let full_then_resumed = || {
        assert_eq!(meet(&client, &server), HandshakeKind::Full);
        assert_eq!(meet(&client, &server), HandshakeKind::Resumed);
        assert_eq!(meet(&client, &server), HandshakeKind::Resumed);
    };
    full_then_resumed();
    // the broker reads its files again: its keys are new
    broker.reload().unwrap();
    full_then_resumed();
    // the node does: it asks for the broker's certificate
    node.reload().unwrap();
    full_then_resumed();
    // a revocation list has come
    ca.revoke("n1.example.net", now()).unwrap();
    node.reload().unwrap();
    full_then_resumed();
    assert!(fs::exists(ca.crl_file()).unwrap());
}

#[test]
fn a_session_is_not_offered_after_the_days_of_its_server() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::create(&dir.path().join("ca"), "Site CA", now()).unwrap();
    let node = provider(&ca, dir.path(), Role::Server, "n1.example.net");
    let credentials = Arc::new(SharedCredentials::new(
        Credentials::read(node.files(), &rustls::crypto::aws_lc_rs::default_provider()).unwrap(),
    ));
    let sessions = Sessions::new(node.trust(), credentials);
    let server = ServerName::try_from("localhost").unwrap();
    assert!(sessions.store_for(&server, 15).is_none(), "nothing is known of it");
    sessions.believed(&server, Validity { not_before: 10, not_after: 20 });
    for (now, offered) in [(9, false), (10, true), (20, true), (21, false)] {
        assert_eq!(sessions.store_for(&server, now).is_some(), offered, "{now}");
    }
    node.reload().unwrap();
    assert!(sessions.store_for(&server, 15).is_none(), "trust is another");
    for number in 0..10 * SERVERS {
        let server = ServerName::try_from(format!("n{number}.example.net")).unwrap();
        sessions.believed(&server, Validity { not_before: 10, not_after: 20 });
        assert!(sessions.state().chains.len() <= SERVERS);
    }
}

#[test]
fn ticket_keys_rotate_and_die() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::create(&dir.path().join("ca"), "Site CA", now()).unwrap();
    let broker = provider(&ca, dir.path(), Role::Broker, "broker.example.net");
    let crypto = rustls::crypto::aws_lc_rs::default_provider();
    let read = || Credentials::read(broker.files(), &crypto).unwrap();
    let credentials = Arc::new(SharedCredentials::new(read()));
    let tickets = Tickets::new(broker.trust(), credentials.clone());
    let ground = || Ground::now(&broker.trust(), &credentials);
    let age = |seconds: u64| {
        let mut keys = lock(&tickets.keys);
        let at = keys.since + seconds;
        keys.renew(ground(), at);
        // what has been renewed is of now again, for the ticketer's own clock
        keys.since = UnixTime::now().as_secs();
    };
    let life = ROTATION.as_secs();
    let ticket = tickets.encrypt(b"state").unwrap();
    assert_eq!(tickets.decrypt(&ticket).unwrap(), b"state");
    age(life);
    assert_eq!(tickets.decrypt(&ticket).unwrap(), b"state", "the key before is known");
    age(life);
    assert_eq!(tickets.decrypt(&ticket), None, "the key before that is not");

    let ticket = tickets.encrypt(b"state").unwrap();
    age(2 * life);
    assert_eq!(tickets.decrypt(&ticket), None, "nobody came for a day");
    let ticket = tickets.encrypt(b"state").unwrap();
    credentials.replace(read());
    assert_eq!(tickets.decrypt(&ticket), None, "another certificate");
    let ticket = tickets.encrypt(b"state").unwrap();
    broker.reload().unwrap();
    assert_eq!(tickets.decrypt(&ticket), None, "another trust");
    let ticket = tickets.encrypt(b"state").unwrap();
    assert_eq!(tickets.decrypt(&ticket[1..]), None);
    assert_eq!(tickets.decrypt(b""), None);
}
