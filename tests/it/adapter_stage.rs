//! An adapter called `reg`, what nodes publish to it, and what has to come out.

use std::collections::BTreeMap;
use std::net::TcpListener;

use choria::core::pki::Kind;
use choria::core::protocol::v1::{Envelope, Request, Transport};
use choria::core::registration::unsigned;

use crate::network::Network;
use crate::process::{Daemon, program, until};
use crate::raw::Raw;

pub const TOPIC: &str = "mcollective.broadcast.agent.registration";
pub const BY_NAME: &str = "plugin.choria.network.x509_permissions = by-name\n\
     plugin.choria.network.adapter_certnames = adapter.example.net\n\
     plugin.choria.network.adapter_subjects = js.in.>\n";

/// A process that runs the adapter `reg`, and nothing else.
pub fn adapter(network: &Network, lines: &str) -> Daemon {
    adapters(network, &["reg"], lines)
}

/// A process that runs these adapters of the same messages, and nothing else.
pub fn adapters(network: &Network, names: &[&str], lines: &str) -> Daemon {
    let ingest: String = names
        .iter()
        .map(|adapter| format!("plugin.choria.adapter.{adapter}.ingest.topic = {TOPIC}\nplugin.choria.adapter.{adapter}.ingest.protocol = request\n"))
        .collect();
    let name = "adapter.example.net";
    network.certify(Kind::Node, name);
    let text = format!(
        "identity = {name}\nplugin.choria.adapters = {}\nplugin.choria.middleware_hosts = {}\n\
         plugin.choria.adapter.reg.stream.topic = js.in.reg.%s\n{ingest}{}{lines}",
        names.join(", "),
        network.address(),
        network.security(name)
    );
    let config = network.file("adapter.conf", &text);
    let mut command = program(network.directory());
    command.arg("broker").arg("run").arg("--config").arg(&config);
    Daemon::start("adapter", command)
}

/// It hears: the broker has its subscription.
pub fn hears(daemon: &Daemon, connections: usize) {
    until("the adapter's connections", || {
        (daemon.matching(0, &["connected", "broker="]).len() >= connections).then_some(())
    });
}

/// What a node publishes of itself.
pub fn registration(sender: &str, number: usize) -> String {
    registration_of(sender, number, number.to_string())
}

/// The same with other words.
pub fn registration_of(sender: &str, number: usize, message: String) -> String {
    let request = Request {
        message,
        envelope: Envelope {
            requestid: format!("{number:032x}"),
            senderid: sender.into(),
            callerid: format!("choria={sender}"),
            collective: "mcollective".into(),
            agent: "registration".into(),
            ttl: 60,
            time: crate::network::now(),
            filter: Default::default(),
        },
    };
    Transport { data: unsigned(&request).encode().into_bytes(), ..Transport::default() }.encode()
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port()
}

/// Publishes numbers of three senders, in order.
pub fn publish(raw: &mut Raw, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let text = registration(&format!("n{}.example.net", number % 3), number);
        raw.send(format!("PUB {TOPIC} {}\r\n{text}\r\n", text.len()));
    }
    raw.sync();
}

/// Each number arrived, and first arrivals of each sender are in order.
#[track_caller]
pub fn all_in_order(arrived: &[(String, usize)], count: usize) {
    let mut seen: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (sender, number) in arrived {
        let of = seen.entry(sender).or_default();
        if !of.contains(number) {
            of.push(*number);
        }
    }
    let wanted: BTreeMap<String, Vec<usize>> = (0..3)
        .map(|sender| (format!("n{sender}.example.net"), (0..count).filter(|n| n % 3 == sender).collect()))
        .collect();
    for (sender, numbers) in &wanted {
        let got = seen.get(sender.as_str()).map(Vec::as_slice).unwrap_or_default();
        let first = got.iter().zip(numbers).position(|(got, wanted)| got != wanted);
        assert!(
            got == numbers,
            "{sender}: {} of {}, first difference at {first:?}",
            got.len(),
            numbers.len()
        );
    }
}
