//! What is remembered of requests, a caller at a time.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};

use super::{Key, Replay};

/// Requests remembered at most, of all callers: about 6 MB.
const MOST: usize = 65_536;
/// And of one: a hundred a second at the usual TTL.
const OF_ONE: usize = 8_192;
/// Callers of whom something is remembered; there are as many as certificates,
/// unless a certificate may speak for others.
const CALLERS: usize = 8_192;

/// The requests that were run and could still be copied.
pub struct Memory {
    most: usize,
    of_one: usize,
    callers: HashMap<Key, Caller>,
    /// How many each caller has: the last has most.
    by_size: BTreeSet<(usize, Key)>,
    /// When something of each caller can be forgotten.
    due: BTreeSet<(i64, Key)>,
    entries: usize,
    /// When the newest of the requests that were forgotten was made.
    forgotten: i64,
}

#[derive(Default)]
struct Caller {
    seen: HashSet<Key>,
    /// By when they are forgotten: (forget at, made at, request).
    order: BinaryHeap<Reverse<(i64, i64, Key)>>,
    /// What was made no later is refused, until that could not be in time.
    floor: Option<(i64, i64)>,
}

impl Caller {
    /// When something of it can be forgotten.
    fn due(&self) -> i64 {
        let first = self.order.peek().map(|Reverse((forget, ..))| *forget);
        first.or(self.floor.map(|(_, until)| until)).unwrap_or(i64::MIN)
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::bounded(MOST, OF_ONE)
    }
}

impl Memory {
    /// A memory for `most` requests, `of_one` of a caller.
    pub fn bounded(most: usize, of_one: usize) -> Memory {
        Memory {
            most,
            of_one,
            callers: HashMap::new(),
            by_size: BTreeSet::new(),
            due: BTreeSet::new(),
            entries: 0,
            forgotten: i64::MIN,
        }
    }

    /// When the newest of the requests that were forgotten was made.
    pub fn forgotten(&self) -> i64 {
        self.forgotten
    }

    /// Requests remembered.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Forgets what no copy could be in time of.
    pub fn forget(&mut self, now: i64) {
        while let Some((due, caller)) = self.due.first().copied()
            && due < now
        {
            let (mut gone, mut forgotten) = (false, i64::MIN);
            self.change(caller, |known| {
                while let Some(Reverse((forget, made, request))) = known.order.peek().copied()
                    && forget < now
                {
                    known.order.pop();
                    known.seen.remove(&request);
                    forgotten = forgotten.max(made);
                }
                known.floor = known.floor.filter(|(_, until)| *until >= now);
                gone = known.order.is_empty() && known.floor.is_none();
            });
            self.forgotten = self.forgotten.max(forgotten);
            if gone {
                self.due.remove(&(i64::MIN, caller));
                self.by_size.remove(&(0, caller));
                self.callers.remove(&caller);
            }
        }
    }

    /// Whether the request is new.
    pub fn look(&self, caller: &Key, request: &Key, made: i64) -> Result<(), Replay> {
        let Some(known) = self.callers.get(caller) else {
            return if self.callers.len() < CALLERS { Ok(()) } else { Err(Replay::Crowded) };
        };
        if known.seen.contains(request) {
            return Err(Replay::Seen);
        }
        match known.floor {
            Some((floor, _)) if made <= floor => {
                Err(Replay::Flooded { by: floor.saturating_add(1).saturating_sub(made) })
            }
            _ => Ok(()),
        }
    }

    /// Remembers a request that is new.
    pub fn remember(&mut self, caller: Key, request: Key, made: i64, forget: i64) {
        self.change(caller, |known| {
            if known.seen.insert(request) {
                known.order.push(Reverse((forget, made, request)));
            }
        });
        if self.callers.get(&caller).is_some_and(|known| known.order.len() > self.of_one) {
            self.drop_oldest(caller);
        }
        while self.entries > self.most
            && let Some((_, most)) = self.by_size.last().copied()
        {
            self.drop_oldest(most);
        }
    }

    fn drop_oldest(&mut self, caller: Key) {
        self.change(caller, |known| {
            if let Some(Reverse((forget, made, request))) = known.order.pop() {
                known.seen.remove(&request);
                let (floor, until) = known.floor.unwrap_or((made, forget));
                known.floor = Some((floor.max(made), until.max(forget)));
            }
        });
    }

    /// Changes what is known of a caller and keeps the orders in step with it.
    fn change(&mut self, caller: Key, change: impl FnOnce(&mut Caller)) {
        let known = self.callers.entry(caller).or_default();
        let (size, due) = (known.order.len(), known.due());
        change(known);
        let (new_size, new_due) = (known.order.len(), known.due());
        self.entries = self.entries + new_size - size;
        self.by_size.remove(&(size, caller));
        self.by_size.insert((new_size, caller));
        self.due.remove(&(due, caller));
        self.due.insert((new_due, caller));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever comes, nothing that is still in time passes twice, the
        /// bounds hold, and in the end everything is given back.
        #[test]
        fn nothing_passes_twice(steps in proptest::collection::vec((0u8..4, 0u8..20, -5i64..5, 1i64..20, 0i64..3), 1..200)) {
            let mut memory = Memory::bounded(12, 6);
            let mut now = 1000;
            let mut ran = HashSet::new();
            for (caller, request, ahead, ttl, passed) in steps {
                now += passed;
                let made = now + ahead;
                memory.forget(now);
                // what is past its time is refused before it comes here
                if now > made + ttl {
                    continue;
                }
                let (caller, request) = ([caller; 16], [request; 16]);
                // A request is signed: its id always comes with the same time and ttl.
                let known = (caller, request, made, ttl);
                if memory.look(&caller, &request, made).is_ok() {
                    prop_assert!(ran.insert(known), "{known:?}");
                    memory.remember(caller, request, made, made.max(now) + ttl);
                }
                prop_assert!(memory.entries <= 12);
                prop_assert!(memory.callers.values().all(|c| c.order.len() <= 6 && c.seen.len() == c.order.len()));
                prop_assert_eq!(memory.entries, memory.callers.values().map(|c| c.order.len()).sum::<usize>());
                prop_assert_eq!(memory.by_size.len(), memory.callers.len());
                prop_assert_eq!(memory.due.len(), memory.callers.len());
            }
            memory.forget(now + 100);
            prop_assert!(memory.callers.is_empty() && memory.due.is_empty() && memory.by_size.is_empty());
        }
    }
}
