//! How long nodes spend in each stage of their walk, and how many are in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::metrics::Counters;
use crate::core::metrics::{Kind, Registry};

/// Stages in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// In the queue, until a walk begins.
    Queue,
    /// Inventory and provisioning token.
    Inventory,
    /// Making its key and a request for it.
    Key,
    /// The helper is asked, or a place with it waited for.
    Helper,
    /// Replacing its binary.
    Upgrade,
    /// Getting a step on disk; three times for each node that all goes well with.
    Journal,
    /// Writing its configuration.
    Configure,
    /// Being told to restart.
    Restart,
}

/// Every stage with its name in metrics.
pub const STAGES: [(Stage, &str); 8] = [
    (Stage::Queue, "queue"),
    (Stage::Inventory, "inventory"),
    (Stage::Key, "key"),
    (Stage::Helper, "helper"),
    (Stage::Upgrade, "upgrade"),
    (Stage::Journal, "journal"),
    (Stage::Configure, "configure"),
    (Stage::Restart, "restart"),
];

/// Upper bounds of the histogram, milliseconds: from one round trip to a node that never answers.
const BOUNDS: [u64; 12] = [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000, 30_000, 120_000];

/// One stage.
#[derive(Debug, Default)]
pub struct StageTimes {
    /// How many were at most as long as each bound, and longer; not cumulative.
    counts: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
    within: AtomicU64,
}

impl StageTimes {
    /// Adds one that took this long.
    pub fn add(&self, took: Duration) {
        let place = BOUNDS.iter().position(|bound| took <= Duration::from_millis(*bound));
        if let Some(count) = self.counts.get(place.unwrap_or(BOUNDS.len())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Begins one, which ends with what is returned, however it ends.
    pub fn begin(&self) -> Within<'_> {
        self.within.fetch_add(1, Ordering::Relaxed);
        Within { times: self, since: Instant::now() }
    }

    fn below(&self, place: usize) -> u64 {
        self.counts.iter().take(place + 1).map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// One stage, for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageStatus {
    /// Its name.
    pub stage: String,
    /// Nodes in it.
    pub nodes: u64,
    /// Nodes that were in it since the start.
    pub done: u64,
    /// How long it took, milliseconds, on average.
    pub mean_millis: u64,
    /// For half of them at most: the bound of the histogram above it. None for longer than the
    /// last.
    #[serde(default)]
    pub half_millis: Option<u64>,
    /// For all but one of twenty at most, as before.
    pub most_millis: Option<u64>,
}

/// A node is in a stage for as long as this lives.
#[derive(Debug)]
pub struct Within<'a> {
    times: &'a StageTimes,
    since: Instant,
}

impl Drop for Within<'_> {
    fn drop(&mut self) {
        self.times.within.fetch_sub(1, Ordering::Relaxed);
        self.times.add(self.since.elapsed());
    }
}

impl Counters {
    /// Times of one stage.
    pub fn stage(&self, stage: Stage) -> &StageTimes {
        // as many as there are stages, by the type
        &self.stages[stage as usize]
    }

    /// All stages, for people.
    pub fn stage_status(&self) -> Vec<StageStatus> {
        let of = |(stage, name): (Stage, &str)| {
            let times = self.stage(stage);
            let done = times.below(BOUNDS.len());
            let within = |share: u64| {
                let place = (0..BOUNDS.len()).find(|place| times.below(*place) * 20 >= done * share)?;
                BOUNDS.get(place).copied()
            };
            StageStatus {
                stage: name.to_owned(),
                nodes: times.within.load(Ordering::Relaxed),
                done,
                mean_millis: times.micros.load(Ordering::Relaxed) / 1000 / done.max(1),
                half_millis: within(10),
                most_millis: within(19),
            }
        };
        STAGES.into_iter().map(of).collect()
    }

    /// Adds them to a registry.
    pub(super) fn register_stages(self: &Arc<Self>, registry: &Registry, site: (&str, &str)) {
        for (stage, name) in STAGES {
            let labels = [site, ("stage", name)];
            let (counts, sum) = (self.clone(), self.clone());
            registry.add_live_histogram(
                "choria_provisioner_stage_seconds",
                "Time nodes spend in each stage",
                &labels,
                &BOUNDS.map(|millis| millis as f64 / 1000.0),
                move |place| counts.stage(stage).below(place) as f64,
                move || sum.stage(stage).micros.load(Ordering::Relaxed) as f64 / 1e6,
            );
        }
        for (stage, name) in STAGES.into_iter().filter(|(stage, _)| *stage != Stage::Queue) {
            let counters = self.clone();
            registry.add(
                Kind::Gauge,
                "choria_provisioner_stage_nodes",
                "Nodes in each stage",
                &[site, ("stage", name)],
                move || counters.stage(stage).within.load(Ordering::Relaxed) as f64,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_counted_by_their_length() {
        let counters = Arc::new(Counters::default());
        let registry = Registry::default();
        counters.register_stages(&registry, ("site", "s"));
        for millis in [1, 5, 6, 200_000] {
            counters.stage(Stage::Helper).add(Duration::from_millis(millis));
        }
        let within = counters.stage(Stage::Restart).begin();
        let text = registry.render();
        for line in [
            "choria_provisioner_stage_seconds_bucket{site=\"s\",stage=\"helper\",le=\"0.005\"} 2",
            "choria_provisioner_stage_seconds_bucket{site=\"s\",stage=\"helper\",le=\"0.01\"} 3",
            "choria_provisioner_stage_seconds_bucket{site=\"s\",stage=\"helper\",le=\"120\"} 3",
            "choria_provisioner_stage_seconds_bucket{site=\"s\",stage=\"helper\",le=\"+Inf\"} 4",
            "choria_provisioner_stage_seconds_sum{site=\"s\",stage=\"helper\"} 200.012",
            "choria_provisioner_stage_seconds_count{site=\"s\",stage=\"helper\"} 4",
            "choria_provisioner_stage_nodes{site=\"s\",stage=\"restart\"} 1",
            "choria_provisioner_stage_nodes{site=\"s\",stage=\"helper\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        let status = counters.stage_status();
        let of = |name: &str| status.iter().find(|stage| stage.stage == name).unwrap();
        assert_eq!(
            (of("helper").done, of("helper").mean_millis, of("helper").half_millis, of("helper").most_millis),
            (4, 50_003, Some(5), None)
        );
        assert_eq!((of("restart").nodes, of("key").most_millis), (1, Some(5)));
        drop(within);
        assert!(registry.render().contains("stage_nodes{site=\"s\",stage=\"restart\"} 0"));
        // the names stand in the order of the stages
        for (place, (stage, _)) in STAGES.into_iter().enumerate() {
            assert_eq!(stage as usize, place);
        }
    }
}
