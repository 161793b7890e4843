//! The subscriptions of one account: which of them want a subject. Pure.
//!
//! Literal subjects are found by hash, wildcard patterns by [`Trie`]. A
//! subject is stored once however many subscribe to it, and a subscription
//! costs two dozen bytes here: what else is known about it is kept by the
//! shard that owns its link.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use slab::Slab;

use super::hubs::{ToHub, Wish};
use super::trie::Trie;
use crate::core::nats::subject::{self, is_literal, tokens};

/// Where a subscription lives: a place in the table of its shard. The serial
/// number tells a subscription from a later one in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// Shard that owns the link.
    pub shard: u16,
    /// Place in that shard's table.
    pub slot: u32,
    /// Number of this use of the place.
    pub serial: u32,
}

/// Handle of a subscription in an [`Index`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubKey(u32);

/// Tenths of a second since the broker began: thirteen years of them.
pub type Moment = u32;

/// Bytes of a subscription in the index and in its shard's table, about and rather too many: whoever
/// subscribes pays for a subject of its own.
pub fn cost(pattern: &[u8], queue: Option<&[u8]>) -> usize {
    let nodes = if is_literal(pattern) { 0 } else { tokens(pattern).count() };
    320 + 2 * pattern.len() + nodes * 320 + queue.map_or(0, |queue| 160 + queue.len())
}

/// A subscription as the index knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Where it lives.
    pub target: Target,
    /// Subject or pattern.
    pub subject: Box<[u8]>,
    /// Queue group.
    pub queue: Option<Box<[u8]>>,
}

/// Everybody who wants a subject, laid out for delivery.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Matched {
    /// Plain subscriptions by shard.
    plain: Vec<Vec<Target>>,
    /// One member of each group gets the message.
    pub groups: Vec<MatchedGroup>,
    /// Hubs where somebody wants it.
    pub hubs: Vec<ToHub>,
}

/// A queue group over all patterns that match.
#[derive(Debug, PartialEq, Eq)]
pub struct MatchedGroup {
    /// Name of the queue.
    pub name: Box<[u8]>,
    /// Its members on all shards; never empty.
    pub members: Vec<Target>,
}

impl Matched {
    /// Plain subscriptions of one shard.
    pub fn plain(&self, shard: u16) -> &[Target] {
        self.plain.get(usize::from(shard)).map_or(&[], Vec::as_slice)
    }

    /// Shards that have plain subscriptions.
    pub fn shards(&self) -> impl Iterator<Item = u16> {
        (0_u16..).zip(&self.plain).filter(|(_, targets)| !targets.is_empty()).map(|(shard, _)| shard)
    }

    /// Whether nobody wants the subject.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.hubs.is_empty() && self.plain.iter().all(Vec::is_empty)
    }

    /// How many deliveries a message makes: one for each subscription, one a group, one a hub.
    pub fn fan_out(&self) -> usize {
        self.plain.iter().map(Vec::len).sum::<usize>() + self.groups.len() + self.hubs.len()
    }

    /// Bytes it takes, about.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.len() * size_of::<Target>() + self.groups.len() * size_of::<MatchedGroup>()
    }

    /// Number of subscriptions, for cache accounting.
    pub fn len(&self) -> usize {
        self.plain.iter().map(Vec::len).sum::<usize>()
            + self.groups.iter().map(|group| group.members.len()).sum::<usize>()
            + self.hubs.iter().map(|hub| 8 + 4 * hub.queues.len()).sum::<usize>()
    }

    fn add_plain(&mut self, target: Target) {
        let shard = usize::from(target.shard);
        if self.plain.len() <= shard {
            self.plain.resize_with(shard + 1, Vec::new);
        }
        if let Some(targets) = self.plain.get_mut(shard) {
            targets.push(target);
        }
    }
}

#[derive(Debug)]
struct Entry {
    target: Target,
    /// Subject it is subscribed to.
    subject: u32,
    /// Group within the subject.
    group: Option<u32>,
    /// Place among the plain subscriptions or the group's members.
    position: u32,
}

#[derive(Debug)]
struct SubjectEntry {
    text: Arc<[u8]>,
    plain: Vec<u32>,
    groups: Groups,
    /// Number of subscriptions.
    count: u32,
    /// When the first of them was made.
    since: Moment,
}

#[derive(Debug)]
struct Group {
    name: Box<[u8]>,
    members: Vec<u32>,
}

/// The queue groups of a subject, found by name.
#[derive(Debug, Default)]
struct Groups {
    all: Slab<Group>,
    by_name: HashTable<u32>,
}

impl Groups {
    /// Adds a member and returns the place of its group, and its own there.
    fn join(&mut self, name: &[u8], key: u32, hasher: &DefaultHashBuilder) -> (u32, u32) {
        let hash = hasher.hash_one(name);
        let place = self.find(name, hasher).unwrap_or_else(|| {
            let place = self.all.insert(Group { name: name.into(), members: Vec::new() }) as u32;
            let all = &self.all;
            self.by_name.insert_unique(hash, place, |place| {
                all.get(*place as usize).map_or(0, |group| hasher.hash_one(&*group.name))
            });
            place
        });
        let members = &mut self.all[place as usize].members;
        members.push(key);
        (place, members.len() as u32 - 1)
    }

    /// The place of a group.
    fn find(&self, name: &[u8], hasher: &DefaultHashBuilder) -> Option<u32> {
        self.by_name.find(hasher.hash_one(name), |place| self.is(*place, name)).copied()
    }

    /// Forgets a group that nobody is in any more.
    fn tidy(&mut self, place: u32, hasher: &DefaultHashBuilder) {
        let Some(group) = self.all.get(place as usize).filter(|group| group.members.is_empty()) else {
            return;
        };
        if let Ok(found) = self.by_name.find_entry(hasher.hash_one(&*group.name), |other| *other == place) {
            found.remove();
        }
        self.all.try_remove(place as usize);
    }

    fn is(&self, place: u32, name: &[u8]) -> bool {
        self.all.get(place as usize).is_some_and(|group| *group.name == *name)
    }
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Index {
    entries: Slab<Entry>,
    subjects: Slab<SubjectEntry>,
    literal: HashTable<u32>,
    wild: Trie,
    hasher: DefaultHashBuilder,
}

impl Index {
    /// Adds a subscription that is made now.
    pub fn insert(&mut self, pattern: &[u8], queue: Option<&[u8]>, target: Target, now: Moment) -> SubKey {
        let subject = self.subject_of(pattern, now);
        let key = self.entries.vacant_key() as u32;
        let mut entry = Entry { target, subject, group: None, position: 0 };
        if let Some(subject) = self.subjects.get_mut(subject as usize) {
            subject.count += 1;
            match queue {
                None => {
                    entry.position = subject.plain.len() as u32;
                    subject.plain.push(key);
                }
                Some(name) => {
                    let (group, position) = subject.groups.join(name, key, &self.hasher);
                    (entry.group, entry.position) = (Some(group), position);
                }
            }
        }
        self.entries.insert(entry);
        SubKey(key)
    }

    /// Removes a subscription, and returns the subject or pattern that nobody is subscribed to any more.
    pub fn remove(&mut self, key: SubKey) -> Option<Arc<[u8]>> {
        let entry = self.entries.try_remove(key.0 as usize)?;
        let subject = self.subjects.get_mut(entry.subject as usize)?;
        let list = match entry.group {
            None => &mut subject.plain,
            Some(group) => match subject.groups.all.get_mut(group as usize) {
                Some(group) => &mut group.members,
                None => return None,
            },
        };
        let position = entry.position as usize;
        if position < list.len() {
            list.swap_remove(position);
        }
        // memory of a subject that many have left
        if list.capacity() > 64 && list.len() < list.capacity() / 4 {
            list.shrink_to(list.len() * 2);
        }
        if let Some(moved) = list.get(position).and_then(|moved| self.entries.get_mut(*moved as usize)) {
            moved.position = entry.position;
        }
        subject.count -= 1;
        if let Some(group) = entry.group {
            subject.groups.tidy(group, &self.hasher);
        }
        if subject.count == 0 { self.forget(entry.subject) } else { None }
    }

    /// Since when somebody is subscribed to exactly this literal subject.
    pub fn since(&self, subject: &[u8]) -> Option<Moment> {
        let id = is_literal(subject).then(|| self.known(subject))??;
        self.subjects.get(id as usize).map(|subject| subject.since)
    }

    /// Whether somebody wants a literal subject by a pattern.
    pub fn is_wanted_by_pattern(&self, subject: &[u8]) -> bool {
        let mut wanted = false;
        self.wild.matches(subject, |_| wanted = true);
        wanted
    }

    /// Everybody who wants a literal subject.
    pub fn matches(&self, subject: &[u8]) -> Matched {
        let mut matched = Matched::default();
        let mut places = HashMap::new();
        let hash = self.hasher.hash_one(subject);
        if let Some(found) = self.literal.find(hash, |id| self.text(*id) == Some(subject)) {
            self.collect(*found, &mut matched, &mut places);
        }
        self.wild.matches(subject, |id| self.collect(id, &mut matched, &mut places));
        matched
    }

    /// Number of subscriptions.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the handle stands for the plain subscription at `target`, and that wants a subject.
    pub fn wants(&self, key: SubKey, target: Target, subject: &[u8]) -> bool {
        let entry = self.entries.get(key.0 as usize).filter(|entry| entry.target == target);
        entry.filter(|entry| entry.group.is_none()).is_some_and(|entry| {
            self.text(entry.subject).is_some_and(|pattern| subject::matches(pattern, subject))
        })
    }

    /// A subscription, if the handle still stands for the one at `target`.
    pub fn describe(&self, key: SubKey, target: Target) -> Option<Listed> {
        let entry = self.entries.get(key.0 as usize).filter(|entry| entry.target == target)?;
        let subject = self.subjects.get(entry.subject as usize)?;
        let queue = entry.group.and_then(|group| subject.groups.all.get(group as usize));
        Some(Listed { target, subject: (*subject.text).into(), queue: queue.map(|group| group.name.clone()) })
    }

    /// How many subscriptions there are to exactly a subject or pattern: of a queue group, or without one.
    pub fn interest(&self, wish: &Wish) -> u32 {
        let subject = self.known(&wish.subject).and_then(|id| self.subjects.get(id as usize));
        let count = subject.map_or(0, |subject| match &wish.queue {
            None => subject.plain.len(),
            Some(queue) => {
                let place = subject.groups.find(queue, &self.hasher);
                place.and_then(|place| subject.groups.all.get(place as usize)).map_or(0, |g| g.members.len())
            }
        });
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// What a subscription is to.
    pub fn wish_of(&self, key: SubKey) -> Option<Wish> {
        let entry = self.entries.get(key.0 as usize)?;
        let listed = self.describe(key, entry.target)?;
        Some(Wish { subject: listed.subject, queue: listed.queue })
    }

    /// All that is subscribed to, with the number of subscriptions.
    pub fn wishes(&self) -> Vec<(Wish, u32)> {
        let count = |list: &Vec<u32>| u32::try_from(list.len()).unwrap_or(u32::MAX);
        let of = |(_, subject): (usize, &SubjectEntry)| {
            let plain =
                (!subject.plain.is_empty()).then(|| (Wish::new(&subject.text, None), count(&subject.plain)));
            let group = |(_, group): (usize, &Group)| {
                (Wish::new(&subject.text, Some(&group.name)), count(&group.members))
            };
            plain.into_iter().chain(subject.groups.all.iter().map(group)).collect::<Vec<_>>()
        };
        self.subjects.iter().flat_map(of).collect()
    }

    /// How many subscriptions there are, of those that want `test` if given, and
    /// `most` of them behind the first `skip`. The order holds while nobody
    /// comes or goes. What is skipped is counted by subject, not one by one.
    pub fn list(&self, test: Option<&[u8]>, skip: usize, most: usize) -> (usize, Vec<Listed>) {
        let mut ids = Vec::new();
        match test {
            None => ids.extend(self.subjects.iter().map(|(id, _)| id as u32)),
            Some(literal) => {
                let hash = self.hasher.hash_one(literal);
                ids.extend(self.literal.find(hash, |id| self.text(*id) == Some(literal)));
                self.wild.matches(literal, |id| ids.push(id));
            }
        }
        let (mut total, mut listed) = (0, Vec::new());
        for subject in ids.iter().filter_map(|id| self.subjects.get(*id as usize)) {
            let (first, last) = (total, total + subject.count as usize);
            total = last;
            if last <= skip || listed.len() >= most {
                continue;
            }
            let members = subject.groups.all.iter().flat_map(|(_, group)| group.members.iter());
            let keys = subject.plain.iter().chain(members).skip(skip.saturating_sub(first));
            let found = keys.take(most - listed.len()).filter_map(|key| {
                let target = self.entries.get(*key as usize)?.target;
                self.describe(SubKey(*key), target)
            });
            listed.extend(found);
        }
        (total, listed)
    }

    /// `places` knows where the groups met before are: one group may span several patterns.
    fn collect<'a>(
        &'a self,
        id: u32,
        matched: &mut Matched,
        places: &mut HashMap<&'a [u8], usize, DefaultHashBuilder>,
    ) {
        let Some(subject) = self.subjects.get(id as usize) else { return };
        let target = |key: &u32| self.entries.get(*key as usize).map(|entry| entry.target);
        for target in subject.plain.iter().filter_map(target) {
            matched.add_plain(target);
        }
        for (_, group) in &subject.groups.all {
            let place = *places.entry(&group.name).or_insert_with(|| {
                matched.groups.push(MatchedGroup { name: group.name.clone(), members: Vec::new() });
                matched.groups.len() - 1
            });
            matched.groups[place].members.extend(group.members.iter().filter_map(target));
        }
    }

    fn text(&self, id: u32) -> Option<&[u8]> {
        self.subjects.get(id as usize).map(|subject| &*subject.text)
    }

    /// The entry of a subject or pattern.
    fn known(&self, pattern: &[u8]) -> Option<u32> {
        if is_literal(pattern) {
            let hash = self.hasher.hash_one(pattern);
            self.literal.find(hash, |id| self.text(*id) == Some(pattern)).copied()
        } else {
            self.wild.get(pattern)
        }
    }

    fn subject_of(&mut self, pattern: &[u8], now: Moment) -> u32 {
        if let Some(id) = self.known(pattern) {
            return id;
        }
        let literal = is_literal(pattern);
        let hash = self.hasher.hash_one(pattern);
        let id = self.subjects.insert(SubjectEntry {
            text: pattern.into(),
            plain: Vec::new(),
            groups: Groups::default(),
            count: 0,
            since: now,
        }) as u32;
        if literal {
            let (subjects, hasher) = (&self.subjects, &self.hasher);
            self.literal.insert_unique(hash, id, |id| {
                subjects.get(*id as usize).map_or(0, |subject| hasher.hash_one(&*subject.text))
            });
        } else {
            self.wild.insert(pattern, id);
        }
        id
    }

    fn forget(&mut self, id: u32) -> Option<Arc<[u8]>> {
        let subject = self.subjects.try_remove(id as usize)?;
        if is_literal(&subject.text) {
            let hash = self.hasher.hash_one(&*subject.text);
            if let Ok(place) = self.literal.find_entry(hash, |found| *found == id) {
                place.remove();
            }
        } else {
            self.wild.remove(&subject.text);
        }
        Some(subject.text)
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
