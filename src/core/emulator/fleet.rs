//! The emulated nodes, counted together.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::core::agents::{Counts, Node as _};
use crate::core::metrics::{Kind, Registry, process};
use crate::core::server::NodeState;
use crate::core::server::exposition::add_counts;

/// All nodes of an emulator. Nodes that come and go are counted over all their
/// lives.
#[derive(Default)]
pub struct Fleet {
    lives: Mutex<Lives>,
    pub(super) connected: AtomicUsize,
}

#[derive(Default)]
struct Lives {
    now: Vec<Arc<NodeState>>,
    before: Counts,
}

impl Fleet {
    pub(super) fn join(&self, node: Arc<NodeState>) {
        self.lives().now.push(node);
    }

    /// Node `index` begins another life.
    pub(super) fn replace(&self, index: usize, node: Arc<NodeState>) {
        let mut lives = self.lives();
        if let Some(place) = lives.now.get_mut(index) {
            let old = std::mem::replace(place, node);
            add(&mut lives.before, &old.counts());
        }
    }

    fn lives(&self) -> MutexGuard<'_, Lives> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nodes that exist.
    pub fn nodes(&self) -> usize {
        self.lives().now.len()
    }

    /// Nodes that are connected now.
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// Counters of all nodes together.
    pub fn counts(&self) -> Counts {
        let lives = self.lives();
        let mut sum = lives.before;
        lives.now.iter().for_each(|node| add(&mut sum, &node.counts()));
        sum
    }

    /// Connections that were made again, of the nodes as they are now.
    fn reconnections(&self) -> u64 {
        self.lives().now.iter().map(|node| node.traffic().reconnects).sum()
    }
}

fn add(sum: &mut Counts, counts: &Counts) {
    sum.total += counts.total;
    sum.validated += counts.validated;
    sum.unvalidated += counts.unvalidated;
    sum.passed += counts.passed;
    sum.filtered += counts.filtered;
    sum.replies += counts.replies;
    sum.ttlexpired += counts.ttlexpired;
    sum.events += counts.events;
    sum.replayed += counts.replayed;
    sum.dropped += counts.dropped;
    sum.denied += counts.denied;
    sum.timedout += counts.timedout;
    sum.overbudget += counts.overbudget;
    sum.panicked += counts.panicked;
    sum.registrations += counts.registrations;
}

/// Everything about the fleet as of now: the families of a server, summed, and
/// the emulator's own. `name` labels the samples, so that several emulators can
/// be told apart.
pub fn metrics(fleet: &Fleet, name: &str) -> Registry {
    let labels = [("identity", name)];
    let registry = exposition(
        &labels,
        &[
            ("choria_emulator_nodes", "Emulated nodes", fleet.nodes() as f64),
            ("choria_emulator_connected", "Emulated nodes that are connected", fleet.connected() as f64),
            (
                "choria_emulator_reconnections",
                "Connections made again by the nodes there are now",
                fleet.reconnections() as f64,
            ),
        ],
    );
    add_counts(&registry, &fleet.counts(), &labels);
    registry
}

/// These gauges, and what the process uses.
pub(super) fn exposition(labels: &[(&str, &str)], gauges: &[(&'static str, &'static str, f64)]) -> Registry {
    let registry = Registry::default();
    for (metric, help, value) in gauges.iter().copied() {
        registry.add(Kind::Gauge, metric, help, labels, move || value);
    }
    let memory = process::memory() as f64;
    registry.add(Kind::Gauge, "process_resident_memory_bytes", "Resident memory", labels, move || memory);
    let time = process::processor_time().as_secs_f64();
    registry.add(Kind::Counter, "process_cpu_seconds_total", "Processor time", labels, move || time);
    registry
}
