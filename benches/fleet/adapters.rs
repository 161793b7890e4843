//! What a message costs the adapter that hands it to a stream, ours and, where `CHORIA_ORIGINAL` names the program,
//! the original's, from the same broker into the same nats-server.

use std::time::{Duration, Instant};

use choria::core::pki::Kind;

use crate::adapter_stage::{BY_NAME, TOPIC, registration_of};
use crate::cluster::nats_server;
use crate::common::{memory, show, whole_processor};
use crate::network::Network;
use crate::original::Program;
use crate::process::PATIENCE;
use crate::raw::Raw;
use crate::stream_stage::Streams;

/// Messages of a run.
const ALL: u64 = 50_000;
/// Messages on their way at a time: with more, the original drops some.
const AT_A_TIME: u64 = 500;
/// Bytes of what a node says of itself.
const SAID: usize = 2_000;

pub fn handed_on() {
    let Some(engine) = nats_server() else {
        println!("adapters: no nats-server, say with NATS_SERVER where one is");
        return;
    };
    let network = Network::start_with(BY_NAME);
    let streams = Streams::by(&network, engine);
    let name = "adapter.example.net";
    network.certify(Kind::Node, name);
    for (number, which) in Program::all().into_iter().enumerate() {
        let stream = format!("REG{number}");
        streams.make_stream(&stream, &format!("js.in.reg{number}.>"));
        let config = format!(
            "identity = {name}\nplugin.choria.use_srv = false\nplugin.choria.adapters = reg\nloglevel = warn\n\
             plugin.choria.middleware_hosts = {}\nplugin.choria.adapter.reg.type = jetstream\n\
             plugin.choria.adapter.reg.ingest.topic = {TOPIC}\nplugin.choria.adapter.reg.ingest.protocol = request\n\
             plugin.choria.adapter.reg.stream.topic = js.in.reg{number}.%s\n\
             plugin.choria.adapter.reg.stream.servers = {}\n{}",
            network.address(),
            streams.address,
            network.security(name)
        );
        let adapter = which.broker(&network, "adapter", &config);
        let mut node = Raw::connect(&network, &network.caller("n0.example.net"));
        let publish = |node: &mut Raw, number: u64| {
            let sender = format!("n{}.example.net", number % 1000);
            let text = registration_of(&sender, number as usize, "x".repeat(SAID));
            node.send(format!("PUB {TOPIC} {}\r\n{text}\r\n", text.len()));
        };
        let mut asking = streams.raw();
        let mut in_stream = || Streams::last(&mut asking, &stream);
        // until it hears; what was there before is not taken again
        let (begun, mut number) = (Instant::now(), ALL);
        while in_stream() == 0 {
            assert!(begun.elapsed() < PATIENCE, "the adapter never began");
            publish(&mut node, number);
            number += 1;
            std::thread::sleep(Duration::from_millis(200));
        }
        std::thread::sleep(Duration::from_secs(1));
        let first = in_stream();
        let (before, begun) = (whole_processor(adapter.pid()), Instant::now());
        let (mut sent, mut stored) = (0, 0);
        let mut since = Instant::now();
        while stored < ALL && since.elapsed() < Duration::from_secs(5) {
            while sent < ALL && sent < stored + AT_A_TIME {
                publish(&mut node, sent);
                sent += 1;
            }
            node.sync();
            let now = in_stream() - first;
            if now > stored {
                (stored, since) = (now, Instant::now());
            }
        }
        let (took, used) = (begun.elapsed(), whole_processor(adapter.pid()) - before);
        let each = used.as_secs_f64() * 1e6 / stored as f64;
        show(
            &format!("adapter, {which}, a message into a stream"),
            "µs CPU",
            vec![each],
            "",
            "at most 0.3 of it",
        );
        show("  in the stream", "messages a second", vec![stored as f64 / took.as_secs_f64()], "", "");
        show("  lost", "messages", vec![(sent - stored) as f64], "", "");
        show("  its memory", "MiB", vec![memory(adapter.pid(), "Rss:")], "", "");
    }
}
