//! A captured request must not run again (design decision 15).
//!
//! Each (caller, request id) runs once a node. It is remembered as long as a
//! copy could be in time. Memory is bounded for a caller and in all; what is
//! too much for it goes at the cost of the caller who has most: his oldest
//! entry, and from then on everything of his that was made no later, because
//! it could be a copy. Nothing a caller sends changes what is remembered of
//! another.
//!
//! A node that starts knows nothing, and refuses what was made before. Until
//! when the requests of a caller ran is kept in a file ([`Journal`]), because
//! they may be dated ahead: such a request is not from before the start.

mod journal;
mod memory;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

pub use journal::Journal;
use memory::Memory;

use crate::core::files::{Look, within_deadline};

/// A node refuses requests made this many seconds before it started: it cannot
/// know what an earlier process already ran.
const BEFORE_START: i64 = 10;
/// Seconds a request may be dated ahead where nothing outlives the process.
const AHEAD_UNKEPT: i64 = 2;

type Key = [u8; 16];

/// Remembers what was run.
pub struct ReplayGuard {
    seen: Mutex<Seen>,
    kept: Option<Kept>,
}

/// What outlives this process.
struct Kept {
    /// When the last request of each caller was made that ran before the start.
    before: HashMap<Key, i64>,
    journal: Arc<Mutex<Journal>>,
    path: Arc<Path>,
    look: Arc<Look>,
    /// Whose turn it is to write.
    turn: tokio::sync::Mutex<()>,
}

impl Kept {
    fn of(journal: Journal) -> Kept {
        Kept {
            before: journal.before().clone(),
            path: journal.path().into(),
            journal: Arc::new(Mutex::new(journal)),
            look: Arc::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Notes that a request is going to run; false when that could not be written, or not
    /// in time.
    async fn note(&self, caller: Key, time: i64, now: i64) -> bool {
        let _turn = self.turn.lock().await;
        // what hangs holds this until it comes back
        if let Ok(journal) = self.journal.try_lock()
            && journal.knows(&caller, time)
        {
            return true;
        }
        let (journal, path, look) = (self.journal.clone(), self.path.clone(), self.look.clone());
        let written = within_deadline(move || {
            let _looking = look.begin(&path)?;
            Some(journal.lock().unwrap_or_else(PoisonError::into_inner).note(&caller, time, now))
        });
        written.await.flatten().unwrap_or(false)
    }
}

struct Seen {
    memory: Memory,
    /// Requests made at or before this time are refused.
    floor: i64,
    /// The latest time the clock has shown.
    latest: i64,
}

impl Seen {
    /// Forgets what no copy could be in time of.
    fn forget(&mut self, now: i64) {
        if now < self.latest {
            // The clock was set back: what was forgotten as out of time may be
            // in time again.
            self.floor = self.floor.max(self.memory.forgotten());
        }
        self.latest = now;
        self.memory.forget(now);
    }
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
    /// It is not newer than one of its caller that ran before the last start.
    #[error(
        "it was made {by} s before the last request of its caller that ran before this node started, so it may be \
         a copy of one that ran; if it is new, wait {by} s and ask again"
    )]
    BeforeStart {
        /// Seconds between its time and the first that is taken.
        by: i64,
    },
    /// Its caller sends more than can be remembered.
    #[error(
        "its caller sends more requests than this node can remember, and it was made {by} s too early to be told \
         from a copy; ask again"
    )]
    Flooded {
        /// Seconds between its time and the first that is taken.
        by: i64,
    },
    /// It is dated ahead, and nothing would be known of it after a start.
    #[error(
        "it is dated {ahead} s ahead and this node cannot remember it over a restart; set the clocks of both \
         machines, or plugin.choria.replay_file"
    )]
    Ahead {
        /// Seconds it is dated ahead.
        ahead: i64,
    },
    /// More callers than anybody has.
    #[error("more callers than this node can remember have sent requests of late")]
    Crowded,
}

impl ReplayGuard {
    /// A guard of a process that started at `started`, unix seconds.
    pub fn new(started: i64, journal: Option<Journal>) -> ReplayGuard {
        Self::with_memory(started, journal, Memory::default())
    }

    fn with_memory(started: i64, journal: Option<Journal>, memory: Memory) -> ReplayGuard {
        let floor = started - BEFORE_START - 1;
        let kept = journal.map(Kept::of);
        ReplayGuard { seen: Mutex::new(Seen { memory, floor, latest: started }), kept }
    }

    /// Remembers the request, or says why it must not run. `time` and `ttl` are
    /// those of the request; callers have checked that it is in time.
    pub async fn admit(
        &self,
        caller: &str,
        request_id: &str,
        time: i64,
        ttl: i64,
        now: i64,
    ) -> Result<(), Replay> {
        let (caller, request) = (key("", caller), key(caller, request_id));
        // remembered first: a copy may come while this one is written down
        self.remember(caller, request, time, ttl, now)?;
        let ahead = time.saturating_sub(now);
        let kept = match &self.kept {
            Some(kept) => kept.note(caller, time, now).await,
            None => false,
        };
        if !kept && ahead > AHEAD_UNKEPT {
            return Err(Replay::Ahead { ahead });
        }
        Ok(())
    }

    /// Whether a request ran here that waited for this node and may have reached it in the ordinary way as well. If not
    /// it is remembered for `ttl`: it is about to run, and a copy of it may be on its way yet. What ran before the start is for
    /// others to know, and nothing of it is kept over the next: when it was made says nothing of when it runs.
    pub fn has_run(&self, caller: &str, request_id: &str, ttl: i64, now: i64) -> bool {
        let (caller, request) = (key("", caller), key(caller, request_id));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.forget(now);
        match seen.memory.look(&caller, &request, now) {
            Err(Replay::Seen) => true,
            Ok(()) => {
                seen.memory.remember(caller, request, now, now.saturating_add(ttl));
                false
            }
            Err(_) => false,
        }
    }

    fn remember(&self, caller: Key, request: Key, time: i64, ttl: i64, now: i64) -> Result<(), Replay> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = &mut *seen;
        seen.forget(now);
        let before = |first: i64| first.saturating_add(1).saturating_sub(time);
        if time <= seen.floor {
            return Err(Replay::TooOld { by: before(seen.floor) });
        }
        if let Some(last) = self.kept.as_ref().and_then(|kept| kept.before.get(&caller).copied())
            && time <= last
        {
            return Err(Replay::BeforeStart { by: before(last) });
        }
        seen.memory.look(&caller, &request, time)?;
        seen.memory.remember(caller, request, time, time.max(now).saturating_add(ttl));
        Ok(())
    }
}

fn key(first: &str, second: &str) -> Key {
    // The length keeps ("ab", "c") and ("a", "bc") apart.
    let text = format!("{}:{first}{second}", first.len());
    let mut key = Key::default();
    key.copy_from_slice(&digest(&SHA256, text.as_bytes()).as_ref()[..16]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(
        guard: &ReplayGuard,
        caller: &str,
        id: &str,
        time: i64,
        ttl: i64,
        now: i64,
    ) -> Result<(), Replay> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(guard.admit(caller, id, time, ttl, now))
    }

    fn small(most: usize, of_one: usize) -> ReplayGuard {
        ReplayGuard::with_memory(0, None, Memory::bounded(most, of_one))
    }

    #[test]
    fn a_request_runs_once() {
        let guard = ReplayGuard::new(1000, None);
        assert_eq!(admit(&guard, "choria=bob", "1", 1005, 60, 1005), Ok(()));
        assert_eq!(admit(&guard, "choria=bob", "1", 1005, 60, 1064), Err(Replay::Seen));
        assert_eq!(admit(&guard, "choria=eve", "1", 1005, 60, 1005), Ok(()), "ids are a caller's own");
        assert_eq!(admit(&guard, "choria=bo", "b1", 1005, 60, 1005), Ok(()));
    }

    #[test]
    fn what_was_made_before_the_start_is_refused() {
        let guard = ReplayGuard::new(1000, None);
        assert_eq!(admit(&guard, "a", "1", 989, 60, 1001), Err(Replay::TooOld { by: 1 }));
        assert_eq!(admit(&guard, "a", "2", 990, 60, 1001), Ok(()));
    }

    #[test]
    fn a_full_memory_refuses_instead_of_forgetting() {
        let guard = small(100, 2);
        for (id, time) in [("1", 100), ("2", 101), ("3", 102)] {
            assert_eq!(admit(&guard, "a", id, time, 60, 102), Ok(()));
        }
        assert_eq!(admit(&guard, "a", "1", 100, 60, 103), Err(Replay::Flooded { by: 1 }));
        assert_eq!(admit(&guard, "a", "3", 102, 60, 103), Err(Replay::Seen));
        assert_eq!(admit(&guard, "b", "1", 100, 60, 103), Ok(()), "only who floods pays for it");
    }

    #[test]
    fn nobody_is_forgotten_for_another() {
        let guard = small(20, 15);
        assert_eq!(admit(&guard, "alice", "1", 100, 600, 100), Ok(()));
        for flooder in ["bob", "eve"] {
            for n in 0..1000 {
                // Whatever they claim: dated ahead, long-lived.
                let _ = admit(&guard, flooder, &n.to_string(), 100 + n % 3, 18_000, 100);
            }
        }
        assert_eq!(admit(&guard, "alice", "1", 100, 600, 100), Err(Replay::Seen));
        assert_eq!(admit(&guard, "alice", "2", 100, 600, 100), Ok(()));
        assert_eq!(admit(&guard, "carol", "1", 100, 600, 100), Ok(()));
        assert!(guard.seen.lock().unwrap().memory.len() <= 20);
        assert!(matches!(
            admit(&guard, "bob", "1", 100, 60, 100),
            Err(Replay::Flooded { .. } | Replay::Seen)
        ));
    }

    #[test]
    fn what_is_dated_ahead_is_refused_or_written_down() {
        let guard = ReplayGuard::new(1000, None);
        assert_eq!(admit(&guard, "a", "1", 1003, 60, 1001), Ok(()));
        assert_eq!(admit(&guard, "a", "2", 1031, 60, 1001), Err(Replay::Ahead { ahead: 30 }));
        let dir = tempfile::tempdir().unwrap();
        let guard = |started| {
            let journal = Journal::open(&dir.path().join("replay"), started).unwrap();
            ReplayGuard::new(started, Some(journal))
        };
        let first = guard(1000);
        assert_eq!(admit(&first, "a", "1", 1031, 60, 1001), Ok(()));
        assert_eq!(admit(&first, "b", "1", 1001, 60, 1001), Ok(()));
        for start in [1002, 1003, 1030] {
            let again = guard(start);
            assert!(matches!(admit(&again, "a", "1", 1031, 60, start), Err(Replay::BeforeStart { by: 1 })));
            assert!(admit(&again, "b", "1", 1001, 60, start).is_err());
            assert_eq!(admit(&again, "b", &start.to_string(), start, 60, start), Ok(()));
        }
        assert_eq!(admit(&guard(1040), "a", "2", 1040, 60, 1040), Ok(()));
    }

    /// A clock that is set runs nothing twice, whichever way and back it goes.
    #[test]
    fn a_clock_that_is_stepped_runs_nothing_twice() {
        for steps in
            [&[300, -300][..], &[-300, 300], &[300], &[-300], &[300, -300, 300, -300], &[3600, -3600]]
        {
            let guard = ReplayGuard::new(10_000, None);
            let (mut clock, made, ttl) = (10_005, 10_005, 60);
            assert_eq!(admit(&guard, "a", "1", made, ttl, clock), Ok(()));
            for step in steps {
                clock += step;
                // Other requests come meanwhile, made by callers whose clocks go along.
                let _ = admit(&guard, "b", &clock.to_string(), clock, ttl, clock);
                // As in the pipeline, what is not in time does not get here.
                if (clock - made).abs() <= ttl {
                    assert!(admit(&guard, "a", "1", made, ttl, clock).is_err(), "{steps:?}");
                }
            }
            // The network goes on, at the latest when the clock is where it was.
            clock = clock.max(10_005) + 130;
            assert_eq!(admit(&guard, "a", "2", clock, ttl, clock), Ok(()), "{steps:?}");
        }
    }

    #[test]
    fn a_node_whose_clock_is_ahead_says_so() {
        let guard = ReplayGuard::new(1000, None);
        let text = admit(&guard, "a", "1", 985, 60, 1000).unwrap_err().to_string();
        assert!(text.contains("made 5 s before") && text.contains("wait 5 s"), "{text}");
        assert_eq!(admit(&guard, "a", "1", 990, 60, 1005), Ok(()));
    }

    #[test]
    fn what_waited_is_known_to_what_comes_and_the_other_way_round() {
        let guard = ReplayGuard::new(1000, None);
        assert!(!guard.has_run("a", "1", 600, 1001) && guard.has_run("a", "1", 600, 1002));
        assert_eq!(admit(&guard, "a", "1", 1001, 60, 1003), Err(Replay::Seen));
        assert_eq!(admit(&guard, "a", "2", 1001, 60, 1003), Ok(()));
        assert!(guard.has_run("a", "2", 600, 1003) && !guard.has_run("b", "2", 600, 1003));
        assert!(!guard.has_run("a", "1", 600, 2000), "by then a copy is out of time");
    }

    #[test]
    fn memory_is_given_back_when_no_copy_can_be_in_time() {
        let guard = small(100, 100);
        admit(&guard, "a", "1", 100, 60, 100).unwrap();
        admit(&guard, "b", "2", 161, 60, 161).unwrap();
        assert_eq!(guard.seen.lock().unwrap().memory.len(), 1);
    }
}
