//! One timer wheel a thread: pings, deadlines, slow writers. Pure: the time is an argument.
//!
//! Timers are not cancelled. Whoever set one looks, when it fires, whether
//! there is still something to do, and sets the next. With two minutes between
//! pings a wheel turn is about one ping interval, so entries are looked at once.

use std::time::Duration;

const SLOTS: usize = 1024;

/// A wheel of entries that fire at or after their time.
#[derive(Debug)]
pub struct TimerWheel<T> {
    slots: Vec<Vec<(u64, T)>>,
    tick: Duration,
    /// The next tick to be looked at.
    now: u64,
    entries: usize,
    /// No entry fires before this tick.
    earliest: u64,
}

impl<T> TimerWheel<T> {
    /// A wheel that begins at time zero and is exact to one tick.
    pub fn new(tick: Duration) -> Self {
        let tick = tick.max(Duration::from_millis(1));
        Self {
            slots: std::iter::repeat_with(Vec::new).take(SLOTS).collect(),
            tick,
            now: 0,
            entries: 0,
            earliest: u64::MAX,
        }
    }

    /// Fires `entry` at the first tick not before `at`.
    pub fn insert(&mut self, at: Duration, entry: T) {
        let due = (at.as_nanos().div_ceil(self.tick.as_nanos()) as u64).max(self.now);
        if let Some(slot) = self.slots.get_mut(due as usize % SLOTS) {
            slot.push((due, entry));
            self.entries += 1;
            self.earliest = self.earliest.min(due);
        }
    }

    /// Moves everything due at `time` into `fired`, in order of ticks.
    pub fn advance(&mut self, time: Duration, fired: &mut Vec<T>) {
        let until = (time.as_nanos() / self.tick.as_nanos()) as u64;
        if self.entries == 0 || self.earliest > until {
            self.now = self.now.max(until.saturating_add(1).min(self.earliest));
            return;
        }
        let start = self.now.max(self.earliest.min(until));
        // a long sleep passes every slot once, not once a tick
        let stop = until.min(start.saturating_add(SLOTS as u64 - 1));
        for tick in start..=stop {
            let Some(slot) = self.slots.get_mut(tick as usize % SLOTS) else { continue };
            let mut at = 0;
            while let Some((due, _)) = slot.get(at) {
                if *due <= until {
                    fired.push(slot.swap_remove(at).1);
                    self.entries -= 1;
                } else {
                    at += 1;
                }
            }
            if slot.is_empty() && slot.capacity() > 256 {
                *slot = Vec::new();
            }
        }
        self.now = until + 1;
        self.earliest = self.find_earliest();
    }

    /// Time of the next tick at which something may be due.
    pub fn next(&self) -> Option<Duration> {
        (self.entries > 0).then(|| {
            let nanos = self.tick.as_nanos().saturating_mul(u128::from(self.earliest));
            Duration::from_nanos(nanos.min(u128::from(u64::MAX)) as u64)
        })
    }

    /// A lower bound: the first slot in use, as if its entries were of this turn.
    fn find_earliest(&self) -> u64 {
        if self.entries == 0 {
            return u64::MAX;
        }
        (self.now..self.now + SLOTS as u64)
            .find(|tick| self.slots.get(*tick as usize % SLOTS).is_some_and(|slot| !slot.is_empty()))
            .unwrap_or(self.now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn everything_fires_once_and_never_early(
            entries in proptest::collection::vec(0_u64..400_000, 0..50),
            steps in proptest::collection::vec(1_u64..60_000, 1..40),
        ) {
            let mut wheel = TimerWheel::new(Duration::from_millis(100));
            for due in &entries {
                wheel.insert(Duration::from_millis(*due), *due);
            }
            let (mut now, mut seen) = (0, Vec::new());
            for step in steps.into_iter().chain([500_000]) {
                let before = now;
                now += step;
                let mut fired = Vec::new();
                if let Some(next) = wheel.next() {
                    let earliest = entries.iter().filter(|due| !seen.contains(*due)).min().copied().unwrap_or(0);
                    prop_assert!(next <= Duration::from_millis(earliest.max(before) + 100), "{next:?} {earliest}");
                }
                wheel.advance(Duration::from_millis(now), &mut fired);
                for due in fired {
                    prop_assert!(due <= now, "{due} fired at {now}");
                    prop_assert!(due + 100 >= before || due >= before.saturating_sub(100), "{due} late at {now}, could have been at {before}");
                    seen.push(due);
                }
            }
            let mut expected = entries.clone();
            expected.sort_unstable();
            seen.sort_unstable();
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(wheel.next(), None);
        }
    }

    #[test]
    fn a_timer_set_in_the_past_fires_at_once() {
        let mut wheel = TimerWheel::new(Duration::from_millis(100));
        let mut fired = Vec::new();
        wheel.advance(Duration::from_secs(1000), &mut fired);
        wheel.insert(Duration::from_secs(1), "late");
        wheel.advance(Duration::from_millis(1_000_200), &mut fired);
        assert_eq!(fired, ["late"]);
    }
}
