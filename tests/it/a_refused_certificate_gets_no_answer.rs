//! What callers see, and nodes and brokers log, when a certificate is not good
//! enough.

use choria::core::broker::{Broker, Listener, Options as BrokerOptions};
use choria::core::config::{Config, Fixed, Role};
use choria::core::connection::{ServerList, ServerUrl, Session, SessionOptions};
use choria::core::pki::{Ca, Kind, Options};
use choria::core::security::Provider;
use rustix::process::Signal;
use serde_json::json;

use crate::network::{Network, node, now};
use crate::process::PATIENCE;
use crate::wire::{self, Wire, signer};

/// A CA that is not the network's.
fn foreign_ca(network: &Network) -> Ca {
    Ca::create(&network.path("foreign"), "Test CA", now()).expect("a CA")
}

fn certify_expired(network: &Network, name: &str) {
    let thirty = Options { days: 30, ..Options::default() };
    network.certify_by(&network.ca, Kind::Client, name, now() - 40 * 86_400, &thirty);
}

#[test]
fn a_client_of_another_ca_does_not_get_in() {
    let mut network = Network::start();
    let foreign = foreign_ca(&network);
    network.certify_by(&foreign, Kind::Client, "mallory.mcollective", now(), &Options::default());
    let mallory = network.caller("mallory.mcollective");
    let address = network.address().to_string();

    let ran = mallory.run(&["ping"]).code(1).silent();
    let ran = ran.complains(&[
        "cannot connect to a broker",
        &address,
        "alert",
        "is not issued by a CA the broker trusts",
    ]);
    let ran = ran.complains(&[
        "mallory.mcollective.pem is not issued by a CA of",
        "get one from the CA of this network",
    ]);
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    network.broker().says(&["warning", "127.0.0.1", "not issued by a CA that is trusted here"]);
    // Told once, the client did not ask again.
    assert_eq!(network.broker().matching(0, &["not issued by a CA that is trusted here"]).len(), 1);
}

#[test]
fn a_client_does_not_talk_to_a_broker_of_another_ca() {
    let network = Network::start();
    let foreign = foreign_ca(&network);
    network.certify_by(&foreign, Kind::Client, "mallory.mcollective", now(), &Options::default());
    let address = network.address().to_string();
    let lines = format!("plugin.security.file.ca = {}\n", foreign.certificate_file().display());
    let mallory = network.caller_with("mallory.mcollective", &lines);
    let ran = mallory.run(&["ping"]).code(1).silent();
    ran.complains(&["cannot connect to a broker", &address, "not issued by a CA that is trusted here"]);
}

#[test]
fn an_expired_client_is_told_before_anything_is_sent() {
    let mut network = Network::start();
    certify_expired(&network, "late.mcollective");
    let late = network.caller("late.mcollective");
    let ran = late.run(&["ping"]).code(1).silent();
    let ran =
        ran.complains(&["late.mcollective.pem", "expired on 20", "this machine's clock says 20", "renew it"]);
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    assert!(network.broker().matching(0, &["xpired"]).is_empty());
}

/// Whoever does not look at the own certificate is looked at by the broker.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_expired_certificate_does_not_get_in() {
    let mut network = Network::start();
    certify_expired(&network, "late.mcollective");
    let late = network.caller("late.mcollective");
    let address = network.address();
    let servers = ServerList::fixed(vec![ServerUrl::nats("127.0.0.1", address.port())]);
    let mut options = SessionOptions::new("late", servers, "mcollective.reply");
    options.tls = Some(wire::provider(&late.config, &late.name).client_tls().expect("TLS"));
    options.give_up_after = Some(PATIENCE);
    let error = Session::connect(options).await.err().expect("a refusal");
    assert!(error.refused, "{error}");
    assert!(error.to_string().contains("the broker refused this client's certificate"), "{error}");
    assert!(error.to_string().contains("TLS alert: certificate expired"), "{error}");
    network.broker().says(&["warning", "127.0.0.1", "xpired"]);
}

#[test]
fn a_certificate_of_tomorrow_is_told_from_a_bad_one() {
    let network = Network::start();
    let tomorrow = now() + 86_400;
    network.certify_by(&network.ca, Kind::Client, "early.mcollective", tomorrow, &Options::default());
    let ran = network.caller("early.mcollective").run(&["ping"]).code(1).silent();
    ran.complains(&[
        "cannot connect to a broker",
        "early.mcollective.pem is not valid before",
        "set the clock",
    ]);
}

#[test]
fn a_name_that_is_no_callers_is_told_when_nobody_answers() {
    let network = Network::start_with("plugin.choria.network.x509_permissions = open\n");
    let _nodes = network.nodes([node("n1").policy("default", "policy default allow\n")]);
    let carol = network.caller("carol.example.net");
    let reason = [
        "is not on plugin.choria.security.certname_whitelist",
        "carol.example.net, which is from",
        "NAME.mcollective",
    ];
    carol.run(&["ping"]).code(3).complains(&["no responses received"]).complains(&reason);
    carol.run(&["rpc", "rpcutil", "ping"]).code(1).complains(&["did not discover"]).complains(&reason);
    let ran = carol.run(&["rpc", "rpcutil", "ping", "-I", "n1.example.net"]).code(3);
    ran.complains(&reason);
}

#[test]
fn a_revoked_client_is_out_once_broker_and_nodes_know() {
    let mut network = Network::start();
    let nodes = network.nodes([node("n1").policy("default", "policy default allow\n")]);
    let mallory = network.caller("mallory.mcollective");
    mallory.run(&["rpc", "rpcutil", "ping"]).fine();
    network.ca.revoke("mallory.mcollective", now()).expect("a revocation");
    mallory.run(&["rpc", "rpcutil", "ping"]).fine();

    let again = "read keys, CA and revocation lists again";
    nodes[0].log().signal(Signal::HUP);
    nodes[0].log().says(&[again]);
    let ran = mallory.run(&["ping"]).code(3);
    ran.complains(&["no responses received"]);
    nodes[0].log().says(&["warning", "refused a request", "choria=mallory.mcollective", "has been revoked"]);
    nodes[0].counts("invalid", 1);

    network.broker().signal(Signal::HUP);
    network.broker().says(&[again]);
    let ran = mallory.run(&["ping"]).code(1).silent();
    ran.complains(&["cannot connect to a broker", "evoked"]);
    network.broker().says(&["warning", "127.0.0.1", "evoked"]);
    network.alice().run(&["rpc", "rpcutil", "ping"]).fine();
}

#[test]
fn a_node_cannot_call_other_nodes() {
    for permissions in ["by-name", "open"] {
        let lines = format!("plugin.choria.network.x509_permissions = {permissions}\n");
        let network = Network::start_with(&lines);
        let nodes = network.nodes([node("n1").policy("default", "policy default allow\n"), node("n2")]);
        // n2 is taken over: its key calls.
        let stolen = network.caller("n2.example.net");
        let ran = (stolen.run(&["ping"]), stolen.run(&["rpc", "rpcutil", "ping", "-I", "n1.example.net"]));
        match permissions {
            "by-name" => {
                let reason = ["the broker does not let choria=n2.example.net", "client_certnames"];
                for ran in [ran.0.code(1).silent(), ran.1.code(1)] {
                    let ran = ran.complains(&reason);
                    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
                }
                assert!(nodes[0].log().matching(0, &["refused a request"]).is_empty());
            }
            _ => {
                ran.0.code(3).complains(&["no responses received"]);
                ran.1.code(3);
                let reason = "choria=n2.example.net is not on plugin.choria.security.certname_whitelist";
                nodes[0].log().says(&["refused a request", reason]);
                nodes[0].counts("invalid", 2);
            }
        }
        assert!(nodes[0].audit().is_empty());
    }
}

/// Whoever gets a message to a node, by whatever way, has to be named by a
/// certificate the node accepts.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_node_judges_every_signature_itself() {
    let network = Network::start();
    let nodes = network.nodes([node("n1").policy("default", "policy default allow\n")]);
    let foreign = foreign_ca(&network);
    network.certify_by(&foreign, Kind::Client, "mallory.mcollective", now(), &Options::default());
    certify_expired(&network, "late.mcollective");
    network.certify(Kind::Node, "n1.example.net");
    network.certify(Kind::Client, "carol.example.net");

    let alice = Wire::connect(&network, &network.alice()).await;
    let subject = alice.reply_subject();
    let mut replies = alice.subscribe(&subject).await;
    for (name, reason) in [
        ("mallory.mcollective", "is not acceptable: it is not issued by a certificate of the CA file"),
        ("late.mcollective", "is not acceptable: it or a certificate of its chain has expired"),
        ("n1.example.net", "is not on plugin.choria.security.certname_whitelist"),
        ("carol.example.net", "is not on plugin.choria.security.certname_whitelist"),
    ] {
        let caller = network.caller(name);
        let request = wire::request(&format!("choria={name}"), "rpcutil", "ping", json!({}));
        let secure = signer(&caller).sign(&request).expect("a signature");
        alice.publish("mcollective.node.n1.example.net", wire::transport(&secure, &subject)).await;
        let line = nodes[0].log().says(&["refused a request", &format!("choria={name}"), reason]);
        assert!(line.contains("warning") && line.contains("sender=console.example.net"), "{line}");
    }
    // Somebody else's name under a good signature.
    let request = wire::request("choria=root.mcollective", "rpcutil", "ping", json!({}));
    alice.publish("mcollective.node.n1.example.net", alice.signed(&request, &subject)).await;
    nodes[0]
        .log()
        .says(&["choria=root.mcollective is not a name of the certificate, which names alice.mcollective"]);
    // A good certificate, another text.
    let mut secure = alice.signer.sign(&alice.request("rpcutil", "ping", json!({}))).expect("a signature");
    secure.message = secure.message.replace("\"ttl\":60", "\"ttl\":61");
    alice.publish("mcollective.node.n1.example.net", wire::transport(&secure, &subject)).await;
    nodes[0].log().says(&["the signature of choria=alice.mcollective does not fit the request"]);

    nodes[0].counts("invalid", 6);
    assert!(nodes[0].audit().is_empty());
    // Only the good one is answered.
    let good = alice.request("rpcutil", "ping", json!({}));
    alice.publish("mcollective.node.n1.example.net", alice.signed(&good, &subject)).await;
    let message = wire::next(&mut replies).await;
    assert!(String::from_utf8_lossy(&message.payload).contains("choria:transport:1"));
    assert_eq!(wire::reply(&message.payload).0, "n1.example.net");
    assert_eq!(nodes[0].audit().len(), 1);
}

/// Starts a broker with this certificate; nodes and callers are to refuse it
/// for `reason`.
fn refused_broker(kind: Kind, name: &str, options: &Options, reason: &str) {
    let network = Network::without_broker();
    let issued = network.ca.issue(kind, name, options, now()).expect("a certificate");
    issued.write(&network.path("ssl")).expect("files");
    let text = format!(
        "identity = {name}\nplugin.choria.broker_network = 1\n\
         plugin.choria.network.listen_address = 127.0.0.1\nplugin.choria.network.client_port = 0\n{}",
        network.security(name)
    );
    // Ours does not start with what is no broker's; a thief makes one that does.
    let config = Config::from_text(Role::Broker, &text).expect("a configuration");
    let provider = Provider::new(&config, Role::Broker, &Fixed::default()).expect("files");
    let broker = Broker::start(BrokerOptions {
        listeners: vec![Listener::tls(([127, 0, 0, 1], 0).into())],
        tls: Some(provider.server_tls().expect("TLS")),
        ..BrokerOptions::default()
    });
    let broker = broker.expect("a broker");
    let address = &broker.local_addr().to_string();

    let hosts = format!("plugin.choria.middleware_hosts = {address}\n");
    let node = network.node(node("n1").lines(&hosts));
    node.log().says(&["warning", "cannot connect", address, reason]);
    let ran = network.caller_with("alice.mcollective", &hosts).run(&["ping"]).code(1).silent();
    ran.complains(&["cannot connect to a broker", address, reason]);
}

#[test]
fn a_stolen_node_key_cannot_play_broker() {
    let loopback = Options { loopback: true, ..Options::default() };
    refused_broker(Kind::Node, "n2.example.net", &loopback, "its extended key usage does not allow");
}

#[test]
fn a_broker_at_an_address_that_is_not_its_own_is_refused_by_both_names() {
    let reason = "it is for other.example.net, and not for 127.0.0.1";
    refused_broker(Kind::Broker, "other.example.net", &Options::default(), reason);
}
