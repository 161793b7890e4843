//! What a hub's words do here.
//!
//! A hub is known by its certificate and is hostile all the same: what it wants
//! is bounded, what it says is for those who subscribed, by their own
//! permissions, and nothing it says speaks for somebody here.

use std::time::Duration;

use crate::core::broker::account::imported_by;
use crate::core::broker::close::Close;
use crate::core::broker::delivery::Delivery;
use crate::core::broker::hubs::Wish;
use crate::core::broker::index;
use crate::core::broker::ledger::Message;
use crate::core::broker::link::Link;
use crate::core::broker::publish::Groups;
use crate::core::broker::shard::Shard;
use crate::core::broker::shared::LinkId;
use crate::core::nats::frame;
use crate::core::nats::headers;
use crate::core::nats::leaf::hello::HubInfo;
use crate::core::nats::leaf::read::{self, Event};
use crate::core::nats::subject;

/// How long to keep away from a hub where coming back would only end the same way (spec 04 §8).
pub const PAUSE: Duration = Duration::from_secs(30);
/// What every member of networks that are tied together announces of itself.
const LOOPS: &[u8] = b"$LDS.";
/// Where acknowledgements of stream messages go.
const ACK: &[u8] = b"$JS.ACK.";
/// Subjects that only servers make, which no list names.
const SERVERS_OWN: [&[u8]; 3] = [b"_R_.", b"_GR_.", ACK];

impl Shard {
    /// Acts on one thing a hub said.
    pub(in crate::core::broker) fn on_hub_event(&mut self, key: u32, event: Event<'_>) {
        match event {
            Event::Message(message) => self.hear_message(key, &message),
            Event::Wanted { subject, queue } => self.hear_wish(key, subject, queue.map(|(queue, _)| queue)),
            Event::Unwanted { subject, queue } => self.hear_withdrawal(key, subject, queue),
            Event::Ping => self.queue_line(key, frame::PONG),
            Event::Pong => self.answered(key),
            Event::Ignored => {}
            Event::Info(body) => self.hear_info(key, body),
            Event::Error(text) => {
                let text = String::from_utf8_lossy(text).into_owned();
                let pause = pause_after(&text);
                self.close_later(key, Close::Hub { reason: format!("the hub says: {text}"), pause });
            }
        }
    }

    fn hear_info(&mut self, key: u32, body: &[u8]) {
        let Some(leaf) = self.links.get(key as usize).and_then(|link| link.leaf.as_deref()) else { return };
        match HubInfo::decode(body) {
            Ok(info) => {
                leaf.remote.learn(&info);
                if !leaf.agrees_with(&info) {
                    let reason =
                        "the hub has other limits now, they count from a new connection on".to_owned();
                    self.close_later(key, Close::Hub { reason, pause: Duration::ZERO });
                }
            }
            Err(error) => self.close_later(key, Close::Hub { reason: error.to_string(), pause: PAUSE }),
        }
    }

    fn hear_wish(&mut self, key: u32, subject: &[u8], queue: Option<&[u8]>) {
        let limits = &self.settings.limits;
        let Some(link) = self.links.get(key as usize) else { return };
        let Some(leaf) = link.leaf.as_deref() else { return };
        if subject.starts_with(LOOPS) {
            // others' are for hubs that carry messages on, which this broker does not
            if subject == self.shared.loop_subject().as_bytes() {
                let reason = "a loop: this hub and another one that this broker is a leaf of are one network; \
                              remove one of the two remotes";
                self.close_later(key, Close::Hub { reason: reason.to_owned(), pause: PAUSE });
            }
            return;
        }
        let deep = subject::tokens(subject).take(limits.max_tokens + 1).count() > limits.max_tokens;
        if deep || !subject::valid_pattern(subject) {
            let reason = "the hub wants something that is no subject".to_owned();
            return self.close_later(key, Close::Hub { reason, pause: PAUSE });
        }
        let wish = Wish::new(subject, queue);
        if leaf.wants.contains_key(&wish) {
            return;
        }
        let (holder, kind) = (link.charge.holder(), limits.of(link.charge.holder().kind()));
        let cost = index::cost(subject, queue) + 2 * wish.size();
        let (subjects, bytes) = (leaf.wants.len(), holder.subscribed() + cost);
        // the broker's own engine is not cut for what somebody has it keep: what each consumer wants is left out first
        if leaf.remote.leaf.is_engine() {
            let (most, most_bytes) = match is_of_a_consumer(subject) {
                true => (kind.subscriptions / 4 * 3, kind.memory / 8 * 3),
                false => (kind.subscriptions, kind.memory / 2),
            };
            if subjects >= most || bytes > most_bytes {
                self.shared.refusal_log.note("engine", || {
                    tracing::warn!(
                        subjects,
                        "streams have too many consumers, some are not heard: a privileged certificate removes them; \
                         or raise plugin.choria.network.limits.hub"
                    );
                });
                return;
            }
        } else if subjects >= kind.subscriptions || bytes > kind.memory / 2 {
            let reason = format!(
                "the hub wants more than {} subjects or {} bytes of them; raise plugin.choria.network.limits.hub",
                kind.subscriptions,
                kind.memory / 2
            );
            return self.close_later(key, Close::Hub { reason, pause: PAUSE });
        }
        self.enter_wish(key, wish, cost);
    }

    fn hear_withdrawal(&mut self, key: u32, subject: &[u8], queue: Option<&[u8]>) {
        let Some(link) = self.links.get_mut(key as usize) else { return };
        let account = link.account;
        let Some(leaf) = link.leaf.as_deref_mut() else { return };
        let wish = Wish::new(subject, queue);
        if let Some(handle) = leaf.wants.remove(&wish) {
            link.subscribed = link.subscribed.saturating_sub(index::cost(subject, queue) + 2 * wish.size());
            link.settle();
            self.shared.router.withdraw(account, handle);
        }
    }

    fn hear_message(&mut self, key: u32, message: &read::Message<'_>) {
        let publish = &message.publish;
        let Some(link) = self.links.get_mut(key as usize) else { return };
        let account = link.account;
        let Some(leaf) = link.leaf.as_deref() else { return };
        let own = SERVERS_OWN.iter().any(|prefix| publish.subject.starts_with(prefix));
        let let_in = own || leaf.import.is_unrestricted() || leaf.import.may_publish(publish.subject);
        link.traffic.in_msgs += 1;
        link.traffic.in_bytes += publish.body.len() as u64;
        self.traffic.in_msgs += 1;
        self.traffic.in_bytes += publish.body.len() as u64;
        let reply_is_one = publish.reply.is_none_or(|reply| !reply.is_empty() && subject::is_word(reply));
        let block = publish.headers.map(|(length, _)| publish.body.get(..length).unwrap_or_default());
        if let Some(fault) = block.and_then(headers::fault) {
            self.traffic.lost += 1;
            let subject = String::from_utf8_lossy(publish.subject);
            self.shared.refusal_log.note("headers", || {
                tracing::warn!(%subject, "the hub says something with headers that are not handed on: {fault}");
            });
            return;
        }
        if !let_in || !reply_is_one || !subject::valid_subject(publish.subject) {
            return;
        }
        let from = LinkId { shard: self.id, key, cid: link.cid, deaf: true, hub: true, unasked: false };
        let groups = Groups::Listed(message);
        // of a stream: the subject it was stored by stands behind the acknowledgement's
        let stored = publish.reply.filter(|reply| reply.starts_with(ACK));
        let stored =
            stored.and_then(|reply| memchr::memchr(b'@', reply).and_then(|at| reply.split_at_checked(at)));
        let matched = self.cache.matches(&self.shared.router, account, publish.subject);
        self.fan_out.count(matched.fan_out());
        let delivery = match stored {
            Some((ack, subject)) => {
                let subject = subject.get(1..).unwrap_or_default();
                if !subject::valid_subject(subject) || matched.is_empty() {
                    return;
                }
                let shown = crate::core::nats::codec::Publish { subject, reply: Some(ack), ..*publish };
                Delivery::made(Message::routed_by(frame::Frame::of(&shown), publish.subject, &self.held))
            }
            None => Delivery::published(publish, matched.plain(self.id).len()),
        };
        self.dispatch(from, account, delivery, &matched, groups);
        // where both accounts are leafs their hub has done this
        if let Some(importer) =
            imported_by(account, publish.subject).filter(|of| !self.shared.router.has_hub(*of))
        {
            let matched = self.cache.matches(&self.shared.router, importer, publish.subject);
            let delivery = Delivery::published(publish, matched.plain(self.id).len());
            self.dispatch(from, importer, delivery, &matched, groups);
        }
    }
}

/// Whether the engine wants a subject for one consumer of a stream.
fn is_of_a_consumer(subject: &[u8]) -> bool {
    let calls = subject.starts_with(b"$JS.API.CONSUMER.") && subject::is_literal(subject);
    calls || subject.starts_with(ACK) || subject.starts_with(b"$JS.FC.") || subject.starts_with(b"_INBOX.")
}

/// How long to keep away from a hub that has said this.
pub fn pause_after(text: &str) -> Duration {
    let again = ["same cluster name", "Loop detected", "Permissions Violation", "Duplicate Remote LeafNode"];
    match again.iter().any(|known| text.contains(known)) {
        true => PAUSE,
        false => Duration::ZERO,
    }
}

impl Shard {
    /// Looks at the certificates of all hubs again: what is trusted may have changed.
    pub(in crate::core::broker) fn judge_hubs(&mut self) {
        let hubs = self.links.iter().filter(|(_, link)| link.leaf.is_some());
        let keys: Vec<u32> = hubs.map(|(key, _)| key as u32).collect();
        keys.into_iter().for_each(|key| self.judge_hub(key));
    }

    /// Ends the connection to the engine behind this broker.
    pub(in crate::core::broker) fn redial_engine(&mut self) {
        let is_engine = |link: &Link| link.leaf.as_deref().is_some_and(|leaf| leaf.remote.leaf.is_engine());
        let engines = self.links.iter().filter(|(_, link)| is_engine(link));
        let keys: Vec<u32> = engines.map(|(key, _)| key as u32).collect();
        for key in keys {
            let reason = "nats-server has read its certificates again".to_owned();
            self.close_later(key, Close::Hub { reason, pause: Duration::ZERO });
        }
    }

    /// The same of one.
    pub(in crate::core::broker) fn judge_hub(&mut self, key: u32) {
        let Some(link) = self.links.get(key as usize) else { return };
        let Some(tls) = link.leaf.as_deref().and_then(|leaf| leaf.remote.leaf.tls.as_ref()) else { return };
        let chain = link.tls.as_deref().and_then(|session| session.peer_certificates()).unwrap_or_default();
        if let Err(reason) = (tls.check)(chain) {
            let reason = format!("the hub's certificate is not valid any more: {reason}");
            self.close_later(key, Close::Hub { reason, pause: PAUSE });
        }
    }
}
