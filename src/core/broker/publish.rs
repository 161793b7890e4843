//! A message from a link to everybody who wants it.

use std::sync::Arc;

use super::account::imported_by;
use super::close::Close;
use super::index::{Matched, Target};
use super::outbound::{Item, Message};
use super::shard::Shard;
use super::shared::Handover;
use super::user_info;
use crate::core::admission::Account;
use crate::core::nats::codec::Publish;
use crate::core::nats::frame::Frame;
use crate::core::nats::subject;

/// Reply subjects that only brokers make (spec 04 §6.6).
const RESERVED_REPLIES: [&[u8]; 3] = [b"_R_.", b"_GR_.", b"$JS.ACK."];
/// Times a queue group is asked again when the chosen member has gone meanwhile.
const TRIES: u8 = 4;

/// A message on its way to several links, with the form for those without headers.
struct Delivery {
    message: Arc<Message>,
    without_headers: Option<Arc<Message>>,
}

impl Shard {
    pub(super) fn publish(&mut self, key: u32, message: &Publish<'_>) {
        let Some(link) = self.links.get_mut(key as usize) else { return };
        link.traffic.in_msgs += 1;
        link.traffic.in_bytes += message.body.len() as u64;
        self.traffic.in_msgs += 1;
        self.traffic.in_bytes += message.body.len() as u64;
        if message.headers.is_some() && !link.manners.headers {
            let reason = "HPUB from a client that announced no headers".into();
            return self.doom(key, Close::Protocol { reason, told: None });
        }
        let (account, manners) = (link.account, link.manners);
        let may_publish = link.publish.is_unrestricted()
            || link.publish.may_publish(message.subject)
            || link.replies.as_mut().is_some_and(|replies| replies.take(message.subject, self.now));
        let routable = subject::valid_subject(message.subject);
        if manners.pedantic && !(routable && subject::is_literal(message.subject)) {
            self.queue_error(key, "Invalid Publish Subject");
        }
        if !may_publish {
            let subject = String::from_utf8_lossy(message.subject);
            return self.forbid(key, &format!("Permissions Violation for Publish to \"{subject}\""));
        }
        if let Some(reply) = message.reply
            && RESERVED_REPLIES.iter().any(|prefix| reply.starts_with(prefix))
        {
            let reply = String::from_utf8_lossy(reply);
            return self.forbid(key, &format!("Permissions Violation for Publish with Reply of \"{reply}\""));
        }
        if manners.verbose {
            self.acknowledge(key);
        }
        if !routable {
            return;
        }
        if message.subject == user_info::SUBJECT {
            return self.answer_user_info(key, message.reply);
        }
        let muted = (!manners.echo).then_some(key);
        let mut heard = self.route(account, message, muted);
        if let Some(importer) = imported_by(account, message.subject) {
            heard |= self.route(importer, message, muted);
        }
        if !heard
            && manners.no_responders
            && let Some(reply) = message.reply
        {
            self.tell_no_responders(key, account, reply, message.subject);
        }
    }

    /// Sends to everybody in one account; false if nobody wants it.
    fn route(&mut self, account: Account, message: &Publish<'_>, muted: Option<u32>) -> bool {
        let matched = self.cache.matches(&self.shared.router, account, message.subject);
        self.fan_out.count(matched.fan_out());
        if matched.is_empty() {
            return false;
        }
        let message = Message::new(Frame::of(message), &self.ledger);
        self.dispatch(account, &message, &matched, muted)
    }

    fn dispatch(
        &mut self,
        account: Account,
        message: &Arc<Message>,
        matched: &Arc<Matched>,
        muted: Option<u32>,
    ) -> bool {
        let mut heard = false;
        for shard in matched.shards().filter(|shard| *shard != self.id) {
            if let Some(outbox) = self.outboxes.get_mut(usize::from(shard)) {
                outbox.push(Handover::Deliver { message: message.clone(), matched: matched.clone() });
                heard = true;
            }
        }
        let mut delivery = Delivery { message: message.clone(), without_headers: None };
        for target in matched.plain(self.id) {
            heard |= self.deliver(*target, &mut delivery, muted);
            self.relieve();
        }
        for group in 0..matched.groups.len() {
            heard |= self.dispatch_group(account, &mut delivery, matched, group, muted, 0);
        }
        heard
    }

    /// Gives a message to one member of a group.
    fn dispatch_group(
        &mut self,
        account: Account,
        delivery: &mut Delivery,
        matched: &Arc<Matched>,
        group: usize,
        muted: Option<u32>,
        tries: u8,
    ) -> bool {
        let Some(members) = matched.groups.get(group).map(|group| &group.members) else { return false };
        let start = self.next_random() as usize % members.len().max(1);
        for target in members.iter().cycle().skip(start).take(members.len()) {
            if target.shard == self.id {
                if self.deliver(*target, delivery, muted) {
                    return true;
                }
            } else if let Some(outbox) = self.outboxes.get_mut(usize::from(target.shard)) {
                outbox.push(Handover::Member {
                    account,
                    message: delivery.message.clone(),
                    matched: matched.clone(),
                    group,
                    target: *target,
                    tries,
                });
                return true;
            }
        }
        false
    }

    /// A message another shard handed over for this shard's plain subscriptions.
    pub(super) fn deliver_plain(
        &mut self,
        matched: &Arc<Matched>,
        message: Arc<Message>,
        muted: Option<u32>,
    ) {
        let mut delivery = Delivery { message, without_headers: None };
        for target in matched.plain(self.id) {
            self.deliver(*target, &mut delivery, muted);
            self.relieve();
        }
    }

    /// A message another shard chose a member of this one for. If that has
    /// gone meanwhile, the group is asked again: leaving a group must not lose
    /// a request that somebody else could answer.
    pub(super) fn deliver_member(
        &mut self,
        account: Account,
        message: Arc<Message>,
        matched: &Arc<Matched>,
        group: usize,
        target: Target,
        tries: u8,
    ) {
        let mut delivery = Delivery { message, without_headers: None };
        if self.deliver(target, &mut delivery, None) || tries >= TRIES {
            return;
        }
        let Some(name) = matched.groups.get(group).map(|group| &group.name) else { return };
        let now = self.cache.matches(&self.shared.router, account, delivery.message.subject());
        if let Some(group) = now.groups.iter().position(|group| group.name == *name) {
            self.dispatch_group(account, &mut delivery, &now, group, None, tries + 1);
        }
    }

    /// Queues a message for one subscription of this shard; false if it does not get it.
    fn deliver(&mut self, target: Target, delivery: &mut Delivery, muted: Option<u32>) -> bool {
        let Some(subscription) = self.subscriptions.get(target.slot, target.serial) else { return false };
        let key = subscription.link;
        let Some(link) = self.links.get_mut(key as usize) else { return false };
        if link.doomed || muted == Some(key) {
            return false;
        }
        if subscription.filtered && link.subscribe.denies(delivery.message.subject()) {
            return false;
        }
        if let (Some(replies), Some(reply)) = (link.replies.as_mut(), delivery.message.reply()) {
            replies.expect(reply, self.now);
        }
        subscription.delivered = subscription.delivered.saturating_add(1);
        let last = subscription.max > 0 && subscription.delivered >= subscription.max;
        let sid = subscription.sid.clone();
        let message = if delivery.message.has_headers() && !link.manners.headers {
            let ledger = &self.ledger;
            delivery
                .without_headers
                .get_or_insert_with(|| Message::new(delivery.message.without_headers(), ledger))
        } else {
            &delivery.message
        };
        let bytes = message.body_len() as u64;
        link.traffic.out_msgs += 1;
        link.traffic.out_bytes += bytes;
        self.traffic.out_msgs += 1;
        self.traffic.out_bytes += bytes;
        let item = Item::Message(message.clone(), sid);
        self.queue(key, item);
        if last {
            self.end_subscription(target.slot);
        }
        true
    }

    /// Status 503 on the publisher's own subscription to its reply subject, if it has one.
    fn tell_no_responders(&mut self, key: u32, account: Account, reply: &[u8], subject: &[u8]) {
        let matched = self.cache.matches(&self.shared.router, account, reply);
        let own = matched.plain(self.id).iter().copied().find(|target| {
            self.subscriptions.get(target.slot, target.serial).is_some_and(|found| found.link == key)
        });
        if let Some(target) = own {
            let message = Message::new(Frame::no_responders(reply, subject), &self.ledger);
            self.deliver(target, &mut Delivery { message, without_headers: None }, None);
        }
    }

    fn answer_user_info(&mut self, key: u32, reply: Option<&[u8]>) {
        let (Some(link), Some(reply)) = (self.links.get(key as usize), reply) else { return };
        let account = link.account;
        let answer = user_info::answer(
            &self.shared.identity,
            &link.about.user,
            account,
            &link.publish,
            &link.subscribe,
            link.responses(),
        );
        let matched = self.cache.matches(&self.shared.router, account, reply);
        if !matched.is_empty() {
            let message = Message::new(Frame::message(reply, None, answer.as_bytes()), &self.ledger);
            self.dispatch(account, &message, &matched, None);
        }
    }
}
