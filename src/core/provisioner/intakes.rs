//! What may wait to be looked at, by what it is, and what may be kept of a node in work.
//!
//! Everything here is sent by machines that nobody has vouched for, in whatever
//! name they like, so a share by name would be none. What holds instead: each
//! kind of message has room of its own; an answer counts only where it was asked
//! for, by a subject that only the machine asked knows, and two of each request
//! are looked at; and what an answer takes is paid for before it is parsed, each
//! name by its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::core::connection::ByteBudget;
use crate::core::log::RefusalLog;

const MIB: usize = 1024 * 1024;
/// Messages of a kind that wait.
pub(super) const MESSAGES: usize = 16_384;
/// Largest startup or shutdown event that is looked at, in bytes; they have some 200.
pub(super) const MAX_EVENT: usize = 16 * 1024;
/// Largest registration data that are looked at, in bytes: for the name in them.
pub(super) const MAX_REGISTRATION: usize = 256 * 1024;
/// Largest answer to a discovery, in bytes: it is `pong` and a name.
pub(super) const MAX_PONG: usize = 8 * 1024;

/// What waits; see the module documentation.
#[derive(Debug)]
pub struct Intakes {
    /// Answers of all kinds on the way to where they are told apart.
    unsorted: Arc<ByteBudget>,
    /// Answers on the way to whoever asked.
    pub answers: Arc<ByteBudget>,
    /// Answers to discoveries.
    pub discovery: Arc<ByteBudget>,
    /// Startup and shutdown events.
    pub events: Arc<ByteBudget>,
    /// Registration data.
    pub registration: Arc<ByteBudget>,
    /// Answers nobody asked for, or more than a request may have.
    pub unasked: AtomicU64,
}

impl Intakes {
    /// Kinds of what is dropped, as metrics name them, in the order of [`dropped`](Intakes::dropped).
    pub const KINDS: [&str; 6] = ["unsorted", "answers", "discovery", "events", "registration", "unasked"];

    /// `unsorted` is of the subscription all answers arrive by.
    pub(super) fn new(unsorted: Arc<ByteBudget>) -> Intakes {
        let budget = |mib| Arc::new(ByteBudget::new(mib * MIB));
        Intakes {
            unsorted,
            answers: budget(32),
            discovery: budget(8),
            events: budget(4),
            registration: budget(8),
            unasked: AtomicU64::new(0),
        }
    }

    /// Messages dropped, in the order of [`KINDS`](Intakes::KINDS).
    pub fn dropped(&self) -> [u64; Self::KINDS.len()] {
        let Self { unsorted, answers, discovery, events, registration, unasked } = self;
        let [unsorted, answers, discovery, events, registration] =
            [unsorted, answers, discovery, events, registration].map(|budget| budget.dropped());
        [unsorted, answers, discovery, events, registration, unasked.load(Ordering::Relaxed)]
    }

    /// One line a kind of which more were dropped than `before`, which becomes what is now.
    pub(super) fn tell(&self, log: &RefusalLog, before: &mut [u64; Self::KINDS.len()]) {
        let now = self.dropped();
        for (place, kind) in Self::KINDS.into_iter().enumerate() {
            let more = now[place] - before[place];
            if more > 0 {
                log.note(kind, || {
                    let why = match kind {
                        // by --dry-run beside it, say
                        "unasked" => "answers of waiting machines are dropped, nobody asked for them here",
                        _ => "messages of waiting machines are dropped, they are too many or too large",
                    };
                    tracing::warn!(kind, dropped = more, "{why}");
                });
            }
        }
        *before = now;
    }
}

/// What answers of nodes in work take once they are parsed.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    by_node: HashMap<Arc<str>, usize>,
    /// What nodes have beyond their [`OWN`].
    common: usize,
}

/// Room that every node in work has, in bytes,
const OWN: usize = MIB / 2;
/// that all of them share beyond it,
const COMMON: usize = 64 * MIB;
/// and most one node may have.
const EACH: usize = 8 * MIB;

impl Kept {
    /// Takes room for an answer of a node in work; false when it has too much.
    pub(super) fn take(&self, node: &Arc<str>, answer: &[u8]) -> bool {
        let mut state = self.lock();
        let before = state.by_node.get(node).copied().unwrap_or_default();
        let after = before.saturating_add(cost(answer));
        let beyond = after.saturating_sub(OWN) - before.saturating_sub(OWN);
        if after > EACH || beyond > 0 && state.common + beyond > COMMON {
            return false;
        }
        state.common += beyond;
        state.by_node.insert(node.clone(), after);
        true
    }

    /// A node is no longer in work.
    pub(super) fn release(&self, node: &str) {
        let mut state = self.lock();
        if let Some(bytes) = state.by_node.remove(node) {
            state.common -= bytes.saturating_sub(OWN);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes a JSON document takes at most when it is parsed and written again: each
/// value is one machine word or four beside its text, and a key as much again.
fn cost(answer: &[u8]) -> usize {
    let values = memchr::memchr3_iter(b',', b'[', b'{', answer).count();
    answer.len().saturating_mul(2).saturating_add(values.saturating_mul(128))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Arc<str> {
        name.into()
    }

    #[test]
    fn one_node_cannot_use_up_what_others_have() {
        let kept = Kept::default();
        let large = vec![b'x'; MIB];
        let mut taken = 0;
        for number in 0..100 {
            let name = node(&format!("n{number}"));
            while kept.take(&name, &large) {
                taken += 2;
            }
        }
        assert!(taken <= (COMMON + 100 * OWN) / MIB, "{taken} MiB");
        let honest = node("honest");
        assert!(kept.take(&honest, &vec![b'x'; 100_000]), "everybody has room of its own");
        for number in 0..100 {
            kept.release(&format!("n{number}"));
        }
        kept.release("honest");
        assert_eq!(kept.lock().common, 0);
    }

    #[test]
    fn documents_that_grow_are_paid_for_before_they_do() {
        let kept = Kept::default();
        assert!(!kept.take(&node("n"), &b"[0,".repeat(100_000)));
        assert!(kept.take(&node("n"), br#"{"facts":{"os":"linux","cpus":4}}"#));
    }
}
