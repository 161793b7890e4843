//! A broker that is told to end closes connections one by one, or at once when
//! told twice; and its clear text listener for tests is one for tests.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::Signal;

use crate::network::Network;
use crate::process::{Daemon, PATIENCE, program, run, until};

struct Link(BufReader<TcpStream>);

impl Link {
    fn open(address: SocketAddr) -> Link {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut link = Link(BufReader::new(stream));
        let info = link.line();
        assert!(info.starts_with("INFO {") && !info.contains("auth_required"), "{info}");
        link.say("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
        assert_eq!(link.line(), "PONG\r\n");
        assert!(link.line().contains("\"connect_info\":true"));
        link
    }

    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("a connection");
    }

    /// A line, but for pings; nothing at the end.
    fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            // a broker that ends at once may reset
            if self.0.read_line(&mut line).is_err() {
                return String::new();
            }
            if line != "PING\r\n" {
                return line;
            }
        }
    }
}

/// A broker with a clear text listener, and where that is.
fn broker(network: &Network, lines: &str) -> (Daemon, SocketAddr) {
    let config = configured(network, lines);
    until("the broker to start", || {
        let mut command = program(&network.path(""));
        command.args(["broker", "run", "--plaintext-loopback", "0", "--config"]).arg(&config);
        let daemon = Daemon::start("broker", command);
        let line = daemon.says(&["clear text listener"]);
        let address = line.split("address=").nth(1).and_then(|t| t.split(' ').next()?.parse().ok());
        Some((daemon, address.expect("an address in the log line")))
    })
}

fn configured(network: &Network, lines: &str) -> std::path::PathBuf {
    let name = "broker.example.net";
    network.certify(choria::core::pki::Kind::Broker, name);
    let text = format!(
        "identity = {name}\nplugin.choria.broker_network = true\n\
         plugin.choria.network.listen_address = 127.0.0.1\nplugin.choria.network.client_port = 0\n{}{lines}",
        network.security(name),
    );
    network.file("broker.conf", &text)
}

#[test]
fn connections_are_closed_one_by_one() {
    let network = Network::without_broker();
    let (mut daemon, address) = broker(&network, "plugin.choria.network.lame_duck_duration = 3s\n");
    let links: Vec<Link> = (0..12).map(|_| Link::open(address)).collect();
    daemon.signal(Signal::TERM);
    daemon.says(&["stopping, connections are closed over 3s"]);
    let ends: Vec<Duration> = std::thread::scope(|scope| {
        let begin = std::time::Instant::now();
        let waits: Vec<_> = links
            .into_iter()
            .map(|mut link| {
                scope.spawn(move || {
                    let info = link.line();
                    assert!(info.starts_with("INFO {") && info.contains("\"ldm\":true"), "{info}");
                    assert_eq!(link.line(), "", "no error is sent");
                    begin.elapsed()
                })
            })
            .collect();
        waits.into_iter().map(|wait| wait.join().expect("a link")).collect()
    });
    let (first, last) = (ends.iter().min().expect("links"), ends.iter().max().expect("links"));
    assert!(*last - *first > Duration::from_millis(200), "all at once: {ends:?}");
    assert!(daemon.ended().success());
    daemon.says(&["stopped"]);
}

#[test]
fn a_second_signal_ends_at_once() {
    for (first, second) in
        [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM), (Signal::TERM, Signal::INT)]
    {
        let network = Network::without_broker();
        let (mut daemon, address) = broker(&network, "plugin.choria.network.lame_duck_duration = 1h\n");
        let mut link = Link::open(address);
        daemon.signal(first);
        assert!(link.line().contains("\"ldm\":true"));
        // those who are in are served until their time comes, new ones are not let in
        link.say("SUB a 1\r\nPUB a 1\r\nx\r\n");
        assert_eq!(link.line(), "MSG a 1 1\r\n");
        assert_eq!(link.line(), "x\r\n");
        assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
        daemon.still_runs();
        daemon.signal(second);
        assert!(daemon.ended().success());
        assert_eq!(link.line(), "");
    }
}

#[test]
fn the_clear_text_listener_is_of_this_machine_and_open() {
    let network = Network::without_broker();
    let (mut daemon, address) = broker(&network, "");
    assert!(address.ip().is_loopback(), "{address}");
    assert_eq!(address.ip().to_string(), "127.0.0.1");
    // what may not be said over TLS may be said here
    let mut link = Link::open(address);
    link.say("SUB > 1\r\nPUB mcollective.reply.x 1\r\nx\r\n");
    assert_eq!(link.line(), "MSG mcollective.reply.x 1 1\r\n");
    // the other addresses of the machine do not answer there
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], address.port()));
    assert!(TcpStream::connect(elsewhere).is_err());
    daemon.still_runs();
    let config = configured(&network, "");
    let mut command = program(&network.path(""));
    command.args(["broker", "run", "--plaintext-loopback", "0.0.0.0:4222", "--config"]).arg(&config);
    assert_ne!(run(command, None).code, 0, "an address is no port");
}
