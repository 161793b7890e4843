//! Lists of the statistics port are as long as clients like, and held for whoever reads slowly.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::free_port;
use crate::network::{Network, peak_of};
use crate::process::PATIENCE;
use crate::wire::Wire;

/// What lists may make a broker hold; unbounded they took gigabytes.
const MEMORY: u64 = 160 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_slowly_is_held_a_few_lists_of_bounded_length() {
    let port = free_port();
    let mut network = Network::start_with(&format!(
        "plugin.choria.network.x509_permissions = by-name\nplugin.choria.stats_port = {port}\n"
    ));
    network.broker().says(&["monitoring is listening", &format!("address=127.0.0.1:{port}")]);
    let mallory = Wire::connect(&network, &network.caller("mallory.mcollective")).await;
    let (reply, long) = (mallory.reply_subject(), "\u{1}".repeat(300));
    let mut heard = vec![];
    for n in 0..12_000 {
        heard.push(mallory.client.subscribe(format!("{reply}.{n}.{long}")).await.expect("a subscription"));
    }
    mallory.served().await;
    let pid = network.broker().pid();
    let before = peak_of(pid);
    let ask = || {
        let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).expect("monitoring");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.write_all(b"GET /connz?subs=1 HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a request");
        stream
    };
    let slow: Vec<TcpStream> = (0..31).map(|_| ask()).collect();
    let mut answered = 0;
    for mut stream in slow {
        let mut text = Vec::new();
        // those whose time is over are cut
        let whole = stream.read_to_end(&mut text).is_ok() && text.ends_with(b"}");
        answered += usize::from(whole);
        assert!(text.len() < 16 << 20, "{} bytes", text.len());
        assert!(!whole || text.windows(19).any(|part| part == b"subscriptions_list\""));
    }
    assert!(answered > 0);
    let after = peak_of(pid);
    assert!(after - before < MEMORY, "{before} to {after}");
    network.alice().run(&["ping"]).code(3);
}
