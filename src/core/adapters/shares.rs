//! Who may still put something into a queue that fills. Pure.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use super::document::Document;

/// Places that senders are counted in, whatever number of them there is; two that fall into
/// one have a share together.
const PLACES: usize = 4096;
/// What one sender may have in a queue that is more than half full: this part of it.
const PART: u64 = 16;

/// What each sender has in a queue.
///
/// Half of a queue is anybody's. The other half is kept for those who have little in it, so that
/// one node that floods is not the reason that documents of others find no room.
pub(super) struct Shares {
    whole: u64,
    all: u64,
    of: Box<[u64]>,
    /// Places and costs of the documents that were looked at last, the first first.
    looked: VecDeque<(usize, u64)>,
    /// The first documents, which an earlier process has left: nobody has counted whose they are.
    left: usize,
    places: RandomState,
}

impl Shares {
    /// Shares of a queue that holds so much, in the unit of the costs, of which an earlier process has left some
    /// documents that cost so much.
    pub(super) fn new(whole: u64, (left, all): (usize, u64)) -> Shares {
        let of = vec![0; PLACES].into_boxed_slice();
        Shares { whole, all, of, looked: VecDeque::new(), left, places: RandomState::new() }
    }

    fn place(&self, document: &Document) -> usize {
        usize::try_from(self.places.hash_one(&document.sender) % PLACES as u64).unwrap_or(0)
    }

    /// Counts a document of `cost` in; whether there is room for it, and its sender may have it.
    pub(super) fn admit(&mut self, document: &Document, cost: u64) -> bool {
        let place = self.place(document);
        let Some(has) = self.of.get_mut(place) else { return true };
        if self.all + cost > self.whole || (self.all > self.whole / 2 && *has + cost > self.whole / PART) {
            return false;
        }
        *has += cost;
        self.all += cost;
        true
    }

    /// A document that was counted in is not in it.
    pub(super) fn withdraw(&mut self, document: &Document, cost: u64) {
        self.take(self.place(document), cost);
    }

    /// These are the first documents of the queue.
    pub(super) fn look(&mut self, documents: &[Document], cost: impl Fn(&Document) -> u64) {
        self.looked = documents.iter().map(|document| (self.place(document), cost(document))).collect();
    }

    /// The first `count` of those that were looked at are not in it any more.
    pub(super) fn advance(&mut self, count: usize) {
        for _ in 0..count {
            let Some((place, cost)) = self.looked.pop_front() else { return };
            match self.left.checked_sub(1) {
                Some(left) => (self.left, self.all) = (left, self.all.saturating_sub(cost)),
                None => self.take(place, cost),
            }
        }
    }

    fn take(&mut self, place: usize, cost: u64) {
        if let Some(has) = self.of.get_mut(place) {
            let cost = cost.min(*has);
            *has -= cost;
            self.all = self.all.saturating_sub(cost);
        }
    }
}
