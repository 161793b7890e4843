//! Times and bounds of a population.

use std::time::Duration;

use super::End;

/// Times and bounds.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Most names held.
    pub most: usize,
    /// How long a node that was provisioned is left alone.
    pub cooldown: Duration,
    /// Without a sign for this long a waiting name is forgotten.
    pub forget_after: Duration,
    /// How long the node's own lock lasts, and a little more.
    pub locked: Duration,
    /// How long a node is left alone that came back `max_loops` times.
    pub quarantine: Duration,
    /// Times a node may come back after it was provisioned.
    pub max_loops: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            most: 100_000,
            cooldown: Duration::from_secs(60),
            forget_after: Duration::from_secs(180),
            locked: Duration::from_secs(125),
            quarantine: Duration::from_secs(600),
            max_loops: 3,
        }
    }
}

/// Longest pause between tries of a node that answers and fails,
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// and of one that does not answer.
const LONGEST_SILENCE: Duration = Duration::from_secs(300);
/// Shortest pause of a node that was deferred,
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// and the longest, whatever a helper asks for.
const MOST_DEFERRED: Duration = Duration::from_secs(3600);
/// How long a node is left alone that two machines claim.
const DOUBLED: Duration = Duration::from_secs(60);

impl Rules {
    /// How long a node is left alone after a walk that ended so, the `failures`-th in a row
    /// where it is one; `asked` is what somebody wants.
    pub(super) fn pause(&self, end: End, failures: u32, asked: Option<Duration>) -> Duration {
        let doubling = Duration::from_secs(1 << failures.saturating_sub(1).min(16));
        match end {
            End::Locked => self.locked,
            End::Doubled => DOUBLED,
            End::Deferred => asked.unwrap_or(LONGEST_PAUSE).clamp(LEAST_PAUSE, MOST_DEFERRED),
            End::Silent | End::Absent => doubling.min(LONGEST_SILENCE),
            _ => doubling.min(LONGEST_PAUSE),
        }
    }
}
