//! What goes wrong with an engine is told, mended where it can be, and never open to strangers.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use choria::core::pki::Kind;

use crate::a_broker_is_a_leaf::hub::Release;
use crate::network::Network;
use crate::process::{program, read_page, run, sample, until};

use super::{ALL, Cluster, answer, engine_of, open, ports};

#[test]
fn an_engine_that_dies_is_started_again() {
    let [stats] = ports();
    let mut network = Network::without_broker();
    let [port] = ports();
    network.configure_broker(&format!(
        "plugin.choria.network.peers = localhost:{port}\nplugin.choria.network.peer_port = {port}\n\
         plugin.choria.network.nats_server = {}\nplugin.choria.stats_port = {stats}\n",
        Release::Newest.program().display()
    ));
    network.start_broker();
    network.broker().says(&["connected to the hub as a leaf"]);
    let engine = engine_of(&mut network);
    let mark = network.broker().mark();
    let pid = i32::try_from(engine).ok().and_then(rustix::process::Pid::from_raw).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is ours");
    network.broker().says_after(mark, &["nats-server has ended by itself", "signal: 9"]);
    network.broker().says_after(mark, &["connected to the hub as a leaf"]);
    assert_ne!(engine_of(&mut network), engine);
    let page = read_page(&format!("127.0.0.1:{stats}"), "/choria/metrics");
    assert_eq!(sample(&page, "choria_engine_restarts_total"), Some(1.0), "{page}");
    assert_eq!(sample(&page, "choria_engine_up"), Some(1.0), "{page}");
}

#[test]
fn what_it_is_given_is_nobody_elses_and_holds_no_secret() {
    let mut network = Network::without_broker();
    let [port] = ports();
    network.configure_broker(&format!(
        "plugin.choria.network.peers = localhost:{port}\nplugin.choria.network.peer_port = {port}\n\
         plugin.choria.network.nats_server = {}\n\
         plugin.choria.network.provisioning.client_password = s3cret-word\n",
        Release::Oldest.program().display()
    ));
    network.start_broker();
    network.broker().says(&["connected to the hub as a leaf", "account=provisioning"]);
    let engine = engine_of(&mut network);
    let words = fs::read(format!("/proc/{engine}/cmdline")).expect("Linux");
    let words = String::from_utf8(words).expect("text");
    let file = words.split('\0').nth(2).expect("a file").to_owned();
    let mode = fs::metadata(&file).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{file}");
    let text = fs::read_to_string(&file).expect("the file");
    assert!(text.contains("nkey") && !text.contains("s3cret-word") && !text.contains("password"), "{text}");
    network.broker().signal(rustix::process::Signal::TERM);
    assert!(network.broker().ended().success());
    assert!(!std::path::Path::new(&file).exists(), "its file is left");
}

/// Says something at the port of engines, over TLS with somebody's certificate; what comes back.
fn route(network: &Network, name: &str, port: u16) -> String {
    let caller = network.caller(name);
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("the engine listens");
    socket.set_read_timeout(Some(crate::process::PATIENCE)).expect("a socket");
    let name = rustls_pki_types::ServerName::try_from("localhost").expect("a name");
    let mut session = rustls::ClientConnection::new(crate::raw::tls(&caller), name).expect("TLS");
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    let connect = "CONNECT {\"echo\":true,\"verbose\":false,\"pedantic\":false,\"headers\":true,\"name\":\"NX\",\"cluster\":\"CHORIA\"}\r\nPING\r\n";
    let mut said = String::new();
    if stream.write_all(connect.as_bytes()).is_ok() {
        let mut buffer = [0; 4096];
        while let Ok(count) = stream.read(&mut buffer) {
            said.push_str(&String::from_utf8_lossy(&buffer[..count]));
            if count == 0 || said.contains("PONG") || said.contains("-ERR") {
                break;
            }
        }
    }
    said
}

#[test]
fn nobody_is_taken_for_a_broker_by_a_node_s_certificate() {
    let mut network = Network::without_broker();
    let [port] = ports();
    network.configure_broker(&format!(
        "plugin.choria.network.peers = localhost:{port}\nplugin.choria.network.peer_port = {port}\n\
         plugin.choria.network.nats_server = {}\n",
        Release::Newest.program().display()
    ));
    network.start_broker();
    network.certify(Kind::Node, "n1.example.net");
    let said = route(&network, "n1.example.net", port);
    assert!(said.contains("Authorization Violation") && !said.contains("PONG"), "{said}");
    // who has the certificate of a peer is one
    let said = route(&network, "broker.example.net", port);
    assert!(!said.contains("Authorization Violation"), "{said}");
}

#[test]
fn what_is_wrong_with_it_ends_the_start_with_a_sentence() {
    let network = Network::without_broker();
    let old = network.file("old/nats-server", "#!/bin/sh\necho nats-server: v2.9.25\n");
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).expect("a mode");
    network.certify(Kind::Broker, "broker.example.net");
    let [port] = ports();
    let start = |lines: &str| {
        let text = format!(
            "identity = broker.example.net\nplugin.choria.broker_network = true\n\
             plugin.choria.network.listen_address = 127.0.0.1\nplugin.choria.network.client_port = 0\n{}{lines}",
            network.security("broker.example.net"),
        );
        let config = network.file("broker.conf", &text);
        let mut command: Command = program(network.directory());
        command.args(["broker", "run", "--config"]).arg(config);
        run(command, None).code(1)
    };
    let peers =
        format!("plugin.choria.network.peers = localhost:{port}\nplugin.choria.network.peer_port = {port}\n");
    let server = |path: &str| format!("plugin.choria.network.nats_server = {path}\n");
    start(&peers).complains(&["there is none in PATH"]);
    start(&format!("{peers}{}", server("/nowhere"))).complains(&["/nowhere is no program that can be run"]);
    start(&format!("{peers}{}", server(&old.display().to_string())))
        .complains(&["is version 2.9.25; 2.10 or newer"]);
    start("plugin.choria.network.peers = 127.0.0.1:5222\n").complains(&["write the name"]);
    start(&format!("{peers}plugin.choria.network.leafnode_remotes = up\n"))
        .complains(&["a leaf of no other network"]);
    // somebody else has the port
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let newest = server(&Release::Newest.program().display().to_string());
    start(&format!(
        "plugin.choria.network.peers = localhost\nplugin.choria.network.peer_port = {port}\n{newest}"
    ))
    .complains(&["nats-server ended at once and says", &port.to_string()]);
}

#[test]
fn whoever_is_revoked_is_off_every_broker() {
    let mut cluster = Cluster::start(Release::Newest, "");
    let nodes = [0, 1, 2].map(|at| cluster.node_of(at, open(&format!("n{at}"))));
    answer(&cluster.caller_of(0), &ALL);
    let marks: Vec<usize> = cluster.brokers.iter_mut().map(|network| network.broker().mark()).collect();
    cluster.brokers[0].ca.revoke("n2.example.net", crate::network::now()).expect("a revocation");
    let revoked = std::time::Instant::now();
    cluster.brokers[2].broker().says_after(marks[2], &["connection cut, it is no longer allowed"]);
    assert!(revoked.elapsed() < std::time::Duration::from_secs(10), "{:?}", revoked.elapsed());
    until("only the others to answer", || {
        let ran = cluster.caller_of(1).run(&["ping", "--names", "--expect", "2"]);
        (ran.sorted() == ALL[..2]).then_some(())
    });
    drop(nodes);
}
