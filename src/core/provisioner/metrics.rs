//! Counters of the provisioner: the original's names, and ours (spec 05 §10).
//!
//! Every one of them is there from the start, as 0: an alert on errors need
//! not treat absence as one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::calls::{ACTIONS, ActionTimes, Calls};
use super::intakes::Intakes;
use super::population::Ages;
use super::stages::{STAGES, StageTimes};
use crate::core::metrics::{Kind, Registry};

/// Kinds of ends that are no success, as metrics and the status page name them.
pub const REASONS: [&str; 13] = [
    "silent", "refused", "locked", "doubled", "identity", "token", "csr", "helper", "answer", "deferred",
    "journal", "signing", "upgrade",
];

/// Count and sum of a duration.
#[derive(Debug, Default)]
pub struct Times {
    /// How often.
    pub count: AtomicU64,
    /// All together, microseconds.
    pub micros: AtomicU64,
}

impl Times {
    /// Adds one.
    pub fn add(&self, took: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// What happened since the start.
#[derive(Debug, Default)]
#[allow(missing_docs)] // `register` says what each is
pub struct Counters {
    pub helper_time: Times,
    pub helper_errors: AtomicU64,
    pub helper_shutdown_requests: AtomicU64,
    pub discovered: AtomicU64,
    pub event_discovered: AtomicU64,
    pub registration_discovered: AtomicU64,
    pub discover_cycles: AtomicU64,
    pub discovery_errors: AtomicU64,
    pub provision_errors: AtomicU64,
    pub provisioned: AtomicU64,
    pub returned: AtomicU64,
    pub quarantined: AtomicU64,
    pub turned_away: AtomicU64,
    pub absent: AtomicU64,
    pub untold: AtomicU64,
    pub walk_time: Times,
    pub reasons: [AtomicU64; REASONS.len()],
    pub(super) stages: [StageTimes; STAGES.len()],
    // gauges, set by the daemon
    pub working: AtomicU64,
    pub queued: AtomicU64,
    pub known: AtomicU64,
    pub cooling: AtomicU64,
    pub age_seconds: [AtomicU64; Ages::QUANTILES.len()],
    pub paused: AtomicU64,
}

impl Counters {
    /// Counts one end of this kind.
    pub fn reason(&self, kind: &'static str) {
        if let Some(place) = REASONS.iter().position(|name| *name == kind)
            && let Some(counter) = self.reasons.get(place)
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds all of them to a registry, labelled with the site.
    pub fn register(self: &Arc<Self>, registry: &Registry, calls: &Calls, site: &str) {
        let site = ("site", site);
        type Read = fn(&Counters) -> &AtomicU64;
        let plain: [(Kind, &str, &str, Read); 20] = [
            (Kind::Counter, "choria_provisioner_helper_errors", "Helper runs that failed", |c| {
                &c.helper_errors
            }),
            (
                Kind::Counter,
                "choria_provisioner_helper_shutdown_requests",
                "Nodes the helper had end themselves",
                |c| &c.helper_shutdown_requests,
            ),
            (Kind::Counter, "choria_provisioner_discovered", "Nodes found by discovery", |c| &c.discovered),
            (
                Kind::Counter,
                "choria_provisioner_event_discovered",
                "Nodes found by their startup event",
                |c| &c.event_discovered,
            ),
            (
                Kind::Counter,
                "choria_provisioner_registration_discovered",
                "Nodes found by their registration data",
                |c| &c.registration_discovered,
            ),
            (Kind::Counter, "choria_provisioner_discover_cycles", "Discoveries", |c| &c.discover_cycles),
            (Kind::Counter, "choria_provisioner_discovery_errors", "Discoveries that failed", |c| {
                &c.discovery_errors
            }),
            (
                Kind::Counter,
                "choria_provisioner_provision_errors",
                "Nodes that were not provisioned when tried",
                |c| &c.provision_errors,
            ),
            (Kind::Counter, "choria_provisioner_provisioned", "Nodes provisioned", |c| &c.provisioned),
            (
                Kind::Counter,
                "choria_provisioner_returned",
                "Nodes that came back to the waiting room after they were provisioned",
                |c| &c.returned,
            ),
            (
                Kind::Counter,
                "choria_provisioner_quarantined",
                "Nodes left alone because they came back too often",
                |c| &c.quarantined,
            ),
            (
                Kind::Counter,
                "choria_provisioner_turned_away",
                "Names not taken because too many are known",
                |c| &c.turned_away,
            ),
            (
                Kind::Counter,
                "choria_provisioner_absent",
                "Times a name was tried by which nobody listens",
                |c| &c.absent,
            ),
            (
                Kind::Counter,
                "choria_provisioner_repeated",
                "Times a node was not provisioned for a reason that had been told",
                |c| &c.untold,
            ),
            (Kind::Gauge, "choria_provisioner_busy_workers", "Nodes in work", |c| &c.working),
            (Kind::Gauge, "choria_provisioner_work_queue_entries", "Nodes waiting for their turn", |c| {
                &c.queued
            }),
            (
                Kind::Gauge,
                "choria_provisioner_waiting_nodes",
                "Nodes known: waiting, in work and cooling down",
                |c| &c.known,
            ),
            (Kind::Gauge, "choria_provisioner_cooling_nodes", "Nodes provisioned a moment ago", |c| {
                &c.cooling
            }),
            (Kind::Gauge, "choria_provisioner_paused", "1 while paused", |c| &c.paused),
            (Kind::Counter, "choria_provisioner_walks", "Nodes tried", |c| &c.walk_time.count),
        ];
        for (kind, name, help, read) in plain {
            let counters = self.clone();
            registry.add(kind, name, help, &[site], move || read(&counters).load(Ordering::Relaxed) as f64);
        }
        for (place, kind) in Intakes::KINDS.into_iter().enumerate() {
            let intakes = calls.intakes().clone();
            registry.add(
                Kind::Counter,
                "choria_provisioner_dropped",
                "Messages of waiting nodes that were dropped unread, by what they are",
                &[("kind", kind), site],
                move || intakes.dropped()[place] as f64,
            );
        }
        for (place, reason) in REASONS.iter().enumerate() {
            let counters = self.clone();
            registry.add(
                Kind::Counter,
                "choria_provisioner_ends",
                "Nodes that were not provisioned when tried, by reason",
                &[("reason", reason), site],
                move || counters.reasons[place].load(Ordering::Relaxed) as f64,
            );
        }
        for (place, quantile) in Ages::QUANTILES.iter().enumerate() {
            let counters = self.clone();
            registry.add(
                Kind::Gauge,
                "choria_provisioner_age_seconds",
                "How long nodes that wait have waited, by the share of them that waited no longer",
                &[("quantile", quantile), site],
                move || counters.age_seconds[place].load(Ordering::Relaxed) as f64,
            );
        }
        self.register_stages(registry, site);
        type Of = fn(&Counters) -> &Times;
        let helper = ("choria_provisioner_helper_time", "Time the helper takes for a node");
        let walk = ("choria_provisioner_walk_time", "Time from a node's turn to its end");
        let times: [((&str, &str), Of); 2] = [(helper, |c| &c.helper_time), (walk, |c| &c.walk_time)];
        for ((name, help), of) in times {
            let (sum, count) = (self.clone(), self.clone());
            registry.add_summary(
                name,
                help,
                &[site],
                move || seconds(&of(&sum).micros),
                move || of(&count).count.load(Ordering::Relaxed) as f64,
            );
        }
        for (place, action) in ACTIONS.iter().enumerate() {
            let labels = [("rpc", *action), site];
            let of = |read: fn(&ActionTimes) -> f64| {
                let calls = calls.clone();
                move || calls.all_times().get(place).map_or(0.0, read)
            };
            registry.add_summary(
                "choria_provisioner_rpc_time",
                "Time of every request to a node",
                &labels,
                of(|times| seconds(&times.micros)),
                of(|times| times.count.load(Ordering::Relaxed) as f64),
            );
            registry.add(
                Kind::Counter,
                "choria_provisioner_rpc_errors",
                "Requests without a good answer",
                &labels,
                of(|times| times.errors.load(Ordering::Relaxed) as f64),
            );
        }
    }
}

fn seconds(micros: &AtomicU64) -> f64 {
    micros.load(Ordering::Relaxed) as f64 / 1e6
}
