//! Small messages on their way to another shard, one behind the other.
//!
//! A message of a hundred bytes costs more to allocate and to count than to
//! copy: in a stream all that goes to another shard in one turn is one piece of
//! memory there.

use std::sync::Arc;

use super::index::{Matched, Target};
use super::ledger::{Counter, Held};
use super::shared::LinkId;
use crate::core::admission::Account;
use crate::core::nats::codec::Publish;

/// Most bytes of one piece.
const PIECE: usize = 256 * 1024;
/// Most deliveries of one piece: it is done in one go.
const DELIVERIES: usize = 16 * 1024;

/// Matches among which that of the next message is looked for.
const NEIGHBOURS: usize = 8;

/// Messages laid one behind the other, in order.
#[derive(Debug)]
pub struct Packed {
    held: Held,
    bytes: Vec<u8>,
    messages: Vec<Packet>,
    deliveries: usize,
    /// Matches that messages refer to; neighbours of one stream have the same.
    matched: Vec<Arc<Matched>>,
    /// Bytes these take, should nobody else have them any more.
    matches: usize,
}

/// For whom a message is on the shard it goes to.
#[derive(Debug, Clone, Copy)]
pub enum For {
    /// All plain subscriptions.
    Plain,
    /// One member of a queue group.
    Member {
        /// Account of the subscription.
        account: Account,
        /// Which group of the match.
        group: usize,
        /// Who was chosen.
        target: Target,
        /// How often a chosen member was gone.
        tries: u8,
    },
}

#[derive(Debug)]
struct Packet {
    from: LinkId,
    to: For,
    matched: usize,
    subject: usize,
    reply: Option<usize>,
    /// Length of the header block and of its number as written.
    headers: Option<(usize, usize)>,
    size_text: usize,
    body: usize,
}

/// Bytes of a message that is packed.
pub fn length(message: &Publish<'_>) -> usize {
    let headers = message.headers.map_or(0, |(_, text)| text.len());
    message.subject.len()
        + message.reply.map_or(0, <[u8]>::len)
        + headers
        + message.size_text.len()
        + message.body.len()
}

impl Packed {
    /// None yet. What they take counts in the account of the shard that makes them.
    pub fn new(counter: &Counter) -> Self {
        Self {
            held: Held::new(counter),
            bytes: Vec::new(),
            messages: Vec::new(),
            deliveries: 0,
            matched: Vec::new(),
            matches: 0,
        }
    }

    /// Whether another message of so many bytes, for so many, should go elsewhere.
    pub fn is_full(&self, more: usize, deliveries: usize) -> bool {
        !self.messages.is_empty()
            && (self.bytes.len() + more > PIECE || self.deliveries + deliveries > DELIVERIES)
    }

    /// Adds a message, and returns the bytes its match takes where it is a new one here.
    pub fn push(
        &mut self,
        from: LinkId,
        to: For,
        matched: &Arc<Matched>,
        message: &Publish<'_>,
        deliveries: usize,
    ) -> usize {
        self.deliveries += deliveries;
        let far = self.matched.len().saturating_sub(NEIGHBOURS);
        let near = self.matched.get(far..).unwrap_or_default();
        let (place, size) = match near.iter().rposition(|known| Arc::ptr_eq(known, matched)) {
            Some(place) => (far + place, 0),
            None => {
                self.matched.push(matched.clone());
                (self.matched.len() - 1, matched.size())
            }
        };
        self.matches += size;
        let header_text = message.headers.map(|(_, text)| text);
        for part in
            [Some(message.subject), message.reply, header_text, Some(message.size_text), Some(message.body)]
                .into_iter()
                .flatten()
        {
            self.bytes.extend_from_slice(part);
        }
        self.messages.push(Packet {
            from,
            to,
            matched: place,
            subject: message.subject.len(),
            reply: message.reply.map(<[u8]>::len),
            headers: message.headers.map(|(length, text)| (length, text.len())),
            size_text: message.size_text.len(),
            body: message.body.len(),
        });
        size
    }

    /// Enters what they take into the account: once, before they are handed over.
    pub fn settle(&mut self) {
        let messages = self.messages.capacity() * size_of::<Packet>();
        self.held.set(self.bytes.capacity() + messages + self.matches);
    }

    /// The messages in their order.
    pub fn iter(&self) -> impl Iterator<Item = (LinkId, For, &Arc<Matched>, Publish<'_>)> {
        let mut rest: &[u8] = &self.bytes;
        self.messages.iter().filter_map(move |packet| {
            let mut take = |length: usize| {
                let (part, behind) = rest.split_at_checked(length)?;
                rest = behind;
                Some(part)
            };
            let subject = take(packet.subject)?;
            let reply = packet.reply.and_then(&mut take);
            let headers = packet.headers.and_then(|(length, text)| Some((length, take(text)?)));
            let size_text = take(packet.size_text)?;
            let body = take(packet.body)?;
            let message = Publish { subject, reply, headers, size_text, body };
            Some((packet.from, packet.to, self.matched.get(packet.matched)?, message))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_as_it_was() {
        let from = LinkId { shard: 1, key: 2, cid: 3, deaf: true, hub: false, unasked: true };
        let (one, other) = (Arc::new(Matched::default()), Arc::new(Matched::default()));
        let plain =
            Publish { subject: b"a.b", reply: None, headers: None, size_text: b"005", body: b"hello" };
        let full = Publish {
            subject: b"c",
            reply: Some(b"r.1"),
            headers: Some((12, b"12")),
            size_text: b"14",
            body: b"NATS/1.0\r\n\r\nhi",
        };
        let empty = Publish { subject: b"d", reply: None, headers: None, size_text: b"0", body: b"" };
        let counter = Counter::default();
        let mut packed = Packed::new(&counter);
        assert!(!packed.is_full(10 * PIECE, 10 * DELIVERIES));
        for (matched, message) in [(&one, &plain), (&one, &full), (&other, &empty)] {
            packed.push(from, For::Plain, matched, message, 1);
        }
        assert_eq!(packed.matched.len(), 2);
        assert!(packed.is_full(PIECE, 1) && packed.is_full(1, DELIVERIES) && !packed.is_full(100, 1));
        let found: Vec<_> = packed.iter().collect();
        assert_eq!(found.iter().map(|(.., message)| *message).collect::<Vec<_>>(), [plain, full, empty]);
        assert!(Arc::ptr_eq(found[1].2, &one) && Arc::ptr_eq(found[2].2, &other));
        assert!(found.iter().all(|(link, ..)| *link == from));
        drop(found);
        packed.settle();
        assert!(counter.load(std::sync::atomic::Ordering::Relaxed) > 30);
        drop(packed);
        assert_eq!(counter.load(std::sync::atomic::Ordering::Relaxed), 0);
    }
}
