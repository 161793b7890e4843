//! What a connection was handed and has not written yet, by who causes it.
//!
//! The client library takes thousands of messages of any size. A broker that reads slowly, because
//! somebody who is to hear them does, would have all of them in memory, and those of everybody else
//! behind them. So each who causes messages has a little in the connection, and not much more that
//! waits for it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Bytes of one cause that the connection is handed at a time; a message that is larger goes alone.
const AT_ONCE: usize = 512 * 1024;
/// Bytes of one cause that have room here.
const OF_ONE: usize = 2 * 1024 * 1024;
/// The same of all causes; beyond it nobody has more than one message.
const OF_ALL: usize = 16 * 1024 * 1024;
/// Bytes of one cause that wait for room, and of all.
const WAIT_OF_ONE: usize = 8 * 1024 * 1024;
const WAIT_OF_ALL: usize = 32 * 1024 * 1024;

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Unwritten(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Messages handed over, of whomever.
    handed: u64,
    /// Those with a cause: their number, cause and bytes.
    queue: VecDeque<(u64, u64, usize)>,
    causes: HashMap<u64, Held>,
    bytes: usize,
    waits: usize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Held {
    /// All of it,
    bytes: usize,
    /// what of it the connection has,
    handed: usize,
    /// and what waits to be let in.
    waits: usize,
}

impl Unwritten {
    fn locked(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a message wait for room; false where too much does already.
    pub(super) fn wait(&self, cause: u64, bytes: usize) -> bool {
        let mut inner = self.locked();
        let all = inner.waits;
        let held = inner.causes.entry(cause).or_default();
        if held.waits > 0 && (held.waits + bytes > WAIT_OF_ONE || all + bytes > WAIT_OF_ALL) {
            return false;
        }
        held.waits += bytes;
        inner.waits += bytes;
        true
    }

    /// It waits no longer.
    pub(super) fn waited(&self, cause: u64, bytes: usize) {
        let mut inner = self.locked();
        inner.waits = inner.waits.saturating_sub(bytes);
        if let Some(held) = inner.causes.get_mut(&cause) {
            held.waits = held.waits.saturating_sub(bytes);
        }
        inner.forget(cause);
    }

    /// Takes room for a message; false where there is none.
    pub(super) fn take(&self, cause: u64, bytes: usize, written: u64) -> bool {
        let mut inner = self.locked();
        inner.settle(written);
        let all = inner.bytes;
        let held = inner.causes.entry(cause).or_default();
        if held.bytes > 0 && (held.bytes + bytes > OF_ONE || all + bytes > OF_ALL) {
            return false;
        }
        held.bytes += bytes;
        inner.bytes += bytes;
        true
    }

    /// Whether a message that has room may be handed over by now.
    pub(super) fn may_go(&self, cause: u64, bytes: usize, written: u64) -> bool {
        let mut inner = self.locked();
        inner.settle(written);
        let held = inner.causes.entry(cause).or_default();
        let goes = held.handed == 0 || held.handed + bytes <= AT_ONCE;
        if goes {
            held.handed += bytes;
        }
        goes
    }

    /// A message was handed over; one with a cause was let go before.
    pub(super) fn handed(&self, caused: Option<(u64, usize)>) {
        let mut inner = self.locked();
        inner.handed += 1;
        if let Some((cause, bytes)) = caused {
            let number = inner.handed;
            inner.queue.push_back((number, cause, bytes));
        }
    }

    /// A message is given up, before it was let go or after.
    pub(super) fn give_up(&self, cause: u64, bytes: usize, let_go: bool) {
        self.locked().free(cause, bytes, let_go);
    }
}

impl Inner {
    /// So many messages are written.
    fn settle(&mut self, written: u64) {
        while let Some((number, cause, bytes)) = self.queue.front().copied() {
            if number > written {
                break;
            }
            self.queue.pop_front();
            self.free(cause, bytes, true);
        }
    }

    fn free(&mut self, cause: u64, bytes: usize, let_go: bool) {
        self.bytes = self.bytes.saturating_sub(bytes);
        let Some(held) = self.causes.get_mut(&cause) else { return };
        held.bytes = held.bytes.saturating_sub(bytes);
        if let_go {
            held.handed = held.handed.saturating_sub(bytes);
        }
        self.forget(cause);
    }

    fn forget(&mut self, cause: u64) {
        if self.causes.get(&cause).is_some_and(|held| held.bytes == 0 && held.waits == 0) {
            self.causes.remove(&cause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    #[test]
    fn one_cause_has_a_little_in_the_connection_and_not_much_behind_it() {
        let unwritten = Unwritten::default();
        let mut let_go = 0;
        let mut taken = 0;
        for _ in 0..100 {
            if unwritten.take(1, 100 * KIB, 0) {
                taken += 1;
                if unwritten.may_go(1, 100 * KIB, 0) {
                    unwritten.handed(Some((1, 100 * KIB)));
                    let_go += 1;
                }
            }
        }
        assert_eq!((let_go, taken), (5, 20));
        // others are not behind it
        assert!(unwritten.take(2, 900 * KIB, 0) && unwritten.may_go(2, 900 * KIB, 0));
        unwritten.handed(Some((2, 900 * KIB)));
        // two were written, of the five
        assert!(unwritten.may_go(1, 100 * KIB, 2) && unwritten.may_go(1, 100 * KIB, 2));
        assert!(!unwritten.may_go(1, 100 * KIB, 2));
        assert!(unwritten.take(1, 100 * KIB, 2));
    }

    #[test]
    fn what_waits_for_room_is_bounded_and_nobody_is_shut_out() {
        let unwritten = Unwritten::default();
        for cause in 0..8 {
            let waits = (0..100).filter(|_| unwritten.wait(cause, 700 * KIB)).count();
            assert!((1..=11).contains(&waits), "{cause}: {waits}");
        }
        assert!(unwritten.wait(99, 700 * KIB), "who has nothing waiting");
        assert!(unwritten.locked().waits < WAIT_OF_ALL + 8 * 700 * KIB);
        unwritten.waited(99, 700 * KIB);
        assert!(!unwritten.locked().causes.contains_key(&99));
    }

    #[test]
    fn what_is_written_or_given_up_leaves_nothing() {
        let unwritten = Unwritten::default();
        for cause in 0..50 {
            unwritten.handed(None);
            assert!(unwritten.take(cause, 700 * KIB, 0));
            if cause % 2 == 0 {
                unwritten.give_up(cause, 700 * KIB, false);
            } else {
                assert!(unwritten.may_go(cause, 700 * KIB, 0));
                unwritten.handed(Some((cause, 700 * KIB)));
            }
        }
        assert!(unwritten.take(99, 1, 100));
        unwritten.give_up(99, 1, false);
        let inner = unwritten.locked();
        assert!(inner.causes.is_empty() && inner.queue.is_empty() && inner.bytes == 0, "{inner:?}");
    }
}
