//! What monitoring reads from a running broker.

mod lists;
pub mod prometheus;
mod proxies;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;

use crate::network::Network;
use crate::process::{PATIENCE, program, run};

/// A port nobody uses: port 0 means "no monitoring", so the system cannot choose.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

pub fn get(port: u16, path: &str) -> String {
    get_with(port, path, "")
}

/// With header lines of one's own.
fn get_with(port: u16, path: &str, headers: &str) -> String {
    request(port, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"))
}

/// The answer to what is said.
fn request(port: u16, text: &str) -> String {
    let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).expect("monitoring");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(text.as_bytes()).expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

#[test]
fn over_http_on_loopback() {
    let port = free_port();
    let mut network = Network::start_with(&format!(
        "plugin.choria.network.x509_permissions = by-name\nplugin.choria.stats_port = {port}\n"
    ));
    network.broker().says(&["monitoring is listening", &format!("address=127.0.0.1:{port}")]);
    network.alice().run(&["ping"]).code(3);
    assert!(get(port, "/varz").contains("\"server_name\":\"broker.example.net\""));
    assert!(get(port, "/healthz").ends_with("{\"status\":\"ok\"}"));
    assert!(get(port, "/connz").contains("\"num_connections\":0"));
    let metrics = get(port, "/choria/prometheus");
    let total = "choria_network_total_connections{identity=\"broker.example.net\"} 1\n";
    assert!(metrics.contains(total), "{metrics}");
    assert!(metrics.contains("choria_broker_certificate_expires_seconds{"), "{metrics}");
    assert!(get(port, "/choria/").contains("broker.conf"));
}

/// From other machines names are shown to whoever has a token. All of this machine is loopback, so the
/// request is one that a proxy here makes for somebody there.
#[test]
fn with_names_to_those_with_a_token() {
    let port = free_port();
    let mut network = Network::without_broker();
    let tokens = network.file("tokens", "# of the dashboard\na-token-for-the-test\n");
    let mode =
        |mode| std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(mode)).expect("a mode");
    network.configure_broker(&format!(
        "plugin.choria.network.x509_permissions = by-name\nplugin.choria.stats_port = {port}\n\
         plugin.choria.stats_token_file = {}\n",
        tokens.display()
    ));
    mode(0o640);
    network.start_broker();
    network.alice().run(&["ping"]).code(3);
    let page = "/connz?state=closed";
    let named = |text: &str| text.contains("200 OK") && text.contains("alice");
    assert!(named(&get(port, page)));
    let forwarded = "X-Forwarded-For: 192.0.2.7\r\n";
    let redacted = get_with(port, page, forwarded);
    assert!(redacted.contains("200 OK") && redacted.contains("\"num_connections\":1"), "{redacted}");
    assert!(!redacted.contains("alice"), "{redacted}");
    let with = |token: &str| get_with(port, page, &format!("{forwarded}Authorization: Bearer {token}\r\n"));
    assert!(named(&with("a-token-for-the-test")));
    let refused = with("a-token-for-the-tesT");
    assert!(refused.starts_with("HTTP/1.1 401") && refused.contains("www-authenticate: Bearer"), "{refused}");
    network.broker().says(&["monitoring refused: wrong credentials"]);
    assert!(
        get(port, "/metrics")
            .contains("choria_broker_monitoring_denied_total{identity=\"broker.example.net\"} 1\n")
    );
    std::fs::write(&tokens, "the-next-token-of-it\n").expect("a file");
    assert!(with("a-token-for-the-test").starts_with("HTTP/1.1 401"));
    assert!(named(&with("the-next-token-of-it")));
    mode(0o644);
    assert!(with("the-next-token-of-it").starts_with("HTTP/1.1 401"));
    network.broker().says(&["has mode 644", "chmod 0640"]);
    network.kill_broker();
    let mut command = program(&network.path(""));
    command.args(["broker", "run", "--config"]).arg(network.path("broker.conf"));
    run(command, None).code(1).complains(&["plugin.choria.stats_token_file", "chmod 0640"]);
}

/// Every place there is taken by requests of a byte now and then, of another address.
#[test]
fn although_others_ask_for_ever() {
    let port = free_port();
    let network = Network::start_with(&format!("plugin.choria.stats_port = {port}\n"));
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let ended = std::sync::atomic::AtomicBool::new(false);
    let slow = || {
        while !ended.load(std::sync::atomic::Ordering::Relaxed) {
            let mut stream = crate::raw::socket_from("127.0.0.2", address);
            let _ = stream.write_all(b"GET /varz HTTP/1.1\r\nHost: localhost\r\nA: ");
            while !ended.load(std::sync::atomic::Ordering::Relaxed) && stream.write_all(b"b").is_ok() {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        }
    };
    std::thread::scope(|scope| {
        (0..200).for_each(|_| drop(scope.spawn(slow)));
        // the places are taken, and those in them have had their time
        std::thread::sleep(std::time::Duration::from_secs(1));
        let begin = std::time::Instant::now();
        for _ in 0..5 {
            assert!(get(port, "/healthz").ends_with("{\"status\":\"ok\"}"));
        }
        let took = begin.elapsed();
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(took < std::time::Duration::from_secs(4), "{took:?}");
    });
    network.alice().run(&["ping"]).code(3);
}
