//! What a link asks of streams: whether it may, whose the consumer is that it asks, and what the answer costs.

use std::borrow::Cow;

use super::making::{mark_of, marked};
use super::shard::Shard;
use super::{consumers, pulls, stream_share};
use crate::core::admission::PeerKind;
use crate::core::nats::codec::Publish;
use crate::core::text::shortened;

/// It was refused, and who asked it knows.
pub(super) struct Refused;

impl Shard {
    /// Judges a message to the engine of who may not do everything, and has it paid for; `asks` where the engine answers
    /// it. Gives what is to be said in the place of its payload, where that is something else.
    pub(super) fn judge_question(
        &mut self,
        key: u32,
        message: &Publish<'_>,
        body: &[u8],
        asks: bool,
    ) -> Result<Option<Vec<u8>>, Refused> {
        let Some(link) = self.links.get(key as usize) else { return Ok(None) };
        if link.publish.is_unrestricted() || !message.subject.starts_with(b"$JS.") {
            return Ok(None);
        }
        let kind = link.charge.holder().kind();
        let flows = message.subject.starts_with(b"$JS.FC.");
        if flows && let Some(link) = self.links.get_mut(key as usize) {
            if !link.publish.may_publish(&consumers::lasting_of(message.subject)) {
                link.held_until = self.now + link.charge.holder().consumers().held_back(self.now);
            }
            self.pay_for_answer(key, consumers::FLOWS);
        }
        if message.subject.starts_with(b"$JS.ACK.") && kind == PeerKind::Client {
            let own = self.links.get(key as usize).is_some_and(|link| {
                link.publish.may_publish(&consumers::lasting_of(message.subject))
                    || link.charge.holder().consumers().has_made(message.subject)
            });
            if !own {
                let why = "it acknowledges for a consumer that it has not made";
                return Err(self.refuse_to_ask(key, message, why));
            }
        }
        if !asks {
            return Ok(None);
        }
        if let Some(why) = self.judge_consumer(key, message, body) {
            return Err(self.refuse_to_ask(key, message, &format!("it makes a consumer that {why}")));
        }
        // whoever keeps lasting ones reads as much as they like
        let keeps = self
            .links
            .get(key as usize)
            .is_some_and(|link| link.publish.may_publish(&consumers::lasting(message.subject)));
        let pull = pulls::is_one(message.subject).then(|| pulls::read(body));
        let excess = match &pull {
            Some(Some(pull)) => pull.excess(),
            Some(None) => Some("it asks for messages in a way that cannot be read"),
            None => consumers::asks_for_too_much(message.subject, body),
        };
        if let Some(why) = excess.filter(|_| !keeps) {
            return Err(self.refuse_to_ask(key, message, why));
        }
        let made = self.links.get(key as usize).map(|link| link.charge.holder().consumers());
        let does = match &pull {
            Some(_) => Some("asks for messages of"),
            None => consumers::is_removal(message.subject).then_some("removes"),
        };
        // nodes have a consumer whose name is their own
        if let Some(does) = does.filter(|_| kind == PeerKind::Client && !keeps)
            && made.is_some_and(|made| !made.has_made(message.subject))
        {
            return Err(self.refuse_to_ask(
                key,
                message,
                &format!("it {does} a consumer that it has not made"),
            ));
        }
        let (mut making, mut only_new) = (None, None);
        if kind == PeerKind::Client && !keeps && consumers::makes(message.subject) {
            let identity = self.links.get(key as usize).map_or("", |link| link.charge.holder().identity());
            let mark = |stream: &str, name: &str| mark_of(identity, stream, name);
            let Some((made, request)) = marked(message.subject, body, mark) else {
                return Err(self.refuse_to_ask(key, message, "it makes a consumer that cannot be read"));
            };
            (making, only_new) = (Some(made), Some(request));
        }
        let pull = pull.flatten();
        if let Some(pull) = &pull {
            made.inspect(|made| made.asked(message.subject, pull.lasts(), self.now));
        } else if consumers::removes(message) {
            made.inspect(|made| made.ends(message.subject));
        }
        let price = consumers::price(pull.as_ref(), matches!(kind, PeerKind::WaitingNode | PeerKind::Node));
        self.pay_for_answer(key, if keeps { consumers::ANSWER } else { price });
        if let (Some(link), Some(reply)) = (self.links.get_mut(key as usize), message.reply)
            && !keeps
        {
            let of_holder = link.charge.holder().consumers();
            link.held_until = self.now + of_holder.held_back(self.now);
            if pull.is_none() && !of_holder.asks(reply, making, self.now) {
                self.pay_for_answer(key, stream_share::ASKED_AT_ONCE);
            }
        }
        Ok(only_new)
    }

    /// Why a consumer may not be made, by whom.
    fn judge_consumer(&mut self, key: u32, message: &Publish<'_>, body: &[u8]) -> Option<Cow<'static, str>> {
        let link = self.links.get(key as usize).filter(|_| consumers::makes(message.subject))?;
        // what cannot be read is not handed on either
        let Some(asked) = consumers::read(body) else { return Some("cannot be read".into()) };
        if let Some(place) = asked.places.iter().find(|place| !link.hears_answers_at(place.as_bytes())) {
            // as it is quoted nothing of it is a line of its own
            return Some(format!("delivers to {:?}", shortened(place, 200)).into());
        }
        if link.publish.may_publish(&consumers::lasting(message.subject)) {
            return None;
        }
        let (holder, kind) = (link.charge.holder(), link.charge.holder().kind());
        if let Some(excess) = asked.excess(kind == PeerKind::Node) {
            return Some(excess.into());
        }
        let node = kind == PeerKind::Node;
        let (cache, router, account) = (&mut self.cache, &self.shared.router, link.account);
        let is_heard = |place: &str| !cache.matches(router, account, place.as_bytes()).is_empty();
        if !holder.consumers().begins(message.subject, &asked, node, self.now, is_heard) {
            return Some("is one more than may be at a time: remove some".into());
        }
        let most = self.settings.limits.of(kind).consumers;
        let taken = holder.consumers().take(most, self.now);
        (!taken).then(|| format!("is one more than {most} in ten minutes").into())
    }

    /// Something about streams may not be asked by who asks it, and the log says who it was.
    fn refuse_to_ask(&mut self, key: u32, message: &Publish<'_>, why: &str) -> Refused {
        let subject = String::from_utf8_lossy(message.subject);
        let text = format!("Permissions Violation for Publish to \"{subject}\": {why}");
        if let Some(link) = self.links.get(key as usize) {
            let (identity, remote) = (link.charge.holder().identity(), link.remote);
            self.shared.refusal_log.note("streams", || {
                tracing::warn!(identity, %remote, "{}", shortened(&text, 300));
            });
        }
        self.forbid(key, &text);
        Refused
    }

    /// An answer about streams may be much larger than what it answers: it is paid for by who asks.
    fn pay_for_answer(&self, key: u32, bytes: usize) {
        let Some(link) = self.links.get(key as usize) else { return };
        let holder = link.charge.holder();
        if !matches!(holder.kind(), PeerKind::Service | PeerKind::Hub) {
            holder.pace().said_to_many(bytes, self.now);
        }
    }
}
