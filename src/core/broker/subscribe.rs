//! SUB and UNSUB: permission, limits and price, and the end of subscriptions.

use super::departures;
use super::index::{self, Target};
use super::shard::Shard;
use super::subscriptions::NONE;
use crate::core::nats::subject;

impl Shard {
    pub(super) fn subscribe(&mut self, key: u32, pattern: &[u8], queue: Option<&[u8]>, sid: &[u8]) {
        let Some(link) = self.links.get_mut(key as usize) else { return };
        if !subject::valid_pattern(pattern) {
            return self.queue_error(key, "Invalid Subject");
        }
        if queue == Some(b"_sys_") || !link.subscribe.may_subscribe(pattern, queue) {
            let mut text =
                format!("Permissions Violation for Subscription to \"{}\"", String::from_utf8_lossy(pattern));
            if let Some(queue) = queue {
                text.push_str(&format!(" using queue \"{}\"", String::from_utf8_lossy(queue)));
            }
            return self.forbid(key, &text);
        }
        let limits = &self.settings.limits;
        if subject::tokens(pattern).count() > limits.max_tokens {
            return self.queue_error(key, "subject has exceeded number of tokens limit");
        }
        let holder = link.charge.holder();
        let kind = limits.of(holder.kind());
        let most = link.max_subscriptions.or(limits.max_subscriptions).unwrap_or(kind.subscriptions);
        let cost = index::cost(pattern, queue) + sid.len();
        // the other half is for messages
        let too_much = holder.subscribed() + cost > kind.memory / 2;
        if link.subscription_count as usize >= most || too_much {
            return self.queue_error(key, "maximum subscriptions exceeded");
        }
        // an id in use keeps its first subscription
        if self.subscriptions.find(key, sid).is_none() {
            let filtered = link.subscribe.must_filter(pattern);
            let (slot, serial) = self.subscriptions.insert(key, sid, filtered, &mut link.subscriptions);
            link.subscription_count += 1;
            link.subscribed += cost;
            link.settle();
            let target = Target { shard: self.id, slot, serial };
            let mut told = Vec::new();
            let now = departures::moment(self.now);
            let handle = self.shared.router.subscribe(link.account, pattern, queue, target, &mut told, now);
            self.tell_hubs(told);
            if let Some(link) = self.links.get(key as usize) {
                link.charge.holder().consumers().hears(pattern);
            }
            if let Some(subscription) = self.subscriptions.at(slot) {
                subscription.key = Some(handle);
                subscription.cost = cost as u32;
            }
        }
        self.acknowledge(key);
    }

    pub(super) fn unsubscribe(&mut self, key: u32, sid: &[u8], max: Option<u64>) {
        if let Some(slot) = self.subscriptions.find(key, sid)
            && let Some(subscription) = self.subscriptions.at(slot)
        {
            let max = max.map_or(0, |max| u32::try_from(max).unwrap_or(u32::MAX));
            if max > subscription.delivered {
                subscription.max = max;
            } else {
                self.end_subscription(slot);
            }
        }
        self.acknowledge(key);
    }

    /// Ends one subscription.
    pub(super) fn end_subscription(&mut self, slot: u32) {
        let Some(key) = self.subscriptions.at(slot).map(|subscription| subscription.link) else { return };
        let Some(link) = self.links.get_mut(key as usize) else { return };
        if let Some(gone) = self.subscriptions.remove(slot, &mut link.subscriptions) {
            link.subscription_count -= 1;
            link.subscribed -= gone.cost as usize;
            link.settle();
            let (by, now) = (link.charge.holder().identity(), departures::moment(self.now));
            let told = self.shared.router.unsubscribe(link.account, gone.key, by, now);
            self.tell_hubs(told);
        }
    }

    /// Ends all subscriptions of a link.
    pub(super) fn drop_subscriptions(&mut self, key: u32) {
        let Some(link) = self.links.get_mut(key as usize) else { return };
        let mut handles = Vec::with_capacity(link.subscription_count as usize);
        while link.subscriptions != NONE {
            let slot = link.subscriptions;
            match self.subscriptions.remove(slot, &mut link.subscriptions) {
                Some(gone) => handles.extend(gone.key),
                None => break,
            }
        }
        (link.subscription_count, link.subscribed) = (0, 0);
        link.settle();
        if !handles.is_empty() {
            let (by, now) = (link.charge.holder().identity(), departures::moment(self.now));
            let told = self.shared.router.unsubscribe(link.account, handles, by, now);
            self.tell_hubs(told);
        }
    }
}
