//! Counters as Prometheus text.
//!
//! `choria_network_*` and `choria_build_info` have the names, types and labels
//! of the original; what this broker does not do, such as streams, is zero
//! there, so that dashboards and alerts keep working. `choria_broker_*` is ours.

use super::{Monitored, MonitoringOptions, Process};
use crate::core::broker::fanout::BOUNDS;
use crate::core::broker::{LeafInfo, Stats};
use crate::core::build;
use crate::core::metrics::{Kind, Registry, process};

type Read = fn(&Stats) -> u64;

/// The original's: gauges, also where they only grow.
const ORIGINAL: [(&str, &str, Read); 19] = [
    ("choria_network_connections", "Current connections on the network broker", |s| s.connections as u64),
    ("choria_network_total_connections", "Total connections received since start", |s| s.total_connections),
    ("choria_network_routes", "Current active routes to other brokers", |_| 0),
    ("choria_network_remotes", "Current active connections to other brokers", |_| 0),
    ("choria_network_leafnode_remotes", "Current active connections to other leafnodes", |s| s.hubs as u64),
    ("choria_network_in_msgs", "Messages received by the network broker", |s| s.in_msgs),
    ("choria_network_out_msgs", "Messages sent by the network broker", |s| s.out_msgs),
    ("choria_network_in_bytes", "Total size of messages received by the network broker", |s| s.in_bytes),
    ("choria_network_out_bytes", "Total size of messages sent by the network broker", |s| s.out_bytes),
    ("choria_network_slow_consumers", "Total number of clients who were considered slow consumers", |s| {
        s.slow_consumers
    }),
    ("choria_network_subscriptions", "Number of active subscriptions to subjects on this broker", |s| {
        s.subscriptions as u64
    }),
    ("choria_network_stream_memorystore_max", "Maximum memory for streams", |_| 0),
    ("choria_network_stream_filestore_max", "Maximum file storage for streams", |_| 0),
    ("choria_network_stream_memorystore_used", "Memory used by streams", |_| 0),
    ("choria_network_stream_filestore_used", "File storage used by streams", |_| 0),
    ("choria_network_stream_streams", "Number of active streams", |_| 0),
    ("choria_network_stream_consumers", "Number of active consumers", |_| 0),
    ("choria_network_stream_messages", "Number of messages stored", |_| 0),
    ("choria_network_stream_message_bytes", "Size in bytes of messages stored", |_| 0),
];

const OURS: [(Kind, &str, &str, Read); 13] = [
    (Kind::Counter, "choria_broker_handshakes_total", "Connections let in", |s| s.handshakes),
    (
        Kind::Counter,
        "choria_broker_handshakes_resumed_total",
        "Connections let in that continued an earlier TLS session",
        |s| s.handshakes_resumed,
    ),
    (
        Kind::Counter,
        "choria_broker_handshakes_failed_total",
        "Connections that ended before they were in",
        |s| s.handshakes_failed,
    ),
    (Kind::Gauge, "choria_broker_handshaking", "Connections that are not in yet", |s| s.handshaking as u64),
    (Kind::Gauge, "choria_broker_waiting", "Connections that wait for others of their address", |s| {
        s.waiting as u64
    }),
    (Kind::Gauge, "choria_broker_pending_bytes", "Memory of messages that wait to be sent", |s| {
        s.pending_bytes as u64
    }),
    (
        Kind::Counter,
        "choria_broker_stale_connections_total",
        "Connections cut because pings stayed unanswered",
        |s| s.stale_connections,
    ),
    (
        Kind::Counter,
        "choria_broker_messages_lost_total",
        "Messages that connections did not get, because they read too slowly",
        |s| s.messages_lost,
    ),
    (
        Kind::Counter,
        "choria_broker_doubled_names_total",
        "Waiting nodes that claimed a name another connection had",
        |s| s.doubled_names,
    ),
    (Kind::Counter, "choria_broker_subscriptions_total", "Subscriptions ever made", |s| s.subscriptions_made),
    (Kind::Counter, "choria_broker_lookups_total", "Subjects looked up for messages", |s| s.lookups),
    (
        Kind::Counter,
        "choria_broker_lookups_cached_total",
        "Subjects whose subscriptions were known from an earlier message",
        |s| s.lookups_cached,
    ),
    (Kind::Gauge, "choria_broker_uptime_seconds", "Time since the start", |s| s.uptime.as_secs()),
];

const REFUSED: &str = "Connections refused";
/// Refusals that an operator wants to hear of.
const REFUSALS: [&str; 6] = [
    "authentication timeout",
    "maximum connections",
    "no certificate",
    "no longer allowed",
    "tls handshake",
    "tls timeout",
];

/// All samples as of now.
pub fn page(subject: &Monitored) -> String {
    let stats = subject.view.stats();
    let registry = Registry::default();
    let about = &subject.process.about;
    let identity = ("identity", about.identity.as_str());
    // Counters stay far below 2^53, where a float stops being exact.
    let add = |kind, name, help, labels: &[(&str, &str)], value: f64| {
        registry.add(kind, name, help, labels, move || value);
    };
    built(&registry, identity);
    for (name, help, read) in ORIGINAL {
        add(Kind::Gauge, name, help, &[identity], read(&stats) as f64);
    }
    for (kind, name, help, read) in OURS {
        add(kind, name, help, &[identity], read(&stats) as f64);
    }
    labelled(&registry, identity, &stats, subject);
    of_hubs(&registry, identity, &subject.view.hubs());
    let limits = subject.view.limits();
    for (name, help, limit) in [
        ("choria_broker_connections_max", "Connections at a time at most", limits.max_connections),
        ("choria_broker_handshaking_max", "Budget of choria_broker_handshaking", limits.max_handshakes),
        (
            "choria_broker_pending_bytes_max",
            "Budget of choria_broker_pending_bytes",
            limits.max_pending_total,
        ),
        (
            "choria_broker_link_pending_bytes_max",
            "Most that may wait for one connection before it is cut",
            limits.max_pending,
        ),
    ] {
        add(Kind::Gauge, name, help, &[identity], limit as f64);
    }
    let help = "Messages by the number of subscriptions and queue groups that wanted them";
    let (counts, sum) = (stats.fan_out.messages, stats.fan_out.deliveries);
    registry.add_histogram("choria_broker_fan_out", help, &[identity], &BOUNDS, &counts, sum);
    let help = "Monitoring requests with wrong credentials";
    let denied = subject.process.denied.count() as f64;
    add(Kind::Counter, "choria_broker_monitoring_denied_total", help, &[identity], denied);
    if let Some(expiry) = about.expiry() {
        let left = expiry - jiff::Timestamp::now().as_second();
        let help = "Seconds until the broker's certificate expires, negative afterwards";
        add(Kind::Gauge, "choria_broker_certificate_expires_seconds", help, &[identity], left as f64);
    }
    process::register(&registry, subject.process.started);
    with_more(&registry, about)
}

/// Those of a process without network broker.
pub fn of_process(process: &Process) -> String {
    let registry = Registry::default();
    built(&registry, ("identity", process.about.identity.as_str()));
    process::register(&registry, process.started);
    with_more(&registry, &process.about)
}

fn built(registry: &Registry, identity: (&str, &str)) {
    let labels = [("version", build::VERSION), ("sha", build::SHA), identity];
    let help = "Build information about the running server";
    registry.add(Kind::Counter, "choria_build_info", help, &labels, || 1.0);
}

/// All of them, and those of what else the process does.
fn with_more(registry: &Registry, about: &MonitoringOptions) -> String {
    registry.render() + &about.more.as_ref().map(|more| more.render()).unwrap_or_default()
}

/// The original's of its leafs: gauges all of them, and none while there is no hub.
fn of_hubs(registry: &Registry, identity: (&str, &str), hubs: &[LeafInfo]) {
    for hub in hubs {
        let host = hub.address.map(|address| address.ip().to_canonical().to_string()).unwrap_or_default();
        let port = hub.address.map(|address| address.port().to_string()).unwrap_or_default();
        let labels = [identity, ("host", &host), ("port", &port), ("account", hub.account)];
        let add = |name, help, value: f64| registry.add(Kind::Gauge, name, help, &labels, move || value);
        if let Some(rtt) = hub.rtt {
            let help = "RTT for the Leafnode connection";
            add("choria_network_leafnode_rtt_ms", help, rtt.as_secs_f64() * 1000.0);
        }
        for (name, help, value) in [
            (
                "choria_network_leafnode_in_msgs",
                "Messages received over the leafnode connection",
                hub.in_msgs,
            ),
            ("choria_network_leafnode_out_msgs", "Messages sent over the leafnode connection", hub.out_msgs),
            ("choria_network_leafnode_in_bytes", "Bytes received over the leafnode connection", hub.in_bytes),
            ("choria_network_leafnode_out_bytes", "Bytes sent over the leafnode connection", hub.out_bytes),
            (
                "choria_network_leafnode_subscriptions",
                "Number of active subscriptions to subjects on this leafnode",
                hub.subscriptions as u64,
            ),
        ] {
            add(name, help, value as f64);
        }
    }
}

/// Counters by reason, account and page.
fn labelled(registry: &Registry, identity: (&str, &str), stats: &Stats, subject: &Monitored) {
    let add = |kind, name, help, label: (&str, &str), count: u64| {
        registry.add(kind, name, help, &[identity, label], move || count as f64);
    };
    // zeros too: an alert on a first refusal needs a sample before it
    for reason in REFUSALS.iter().filter(|reason| !stats.refusals.contains_key(**reason)) {
        add(Kind::Counter, "choria_broker_refusals_total", REFUSED, ("reason", reason), 0);
    }
    for (reason, count) in &stats.refusals {
        add(Kind::Counter, "choria_broker_refusals_total", REFUSED, ("reason", reason), *count);
    }
    for (reason, count) in &stats.closed {
        let help = "Connections ended that had been let in";
        add(Kind::Counter, "choria_broker_closed_total", help, ("reason", reason), *count);
    }
    for (account, connections) in &stats.accounts {
        let help = "Connections in each account";
        add(
            Kind::Gauge,
            "choria_broker_account_connections",
            help,
            ("account", account),
            *connections as u64,
        );
    }
    for (page, count) in subject.requests.counts() {
        let help = "Monitoring requests answered";
        add(Kind::Counter, "choria_broker_monitoring_requests_total", help, ("page", page), count);
    }
}
