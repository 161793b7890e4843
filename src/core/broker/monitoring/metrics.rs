//! Counters as Prometheus text.
//!
//! `choria_network_*` and `choria_build_info` have the names, types and labels
//! of the original; what this broker does not do, such as streams, is zero
//! there, so that dashboards and alerts keep working. `choria_broker_*` is ours.

use super::Subject;
use crate::core::broker::Stats;
use crate::core::build;
use crate::core::metrics::{Kind, Registry, process};

type Read = fn(&Stats) -> u64;

/// The original's: gauges, also where they only grow.
const ORIGINAL: [(&str, &str, Read); 19] = [
    ("choria_network_connections", "Current connections on the network broker", |s| s.connections as u64),
    ("choria_network_total_connections", "Total connections received since start", |s| s.total_connections),
    ("choria_network_routes", "Current active routes to other brokers", |_| 0),
    ("choria_network_remotes", "Current active connections to other brokers", |_| 0),
    ("choria_network_leafnode_remotes", "Current active connections to other leafnodes", |_| 0),
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

const OURS: [(Kind, &str, &str, Read); 7] = [
    (Kind::Counter, "choria_broker_handshakes_total", "Connections let in", |s| s.handshakes),
    (
        Kind::Counter,
        "choria_broker_handshakes_failed_total",
        "Connections that ended before they were in",
        |s| s.handshakes_failed,
    ),
    (Kind::Gauge, "choria_broker_handshaking", "Connections that are not in yet", |s| s.handshaking as u64),
    (Kind::Gauge, "choria_broker_pending_bytes", "Memory of messages that wait to be sent", |s| {
        s.pending_bytes as u64
    }),
    (
        Kind::Counter,
        "choria_broker_stale_connections_total",
        "Connections cut because pings stayed unanswered",
        |s| s.stale_connections,
    ),
    (Kind::Counter, "choria_broker_subscriptions_total", "Subscriptions ever made", |s| s.subscriptions_made),
    (Kind::Gauge, "choria_broker_uptime_seconds", "Time since the start", |s| s.uptime.as_secs()),
];

/// All samples as of now.
pub fn page(subject: &Subject) -> String {
    let stats = subject.view.stats();
    let registry = Registry::default();
    let identity = ("identity", subject.about.identity.as_str());
    // Counters stay far below 2^53, where a float stops being exact.
    let add = |kind, name, help, labels: &[(&str, &str)], value: f64| {
        registry.add(kind, name, help, labels, move || value);
    };
    let build_labels = [("version", build::VERSION), ("sha", build::SHA), identity];
    add(Kind::Counter, "choria_build_info", "Build information about the running server", &build_labels, 1.0);
    for (name, help, read) in ORIGINAL {
        add(Kind::Gauge, name, help, &[identity], read(&stats) as f64);
    }
    for (kind, name, help, read) in OURS {
        add(kind, name, help, &[identity], read(&stats) as f64);
    }
    for (reason, count) in &stats.refusals {
        let labels = [identity, ("reason", *reason)];
        add(Kind::Counter, "choria_broker_refusals_total", "Connections refused", &labels, *count as f64);
    }
    for (account, connections) in &stats.accounts {
        let (labels, help) = ([identity, ("account", *account)], "Connections in each account");
        add(Kind::Gauge, "choria_broker_account_connections", help, &labels, *connections as f64);
    }
    let limits = subject.view.limits();
    for (name, help, limit) in [
        ("choria_broker_connections_max", "Connections at a time at most", limits.max_connections),
        (
            "choria_broker_pending_bytes_max",
            "Budget of choria_broker_pending_bytes",
            limits.max_pending_total,
        ),
    ] {
        add(Kind::Gauge, name, help, &[identity], limit as f64);
    }
    if let Some(expiry) = subject.about.expiry() {
        let left = expiry - jiff::Timestamp::now().as_second();
        let help = "Seconds until the broker's certificate expires, negative afterwards";
        add(Kind::Gauge, "choria_broker_certificate_expires_seconds", help, &[identity], left as f64);
    }
    let memory = process::memory() as f64;
    add(Kind::Gauge, "process_resident_memory_bytes", "Resident memory", &[], memory);
    let seconds = process::processor_time().as_secs_f64();
    add(Kind::Counter, "process_cpu_seconds_total", "Processor time", &[], seconds);
    registry.render()
}
