//! Somebody without any key answers in the broker's place and never ends the first line.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::network::{Network, node, peak_of};

/// Sends to everybody who connects, for as long as it is read; counts the bytes.
fn flood() -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    // it ends with this process, which it does nothing to meanwhile
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (Ok(mut socket), counter) = (socket, counter.clone()) else { continue };
            std::thread::spawn(move || {
                let mut piece = b"INFO {\"server_id\":\"".to_vec();
                while socket.write_all(&piece).is_ok() {
                    counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
                    piece.resize(1 << 16, b'a');
                    piece.fill(b'a');
                }
            });
        }
    });
    (address, sent)
}

#[test]
fn a_line_without_end_costs_little_and_the_broker_is_found() {
    let network = Network::start();
    let (flood, sent) = flood();
    let idle = network.nodes([node("n0")])[0].peak_memory();
    let hosts = format!("plugin.choria.middleware_hosts = {flood}\n");
    let lost = network.node(node("lost").lines(&hosts));
    lost.log().says(&["it is no broker"]);
    let (mark, once) = (lost.log().mark(), sent.load(Ordering::Relaxed));
    lost.log().says_after(mark, &["it is no broker"]);
    assert!(sent.load(Ordering::Relaxed) > once, "it is tried again");
    let more = lost.peak_memory().saturating_sub(idle);
    assert!(more < 128 << 20, "{more} bytes");

    let hurried = format!("{hosts}plugin.choria.network.connect_limit = 4s\n");
    let alice = network.caller_with("alice.mcollective", &hurried);
    let mut ping = alice.start(&["ping"]);
    ping.says(&["it is no broker"]);
    let peak = peak_of(ping.pid());
    assert!(peak < 192 << 20, "{peak} bytes");
    assert_eq!(ping.ended().code(), Some(1));

    // Where the broker is named, too, it is found.
    let hosts = format!("plugin.choria.middleware_hosts = {flood}, {}\n", network.address());
    let nodes = network.nodes([node("n1").lines(&hosts)]);
    let alice = network.caller_with("alice.mcollective", &hosts);
    alice.run(&["rpc", "rpcutil", "ping", "-I", "n1.example.net"]).code(0).says(&["1 / 1"]);
    drop(nodes);
}
