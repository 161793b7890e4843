//! Names and brackets as addresses, limits of open files, and a look before the start.

use std::fs;
use std::net::TcpStream;
use std::process::Command;

use choria::core::pki::{Kind, Options};

use crate::a_broker_is_a_leaf::hub::Release;
use crate::network::{Network, node, now};
use crate::process::{Daemon, named_program, program, run, until};

/// The configuration of a broker that listens there, at ports of the system's choice.
fn config(network: &Network, listen: &str, lines: &str) -> std::path::PathBuf {
    if !network.path("ssl/b1.example.net.pem").exists() {
        let loopback = Options { loopback: true, ..Options::default() };
        let issued = network.ca.issue(Kind::Broker, "b1.example.net", &loopback, now());
        issued.and_then(|i| i.write(&network.path("ssl"))).expect("a certificate");
    }
    let text = format!(
        "identity = b1.example.net\nplugin.choria.broker_network = true\n\
         plugin.choria.network.x509_permissions = by-name\nplugin.choria.network.listen_address = {listen}\nplugin.choria.network.client_port = 0\n{}{lines}",
        network.security("b1.example.net")
    );
    network.file("b1.conf", &text)
}

fn broker(network: &Network, listen: &str) -> Daemon {
    let mut command = program(&network.path(""));
    command.args(["broker", "run", "--config"]).arg(config(network, listen, ""));
    Daemon::start("broker", command)
}

#[test]
fn by_name_and_in_brackets() {
    let network = Network::without_broker();
    for listen in ["localhost", "127.0.0.1", "[::]", "::"] {
        let daemon = broker(&network, listen);
        let line = daemon.says(&["the broker is listening", "address="]);
        let mut addresses = daemon.matching(0, &["the broker is listening", "address="]);
        if listen == "localhost" {
            until("127.0.0.1", || {
                addresses = daemon.matching(0, &["the broker is listening", "address="]);
                addresses.iter().any(|line| line.contains("address=127.0.0.1:")).then_some(())
            });
        }
        for line in addresses {
            let address = line.split("address=").nth(1).and_then(|text| text.split(' ').next());
            TcpStream::connect(address.expect("an address").replace("[::]", "[::1]"))
                .or_else(|_| TcpStream::connect(address.expect("an address").replace("[::]", "127.0.0.1")))
                .unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        assert!(!line.is_empty());
    }
}

#[test]
fn the_soft_limit_of_open_files_is_no_limit() {
    let network = Network::without_broker();
    let limited = |limit: &str| {
        let mut command = named_program("/bin/sh".as_ref(), &network.path(""));
        let script = format!("{limit}; exec {} broker run --config \"$0\"", env!("CARGO_BIN_EXE_choria"));
        command.arg("-c").arg(script).arg(config(&network, "127.0.0.1", ""));
        Daemon::start("broker", command)
    };
    let daemon = limited("ulimit -Sn 64");
    daemon.says(&["the broker is listening"]);
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).expect("Linux");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words.get(3), words.get(4), "{line}");
    daemon.says(&["the limit of open files allows "]);

    // As many as there may be, and files are left for all else: told, and not each time.
    let daemon = limited("ulimit -n 80");
    let line = daemon.says(&["the broker is listening", "address="]);
    let address = line.split("address=").nth(1).and_then(|text| text.split(' ').next()).expect("an address");
    daemon.says(&["warning", "the limit of open files allows 16 connections, fewer than"]);
    let held: Vec<TcpStream> = (0..120).filter_map(|_| TcpStream::connect(address).ok()).collect();
    daemon.says(&["warning", "connection refused: maximum connections", "limit=16"]);
    daemon.says(&["warning", "more refusals of this kind are not logged"]);
    drop(held);
    // Afterwards it serves as before.
    until("room", || TcpStream::connect(address).ok());
    assert!(daemon.matching(0, &["accepting a connection failed"]).is_empty());
}

#[test]
fn a_configuration_is_tried_before_the_start() {
    let network = Network::start();
    let check = |role: &str, config: &std::path::Path| {
        let mut command: Command = program(&network.path(""));
        command.args([role, "run", "--check-config", "--config"]).arg(config);
        run(command, None)
    };
    check("broker", &config(&network, "localhost", "")).fine().says(&["b1.conf is good"]);
    // the samples of clusters and federations, by the certificates of this one
    let samples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/samples");
    for sample in [
        "cluster/broker",
        "federation/operators-broker",
        "federation/london-broker",
        "federation/paris-broker",
    ] {
        let text = fs::read_to_string(samples.join(format!("{sample}.conf"))).expect("a sample");
        let of_this = |line: &&str| !line.starts_with("plugin.security") && !line.starts_with("identity");
        let text = text.replace("broker1.example.net", "b1.example.net");
        let lines: Vec<&str> = text.lines().filter(of_this).collect();
        let engine = Release::Newest.program();
        let engine = format!("plugin.choria.network.nats_server = {}\n", engine.display());
        let lines = format!("{}\n{engine}", lines.join("\n"));
        let ran = check("broker", &config(&network, "localhost", &lines)).code(0).says(&["is good"]);
        assert!(!ran.stderr.contains("unknown"), "{sample}: {ran:?}");
    }
    let wrong = config(&network, "192.0.2.1", "");
    check("broker", &wrong).code(1).silent().complains(&["'192.0.2.1' is no address of this machine"]);
    let wrong = config(&network, "localhost", "plugin.choria.network.limits.node = connections=none\n");
    check("broker", &wrong).code(1).silent().complains(&["plugin.choria.network.limits.node"]);

    let mut n1 = network.node(node("n1").policy("rpcutil", "policy default deny\nforbid\t*\t*\t*\t*\n"));
    n1.kill();
    // What does not keep it from its start is told.
    check("server", &n1.config)
        .code(0)
        .says(&["is good"])
        .complains(&["rpcutil.policy:2: \"forbid\" is neither"]);
    let text = fs::read_to_string(&n1.config).expect("a configuration");
    fs::write(&n1.config, format!("{text}registration = gossip\n")).expect("a configuration");
    check("server", &n1.config).code(1).silent().complains(&["unknown registration plugin 'gossip'"]);
}
