//! Copies of one message that go to one identity. Pure.
//!
//! A message costs the broker a delivery for each subscription that wants it, and a reply of a
//! fleet comes once for each node: whoever subscribes to his own replies ten thousand times
//! would have a request cost ten thousand times what it does. Memory bounds what waits for him,
//! and not the work of putting it there. What is counted is what one identity hears more than
//! once; whom a message reaches once each, however many they are, counts nothing.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Targets on one shard up to which nobody counts.
pub const FEW: usize = 64;
/// Subscriptions of one link that may want one message; the connections of no client come near.
pub const OF_A_LINK: u32 = 1000;
/// In which time the copies of an identity are bounded, by as many as it may have connections: each
/// of them may hear a message.
const WINDOW: Duration = Duration::from_millis(100);
/// Identities that are remembered on the way through the targets of a message. Subscriptions of one
/// stand together, where others did not come in between.
const RECENT: usize = 4;

/// Who has got the message at hand: identities by the address of their [`Holder`](super::ledger::Holder).
#[derive(Debug, Default)]
pub struct Copies {
    number: u64,
    recent: [usize; RECENT],
    next: usize,
}

impl Copies {
    /// Another message.
    pub fn begin(&mut self) {
        self.number += 1;
        self.recent = [0; RECENT];
    }

    /// The number of the message.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether an identity has got it already.
    pub fn again(&mut self, holder: usize) -> bool {
        if self.recent.contains(&holder) {
            return true;
        }
        if let Some(place) = self.recent.get_mut(self.next % RECENT) {
            *place = holder;
        }
        self.next += 1;
        false
    }
}

/// Copies of one link: of which message, and how many.
#[derive(Debug, Clone, Copy, Default)]
pub struct OfLink {
    number: u64,
    count: u32,
}

impl OfLink {
    /// One more; false if it is one too many.
    pub fn take(&mut self, number: u64) -> bool {
        if self.number != number {
            *self = OfLink { number, count: 0 };
        }
        self.count += 1;
        self.count <= OF_A_LINK
    }
}

/// Copies of an identity, of all shards.
#[derive(Debug, Default)]
pub struct OfHolder {
    count: AtomicU32,
    since: AtomicU64,
}

impl OfHolder {
    /// One more; false if there were `most` in this window.
    pub fn take(&self, most: u32, now: Duration) -> bool {
        let now = now.as_millis() as u64;
        if now >= self.since.load(Ordering::Relaxed) + WINDOW.as_millis() as u64 {
            self.since.store(now, Ordering::Relaxed);
            self.count.store(0, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed) < most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_hears_it_again_is_known_among_a_few() {
        let mut copies = Copies::default();
        copies.begin();
        assert!([1, 2, 3, 4].iter().all(|holder| !copies.again(*holder)));
        assert!([4, 1, 2, 3].iter().all(|holder| copies.again(*holder)));
        assert!(!copies.again(5) && !copies.again(1), "the first was forgotten for the fifth");
        copies.begin();
        assert!(!copies.again(5));
    }

    #[test]
    fn a_link_and_an_identity_have_so_many() {
        let (mut link, holder) = (OfLink::default(), OfHolder::default());
        assert!((0..OF_A_LINK).all(|_| link.take(1)) && !link.take(1) && link.take(2));
        let at = |ms| Duration::from_millis(ms);
        assert!((0..10).all(|_| holder.take(10, at(1000))) && !holder.take(10, at(1099)));
        assert!(holder.take(10, at(1100)));
    }
}
