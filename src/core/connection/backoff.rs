//! How long to wait between tries (spec 01 §16).

use std::time::Duration;

/// A table of waits; the last entry repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backoff {
    /// Up to 5 s: the first connection of a process.
    FiveSeconds,
    /// Up to 20 s: reconnecting, so that a fleet spreads out.
    TwentySeconds,
}

impl Backoff {
    /// Milliseconds after try `attempt` (counted from 1), before jitter:
    /// entry `attempt` of the zero-based table, so the first wait is 750.
    pub fn millis(self, attempt: u32) -> u64 {
        let (ceiling, extras): (u64, &[u64]) = match self {
            Backoff::FiveSeconds => (5_000, &[750]),
            Backoff::TwentySeconds => (20_000, &[750, 5_750, 10_750, 15_750]),
        };
        // The tables are the multiples of 500 with a few entries between them.
        let mut index = u64::from(attempt);
        let mut step = 500;
        loop {
            if index == 0 || step == ceiling {
                return step;
            }
            index -= 1;
            if extras.contains(&(step + 250)) {
                if index == 0 {
                    return step + 250;
                }
                index -= 1;
            }
            step += 500;
        }
    }

    /// The wait after try `attempt`, jittered uniformly to 50–150 %; `random`
    /// is in `[0, 1)`.
    pub fn wait(self, attempt: u32, random: f64) -> Duration {
        Duration::from_millis(self.millis(attempt)).mul_f64(0.5 + random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_follow_the_tables() {
        let waits = |b: Backoff, n: u32| (0..n).map(|i| b.millis(i)).collect::<Vec<_>>();
        assert_eq!(
            waits(Backoff::FiveSeconds, 12),
            [500, 750, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500, 5000, 5000]
        );
        let long = waits(Backoff::TwentySeconds, 50);
        assert_eq!(&long[..4], [500, 750, 1000, 1500]);
        assert_eq!(long.iter().take_while(|w| **w < 20_000).count(), 43);
        assert!([5_750, 10_750, 15_750].iter().all(|w| long.contains(w)));
        assert_eq!(long[49], 20_000);
    }

    #[test]
    fn jitter_stays_within_half_and_one_and_a_half() {
        assert_eq!(Backoff::FiveSeconds.wait(1, 0.0), Duration::from_millis(375));
        assert_eq!(Backoff::FiveSeconds.wait(1, 1.0), Duration::from_millis(1125));
    }
}
