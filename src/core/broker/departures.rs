//! Nodes that have left: on whose subjects nobody listens any more, and since when. Pure.
//!
//! What operators want to know of a node that does not answer is whether it is there, and
//! since when it is not. A node is who listens on `COLLECTIVE.node.IDENTITY`, however it was
//! let in; so what is kept is those subjects, the last to leave, within [`BYTES`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use super::index::Moment;
use crate::core::nats::subject::{is_literal, tokens};

/// What all that is kept may take, about: 60,000 nodes of common names.
const BYTES: usize = 8 * 1024 * 1024;
/// What one takes beside its subject: its places in both tables.
const OVERHEAD: usize = 96;
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
    at: HashMap<Arc<[u8]>, Moment>,
    /// In the order they left; of those that came back, too.
    order: VecDeque<(Arc<[u8]>, Moment)>,
    bytes: usize,
}

impl Departures {
    /// Nobody listens on this subject any more.
    pub fn left(&mut self, subject: Arc<[u8]>, now: Moment) {
        if !is_of_a_node(&subject) {
            return;
        }
        self.bytes += subject.len() + OVERHEAD;
        self.at.insert(subject.clone(), now);
        self.order.push_back((subject, now));
        while self.bytes > BYTES
            && let Some((oldest, when)) = self.order.pop_front()
        {
            self.bytes -= oldest.len() + OVERHEAD;
            if self.at.get(&oldest) == Some(&when) {
                self.at.remove(&oldest);
            }
        }
    }

    /// Somebody listens there again.
    pub fn came_back(&mut self, subject: &[u8]) {
        if !self.at.is_empty() {
            self.at.remove(subject);
        }
    }

    /// When the last one stopped listening there.
    pub fn of(&self, subject: &[u8]) -> Option<Moment> {
        self.at.get(subject).copied()
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

    fn left(departures: &mut Departures, subject: &str, now: Moment) {
        departures.left(subject.as_bytes().into(), now);
    }

    #[test]
    fn nodes_are_remembered_until_they_come_back() {
        let mut departures = Departures::default();
        for subject in ["c.node.n1.x", "c.node.n2", "c.reply.n1", "c.node", "c.node.*", "c.broadcast.agent.x"]
        {
            left(&mut departures, subject, 7);
        }
        assert_eq!(departures.at.len(), 2);
        assert_eq!((departures.of(b"c.node.n1.x"), departures.of(b"d.node.n1.x")), (Some(7), None));
        departures.came_back(b"c.node.n1.x");
        assert_eq!(departures.of(b"c.node.n1.x"), None);
        left(&mut departures, "c.node.n1.x", 9);
        assert_eq!(departures.of(b"c.node.n1.x"), Some(9));
    }

    #[test]
    fn who_comes_and_goes_takes_no_more_than_there_is() {
        let mut departures = Departures::default();
        left(&mut departures, "c.node.flapping", 1);
        for number in 0..200_000_u32 {
            left(&mut departures, &format!("c.node.n{number}.example.net"), number);
            departures.came_back(b"c.node.flapping");
            left(&mut departures, "c.node.flapping", number);
        }
        assert!(departures.bytes <= BYTES && departures.at.len() <= departures.order.len());
        assert!(departures.order.len() < BYTES / OVERHEAD);
        assert_eq!(departures.of(b"c.node.flapping"), Some(199_999));
        assert_eq!(departures.of(b"c.node.n0.example.net"), None, "the oldest go first");
        let long = format!("c.node.{}", "x".repeat(LONGEST));
        left(&mut departures, &long, 1);
        assert_eq!(departures.of(long.as_bytes()), None);
    }
}
