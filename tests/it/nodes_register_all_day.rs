//! Many nodes say what they are again and again, into a stream and into a topic, while an engine is started anew.
//! `CHORIA_TEST_NODES` and `CHORIA_TEST_SECONDS` say how many and for how long; more than a thousand do so every ten
//! seconds, others each second.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::a_hostile_node_does_not_hurt_the_broker::field;
use crate::adapter_stage::{BY_NAME, adapters, free_port, hears};
use crate::an_adapter_tells_kafka::Kafka;
use crate::emulated::Emulated;
use crate::nats_clients_see_no_difference::nats_server;
use crate::network::Network;
use crate::process::{PATIENCE, parameter, read_page, sample};
use crate::stream_stage::Streams;

/// Until there are so many, for as long as there are more now and then.
#[track_caller]
fn grows_to(what: &str, wanted: u64, count: impl Fn() -> u64) {
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let now = count();
        if now >= wanted {
            return;
        }
        if now > last {
            (last, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < PATIENCE, "{what}: {now} of {wanted}, and no more come");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Every request is there, once or more often, and those of each sender in the order of their time.
#[track_caller]
fn all_of(place: &str, documents: impl Iterator<Item = Value>, wanted: u64) -> u64 {
    let (mut seen, mut last, mut again) = (HashSet::new(), HashMap::new(), 0);
    for document in documents {
        let text = |key: &str| document[key].as_str().expect("a text").to_owned();
        if !seen.insert(text("requestid")) {
            again += 1;
            continue;
        }
        let before = last.insert(text("sender"), text("time"));
        assert!(before.is_none_or(|before| before <= text("time")), "{place}: out of order: {document}");
    }
    assert_eq!(seen.len() as u64, wanted, "{place}");
    again
}

#[test]
fn none_is_lost_where_an_engine_is_started_anew() {
    let nodes = parameter("CHORIA_TEST_NODES", 60);
    let seconds = parameter("CHORIA_TEST_SECONDS", 12);
    let every = if nodes > 1000 { 10 } else { 1 };
    let wanted = nodes * seconds / every;
    let network = Network::start_with(BY_NAME);
    let mut streams = Streams::by(&network, nats_server());
    streams.make_stream("REG", "js.in.reg.>");
    let kafka = Kafka::start(&network);
    kafka.make("registration", "6", "1");
    let port = free_port();
    let lines = format!(
        "plugin.choria.adapter.reg.type = jetstream\nplugin.choria.adapter.reg.stream.servers = {}\n\
         plugin.choria.adapter.reg.spool = {}\nplugin.choria.adapter.topic.type = kafka\n\
         plugin.choria.adapter.topic.kafka.servers = 127.0.0.1:{}\n\
         plugin.choria.adapter.topic.kafka.topic = registration\n\
         plugin.choria.adapter.topic.spool = {}\nplugin.choria.stats_port = {port}\n",
        streams.address,
        network.path("spool-reg").display(),
        kafka.port,
        network.path("spool-topic").display(),
    );
    let daemon = adapters(&network, &["reg", "topic"], &lines);
    hears(&daemon, 3);
    let page = format!("127.0.0.1:{port}");
    let metric = |name: &str, adapter: &str, role: &str| {
        let text = read_page(&page, "/choria/prometheus");
        let of = |line: &&str| line.starts_with(name) && line.contains(adapter) && line.contains(role);
        text.lines().find(of).and_then(|line| sample(line, name)).expect("a sample") as u64
    };
    let taken = |adapter: &str| metric("choria_adapter_received_msgs", adapter, "input");
    let words = ["--registering".to_owned(), every.to_string()];
    let mut fleet = Emulated::members(&network, nodes, &[&words[0], &words[1]]);
    fleet.daemon.says(&["nodes are connected"]);
    let published = || fleet.counter("choria_server_registrations");
    grows_to("registrations", wanted / 3, published);
    let warm = field(daemon.pid(), "RssAnon:");
    streams.kill();
    grows_to("registrations without an engine", published() + wanted / 6, published);
    streams.again();
    grows_to("registrations", wanted, published);
    let resident = field(daemon.pid(), "RssAnon:");

    fleet.daemon.signal(Signal::TERM);
    assert!(fleet.daemon.ended().success());
    let lines = fleet.daemon.lines();
    let all = lines.last().and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).expect("a number");
    assert!(all >= wanted);
    for adapter in ["\"reg", "\"topic"] {
        grows_to("messages taken in", all, || taken(adapter));
        grows_to("queues to be empty", 1, || {
            u64::from(metric("choria_adapter_queue_length", adapter, "") == 0)
        });
        assert_eq!(metric("choria_adapter_lost_msgs", adapter, ""), 0);
    }
    let again = [
        all_of("stream", streams.messages("REG").into_iter().map(|(_, _, document)| document), all),
        all_of(
            "topic",
            kafka
                .records("registration")
                .into_iter()
                .map(|(_, _, value)| serde_json::from_str(&value).expect("JSON")),
            all,
        ),
    ];
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).expect("it runs");
    let ticks: u64 = stat
        .rsplit(") ")
        .next()
        .into_iter()
        .flat_map(|rest| rest.split(' ').skip(11).take(2))
        .map(|t| t.parse::<u64>().unwrap_or(0))
        .sum();
    eprintln!(
        "{all} messages into both, {again:?} twice, {} µs of CPU each; {} KiB warm, {} KiB at the end",
        ticks * 10_000 / all,
        warm / 1024,
        resident / 1024
    );
    // What waited while the engine was away is on disk.
    assert!(resident < warm + warm / 4 + (16 << 20), "from {warm} to {resident} bytes");
}
