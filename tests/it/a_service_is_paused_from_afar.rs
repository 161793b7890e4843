//! The backplane: a program of somebody's, paused over the network.

use std::path::Path;
use std::process::{Command, Stdio};

use choria::core::pki::Kind;

use crate::network::Network;
use crate::process::{Daemon, until};

/// Status line of the example's page.
fn asked(port: u16) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text.lines().next().unwrap_or_default().to_owned()
}

/// The example, built like the tests: cargo does not tell where it put it.
fn example() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["build", "--quiet", "--locked", "--offline", "--example", "backplane"]);
    cargo.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = cargo.output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let program = Path::new(env!("CARGO_BIN_EXE_choria")).with_file_name("examples/backplane");
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn by_those_who_may() {
    let network = Network::start_with(
        "plugin.choria.network.x509_permissions = by-name\ncollectives = mcollective,greeter_backplane\n",
    );
    network.certify(Kind::Node, "web1.example.net");
    let lines = "collectives = mcollective,greeter_backplane\n";
    let alice = network.caller_with("alice.mcollective", lines);
    let bob = network.caller_with("bob.mcollective", lines);
    let eve = network.caller_with("eve.mcollective", lines);
    let security = network.security("web1.example.net");
    let path = |key: &str| {
        let line = security.lines().find(|line| line.contains(key)).expect("a line");
        line.split_once('=').expect("a value").1.trim().to_owned()
    };
    let settings = format!(
        "listen: 127.0.0.1:0\nmanagement:\n  name: greeter\n  brokers: ['{}']\n  auth:\n    \
         full: ['^choria=alice\\.mcollective$']\n    read_only: ['^choria=bob\\.']\n  \
         tls: {{identity: web1.example.net, scheme: manual, ca: '{}', cert: '{}', key: '{}'}}\n",
        network.address(),
        path("file.ca"),
        path("file.certificate"),
        path("file.key"),
    );
    let file = network.file("service.yaml", &settings);
    let mut command = example();
    command.arg(file);
    let mut service = Daemon::start("greeter", command);
    let line = service.says(&["greeting", "address=127.0.0.1:"]);
    let port: String = line
        .split("address=127.0.0.1:")
        .nth(1)
        .expect("a port")
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let port: u16 = port.parse().expect("a port");
    service.says(&["answering requests"]);
    assert_eq!(asked(port), "HTTP/1.1 200 OK");

    let call = |caller: &crate::network::Caller, action: &str, more: &[&str]| {
        let mut words = vec!["rpc", "backplane", action, "-T", "greeter_backplane", "-j"];
        words.extend(more);
        caller.run(&words)
    };
    let paused = call(&alice, "pause", &["-F", "backplane_pausable=true"]).code(0);
    assert_eq!(paused.json()["replies"][0]["data"]["paused"], true, "{paused:?}");
    assert_eq!(asked(port), "HTTP/1.1 503 Service Unavailable");
    // those who may look see it, and may do no more
    let info = call(&bob, "info", &[]).code(0).json();
    let info = &info["replies"][0]["data"];
    assert_eq!((&info["paused"], &info["facts"]["purpose"]), (&true.into(), &"greeting".into()));
    assert_eq!(info["loglevel_feature"], false);
    for (caller, action) in [(&bob, "resume"), (&eve, "ping")] {
        let refused = call(caller, action, &[]);
        assert_ne!(refused.code, 0);
        refused.says(&["You are not authorized to call this agent or action."]);
    }
    assert_eq!(asked(port), "HTTP/1.1 503 Service Unavailable");
    call(&alice, "flip", &[]).code(0);
    assert_eq!(asked(port), "HTTP/1.1 200 OK");
    // what it cannot do it does not offer
    assert_ne!(call(&alice, "debuglvl", &[]).code, 0);
    call(&alice, "shutdown", &[]).code(0).says(&["delay"]);
    until("its end", || std::net::TcpStream::connect(("127.0.0.1", port)).is_err().then_some(()));
    assert!(service.ended().success());
}
