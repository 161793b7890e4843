//! Nodes that have left: on whose subjects nobody listens any more, and since when. Pure.
//!
//! What operators want to know of a node that does not answer is whether it is there, and
//! since when it is not. A node is who listens on `COLLECTIVE.node.IDENTITY`, however it was
//! let in; so what is kept is those subjects, the last to leave, within [`BYTES`].

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use super::index::Moment;
use crate::core::nats::subject::{is_literal, tokens};

/// What all that is kept may take, about: 50,000 nodes of common names.
const BYTES: usize = 8 * 1024 * 1024;
/// What one takes beside its subject: its places in the tables.
const OVERHEAD: usize = 128;
/// Subjects of one identity: one in each of its collectives, and many where fleets are emulated.
const SHARE: u32 = 1024;
/// Longer subjects are no node's: a collective, and an identity of 256 bytes at most.
const LONGEST: usize = 320;

/// What a broker knows of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// It listens.
    Here {
        /// Since when.
        since: Moment,
    },
    /// It does not.
    Gone {
        /// Since when, if it was here and that is remembered.
        since: Option<Moment>,
    },
    /// It may be elsewhere.
    Unknown,
}

/// A time of the broker's clock.
pub fn moment(now: Duration) -> Moment {
    Moment::try_from(now.as_millis() / 100).unwrap_or(Moment::MAX)
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Departures {
    at: HashMap<Arc<[u8]>, Place>,
    /// Those that are gone, in the order they left: each has one place.
    order: BTreeMap<u64, (Arc<[u8]>, u64)>,
    next: u64,
    /// Places of each identity that has some, by what its name comes to.
    shares: HashMap<u64, u32>,
    names: RandomState,
    bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    when: Moment,
    number: u64,
}

impl Departures {
    /// Nobody listens on this subject any more; `by` did.
    pub fn left(&mut self, subject: Arc<[u8]>, by: &str, now: Moment) {
        if !is_of_a_node(&subject) {
            return;
        }
        self.came_back(&subject);
        let by = self.names.hash_one(by);
        let share = self.shares.entry(by).or_default();
        if *share >= SHARE {
            return;
        }
        *share += 1;
        self.next += 1;
        self.bytes += subject.len() + OVERHEAD;
        self.at.insert(subject.clone(), Place { when: now, number: self.next });
        self.order.insert(self.next, (subject, by));
        while self.bytes > BYTES
            && let Some((_, (oldest, _))) = self.order.first_key_value()
        {
            let oldest = oldest.clone();
            self.came_back(&oldest);
        }
    }

    /// Somebody listens there again.
    pub fn came_back(&mut self, subject: &[u8]) {
        if self.at.is_empty() {
            return;
        }
        let Some(place) = self.at.remove(subject) else { return };
        self.bytes -= subject.len() + OVERHEAD;
        let Some((_, by)) = self.order.remove(&place.number) else { return };
        if let Some(share) = self.shares.get_mut(&by) {
            *share -= 1;
            if *share == 0 {
                self.shares.remove(&by);
            }
        }
    }

    /// When the last one stopped listening there.
    pub fn of(&self, subject: &[u8]) -> Option<Moment> {
        self.at.get(subject).map(|place| place.when)
    }
}

/// Whether a subject is that of one node.
fn is_of_a_node(subject: &[u8]) -> bool {
    let mut parts = tokens(subject).skip(1);
    subject.len() <= LONGEST && parts.next() == Some(b"node") && parts.next().is_some() && is_literal(subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(departures: &mut Departures, subject: &str, by: &str, now: Moment) {
        departures.left(subject.as_bytes().into(), by, now);
    }

    #[test]
    fn nodes_are_remembered_until_they_come_back() {
        let mut departures = Departures::default();
        for subject in ["c.node.n1.x", "c.node.n2", "c.reply.n1", "c.node", "c.node.*", "c.broadcast.agent.x"]
        {
            left(&mut departures, subject, "n", 7);
        }
        assert_eq!(departures.at.len(), 2);
        assert_eq!((departures.of(b"c.node.n1.x"), departures.of(b"d.node.n1.x")), (Some(7), None));
        departures.came_back(b"c.node.n1.x");
        assert_eq!(departures.of(b"c.node.n1.x"), None);
        left(&mut departures, "c.node.n1.x", "n", 9);
        assert_eq!(departures.of(b"c.node.n1.x"), Some(9));
    }

    #[test]
    fn who_comes_and_goes_displaces_nobody() {
        let mut departures = Departures::default();
        for number in 0..10_000_u32 {
            left(&mut departures, &format!("c.node.n{number}.example.net"), &format!("n{number}"), number);
        }
        let before = (departures.bytes, departures.order.len());
        // one that flaps, and one that makes names up
        for number in 0..200_000_u32 {
            left(&mut departures, "c.node.flapping", "flapping", number);
            departures.came_back(b"c.node.flapping");
            left(&mut departures, &format!("c.node.made-up{number}"), "stolen", number);
        }
        assert_eq!(departures.of(b"c.node.n0.example.net"), Some(0));
        assert_eq!(departures.order.len(), before.1 + SHARE as usize);
        for number in 0..200_000 {
            departures.came_back(format!("c.node.made-up{number}").as_bytes());
        }
        assert_eq!((departures.bytes, departures.order.len()), before);
        assert_eq!(departures.shares.len(), before.1);
    }

    #[test]
    fn what_is_kept_takes_no_more_than_there_is() {
        let mut departures = Departures::default();
        for number in 0..200_000_u32 {
            left(&mut departures, &format!("c.node.n{number}.example.net"), &format!("n{number}"), number);
        }
        assert!(departures.bytes <= BYTES && departures.order.len() < BYTES / OVERHEAD);
        assert_eq!(departures.at.len(), departures.order.len());
        assert_eq!(departures.of(b"c.node.n199999.example.net"), Some(199_999));
        assert_eq!(departures.of(b"c.node.n0.example.net"), None, "the oldest go first");
        let long = format!("c.node.{}", "x".repeat(LONGEST));
        left(&mut departures, &long, "n", 1);
        assert_eq!(departures.of(long.as_bytes()), None);
    }
}
