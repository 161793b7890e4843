//! A message from a link to everybody who wants it.

use std::sync::Arc;

use super::account::imported_by;
use super::close::Close;
use super::delivery::{self, Delivery, Form, is_copied};
use super::index::{Matched, Target};
use super::ledger::{MEMBER, Message};
use super::pace::{MESSAGE, THROTTLED};
use super::packed::{self, For};
use super::server_info;
use super::shard::Shard;
use super::shared::{Handover, LinkId};
use super::user_info;
use super::{consumers, copies, presence};
use crate::core::admission::{Account, PeerKind};
use crate::core::nats::codec::Publish;
use crate::core::nats::frame::Frame;
use crate::core::nats::headers;
use crate::core::nats::leaf::read;
use crate::core::nats::subject;

/// Reply subjects that only brokers make (spec 04 §6.6).
const RESERVED_REPLIES: [&[u8]; 3] = [b"_R_.", b"_GR_.", b"$JS.ACK."];
/// What the broker says itself.
pub(super) const ITSELF: LinkId =
    LinkId { shard: 0, key: 0, cid: delivery::BROKER, deaf: false, hub: false, unasked: false };
/// Subscriptions of a link that are looked through one by one.
const OWN: u32 = 16;
/// Times a queue group is asked again when the chosen member has gone meanwhile.
const TRIES: u8 = 4;

/// Which queue groups get a message.
#[derive(Debug, Clone, Copy)]
pub enum Groups<'a> {
    /// All that want it.
    All,
    /// Those a hub has chosen: others have had it elsewhere.
    Listed(&'a read::Message<'a>),
}

/// Whether a message is an event, which streams keep.
fn is_event(subject: &[u8]) -> bool {
    subject.starts_with(b"choria.lifecycle.") || subject.starts_with(b"choria.machine.")
}

impl Groups<'_> {
    fn take(self, name: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Listed(message) => message.queues().any(|queue| queue == name),
        }
    }
}

/// The way of the last message: the next one of a stream goes the same.
#[derive(Debug, Default)]
pub struct LastPublish {
    cid: u64,
    generation: u64,
    subject: Vec<u8>,
    matched: Option<Arc<Matched>>,
}

impl LastPublish {
    /// Nothing is known of it any more: permissions have changed.
    pub fn forget(&mut self) {
        self.matched = None;
    }
}

impl Shard {
    pub(super) fn publish(&mut self, key: u32, message: &Publish<'_>) {
        let Some(link) = self.links.get_mut(key as usize) else { return };
        link.traffic.in_msgs += 1;
        link.traffic.in_bytes += message.body.len() as u64;
        self.traffic.in_msgs += 1;
        self.traffic.in_bytes += message.body.len() as u64;
        if self.now >= link.said_since + THROTTLED {
            (link.said, link.said_since) = (0, self.now);
        }
        link.said += message.body.len() + MESSAGE;
        if message.headers.is_some() && !link.flags.headers {
            let reason = "HPUB from a client that announced no headers".into();
            return self.close_later(key, Close::Protocol { reason, told: None });
        }
        let (account, flags, cid) = (link.account, link.flags, link.cid);
        let block = message.headers.map(|(length, _)| message.body.get(..length).unwrap_or_default());
        if let Some(fault) = block.and_then(headers::fault) {
            let subject = String::from_utf8_lossy(message.subject);
            let text = format!("Permissions Violation for Publish to \"{subject}\": of its headers {fault}");
            return self.forbid(key, &text);
        }
        if let Some(block) = block.filter(|_| !link.publish.is_unrestricted()) {
            let holder = link.charge.holder();
            match headers::for_servers(block, holder.kind() != PeerKind::WaitingNode) {
                Ok(false) => {}
                // the engine of streams remembers them
                Ok(true) if !matches!(holder.kind(), PeerKind::Service | PeerKind::Hub) => {
                    holder.pace().said_to_many(consumers::ANSWER, self.now);
                }
                Ok(true) => {}
                Err(fault) => {
                    let subject = String::from_utf8_lossy(message.subject);
                    let text =
                        format!("Permissions Violation for Publish to \"{subject}\": of its headers {fault}");
                    return self.forbid(key, &text);
                }
            }
        }
        let most = self.settings.limits.max_event;
        if message.body.len() > most && !link.publish.is_unrestricted() && is_event(message.subject) {
            let subject = String::from_utf8_lossy(message.subject);
            let text = format!(
                "Permissions Violation for Publish to \"{subject}\": it is an event of more than {most} bytes"
            );
            return self.forbid(key, &text);
        }
        let kind = link.charge.holder().kind();
        let is_waiting = kind == PeerKind::WaitingNode;
        if is_waiting && link.charge.holder().is_ousted() {
            return self.close_later(key, Close::Refused(MEMBER.to_owned()));
        }
        let unasked = is_waiting && !link.asked.take(message.body.len(), self.now);
        let from = LinkId { shard: self.id, key, cid, deaf: !flags.echo, hub: false, unasked };
        let generation = self.shared.router.generation(account);
        if message.reply.is_none()
            && !flags.verbose
            && self.last.cid == cid
            && self.last.generation == generation
            && self.last.subject == message.subject
            && let Some(matched) = self.last.matched.take()
        {
            self.fan_out.count(matched.fan_out());
            self.cache.count_hit(account);
            self.pay(from, message.body.len(), matched.fan_out());
            self.dispatch(
                from,
                account,
                Delivery::published(message, matched.plain(self.id).len()),
                &matched,
                Groups::All,
            );
            self.last.matched = Some(matched);
            return;
        }
        let may_publish = link.publish.is_unrestricted() || link.publish.may_publish(message.subject);
        let may_answer = !may_publish
            && link.replies.as_mut().is_some_and(|replies| replies.take(message.subject, self.now));
        let may_be_answered = message.reply.is_none_or(|reply| {
            subject::is_word(reply)
                && !RESERVED_REPLIES.iter().any(|prefix| reply.starts_with(prefix))
                && link.may_be_answered_at(reply)
                && (!message.subject.starts_with(b"$JS.") || link.hears_answers_at(reply))
        });
        let body = message.body.get(message.headers.map_or(0, |(length, _)| length)..).unwrap_or_default();
        let asks = !link.publish.is_unrestricted() && consumers::asks(message.subject, body);
        let routable = subject::valid_subject(message.subject);
        if flags.pedantic && !(routable && subject::is_literal(message.subject)) {
            self.queue_error(key, "Invalid Publish Subject");
        }
        if !may_publish && !may_answer {
            let subject = String::from_utf8_lossy(message.subject);
            return self.forbid(key, &format!("Permissions Violation for Publish to \"{subject}\""));
        }
        if let Some(reply) = message.reply.filter(|_| !may_be_answered) {
            let reply = String::from_utf8_lossy(reply);
            return self.forbid(key, &format!("Permissions Violation for Publish with Reply of \"{reply}\""));
        }
        let Ok(only_new) = self.judge_question(key, message, body, asks) else { return };
        if flags.verbose {
            self.acknowledge(key);
        }
        if !routable {
            return;
        }
        // as its asker might have said it
        let only_new = only_new.map(|request| {
            let length = message.headers.map_or(0, |(length, _)| length);
            [message.body.get(..length).unwrap_or_default(), &request].concat()
        });
        let size = only_new.as_ref().map(|body| body.len().to_string());
        let changed = only_new.as_deref().zip(size.as_deref());
        let changed = changed.map(|(body, size)| Publish { body, size_text: size.as_bytes(), ..*message });
        let message = changed.as_ref().unwrap_or(message);
        if message.subject == user_info::SUBJECT {
            return self.answer_user_info(key, message.reply);
        }
        if let Some(reply) = message.reply
            && let Some(collective) = presence::asks(message.subject)
        {
            let question = message.body.get(message.headers.map_or(0, |(length, _)| length)..);
            return self.answer_presence(key, collective, reply, question.unwrap_or_default());
        }
        let answered = account == Account::System && self.answer_server(key, message);
        let importer = imported_by(account, message.subject);
        let matched = self.cache.matches(&self.shared.router, account, message.subject);
        let mut heard = self.route(from, account, message, &matched) | answered;
        // where a hub of both accounts has it, that hub passes it on
        let by_hub = !matched.hubs.is_empty();
        let importer = importer.filter(|importer| !(by_hub && self.shared.router.has_hub(*importer)));
        if let Some(importer) = importer {
            let matched = self.cache.matches(&self.shared.router, importer, message.subject);
            // nobody of the other account answers, and nothing of it is named by a stranger
            let message = &Publish { reply: None, ..*message };
            heard |= self.route(from, importer, message, &matched);
        } else if may_publish && !flags.pedantic && heard && !asks {
            self.last.cid = cid;
            self.last.generation = generation;
            self.last.subject.clear();
            self.last.subject.extend_from_slice(message.subject);
            self.last.matched = Some(matched);
        }
        if !heard
            && flags.no_responders
            && let Some(reply) = message.reply
        {
            self.tell_no_responders(key, account, reply, message.subject);
        }
    }

    /// What is said to many is paid for by who says it.
    fn pay(&mut self, from: LinkId, length: usize, many: usize) {
        let bytes = length.saturating_mul(many);
        if many > copies::FEW
            && let Some(link) = self.links.get(from.key as usize).filter(|link| link.cid == from.cid)
        {
            link.charge.holder().pace().said_to_many(bytes, self.now);
        }
    }

    /// Sends to everybody in one account; false if nobody wants it.
    fn route(
        &mut self,
        from: LinkId,
        account: Account,
        message: &Publish<'_>,
        matched: &Arc<Matched>,
    ) -> bool {
        let many = matched.fan_out();
        self.fan_out.count(many);
        if matched.is_empty() {
            return false;
        }
        self.pay(from, message.body.len(), many);
        let delivery = Delivery::published(message, matched.plain(self.id).len());
        self.dispatch(from, account, delivery, matched, Groups::All)
    }

    pub(super) fn dispatch(
        &mut self,
        from: LinkId,
        account: Account,
        mut delivery: Delivery<'_>,
        matched: &Arc<Matched>,
        groups: Groups<'_>,
    ) -> bool {
        let mut heard = false;
        for shard in matched.shards().filter(|shard| *shard != self.id) {
            let Some(outbox) = self.outboxes.get_mut(usize::from(shard)) else { continue };
            heard = true;
            let deliveries = matched.plain(shard).len();
            match &delivery.form {
                Form::Published(message) if is_copied(message, deliveries) => {
                    outbox.pack(deliveries, from, For::Plain, matched, message, &self.held);
                    self.unsent += packed::length(message);
                }
                _ => {
                    let message = delivery.make(&self.held);
                    let bytes = message.len();
                    outbox.push(
                        deliveries,
                        bytes,
                        Handover::Message { from, to: For::Plain, message, matched: matched.clone() },
                    );
                }
            }
        }
        heard |= self.deliver_plain(from, &mut delivery, matched);
        let mut served: Vec<&[u8]> = Vec::new();
        for (place, group) in matched.groups.iter().enumerate().filter(|(_, group)| groups.take(&group.name))
        {
            let got = self.dispatch_group(from, account, &mut delivery, matched, place, 0);
            if got && !matched.hubs.is_empty() {
                served.push(&group.name);
            }
            heard |= got;
        }
        if !matched.hubs.is_empty() && !from.hub {
            heard |= self.dispatch_hubs(from, &mut delivery, matched, served);
        }
        heard
    }

    /// Gives a message to everybody of this shard who wants it and is in no group; false if nobody
    /// gets it.
    fn deliver_plain(&mut self, from: LinkId, delivery: &mut Delivery<'_>, matched: &Matched) -> bool {
        let targets = matched.plain(self.id);
        let counted = targets.len() > copies::FEW;
        if counted {
            self.copies.begin();
        }
        self.wide = counted;
        let (mut heard, mut refused) = (false, false);
        for target in targets {
            if counted && self.is_copied_too_often(*target, &mut refused) {
                continue;
            }
            heard |= self.deliver(from, *target, delivery);
            self.relieve();
        }
        self.wide = false;
        // looking at all of them is work, too: who causes much of it says less
        if refused {
            self.slow_down(from);
        }
        heard
    }

    /// Whether the identity behind a subscription has had so much of the same that it gets no more.
    fn is_copied_too_often(&mut self, target: Target, refused: &mut bool) -> bool {
        let Some(subscription) = self.subscriptions.get(target.slot, target.serial) else { return false };
        let key = subscription.link;
        let Some(link) = self.links.get_mut(key as usize) else { return false };
        if link.closing {
            return true;
        }
        let holder = link.charge.holder();
        if !link.copies.take(self.copies.number()) {
            *refused = true;
            let reason = format!("more than {} of its subscriptions want one message", copies::OF_A_LINK);
            let told = Some("maximum subscriptions to one subject exceeded");
            self.close_later(key, Close::Protocol { reason: reason.into(), told });
            return true;
        }
        if !self.copies.again(Arc::as_ptr(holder).addr()) {
            return false;
        }
        let most = self.settings.limits.of(holder.kind()).connections;
        if holder.copies().take(u32::try_from(most).unwrap_or(u32::MAX), self.now) {
            return false;
        }
        *refused = true;
        self.traffic.lost += 1;
        let (identity, remote) = (holder.identity(), link.remote);
        self.shared.refusal_log.note("copies", || {
            tracing::warn!(identity, %remote, "hears the same again and again, and loses what is too much of it");
        });
        true
    }

    /// Gives a message to one member of a group.
    fn dispatch_group(
        &mut self,
        from: LinkId,
        account: Account,
        delivery: &mut Delivery<'_>,
        matched: &Arc<Matched>,
        group: usize,
        tries: u8,
    ) -> bool {
        let Some(members) = matched.groups.get(group).map(|group| &group.members) else { return false };
        let start = self.next_random() as usize % members.len().max(1);
        // When a member is to be found anew, those of this shard come first: what the publisher says
        // next comes to them by the same way, behind this message.
        let mut elsewhere = None;
        for target in members.iter().cycle().skip(start).take(members.len()) {
            if target.shard == self.id {
                if self.deliver(from, *target, delivery) {
                    return true;
                }
            } else {
                elsewhere = elsewhere.or(Some(*target));
                if tries == 0 {
                    break;
                }
            }
        }
        elsewhere.is_some_and(|target| {
            let to = For::Member { account, group, target, tries };
            self.hand_to_member(from, to, target.shard, delivery, matched)
        })
    }

    fn hand_to_member(
        &mut self,
        from: LinkId,
        to: For,
        shard: u16,
        delivery: &mut Delivery<'_>,
        matched: &Arc<Matched>,
    ) -> bool {
        let Some(outbox) = self.outboxes.get_mut(usize::from(shard)) else { return false };
        match &delivery.form {
            Form::Published(message) => {
                outbox.pack(1, from, to, matched, message, &self.held);
                self.unsent += packed::length(message);
            }
            Form::Made(message) => {
                let (message, matched) = (message.clone(), matched.clone());
                outbox.push(1, message.len(), Handover::Message { from, to, message, matched });
            }
        }
        true
    }

    /// A message another shard handed over.
    ///
    /// If it is for a member of a queue group that has gone meanwhile, the group is asked again:
    /// leaving a group must not lose a request that somebody else could answer.
    pub(super) fn deliver_for(
        &mut self,
        from: LinkId,
        to: For,
        matched: &Arc<Matched>,
        mut delivery: Delivery<'_>,
    ) {
        let For::Member { account, group, target, tries } = to else {
            self.deliver_plain(from, &mut delivery, matched);
            return;
        };
        if self.deliver(from, target, &mut delivery) || tries >= TRIES {
            return;
        }
        let Some(name) = matched.groups.get(group).map(|group| &group.name) else { return };
        let now = self.cache.matches(&self.shared.router, account, delivery.routed());
        if let Some(group) = now.groups.iter().position(|group| group.name == *name) {
            self.dispatch_group(from, account, &mut delivery, &now, group, tries + 1);
        }
    }

    /// Status 503 on the publisher's own subscription to its reply subject, if it has one.
    fn tell_no_responders(&mut self, key: u32, account: Account, reply: &[u8], subject: &[u8]) {
        if let Some(target) = self.own_subscription(key, account, reply) {
            let message = Message::new(Frame::no_responders(reply, subject), &self.held);
            self.deliver(ITSELF, target, &mut Delivery::made(message));
        }
    }

    /// The subscription a link has to a subject, if it has one.
    pub(super) fn own_subscription(&mut self, key: u32, account: Account, subject: &[u8]) -> Option<Target> {
        // whoever has few is not looked for among all who want that subject
        let link = self.links.get(key as usize)?;
        if link.subscription_count <= OWN {
            let own = self
                .subscriptions
                .chain(link.subscriptions)
                .filter_map(|(slot, serial, of)| Some((of.key?, Target { shard: self.id, slot, serial })));
            return self.shared.router.first_that_wants(account, subject, own);
        }
        let matched = self.cache.matches(&self.shared.router, account, subject);
        matched.plain(self.id).iter().copied().find(|target| {
            self.subscriptions.get(target.slot, target.serial).is_some_and(|found| found.link == key)
        })
    }

    fn answer_user_info(&mut self, key: u32, reply: Option<&[u8]>) {
        let (Some(link), Some(reply)) = (self.links.get(key as usize), reply) else { return };
        let account = link.account;
        let answer = user_info::answer(
            &self.shared.identity,
            &link.client.user,
            account,
            &link.publish,
            &link.subscribe,
            link.responses(),
        );
        self.answer(key, account, reply, answer);
    }

    /// Says what this broker is, where it is asked; engines behind it that are asked, too, answer for themselves.
    fn answer_server(&mut self, key: u32, message: &Publish<'_>) -> bool {
        let Some(reply) = message.reply else { return false };
        let Some(asked) = server_info::asked(message.subject, &self.shared.identity.server_id) else {
            return false;
        };
        let stats = self.shared.stats();
        let answer = server_info::answer(asked, &self.shared, &stats, jiff::Timestamp::now());
        self.answer(key, Account::System, reply, answer);
        true
    }

    /// To nobody but who asks: where else it may publish is not looked at here.
    fn answer(&mut self, key: u32, account: Account, reply: &[u8], answer: String) {
        if let Some(target) = self.own_subscription(key, account, reply) {
            let message = Message::new(Frame::message(reply, None, answer.as_bytes()), &self.held);
            self.deliver(ITSELF, target, &mut Delivery::made(message));
        }
    }
}
