//! What monitoring reads from a running broker.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::network::Network;
use crate::process::PATIENCE;

/// A port nobody uses: port 0 means "no monitoring", so the system cannot choose.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).expect("monitoring");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a request");
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
