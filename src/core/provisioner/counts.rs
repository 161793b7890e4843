//! How many nodes are where, and how long they have waited: the population in numbers.

use serde::{Deserialize, Serialize};

/// How many are where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All names.
    pub known: usize,
    /// In the queue.
    pub ready: usize,
    /// Being provisioned.
    pub working: usize,
    /// Waiting for another try.
    pub later: usize,
    /// Provisioned and left alone.
    pub cooling: usize,
    /// Came back too often.
    pub quarantined: usize,
}

/// How long nodes that wait have waited, seconds: by the share of them that waited no longer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ages {
    /// Half of them.
    pub p50: u64,
    /// Nine of ten.
    pub p90: u64,
    /// All but one of a hundred.
    pub p99: u64,
    /// All.
    pub max: u64,
}

impl Ages {
    /// The shares, as metrics name them, in the order of [`values`](Ages::values).
    pub const QUANTILES: [&str; 4] = ["0.5", "0.9", "0.99", "1"];

    /// The ages, in the order of [`QUANTILES`](Ages::QUANTILES).
    pub fn values(self) -> [u64; Self::QUANTILES.len()] {
        [self.p50, self.p90, self.p99, self.max]
    }

    /// Of all ages, in any order.
    pub(super) fn of(mut ages: Vec<u64>) -> Ages {
        ages.sort_unstable();
        let at = |percent: usize| {
            let place = (ages.len() * percent).div_ceil(100).saturating_sub(1);
            ages.get(place).copied().unwrap_or_default()
        };
        Ages { p50: at(50), p90: at(90), p99: at(99), max: at(100) }
    }
}
