//! One message to the links of one shard: copied or shared, and whether they can take it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::close::Close;
use super::consumers;
use super::index::Target;
use super::ledger::{Counter, MEMBER, Message};
use super::packed;
use super::shard::Shard;
use super::shared::{Handover, LinkId};
use crate::core::admission::PeerKind;
use crate::core::nats::codec::Publish;
use crate::core::nats::frame::Frame;

/// Receivers for whom a small message is laid out one by one; for more it is made once and shared.
const FEW: usize = 4;
/// A message of no more bytes is copied for each receiver: cheaper than to remember who shares it.
const SMALL: usize = 512;
/// Part of what a link may have pending above which those who write to it are throttled.
const BEHIND: usize = 8;

/// Number of the connection that the broker itself says something by; no other has it.
pub const BROKER: u64 = 0;

/// A receiver that has taken nothing for so long holds nobody.
const MOVES: Duration = Duration::from_secs(1);

/// Whether a message is laid out for each of so many receivers by itself.
pub fn is_copied(message: &Publish<'_>, receivers: usize) -> bool {
    receivers <= FEW || message.body.len() <= SMALL
}

/// The part of a limit that messages of others may fill.
fn most_of_others(limit: usize) -> usize {
    limit - limit / 4
}

/// A message on its way to the links of this shard.
pub struct Delivery<'a> {
    pub(super) form: Form<'a>,
    without_headers: Option<Arc<Message>>,
    /// Copied for each receiver, not shared by them.
    copied: bool,
}

/// What a link can take.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Not much more: whoever writes to it is to be slower.
    pub is_short: bool,
}

/// What it consists of.
pub enum Form<'a> {
    /// In the input of its publisher.
    Published(&'a Publish<'a>),
    /// Made.
    Made(Arc<Message>),
}

impl<'a> Delivery<'a> {
    /// A published message for so many receivers here.
    pub fn published(message: &'a Publish<'a>, receivers: usize) -> Self {
        let copied = is_copied(message, receivers);
        Self { form: Form::Published(message), without_headers: None, copied }
    }

    /// A message that has been made.
    pub fn made(message: Arc<Message>) -> Self {
        let copied = message.body_len() <= SMALL;
        Self { form: Form::Made(message), without_headers: None, copied }
    }

    /// The message, to be handed over or shared.
    pub fn make(&mut self, counter: &Counter) -> Arc<Message> {
        match &self.form {
            Form::Made(message) => message.clone(),
            Form::Published(message) => {
                let message = Message::new(Frame::of(message), counter);
                self.form = Form::Made(message.clone());
                message
            }
        }
    }

    /// The same for a receiver that knows headers, or one that does not.
    fn made_for(&mut self, with_headers: bool, counter: &Counter) -> Arc<Message> {
        let message = self.make(counter);
        if with_headers || !message.has_headers() {
            return message;
        }
        let stripped = || Message::new(message.without_headers(), counter);
        self.without_headers.get_or_insert_with(stripped).clone()
    }

    /// Its bytes, about.
    pub(super) fn len(&self) -> usize {
        match &self.form {
            Form::Published(message) => packed::length(message),
            Form::Made(message) => message.len(),
        }
    }

    /// The subject that decides who gets it, which a hub may have shown otherwise.
    pub fn routed(&self) -> &[u8] {
        match &self.form {
            Form::Published(message) => message.subject,
            Form::Made(message) => message.routed(),
        }
    }

    /// What it says.
    fn payload(&self) -> &[u8] {
        match &self.form {
            Form::Published(message) => {
                message.body.get(message.headers.map_or(0, |(length, _)| length)..).unwrap_or_default()
            }
            Form::Made(message) => message.payload(),
        }
    }

    /// Where its answer goes.
    pub fn reply(&self) -> Option<&[u8]> {
        match &self.form {
            Form::Published(message) => message.reply,
            Form::Made(message) => message.reply(),
        }
    }
}

impl Shard {
    /// Whether a message of a stream may be delivered; who has too much of them is cut, for all that the engine says
    /// to others waits behind it.
    fn may_have_more(&mut self, key: u32, reply: &[u8], bytes: usize) -> bool {
        let Some(link) = self.links.get(key as usize) else { return false };
        let holder = link.charge.holder();
        if holder.kind() != PeerKind::Client
            || holder.consumers().deliver(bytes, self.now)
            || link.publish.is_unrestricted()
            || link.publish.may_publish(&consumers::lasting_of(reply))
        {
            return true;
        }
        let reason = "streams deliver more to it than it may have";
        let told = Some("maximum deliveries of streams exceeded");
        self.close_later(key, Close::Protocol { reason: reason.into(), told });
        false
    }

    /// Queues a message for one subscription of this shard; false if it does not get it.
    pub(super) fn deliver(&mut self, from: LinkId, target: Target, delivery: &mut Delivery<'_>) -> bool {
        let Some(subscription) = self.subscriptions.get(target.slot, target.serial) else { return false };
        let key = subscription.link;
        let Some(link) = self.links.get_mut(key as usize) else { return false };
        if link.closing || (from.deaf && from.cid == link.cid) {
            return false;
        }
        if subscription.filtered && link.subscribe.denies(delivery.routed()) {
            return false;
        }
        if from.hub {
            let delivered = delivery.reply().filter(|reply| consumers::is_delivered(reply));
            let consumers = link.charge.holder().consumers();
            let is_answer = || consumers.is_answer(delivery.routed(), delivery.payload());
            if (delivered.is_some() || is_answer())
                && !self.may_have_more(key, delivered.unwrap_or_default(), delivery.len())
            {
                return false;
            }
        }
        let Some(room) = self.room_for(from, key, delivery.len()) else { return false };
        let Some(subscription) = self.subscriptions.get(target.slot, target.serial) else { return false };
        let Some(link) = self.links.get_mut(key as usize) else { return false };
        if let (Some(replies), Some(reply)) = (link.replies.as_mut(), delivery.reply()) {
            replies.expect(reply, self.now);
            link.settle();
        }
        if link.charge.holder().kind() == PeerKind::WaitingNode {
            if link.charge.holder().is_ousted() {
                self.close_later(key, Close::Refused(MEMBER.to_owned()));
                return false;
            }
            if from.cid != link.cid && from.cid != BROKER {
                link.asked.ask(delivery.routed(), self.now);
            }
        }
        subscription.delivered = subscription.delivered.saturating_add(1);
        let last = subscription.max > 0 && subscription.delivered >= subscription.max;
        let sid = subscription.sid.clone();
        let with_headers = link.flags.headers;
        let behind = link.hears(delivery.len(), self.now) || room.is_short;
        let bytes = match &delivery.form {
            Form::Published(message) if delivery.copied => {
                self.lay(key, |out| Frame::lay_for(message, sid.as_bytes(), with_headers, out));
                let dropped = message.headers.filter(|_| !with_headers).map_or(0, |(length, _)| length);
                message.body.len() - dropped
            }
            _ => {
                let message = delivery.made_for(with_headers, &self.held);
                let bytes = message.body_len();
                if delivery.copied {
                    self.lay(key, |out| message.lay(sid.as_bytes(), out));
                } else {
                    self.share(key, message, sid);
                }
                bytes
            }
        } as u64;
        if let Some(link) = self.links.get_mut(key as usize) {
            link.traffic.out_msgs += 1;
            link.traffic.out_bytes += bytes;
        }
        self.traffic.out_msgs += 1;
        self.traffic.out_bytes += bytes;
        if behind {
            self.slow_down(from);
        }
        if last {
            self.end_subscription(target.slot);
        }
        true
    }

    /// Whether a link can take so many bytes more of somebody; if not it loses them.
    ///
    /// What others say cuts nobody: he loses what he cannot take, and keeps a quarter for what he causes
    /// himself.
    pub(super) fn room_for(&mut self, from: LinkId, key: u32, length: usize) -> Option<Room> {
        let link = self.links.get(key as usize)?;
        let kind = self.settings.limits.of(link.charge.holder().kind());
        let limit = self.settings.limits.max_pending.min(kind.memory);
        let waiting = link.weight();
        // one that takes nothing at all is cut soon, and nobody waits for it
        let moves = link
            .outbound
            .as_ref()
            .and_then(|outbound| outbound.blocked_since)
            .is_some_and(|since| self.now < since + MOVES);
        if from.cid != link.cid && from.cid != BROKER {
            if from.unasked && waiting > limit / BEHIND {
                self.traffic.lost += 1;
                self.slow_down(from);
                return None;
            }
            let behind = waiting > 0 && waiting + length > most_of_others(limit);
            if behind || link.charge.holder().bytes() + length > most_of_others(kind.memory) {
                self.lose(key);
                if moves {
                    self.slow_down(from);
                }
                return None;
            }
        }
        Some(Room { is_short: moves && waiting > limit / BEHIND })
    }

    /// A receiver is too far behind for one more message: it is counted, and told in the log.
    pub(super) fn lose(&mut self, key: u32) {
        let Some(link) = self.links.get_mut(key as usize) else { return };
        self.traffic.lost += 1;
        if std::mem::replace(&mut link.loses, true) {
            return;
        }
        let (cid, remote, user, name) = (link.cid, link.remote, &link.client.user, &link.client.name);
        self.shared.refusal_log.note("messages lost", || {
            tracing::warn!(cid, %remote, %user, %name, "reads too slowly, messages for it are dropped");
        });
        if let Some(counters) = self.counters() {
            counters.slow.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Holds a publisher, wherever it is. A hub speaks for many: one slow reader here is no reason to hold
    /// what is for others.
    pub(super) fn slow_down(&mut self, from: LinkId) {
        if from.cid == BROKER || from.hub {
            return;
        }
        if from.shard == self.id {
            self.throttle(from);
        } else if let Some(outbox) = self.outboxes.get_mut(usize::from(from.shard))
            && !matches!(outbox.waiting.last(), Some(Handover::Throttle(other)) if *other == from)
        {
            outbox.push(0, 0, Handover::Throttle(from));
        }
    }
}
