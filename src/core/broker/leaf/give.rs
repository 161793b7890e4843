//! What a hub is sent: messages somebody there wants, and the wishes here.

use std::sync::atomic::Ordering;

use super::interest::Told;
use crate::core::broker::delivery::{Delivery, Form};
use crate::core::broker::hubs::{Attached, ToHub, Wish};
use crate::core::broker::index::Matched;
use crate::core::broker::shard::Shard;
use crate::core::broker::shared::{Handover, LeafId, LinkId};
use crate::core::nats::leaf::write::{self, Outgoing};

impl Shard {
    /// A new link to a hub: from now on it is told what is wanted here.
    pub(in crate::core::broker) fn attach_hub(&mut self, key: u32) {
        let shard = self.id;
        let loop_subject = self.shared.loop_subject();
        let Some(link) = self.links.get_mut(key as usize) else { return };
        let account = link.account;
        let Some(leaf) = link.leaf.as_deref_mut() else { return };
        leaf.id = LeafId { shard, key, serial: leaf.id.serial };
        let hub = Attached {
            leaf: leaf.id,
            order: leaf.remote.order,
            streams: leaf.streams,
            export: leaf.export.clone(),
            changed: leaf.changed.clone(),
            unknown: Default::default(),
        };
        let mut lines = Vec::new();
        write::wanted(loop_subject.as_bytes(), None, &mut lines);
        for (wish, count) in self.shared.router.attach(account, hub) {
            leaf.told.update(wish, count, &leaf.import, &mut lines);
        }
        self.shared.hubs.fetch_add(1, Ordering::Relaxed);
        self.queue_line(key, &lines);
        self.settle(key);
    }

    /// The hub of a link that ends gets nothing more, and its wishes go.
    pub(in crate::core::broker) fn detach_hub(&mut self, key: u32) {
        let Some(link) = self.links.get_mut(key as usize) else { return };
        let account = link.account;
        let Some(leaf) = link.leaf.as_deref_mut() else { return };
        let wishes = std::mem::take(&mut leaf.wants).into_values();
        self.shared.router.detach(account, leaf.id, wishes);
        leaf.told = Told::default();
        link.subscribed = 0;
        self.shared.hubs.fetch_sub(1, Ordering::Relaxed);
    }

    /// Has the shards of hubs tell them that something has changed.
    pub(in crate::core::broker) fn tell_hubs(&self, told: Vec<LeafId>) {
        for leaf in told {
            if let Some(peer) = self.peers.get(usize::from(leaf.shard)) {
                peer.send_one(Handover::Interest(leaf));
            }
        }
    }

    /// Tells a hub what has changed.
    pub(in crate::core::broker) fn tell_interest(&mut self, id: LeafId) {
        let Some(link) = self.links.get_mut(id.key as usize).filter(|link| !link.closing) else { return };
        let account = link.account;
        let Some(leaf) = link.leaf.as_deref_mut().filter(|leaf| leaf.id == id) else { return };
        let mut lines = Vec::new();
        for (wish, count) in self.shared.router.take_unknown(account, id) {
            leaf.told.update(wish, count, &leaf.import, &mut lines);
        }
        if !lines.is_empty() {
            self.queue_line(id.key, &lines);
            self.settle(id.key);
        }
    }

    /// Gives a message to the hubs where somebody wants it. Queue groups in `served` have had it: those
    /// here come first.
    pub(in crate::core::broker) fn dispatch_hubs<'a>(
        &mut self,
        from: LinkId,
        delivery: &mut Delivery<'_>,
        matched: &'a Matched,
        mut served: Vec<&'a [u8]>,
    ) -> bool {
        let mut heard = false;
        // where several hubs have members of a group, they share its messages
        let first = match matched.hubs.len() {
            1 => 0,
            hubs => self.next_random() as usize % hubs.max(1),
        };
        let (behind, front) = matched.hubs.split_at(first.min(matched.hubs.len()));
        for ToHub { leaf, plain, queues } in front.iter().chain(behind) {
            let queues: Vec<&[u8]> =
                queues.iter().map(|queue| &**queue).filter(|q| !served.contains(q)).collect();
            if !plain && queues.is_empty() {
                continue;
            }
            heard |= if leaf.shard == self.id {
                self.give_hub(from, *leaf, &queues, delivery)
            } else if let Some(outbox) = self.outboxes.get_mut(usize::from(leaf.shard)) {
                let message = delivery.make(&self.held);
                let (bytes, queues) = (message.len(), queues.iter().map(|queue| (*queue).into()).collect());
                outbox.push(1, bytes, Handover::ForHub { from, to: *leaf, queues, message });
                true
            } else {
                false
            };
            served.extend(queues);
        }
        heard
    }

    /// Queues a message for a hub of this shard; false if it does not get it.
    pub(in crate::core::broker) fn give_hub(
        &mut self,
        from: LinkId,
        to: LeafId,
        queues: &[&[u8]],
        delivery: &mut Delivery<'_>,
    ) -> bool {
        let Some(link) = self.links.get(to.key as usize).filter(|link| !link.closing) else { return false };
        let Some(leaf) = link.leaf.as_deref().filter(|leaf| leaf.id == to) else { return false };
        let largest = leaf.largest;
        if leaf.changed.load(Ordering::Acquire) {
            // whoever asks has subscribed to the answer before: the hub hears of it in this order
            self.tell_interest(to);
        }
        let outgoing = match &delivery.form {
            Form::Published(message) => Outgoing {
                subject: message.subject,
                reply: message.reply,
                headers: message.headers.map(|(length, _)| length),
                body: message.body,
            },
            Form::Made(message) => Outgoing {
                subject: message.subject(),
                reply: message.reply(),
                headers: message.has_headers().then(|| message.headers_len()),
                body: message.body(),
            },
        };
        // a hub cuts who sends more than it takes
        if outgoing.body.len() > largest {
            self.lose(to.key);
            return false;
        }
        let Some(room) = self.room_for(from, to.key, delivery.len()) else { return false };
        let bytes = outgoing.body.len() as u64;
        self.lay(to.key, |out| outgoing.lay(queues.iter().copied(), out));
        if let Some(link) = self.links.get_mut(to.key as usize) {
            link.traffic.out_msgs += 1;
            link.traffic.out_bytes += bytes;
        }
        self.traffic.out_msgs += 1;
        self.traffic.out_bytes += bytes;
        if room.is_short {
            self.slow_down(from);
        }
        true
    }

    /// A hub wants something, `wish` is told to the account's router.
    pub(super) fn enter_wish(&mut self, key: u32, wish: Wish, cost: usize) {
        let Some(link) = self.links.get_mut(key as usize) else { return };
        let account = link.account;
        let Some(leaf) = link.leaf.as_deref_mut() else { return };
        let handle = self.shared.router.want(account, leaf.id, &wish);
        leaf.wants.insert(wish, handle);
        link.subscribed += cost;
        link.settle();
    }
}
