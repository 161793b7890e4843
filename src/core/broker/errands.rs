//! From shard to shard: in batches by the inbox, or done in the other's place while it sleeps.

use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use super::index::Matched;
use super::ledger::Counter;
use super::packed::{self, For, Packed};
use super::shard::Shard;
use super::shared::{Handover, LinkId};
use crate::core::nats::codec::Publish;

/// Work a shard does in the place of another that sleeps, rather than to wake it: deliveries, and
/// their bytes.
const ERRANDS: usize = 1024;
const ERRAND_BYTES: usize = 256 * 1024;
/// What a message counts in an inbox beside its bytes.
const MESSAGE: usize = 128;
/// What a delivery counts, which takes time where it takes no memory.
const DELIVERY: usize = 256;
/// How long what others have handed over is done in one turn.
const TAKING: Duration = Duration::from_millis(20);

/// What goes to another shard.
#[derive(Default)]
pub struct Outbox {
    pub(super) waiting: Vec<Handover>,
    /// Deliveries it stands for, and their bytes.
    pub(super) deliveries: usize,
    pub(super) bytes: usize,
    /// Bytes of its messages, each counted once, and something for each delivery.
    pub(super) load: usize,
}

impl Outbox {
    /// Puts a message in that is copied.
    pub fn pack(
        &mut self,
        deliveries: usize,
        from: LinkId,
        to: For,
        matched: &Arc<Matched>,
        message: &Publish<'_>,
        counter: &Counter,
    ) {
        let length = packed::length(message);
        self.deliveries += deliveries;
        self.bytes += deliveries * length;
        self.load += length + MESSAGE + deliveries * DELIVERY;
        if !matches!(self.waiting.last(), Some(Handover::Packed(packed)) if !packed.is_full(length, deliveries))
        {
            self.waiting.push(Handover::Packed(Packed::new(counter)));
        }
        if let Some(Handover::Packed(packed)) = self.waiting.last_mut() {
            self.load += packed.push(from, to, matched, message, deliveries);
        }
    }

    /// Puts one thing in.
    pub fn push(&mut self, deliveries: usize, bytes: usize, handover: Handover) {
        self.deliveries += deliveries;
        self.bytes += deliveries * bytes;
        self.load += bytes + MESSAGE + deliveries * DELIVERY;
        if let Handover::Message { matched, .. } = &handover
            && !matches!(self.waiting.last(), Some(Handover::Message { matched: last, .. }) if Arc::ptr_eq(last, matched))
        {
            // should nobody else have it any more
            self.load += matched.size();
        }
        self.waiting.push(handover);
    }
}

impl Shard {
    /// Does what another shard has for this one, whose thread sleeps: behind what came to its inbox
    /// before, however much that is.
    fn visited(&mut self, errands: &mut Vec<Handover>) {
        self.now = self.shared.start.elapsed();
        // what came before it comes first
        if self.take_in() {
            for errand in errands.drain(..) {
                self.receive(errand);
            }
        } else {
            self.arrived.extend(errands.drain(..));
        }
        self.hand_over(false);
        self.finish();
        let next = self.wheel.next();
        let more = !self.ready.is_empty() || !self.arrived.is_empty() || !self.behind.is_empty();
        if more || next.is_some_and(|at| self.sleeps_until.is_none_or(|until| at < until)) {
            self.inbox.wake();
        }
    }

    /// Does what others have handed over, for so long; the rest, with all that came behind it, is first in the
    /// next turn. Whether there is no rest.
    pub(super) fn take_in(&mut self) -> bool {
        // whoever hands over now wakes this thread once more, or is found here
        let mut came = Vec::new();
        self.arriving += self.inbox.take(&mut came);
        self.arrived.extend(came);
        let until = self.shared.start.elapsed() + TAKING;
        while let Some(handover) = self.arrived.pop_front() {
            self.receive(handover);
            if !self.arrived.is_empty() && self.shared.start.elapsed() >= until {
                return false;
            }
        }
        self.inbox.settle(std::mem::take(&mut self.arriving));
        true
    }

    /// Gives others what is theirs. A shard that sleeps is not woken for little: it is done for it.
    pub(super) fn hand_over(&mut self, in_person: bool) {
        for (place, (outbox, peer)) in self.outboxes.iter_mut().zip(self.peers.iter()).enumerate() {
            if outbox.waiting.is_empty() {
                continue;
            }
            let little = outbox.deliveries <= ERRANDS && outbox.bytes <= ERRAND_BYTES;
            let load = std::mem::take(&mut outbox.load);
            (outbox.deliveries, outbox.bytes) = (0, 0);
            if in_person && little && place != usize::from(self.id) {
                let cell = self.others.as_ref().and_then(|shards| shards.get(place));
                match cell.map(Mutex::try_lock) {
                    Some(Ok(mut shard)) => {
                        shard.visited(&mut outbox.waiting);
                        continue;
                    }
                    Some(Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock)) | None => {}
                }
            }
            for handover in &mut outbox.waiting {
                if let Handover::Packed(packed) = handover {
                    packed.settle();
                }
            }
            peer.send(&mut outbox.waiting, load);
        }
    }
}
