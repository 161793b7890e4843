//! The hubs one account is a leaf of: what they want, and what they have not been told yet. Pure.
//!
//! Stands beside the account's subscriptions, under the same lock. A hub is sent
//! each message once, however many of its wishes match. What changes here is only
//! noted: the shard that owns the link asks when it has time, or before it
//! sends the next message, so that a request never overtakes the interest in its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashSet;

use super::index::{Index, Matched, SubKey, Target};
use super::shared::LeafId;
use crate::core::admission::Permission;

/// What hubs with streams serve without saying so (spec 04 §8).
const STREAMS: [&[u8]; 2] = [b"$KV.", b"$OBJ."];
/// Requests about streams, of which a second hub would make second streams.
const STREAM_API: &[u8] = b"$JS.API.";
/// Those that are served by a queue group of the servers.
const DIRECT_GET: &[u8] = b"$JS.API.DIRECT.GET.";
/// That queue group.
const SERVERS: &[u8] = b"_sys_";

/// A subject or pattern, and a queue group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wish {
    /// Subject or pattern.
    pub subject: Box<[u8]>,
    /// Queue group.
    pub queue: Option<Box<[u8]>>,
}

impl Wish {
    /// A copy of both.
    pub fn new(subject: &[u8], queue: Option<&[u8]>) -> Self {
        Self { subject: subject.into(), queue: queue.map(Into::into) }
    }

    /// Bytes it takes.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.subject.len() + self.queue.as_ref().map_or(0, |queue| queue.len())
    }
}

/// A hub that gets a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToHub {
    /// Its link.
    pub leaf: LeafId,
    /// Somebody there has a plain subscription.
    pub plain: bool,
    /// Queue groups that have members there.
    pub queues: Vec<Box<[u8]>>,
}

/// A hub as its account knows it.
#[derive(Debug)]
pub struct Attached {
    /// Its link.
    pub leaf: LeafId,
    /// Its place in the configuration: streams are those of the first.
    pub order: usize,
    /// It has streams.
    pub streams: bool,
    /// What it takes.
    pub export: Arc<Permission>,
    /// Set while something has changed that its shard does not know.
    pub changed: Arc<AtomicBool>,
    /// Subscriptions of this account that came first or went last.
    pub unknown: HashSet<Wish>,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Hubs {
    wanted: Index,
    attached: Vec<Attached>,
}

impl Hubs {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.attached.is_empty()
    }

    /// Takes one in.
    pub fn attach(&mut self, hub: Attached) {
        self.attached.push(hub);
        self.attached.sort_by_key(|hub| hub.order);
    }

    /// Forgets one, whose wishes are withdrawn one by one.
    pub fn detach(&mut self, leaf: LeafId) {
        self.attached.retain(|hub| hub.leaf != leaf);
    }

    /// A hub wants something.
    pub fn want(&mut self, leaf: LeafId, wish: &Wish) -> SubKey {
        self.wanted.insert(&wish.subject, wish.queue.as_deref(), target(leaf), 0)
    }

    /// It does not any more.
    pub fn withdraw(&mut self, wish: SubKey) {
        self.wanted.remove(wish);
    }

    /// Notes that the account's interest has changed, and returns the hubs that did not wait for
    /// something like that already.
    pub fn note(&mut self, wish: &Wish) -> Vec<LeafId> {
        let mut told = Vec::new();
        for hub in &mut self.attached {
            hub.unknown.insert(wish.clone());
            if !hub.changed.swap(true, Ordering::AcqRel) {
                told.push(hub.leaf);
            }
        }
        told
    }

    /// What a hub has not been told.
    pub fn take_unknown(&mut self, leaf: LeafId) -> HashSet<Wish> {
        let Some(hub) = self.attached.iter_mut().find(|hub| hub.leaf == leaf) else {
            return HashSet::new();
        };
        hub.changed.store(false, Ordering::Release);
        std::mem::take(&mut hub.unknown)
    }

    /// Which of them get a message.
    pub fn matches(&self, subject: &[u8]) -> Vec<ToHub> {
        let matched = self.wanted.matches(subject);
        let streams = self.attached.iter().find(|hub| hub.streams).map(|hub| hub.leaf);
        let about_streams = subject.starts_with(STREAM_API);
        let unsaid = STREAMS.iter().any(|prefix| subject.starts_with(prefix));
        let wants = |hub: &&Attached| hub.export.is_unrestricted() || hub.export.may_publish(subject);
        let to_hub = |hub: &Attached| {
            let is_it = streams == Some(hub.leaf);
            if (about_streams || unsaid) && streams.is_some() && !is_it {
                return None;
            }
            let mut to = ToHub { leaf: hub.leaf, plain: unsaid && is_it, queues: Vec::new() };
            to.plain |= matched.plain(hub.leaf.shard).contains(&target(hub.leaf));
            to.queues.extend(queues_of(&matched, hub.leaf));
            if subject.starts_with(DIRECT_GET)
                && (to.plain || is_it)
                && !to.queues.iter().any(|q| **q == *SERVERS)
            {
                to.queues.push(SERVERS.into());
            }
            (to.plain || !to.queues.is_empty()).then_some(to)
        };
        self.attached.iter().filter(wants).filter_map(to_hub).collect()
    }
}

fn queues_of(matched: &Matched, leaf: LeafId) -> impl Iterator<Item = Box<[u8]>> {
    let has = move |members: &[Target]| members.contains(&target(leaf));
    matched.groups.iter().filter(move |group| has(&group.members)).map(|group| group.name.clone())
}

/// A link in the terms of the index.
fn target(leaf: LeafId) -> Target {
    Target { shard: leaf.shard, slot: leaf.key, serial: leaf.serial }
}

#[cfg(test)]
#[path = "hubs_tests.rs"]
mod tests;
