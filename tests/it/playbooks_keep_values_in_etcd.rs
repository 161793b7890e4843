//! A plan's values in a real etcd, open and with users.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::adapter_stage::free_port;
use crate::network::Network;
use crate::process::{Daemon, PATIENCE, until};

/// A member of its own, gone with the test.
fn etcd(network: &Network) -> (Daemon, u16) {
    let [client, peer] = [(); 2].map(|()| free_port());
    let url = |port| format!("http://127.0.0.1:{port}");
    let mut command = Command::new("etcd");
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", network.directory());
    command.args(["--name", "t", "--log-level", "warn", "--data-dir"]).arg(network.path("etcd"));
    command.args(["--listen-client-urls", &url(client), "--advertise-client-urls", &url(client)]);
    command.args(["--listen-peer-urls", &url(peer), "--initial-advertise-peer-urls", &url(peer)]);
    command.args(["--initial-cluster", &format!("t={}", url(peer))]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let daemon = Daemon::start("etcd", command);
    until("etcd to be well", || {
        asked(client, "/v3/maintenance/status", &json!({}))["leader"].is_string().then_some(())
    });
    (daemon, client)
}

/// An answer of its JSON gateway; null where there is none.
fn asked(port: u16, path: &str, body: &Value) -> Value {
    let answer = || -> std::io::Result<String> {
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let body = body.to_string();
        write!(
            socket,
            "POST {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: \
             {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut text = String::new();
        socket.read_to_string(&mut text)?;
        Ok(text)
    };
    let text = answer().unwrap_or_default();
    serde_json::from_str(text.split_once("\r\n\r\n").map_or("", |(_, body)| body)).unwrap_or(Value::Null)
}

#[test]
fn for_everybody_and_for_users() {
    let network = Network::start();
    let alice = network.alice();
    let (_etcd, port) = etcd(&network);
    network.file(
        "modules/demo/plans/kept.pp",
        "plan demo::kept(Integer $port, String $key, Optional[String] $value = undef, Hash $login = {}) {\n  \
         $store = { type => 'etcd', url => \"http://127.0.0.1:${port}\" } + $login\n  \
         if $value { choria::data($key, $value, $store) }\n  choria::data($key, $store)\n}\n",
    );
    let (modules, port_text) = (network.path("modules").display().to_string(), port.to_string());
    let run = |words: &[&str]| {
        let base = ["playbook", "run", "demo::kept", "--modulepath", &modules, "--port", &port_text];
        alice.run(&[&base, words].concat())
    };
    assert_eq!(run(&["--key", "a/b", "--value", "grün\nund"]).code(0).stdout, "grün\nund\n");
    assert_eq!(run(&["--key", "a/b"]).code(0).stdout, "grün\nund\n", "it is there for the next run");
    run(&["--key", "a"]).code(1).complains(&["No such key a"]);
    for (path, body) in [
        ("/v3/auth/user/add", json!({"name": "root", "password": "open-sesame"})),
        ("/v3/auth/role/add", json!({"name": "root"})),
        ("/v3/auth/user/grant", json!({"user": "root", "role": "root"})),
        ("/v3/auth/enable", json!({})),
    ] {
        let answer = asked(port, path, &body);
        assert!(answer["header"].is_object(), "{path}: {answer}");
    }
    let denied =
        run(&["--key", "a/b"]).code(1).complains(&[&format!("etcd at http://127.0.0.1:{port} answers ")]);
    assert!(!denied.stdout.contains("grün"), "{denied:?}");
    let with = |password: &str| {
        let login = json!({"user": "root", "password": password}).to_string();
        run(&["--key", "a/b", "--login", &login])
    };
    let wrong = with("sesame-shut").code(1).complains(&["answers 4", "authentication failed"]);
    assert!(!wrong.stderr.contains("sesame-shut"), "{wrong:?}");
    assert_eq!(with("open-sesame").code(0).stdout, "grün\nund\n");
}
