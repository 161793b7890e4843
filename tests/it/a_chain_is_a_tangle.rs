//! Certificates of a stranger that are made to take long: ten CAs of one name, through
//! which hundreds of thousands of ways lead. Broker, node and provisioner find out soon.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject;
use serde_json::json;

use crate::emulated::Emulated;
use crate::network::{Network, node};
use crate::process::{Daemon, PATIENCE, until};
use crate::provisioning::provision;
use crate::waiting_room::WaitingRoom;
use crate::wire::{self, Wire};

const CAS: usize = 10;
/// Times a stranger tries.
const TRIES: usize = 40;
/// What they may cost together, in hundredths of a second of processor time. A way through
/// all took a fifth of a second each.
const COST: u64 = 200;

/// The made-up chain, from its end, and its key.
fn tangle() -> (Vec<CertificateDer<'static>>, String, KeyPair) {
    let params = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut cas: Vec<(CertificateDer<'static>, String, Issuer<'static, KeyPair>)> = Vec::new();
    for _ in 0..CAS {
        let mut params = params("Issuing");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let made = match cas.last() {
            None => params.self_signed(&key),
            Some((_, _, issuer)) => params.signed_by(&key, issuer),
        };
        let made = made.expect("a certificate");
        cas.push((made.der().clone(), made.pem(), Issuer::new(params, key)));
    }
    let key = KeyPair::generate().expect("a key");
    let issuer = &cas.last().expect("CAs").2;
    let leaf = params("evil.mcollective").signed_by(&key, issuer).expect("a certificate");
    let ders = std::iter::once(leaf.der().clone()).chain(cas.iter().map(|(der, ..)| der.clone())).collect();
    let pem = std::iter::once(leaf.pem()).chain(cas.iter().map(|(_, pem, _)| pem.clone())).collect();
    (ders, pem, key)
}

/// Processor time of a process, hundredths of a second.
fn cost(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("Linux");
    let (_, fields) = stat.rsplit_once(") ").expect("the fields");
    let fields: Vec<&str> = fields.split(' ').collect();
    [11, 12].iter().map(|at| fields[*at].parse::<u64>().expect("a number")).sum()
}

#[test]
fn of_a_stranger_at_the_door() {
    let mut network = Network::start();
    let _nodes = network.nodes([node("n1")]);
    let (chain, _, key) = tangle();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(network.ca.certificate_pem().as_bytes()) {
        roots.add(certificate.expect("PEM")).expect("a CA");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_root_certificates(roots);
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let tls = Arc::new(config.with_client_auth_cert(chain, key).expect("a key"));
    let address = network.address();
    let pid = network.broker().pid();
    let before = cost(pid);
    for _ in 0..TRIES {
        let mut socket = std::net::TcpStream::connect(address).expect("a listener");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut byte = [0];
        while byte != *b"\n" {
            socket.read_exact(&mut byte).expect("INFO");
        }
        let session = ClientConnection::new(tls.clone(), address.ip().into()).expect("TLS");
        let mut refused = Vec::new();
        // the alert, or the end of the connection
        let _ = StreamOwned::new(session, socket).read_to_end(&mut refused);
        assert_eq!(refused, b"");
    }
    let took = cost(pid) - before;
    assert!(took < COST, "{TRIES} handshakes cost {took} hundredths of a second");
    network.broker().says(&["connection refused", "more than 2 certificates of a name that another has"]);
    network.answered_by(&["n1.example.net"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_caller_without_rights_in_its_requests() {
    let network = Network::start();
    let nodes = network.nodes([node("n1")]);
    let bob = Wire::connect(&network, &network.caller("bob.mcollective")).await;
    let (_, chain, _) = tangle();
    let request = bob.request("rpcutil", "ping", json!({}));
    let mut secure = wire::signer(&network.caller("bob.mcollective")).sign(&request).expect("a signature");
    secure.pubcert = chain;
    let message = wire::transport(&secure, &bob.reply_subject());
    let pid = nodes[0].log().pid();
    let (before, heard) = (cost(pid), nodes[0].counter("invalid"));
    for _ in 0..TRIES {
        bob.publish("mcollective.node.n1.example.net", message.clone()).await;
    }
    nodes[0].counts("invalid", heard + TRIES as u64);
    let took = cost(pid) - before;
    assert!(took < COST, "{TRIES} requests cost {took} hundredths of a second");
    tokio::task::spawn_blocking(move || network.answered_by(&["n1.example.net"])).await.expect("no panic");
}

/// Says `greeting` to whoever connects and shows them the tangle; counts them.
fn stranger(greeting: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let (chain, _, key) = tangle();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = config.expect("versions").with_no_client_auth().with_single_cert(chain, key);
    let config = Arc::new(config.expect("a key"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let tries = Arc::new(AtomicUsize::new(0));
    let counter = tries.clone();
    // ends with the tests
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            let _ = socket.set_read_timeout(Some(PATIENCE));
            let _ = socket.write_all(greeting.as_bytes());
            let session = ServerConnection::new(config.clone()).expect("TLS");
            let _ = StreamOwned::new(session, socket).read(&mut [0]);
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    (address, tries)
}

#[test]
fn of_whom_a_provisioner_talks_to() {
    const REASON: &str = "more than 2 certificates of a name that another has";
    let room = WaitingRoom::open();
    let (helper, asked) = stranger("");
    let (broker, joined) = stranger(
        "INFO {\"server_id\":\"x\",\"version\":\"2.10.0\",\"max_payload\":1048576,\"tls_required\":true}\r\n",
    );
    let lines = format!(
        "helper_url: https://{helper}/\nhelper_ca: {}\nmanagement: {{name: prov, brokers: ['{broker}']}}\n",
        room.network.ca.certificate_file().display(),
    );
    let provisioner = Daemon::start("provisioner", provision(&room, &lines));
    provisioner.says(&["watching for nodes"]);
    let _fleet = Emulated::waiting(&room, TRIES, &["--keys", "1"]);
    let tries = || asked.load(Ordering::Relaxed);
    until("the helper to be asked", || (tries() >= 2).then_some(()));
    until("the backplane's broker to be tried", || (joined.load(Ordering::Relaxed) >= 1).then_some(()));
    let (before, already) = (cost(provisioner.pid()), tries());
    until("it to be asked again", || (tries() >= already + TRIES).then_some(()));
    let (took, times) = (cost(provisioner.pid()) - before, tries() - already);
    println!("{times} tries cost {took} hundredths of a second");
    assert!(took < COST * 2, "{times} tries cost {took} hundredths of a second");
    provisioner.says(&["not provisioned", REASON]);
    provisioner.says(&["the certificate of the broker is not acceptable here", REASON]);
}
