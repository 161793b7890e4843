//! A captured request must not run again (design decision 15).
//!
//! Each (caller, request id) runs once a node. It is remembered for twice its
//! TTL, the whole span in which a copy could still be in time. Memory is
//! bounded: when it is full the oldest entry goes, and from then on everything
//! made no later than that entry is refused, because it could be a copy.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

/// Requests remembered at most; about 5 MB.
const CAPACITY: usize = 65_536;
/// A node refuses requests made this many seconds before it started: it cannot
/// know what an earlier process already ran.
const BEFORE_START: i64 = 10;

type Key = [u8; 16];

/// Remembers what was run.
pub struct ReplayGuard {
    capacity: usize,
    seen: Mutex<Seen>,
}

struct Seen {
    keys: HashSet<Key>,
    /// In order of arrival: (forget at, made at, key).
    order: VecDeque<(i64, i64, Key)>,
    /// Requests made at or before this time are refused.
    floor: i64,
    /// The latest time the clock has shown.
    latest: i64,
    /// When the newest of the requests that were forgotten was made.
    forgotten: i64,
}

/// Why a request may be a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Replay {
    /// It ran before.
    #[error("it was already run here")]
    Seen,
    /// It is older than what the node can vouch for.
    #[error(
        "it was made {by} s before the first moment this node can vouch for, so it may be a copy of one that ran; \
         if it is new, the clocks of both machines differ by more than {BEFORE_START} s: set them, or wait {by} s \
         and ask again"
    )]
    TooOld {
        /// Seconds between its time and the first that is taken.
        by: i64,
    },
}

impl ReplayGuard {
    /// A guard of a process that started at `started`, unix seconds.
    pub fn new(started: i64) -> ReplayGuard {
        Self::with_capacity(started, CAPACITY)
    }

    fn with_capacity(started: i64, capacity: usize) -> ReplayGuard {
        let seen = Seen {
            keys: HashSet::new(),
            order: VecDeque::new(),
            floor: started - BEFORE_START - 1,
            latest: started,
            forgotten: i64::MIN,
        };
        ReplayGuard { capacity, seen: Mutex::new(seen) }
    }

    /// Remembers the request, or says why it must not run. `time` and `ttl` are
    /// those of the request; callers have checked that it is in time.
    pub fn admit(&self, caller: &str, request_id: &str, time: i64, ttl: i64, now: i64) -> Result<(), Replay> {
        let key = key(caller, request_id);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if now < seen.latest {
            // The clock was set back: what was forgotten as out of time may be
            // in time again.
            seen.floor = seen.floor.max(seen.forgotten);
        }
        seen.latest = now;
        while let Some((forget, made, old)) = seen.order.front().copied()
            && forget < now
        {
            seen.order.pop_front();
            seen.keys.remove(&old);
            seen.forgotten = seen.forgotten.max(made);
        }
        if time <= seen.floor {
            return Err(Replay::TooOld { by: seen.floor.saturating_add(1).saturating_sub(time) });
        }
        if !seen.keys.insert(key) {
            return Err(Replay::Seen);
        }
        seen.order.push_back((now.saturating_add(ttl.saturating_mul(2)), time, key));
        if seen.order.len() > self.capacity
            && let Some((_, made, old)) = seen.order.pop_front()
        {
            seen.keys.remove(&old);
            seen.floor = seen.floor.max(made);
        }
        Ok(())
    }
}

fn key(caller: &str, request_id: &str) -> Key {
    // The length keeps ("ab", "c") and ("a", "bc") apart.
    let text = format!("{}:{caller}{request_id}", caller.len());
    let mut key = Key::default();
    key.copy_from_slice(&digest(&SHA256, text.as_bytes()).as_ref()[..16]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_runs_once() {
        let guard = ReplayGuard::new(1000);
        assert_eq!(guard.admit("choria=bob", "1", 1005, 60, 1005), Ok(()));
        assert_eq!(guard.admit("choria=bob", "1", 1005, 60, 1064), Err(Replay::Seen));
        assert_eq!(guard.admit("choria=eve", "1", 1005, 60, 1005), Ok(()), "ids are a caller's own");
        assert_eq!(guard.admit("choria=bo", "b1", 1005, 60, 1005), Ok(()));
    }

    #[test]
    fn what_was_made_before_the_start_is_refused() {
        let guard = ReplayGuard::new(1000);
        assert_eq!(guard.admit("a", "1", 989, 60, 1001), Err(Replay::TooOld { by: 1 }));
        assert_eq!(guard.admit("a", "2", 990, 60, 1001), Ok(()));
    }

    #[test]
    fn a_full_memory_refuses_instead_of_forgetting() {
        let guard = ReplayGuard::with_capacity(0, 2);
        for (id, time) in [("1", 100), ("2", 101), ("3", 102)] {
            assert_eq!(guard.admit("a", id, time, 60, 102), Ok(()));
        }
        assert_eq!(guard.admit("a", "1", 100, 60, 103), Err(Replay::TooOld { by: 1 }));
        assert_eq!(guard.admit("a", "3", 102, 60, 103), Err(Replay::Seen));
    }

    /// A clock that is set runs nothing twice, whichever way and back it goes.
    #[test]
    fn a_clock_that_is_stepped_runs_nothing_twice() {
        for steps in
            [&[300, -300][..], &[-300, 300], &[300], &[-300], &[300, -300, 300, -300], &[3600, -3600]]
        {
            let guard = ReplayGuard::new(10_000);
            let (mut clock, made, ttl) = (10_005, 10_005, 60);
            assert_eq!(guard.admit("a", "1", made, ttl, clock), Ok(()));
            for step in steps {
                clock += step;
                // Other requests come meanwhile, made by callers whose clocks go along.
                let _ = guard.admit("b", &clock.to_string(), clock, ttl, clock);
                // As in the pipeline, what is not in time does not get here.
                if (clock - made).abs() <= ttl {
                    assert!(guard.admit("a", "1", made, ttl, clock).is_err(), "{steps:?}");
                }
            }
            // The network goes on, at the latest when the clock is where it was.
            clock = clock.max(10_005) + 130;
            assert_eq!(guard.admit("a", "2", clock, ttl, clock), Ok(()), "{steps:?}");
        }
    }

    #[test]
    fn a_node_whose_clock_is_ahead_says_so() {
        let guard = ReplayGuard::new(1000);
        let text = guard.admit("a", "1", 985, 60, 1000).unwrap_err().to_string();
        assert!(text.contains("made 5 s before") && text.contains("wait 5 s"), "{text}");
        assert_eq!(guard.admit("a", "1", 990, 60, 1005), Ok(()));
    }

    #[test]
    fn memory_is_given_back_after_twice_the_ttl() {
        let guard = ReplayGuard::with_capacity(0, 10);
        guard.admit("a", "1", 100, 60, 100).unwrap();
        guard.admit("a", "2", 300, 60, 300).unwrap();
        assert_eq!(guard.seen.lock().unwrap().keys.len(), 1);
    }
}
