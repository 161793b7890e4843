//! A running broker takes a change of mind: revoked and expired connections
//! end, all others do not notice.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_nats::{Client, ConnectOptions, Event};
use choria::core::pki::{Ca, Kind, Options};
use rustix::process::Signal;

use crate::network::{Network, now};
use crate::process::PATIENCE;
use crate::wire::provider;

/// What the administrator is promised.
const SOON: Duration = Duration::from_secs(5);
const DAY: i64 = 86_400;

/// A connection that is made once, and what happened to it.
struct Connected {
    _client: Client,
    events: Arc<Mutex<Vec<String>>>,
}

impl Connected {
    async fn arrive(network: &Network, name: &str) -> Connected {
        let caller = network.caller(name);
        let tls = provider(&caller.config, name).client_tls().expect("TLS");
        let events = Arc::new(Mutex::new(vec![]));
        let seen = events.clone();
        let client = ConnectOptions::new()
            .require_tls(true)
            .tls_client_config((*tls).clone())
            .connection_timeout(PATIENCE)
            .event_callback(move |event| {
                if !matches!(event, Event::Connected) {
                    seen.lock().expect("events").push(event.to_string());
                }
                async {}
            })
            .connect(network.address().to_string())
            .await
            .expect("a connection");
        client.flush().await.expect("a connection");
        Connected { _client: client, events }
    }

    fn events(&self) -> String {
        self.events.lock().expect("events").join(", ")
    }

    async fn cut_soon(&self) {
        let since = Instant::now();
        while !self.events().contains("disconnected") {
            // the machine runs other tests too
            assert!(since.elapsed() < SOON * 4, "still connected: {}", self.events());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(self.events().contains("Revoked"), "{}", self.events());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_revoked_on_sighup() {
    let mut network = Network::start();
    let alice = Connected::arrive(&network, "alice.mcollective").await;
    let mallory = Connected::arrive(&network, "mallory.mcollective").await;
    network.ca.revoke("mallory.mcollective", now()).expect("a revocation");
    network.broker().signal(Signal::HUP);
    mallory.cut_soon().await;
    network.broker().says(&["no longer allowed", "mallory.mcollective", "revoked"]);
    assert_eq!(alice.events(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_revoked_without_being_told() {
    let mut network = Network::start();
    let alice = Connected::arrive(&network, "alice.mcollective").await;
    let mallory = Connected::arrive(&network, "mallory.mcollective").await;
    network.ca.revoke("mallory.mcollective", now()).expect("a revocation");
    mallory.cut_soon().await;
    network.broker().says(&["the revocation list has changed"]);
    assert_eq!(alice.events(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_revoked_by_a_list_that_was_not_there() {
    let mut network = Network::without_broker();
    let (list, aside) = (network.ca.crl_file(), network.path("later.pem"));
    // a CA of others makes its first list with the first revocation
    std::fs::rename(&list, &aside).expect("a file");
    network.start_broker();
    let alice = Connected::arrive(&network, "alice.mcollective").await;
    let mallory = Connected::arrive(&network, "mallory.mcollective").await;
    std::fs::rename(&aside, &list).expect("a file");
    network.ca.revoke("mallory.mcollective", now()).expect("a revocation");
    mallory.cut_soon().await;
    // and the next one replaces it, as careful writers do
    let carol = Connected::arrive(&network, "carol.mcollective").await;
    network.ca.revoke("carol.mcollective", now()).expect("a revocation");
    carol.cut_soon().await;
    // a list that goes takes nothing back
    std::fs::rename(&list, &aside).expect("a file");
    network.broker().says(&["keeping the previous keys and trust", "gone"]);
    assert_eq!(alice.events(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_of_a_ca_that_has_been_replaced() {
    let network = Network::start();
    let alice = Connected::arrive(&network, "alice.mcollective").await;
    let other = Ca::create(&network.path("other"), "Other CA", now()).expect("a CA");
    let new = network.file("ca/new.pem", other.certificate_pem());
    std::fs::rename(new, network.ca.certificate_file()).expect("a file");
    alice.cut_soon().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_expired_on_sighup() {
    let mut network = Network::start();
    let expires = now() + 8;
    let options = Options { days: 1, ..Options::default() };
    network.certify_by(&network.ca, Kind::Client, "late.mcollective", expires - DAY, &options);
    let alice = Connected::arrive(&network, "alice.mcollective").await;
    let late = Connected::arrive(&network, "late.mcollective").await;
    while now() <= expires {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    network.broker().signal(Signal::HUP);
    late.cut_soon().await;
    network.broker().says(&["no longer allowed", "late.mcollective", "expired"]);
    assert_eq!(alice.events(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rules_of_the_file_as_it_is_now() {
    let mut network = Network::start();
    let alice = Connected::arrive(&network, "alice.mcollective").await;
    let broken = network.path("broker.conf");
    let text = std::fs::read_to_string(&broken).expect("the configuration");
    // alice is a node now: her connection ends, and comes back with a node's permissions
    let lines = "plugin.choria.network.client_certnames = ^bob.mcollective$\n";
    std::fs::write(&broken, format!("{text}{lines}")).expect("a file");
    network.broker().signal(Signal::HUP);
    let since = Instant::now();
    while !alice.events().contains("disconnected") {
        assert!(since.elapsed() < SOON * 4, "still connected: {}", alice.events());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    network.broker().says(&["Permissions Changed"]);
}

#[test]
fn a_revoked_caller_by_a_node_that_is_not_told() {
    let network = Network::start_with("plugin.choria.network.x509_permissions = open\n");
    let nodes = network.nodes([crate::network::node("n1")]);
    let alice = network.alice();
    alice.run(&["rpc", "rpcutil", "ping"]).fine();
    // What it signed before may be brought by anybody: the node has to know by itself.
    network.ca.revoke("alice.mcollective", now()).expect("a revocation");
    nodes[0].log().says(&["the CA file or the revocation list has changed"]);
    nodes[0].log().says(&["read keys, CA and revocation lists again"]);
}
