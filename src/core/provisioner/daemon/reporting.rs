//! How it goes: for pages, metrics and whoever listens to events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Daemon, lock};
use crate::core::build;
use crate::core::lifecycle::{Event, EventType};
use crate::core::metrics::Registry;
use crate::core::provisioner::calls::Calls;
use crate::core::provisioner::flow::{Ended, Shared};
use crate::core::provisioner::metrics::{Counters, REASONS};
use crate::core::provisioner::population::End;
use crate::core::provisioner::status::Status;

impl Daemon {
    /// A moment of it.
    pub fn status(&self) -> Status {
        let now = Instant::now();
        let Shared { counters, .. } = &self.shared;
        let reasons: BTreeMap<String, u64> = REASONS
            .iter()
            .zip(&counters.reasons)
            .map(|(name, count)| ((*name).to_owned(), count.load(Ordering::Relaxed)))
            .collect();
        let (nodes, ages) = {
            let population = self.population();
            (population.counts(), population.ages(now))
        };
        let mut recent = lock(&self.recent);
        Status {
            identity: self.identity.clone(),
            version: build::VERSION.to_owned(),
            started: self.started,
            connected: self.session.connected_server().unwrap_or_default(),
            paused: self.pauses().into_iter().map(str::to_owned).collect(),
            helper: format!("{:?}", self.plan().settings.mode()).to_lowercase(),
            nodes,
            age_seconds: ages,
            stages: counters.stage_status(),
            provisioned: counters.provisioned.load(Ordering::Relaxed),
            provisioned_last_minute: recent.last_minute(now),
            reasons,
            recent: recent.ends(),
        }
    }

    /// Whether it can do its work: connected and not paused.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<(), String> {
        if self.session.connected_server().is_none() {
            return Err("not connected to a broker".to_owned());
        }
        let paused = self.pauses();
        match paused.is_empty() {
            true => Ok(()),
            false => Err(format!("paused: {}", paused.join(", "))),
        }
    }

    /// Counters, for metrics.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.shared.counters
    }

    /// Requests to nodes, for metrics.
    pub fn calls(&self) -> &Calls {
        &self.shared.calls
    }

    /// Adds the metrics of the election.
    pub fn register_election(&self, registry: &Registry) {
        self.shared.standing.register(registry, self.election.name(), &self.identity);
    }

    pub(super) async fn keep_gauges(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let intakes = self.shared.calls.intakes().clone();
        let mut dropped = intakes.dropped();
        let mut summary = Summary::default();
        loop {
            ticks.tick().await;
            intakes.tell(&self.log, &mut dropped);
            summary.tick(&self.shared.counters);
            let (counts, ages) = {
                let population = self.population();
                (population.counts(), population.ages(Instant::now()))
            };
            let Counters { working, queued, known, cooling, age_seconds, paused, .. } =
                &*self.shared.counters;
            for (gauge, value) in age_seconds.iter().zip(ages.values()) {
                gauge.store(value, Ordering::Relaxed);
            }
            for (gauge, value) in [
                (working, counts.working as u64),
                (queued, (counts.ready + counts.later) as u64),
                (known, counts.known as u64),
                (cooling, counts.cooling as u64),
                (paused, u64::from(self.is_paused())),
            ] {
                gauge.store(value, Ordering::Relaxed);
            }
        }
    }

    /// A node was not provisioned. It is told why once for each reason, however often it is
    /// tried again, and of a kind of reason so many nodes, however many there are.
    pub(super) fn failed(&self, node: &str, ended: &Ended) {
        let Shared { counters, .. } = &self.shared;
        let Ended { end, kind, reason, .. } = ended;
        counters.reason(kind);
        if !matches!(end, End::Deferred | End::Locked) {
            counters.provision_errors.fetch_add(1, Ordering::Relaxed);
        }
        if !self.population().is_news(node, reason) {
            counters.untold.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(node, "still not provisioned: {reason}");
            return;
        }
        self.log.note(kind, || {
            match end {
                End::Deferred | End::Locked => tracing::info!(node, "not provisioned now: {reason}"),
                End::Doubled => tracing::error!(node, "not provisioned: {reason}"),
                _ => tracing::warn!(node, "not provisioned: {reason}"),
            }
            self.population().was_told(node, reason);
        });
    }

    /// Tells the network of the start, once there is one.
    pub(super) async fn announce(self: Arc<Self>) {
        self.session.connected().await;
        let now = jiff::Timestamp::now().as_second();
        let id = uuid::Uuid::new_v4().to_string();
        let event =
            Event::new(EventType::Startup, &self.identity, "provisioner", id, now).version(build::VERSION);
        if let Err(error) = self.session.publish(event.subject(), event.encode(false).into()).await {
            tracing::warn!("the startup event was not published: {error}");
        }
    }
}

/// What is not told each time is told once a minute, in numbers.
#[derive(Default)]
struct Summary {
    ticks: u32,
    untold: u64,
    reasons: [u64; REASONS.len()],
}

impl Summary {
    /// Seconds between two of them.
    const EVERY: u32 = 60;

    fn tick(&mut self, counters: &Counters) {
        self.ticks += 1;
        if self.ticks < Summary::EVERY {
            return;
        }
        let before = std::mem::replace(self, Summary::of(counters));
        if self.untold == before.untold {
            return;
        }
        let more = self.reasons.iter().zip(&before.reasons).zip(REASONS);
        let more = more.map(|((now, before), name)| (now - before, name)).filter(|(more, _)| *more > 0);
        let told: Vec<String> = more.map(|(more, name)| format!("{name} {more}")).collect();
        tracing::warn!("tries of the last minute that did not provision a node: {}", told.join(", "));
    }

    fn of(counters: &Counters) -> Summary {
        let read = |place: usize| counters.reasons[place].load(Ordering::Relaxed);
        Summary {
            ticks: 0,
            untold: counters.untold.load(Ordering::Relaxed),
            reasons: std::array::from_fn(read),
        }
    }
}
