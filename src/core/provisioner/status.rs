//! What the provisioner says of itself: to `choria provision status`, to its page.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::flow::Ended;
use super::population::{Ages, Counts, End};
use super::stages::StageStatus;

/// Ends remembered.
const KEPT: usize = 100;
/// Seconds the rate is over.
const RATE: usize = 60;

/// A moment of the provisioner.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Its identity.
    pub identity: String,
    /// Its release.
    pub version: String,
    /// Unix seconds it runs since.
    pub started: i64,
    /// Broker it is connected to; empty for none.
    pub connected: String,
    /// Why it is paused; empty when it is not.
    pub paused: Vec<String>,
    /// How the helper is asked.
    pub helper: String,
    /// Who is where.
    pub nodes: Counts,
    /// How long nodes that wait have waited, by shares of them.
    #[serde(default)]
    pub age_seconds: Ages,
    /// Stages of a walk: who is in them, and how long they take.
    #[serde(default)]
    pub stages: Vec<StageStatus>,
    /// Nodes provisioned since the start.
    pub provisioned: u64,
    /// And in the last 60 seconds.
    pub provisioned_last_minute: u64,
    /// Ends that were no success, by reason, since the start.
    pub reasons: BTreeMap<String, u64>,
    /// The last ends, latest first.
    pub recent: Vec<RecentEnd>,
}

impl Status {
    /// As it is shown to strangers: numbers, and no names of nodes and brokers.
    pub fn without_names(mut self) -> Status {
        self.recent.clear();
        if !self.connected.is_empty() {
            self.connected = "a broker".to_owned();
        }
        self
    }
}

/// How one walk ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecentEnd {
    /// Node.
    pub node: String,
    /// How it ended.
    pub end: End,
    /// Kind of reason, as it is counted; empty after success.
    #[serde(default)]
    pub kind: String,
    /// Why, where it was no success.
    pub reason: String,
    /// Milliseconds from its turn to its end.
    pub millis: u64,
    /// Unix seconds.
    pub at: i64,
}

/// The last ends and the rate of successes.
#[derive(Debug)]
pub(super) struct Recent {
    ends: VecDeque<RecentEnd>,
    begun: Instant,
    /// Successes by second; the last is of `second`.
    seconds: VecDeque<u64>,
    second: u64,
}

impl Recent {
    pub(super) fn new(now: Instant) -> Recent {
        Recent { ends: VecDeque::new(), begun: now, seconds: VecDeque::from([0]), second: 0 }
    }

    pub(super) fn add(&mut self, node: &str, ended: &Ended, took: Duration, now: Instant, unix: i64) {
        if self.ends.len() >= KEPT {
            self.ends.pop_back();
        }
        self.ends.push_front(RecentEnd {
            node: node.to_owned(),
            end: ended.end,
            kind: ended.kind.to_owned(),
            reason: ended.reason.clone(),
            millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            at: unix,
        });
        self.turn(now);
        if ended.end == End::Provisioned
            && let Some(last) = self.seconds.back_mut()
        {
            *last += 1;
        }
    }

    fn turn(&mut self, now: Instant) {
        let second = now.duration_since(self.begun).as_secs();
        for _ in 0..second.saturating_sub(self.second).min(RATE as u64) {
            self.seconds.push_back(0);
        }
        self.second = second;
        while self.seconds.len() > RATE {
            self.seconds.pop_front();
        }
    }

    pub(super) fn last_minute(&mut self, now: Instant) -> u64 {
        self.turn(now);
        self.seconds.iter().sum()
    }

    pub(super) fn ends(&self) -> Vec<RecentEnd> {
        self.ends.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_of_the_last_minute() {
        let start = Instant::now();
        let mut recent = Recent::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        let good = Ended::well(End::Provisioned);
        for second in 0..200 {
            recent.add("n", &good, Duration::ZERO, at(second), 0);
        }
        assert_eq!(recent.last_minute(at(199)), 60);
        assert_eq!(recent.last_minute(at(229)), 30);
        assert_eq!(recent.last_minute(at(1_000_000)), 0);
        assert_eq!(recent.ends().len(), KEPT);
    }
}
