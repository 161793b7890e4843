//! Bytes that may wait to be looked at.
//!
//! A count of messages is no bound on memory: each may be as large as the
//! broker takes. Whoever subscribes for a person's request gives a budget in
//! bytes; what arrives beyond it is dropped and counted, because waiting would
//! only move the heap into the client library.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_nats::{HeaderMap, Message};

/// A budget that several subscriptions may share.
#[derive(Debug)]
pub struct ByteBudget {
    limit: usize,
    held: AtomicUsize,
    dropped: AtomicU64,
}

impl ByteBudget {
    /// Room for `limit` bytes of messages.
    pub fn new(limit: usize) -> ByteBudget {
        ByteBudget { limit, held: AtomicUsize::new(0), dropped: AtomicU64::new(0) }
    }

    /// Bytes there is room for.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Messages that found no room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Takes room for a message; false, and counted, when there is none. A
    /// message larger than the whole budget finds room when it is alone.
    pub(super) fn take(&self, message: &Message) -> bool {
        let size = size(message);
        let held = self.held.fetch_add(size, Ordering::AcqRel);
        if held > 0 && held.saturating_add(size) > self.limit {
            self.held.fetch_sub(size, Ordering::AcqRel);
            self.drop_one();
            return false;
        }
        true
    }

    /// Takes a message in, if there is room: its room comes back when it is dropped.
    pub fn hold(self: &Arc<Self>, message: Message) -> Option<HeldMessage> {
        self.take(&message).then(|| HeldMessage { message, budget: self.clone() })
    }

    /// Counts a message that is dropped for another reason than its budget.
    pub fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives back the room of a message that was taken out of its queue.
    pub fn give_back(&self, message: &Message) {
        self.held.fetch_sub(size(message), Ordering::AcqRel);
    }
}

/// A message that goes from hand to hand, with its room in a budget.
#[derive(Debug)]
pub struct HeldMessage {
    message: Message,
    budget: Arc<ByteBudget>,
}

impl std::ops::Deref for HeldMessage {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl Drop for HeldMessage {
    fn drop(&mut self) {
        self.budget.give_back(&self.message);
    }
}

/// What a header takes beside its text.
const HEADER: usize = 256;

/// The payload, the subjects, the headers and what the queue needs for it.
fn size(message: &Message) -> usize {
    let subjects = message.subject.len() + message.reply.as_ref().map_or(0, |reply| reply.len());
    // all that came: payload, subjects, headers, and the text of a status
    let came = message.length.max(message.payload.len() + subjects);
    // a name may have many values
    let values = |headers: &HeaderMap| headers.iter().map(|(_, values)| values.len().max(1)).sum::<usize>();
    let headers = message.headers.as_ref().map_or(0, |headers| came + values(headers) * HEADER);
    came + headers + size_of::<Message>()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(bytes: usize) -> Message {
        let (subject, payload) = ("a".into(), Bytes::from(vec![0; bytes]));
        Message {
            subject,
            reply: None,
            payload,
            headers: None,
            status: None,
            description: None,
            length: bytes,
        }
    }

    #[test]
    fn what_exceeds_the_budget_is_counted_and_room_comes_back() {
        let budget = ByteBudget::new(3_000);
        let (small, large) = (message(1_000), message(10_000));
        assert!(budget.take(&small) && budget.take(&small));
        assert!(!budget.take(&small) && !budget.take(&large));
        assert_eq!(budget.dropped(), 2);
        budget.give_back(&small);
        assert!(budget.take(&small));
        budget.give_back(&small);
        budget.give_back(&small);
        assert!(budget.take(&large), "alone, a large one finds room");
        assert!(!budget.take(&small));
    }

    #[test]
    fn what_is_held_gives_its_room_back_wherever_it_ends() {
        let budget = Arc::new(ByteBudget::new(3_000));
        let held = budget.hold(message(2_500));
        assert!(held.is_some() && budget.hold(message(2_500)).is_none());
        drop(held);
        assert!(budget.hold(message(2_500)).is_some());
        assert_eq!((budget.dropped(), budget.held.load(Ordering::Acquire)), (1, 0));
    }
}
