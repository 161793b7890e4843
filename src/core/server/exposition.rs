//! Counters of a node as Prometheus text (spec 02 §12.3).
//!
//! A node opens no port: where `plugin.choria.prometheus_textfile_directory` is
//! set, the text goes to a file there, for the node exporter's textfile
//! collector.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::NodeState;
use crate::core::agents::{Counts, Node};
use crate::core::build;
use crate::core::files;
use crate::core::metrics::{Kind, Registry};
use crate::core::security::Provider;

/// Name of the file.
const FILE: &str = "choria_server.prom";
/// Between two writes.
const INTERVAL: Duration = Duration::from_secs(30);

type Read = fn(&Counts) -> u64;

const COUNTERS: [(&str, &str, Read); 15] = [
    ("choria_server_total", "Requests received", |c| c.total),
    ("choria_server_validated", "Requests verified, matching and in time", |c| c.validated),
    ("choria_server_unvalidated", "Requests refused as unreadable or unverified", |c| c.unvalidated),
    ("choria_server_passed", "Requests that matched the filter", |c| c.passed),
    ("choria_server_filtered", "Requests that did not match the filter", |c| c.filtered),
    ("choria_server_replies", "Replies sent", |c| c.replies),
    ("choria_server_ttlexpired", "Requests too old or from the future", |c| c.ttlexpired),
    ("choria_server_events", "Lifecycle events published", |c| c.events),
    ("choria_server_replayed", "Requests seen before and not run again", |c| c.replayed),
    ("choria_server_dropped", "Requests dropped because too many waited", |c| c.dropped),
    ("choria_server_denied", "Requests denied by policy", |c| c.denied),
    ("choria_server_timedout", "Actions that took longer than their agent's timeout", |c| c.timedout),
    ("choria_server_overbudget", "Requests whose filter costs more than it may", |c| c.overbudget),
    ("choria_server_panicked", "Requests that met a fault of this program", |c| c.panicked),
    ("choria_server_registrations", "Registration messages published", |c| c.registrations),
];

/// Adds the counters of a node, or of many together, as they are now.
pub fn add_counts(registry: &Registry, counts: &Counts, labels: &[(&str, &str)]) {
    for (name, help, read) in COUNTERS {
        let value = read(counts) as f64;
        registry.add(Kind::Counter, name, help, labels, move || value);
    }
}

/// The registry of a node.
pub fn registry(node: &Arc<NodeState>) -> Registry {
    let registry = Registry::default();
    let identity = node.identity().to_owned();
    let labels = [("identity", identity.as_str())];
    for (name, help, read) in COUNTERS {
        let node = node.clone();
        // Counters stay far below 2^53, where a float stops being exact.
        registry.add(Kind::Counter, name, help, &labels, move || read(&node.counts()) as f64);
    }
    let build_labels = [("version", build::VERSION), ("sha", build::SHA), labels[0]];
    registry.add(Kind::Counter, "choria_build_info", "Version of the binary", &build_labels, || 1.0);
    if node.machines().is_some() {
        type Read = fn(&NodeState) -> &AtomicU64;
        let counters: [(_, _, Read); 2] = [
            ("choria_machine_events", "Events of autonomous agents published", |n| {
                &n.counters().machine_events
            }),
            ("choria_machine_events_dropped", "Events of autonomous agents dropped without a broker", |n| {
                &n.counters().machine_dropped
            }),
        ];
        for (name, help, read) in counters {
            let of = node.clone();
            registry
                .add(Kind::Counter, name, help, &labels, move || read(&of).load(Ordering::Relaxed) as f64);
        }
        let of = node.clone();
        let commands = move || of.machines().map_or(0.0, |host| host.commands() as f64);
        registry.add(
            Kind::Counter,
            "choria_machine_commands",
            "Commands of autonomous agents",
            &labels,
            commands,
        );
    }
    let of = node.clone();
    registry.add(
        Kind::Gauge,
        "choria_server_certificate_expires_seconds",
        "Seconds until the certificate of this node expires",
        &labels,
        move || of.provider().and_then(Provider::certificate_expiry).map_or(0.0, |at| (at - of.now()) as f64),
    );
    let of = node.clone();
    registry.add(
        Kind::Gauge,
        "choria_server_connected",
        "1 while connected to a broker",
        &labels,
        move || f64::from(u8::from(of.connected_server().is_some())),
    );
    registry
}

/// Writes the file for as long as the node runs; returns at once where no
/// directory is configured.
pub(super) async fn keep_written(node: Arc<NodeState>) {
    let directory = node.config().choria_prometheus_textfile_directory.clone();
    if directory.is_empty() {
        return;
    }
    let file = Path::new(&directory).join(FILE);
    let registry = registry(&node);
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (file, text) = (file.clone(), registry.render());
        let written =
            spawn_blocking(move || files::write_atomic(&file, text.as_bytes(), files::PUBLIC)).await;
        if let Ok(Err(e)) = written {
            tracing::error!("metrics were not written: {e}");
        }
    }
}
