//! The subscriptions of one account: which of them want a subject. Pure.
//!
//! Literal subjects are found by hash, wildcard patterns by [`Trie`]. A
//! subject is stored once however many subscribe to it, and a subscription
//! costs two dozen bytes here: what else is known about it is kept by the
//! shard that owns its link.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;

use super::trie::Trie;
use crate::core::nats::subject::is_literal;

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
        self.groups.is_empty() && self.plain.iter().all(Vec::is_empty)
    }

    /// How many deliveries a message makes: one for each subscription, one a group.
    pub fn fan_out(&self) -> usize {
        self.plain.iter().map(Vec::len).sum::<usize>() + self.groups.len()
    }

    /// Number of subscriptions, for cache accounting.
    pub fn len(&self) -> usize {
        self.plain.iter().map(Vec::len).sum::<usize>()
            + self.groups.iter().map(|group| group.members.len()).sum::<usize>()
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

    fn add_member(&mut self, name: &[u8], target: Target) {
        match self.groups.iter_mut().find(|group| *group.name == *name) {
            Some(group) => group.members.push(target),
            None => self.groups.push(MatchedGroup { name: name.into(), members: vec![target] }),
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
struct Subject {
    text: Arc<[u8]>,
    plain: Vec<u32>,
    /// Groups keep their place while the subject lives; empty ones are used again.
    groups: Vec<Group>,
    /// Number of subscriptions.
    count: u32,
}

#[derive(Debug)]
struct Group {
    name: Box<[u8]>,
    members: Vec<u32>,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Index {
    entries: Slab<Entry>,
    subjects: Slab<Subject>,
    literal: HashTable<u32>,
    wild: Trie,
    hasher: DefaultHashBuilder,
}

impl Index {
    /// Adds a subscription.
    pub fn insert(&mut self, pattern: &[u8], queue: Option<&[u8]>, target: Target) -> SubKey {
        let subject = self.subject_of(pattern);
        let key = self.entries.vacant_key() as u32;
        let mut entry = Entry { target, subject, group: None, position: 0 };
        if let Some(subject) = self.subjects.get_mut(subject as usize) {
            subject.count += 1;
            let list = match queue {
                None => &mut subject.plain,
                Some(name) => {
                    let place = subject
                        .groups
                        .iter()
                        .position(|group| *group.name == *name)
                        .or_else(|| subject.groups.iter().position(|group| group.members.is_empty()))
                        .unwrap_or_else(|| {
                            subject.groups.push(Group { name: name.into(), members: Vec::new() });
                            subject.groups.len() - 1
                        });
                    entry.group = Some(place as u32);
                    let group = &mut subject.groups[place];
                    if *group.name != *name {
                        group.name = name.into();
                    }
                    &mut group.members
                }
            };
            entry.position = list.len() as u32;
            list.push(key);
        }
        self.entries.insert(entry);
        SubKey(key)
    }

    /// Removes a subscription.
    pub fn remove(&mut self, key: SubKey) {
        let Some(entry) = self.entries.try_remove(key.0 as usize) else { return };
        let Some(subject) = self.subjects.get_mut(entry.subject as usize) else { return };
        let list = match entry.group {
            None => &mut subject.plain,
            Some(group) => match subject.groups.get_mut(group as usize) {
                Some(group) => &mut group.members,
                None => return,
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
        if subject.count == 0 {
            self.forget(entry.subject);
        }
    }

    /// Everybody who wants a literal subject.
    pub fn matches(&self, subject: &[u8]) -> Matched {
        let mut matched = Matched::default();
        let hash = self.hasher.hash_one(subject);
        if let Some(found) = self.literal.find(hash, |id| self.text(*id) == Some(subject)) {
            self.collect(*found, &mut matched);
        }
        self.wild.matches(subject, |id| self.collect(id, &mut matched));
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

    /// A subscription, if the handle still stands for the one at `target`.
    pub fn describe(&self, key: SubKey, target: Target) -> Option<Listed> {
        let entry = self.entries.get(key.0 as usize).filter(|entry| entry.target == target)?;
        let subject = self.subjects.get(entry.subject as usize)?;
        let queue = entry.group.and_then(|group| subject.groups.get(group as usize));
        Some(Listed { target, subject: (*subject.text).into(), queue: queue.map(|group| group.name.clone()) })
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
            let members = subject.groups.iter().flat_map(|group| group.members.iter());
            let keys = subject.plain.iter().chain(members).skip(skip.saturating_sub(first));
            let found = keys.take(most - listed.len()).filter_map(|key| {
                let target = self.entries.get(*key as usize)?.target;
                self.describe(SubKey(*key), target)
            });
            listed.extend(found);
        }
        (total, listed)
    }

    fn collect(&self, id: u32, matched: &mut Matched) {
        let Some(subject) = self.subjects.get(id as usize) else { return };
        let target = |key: &u32| self.entries.get(*key as usize).map(|entry| entry.target);
        for target in subject.plain.iter().filter_map(target) {
            matched.add_plain(target);
        }
        for group in &subject.groups {
            for target in group.members.iter().filter_map(target) {
                matched.add_member(&group.name, target);
            }
        }
    }

    fn text(&self, id: u32) -> Option<&[u8]> {
        self.subjects.get(id as usize).map(|subject| &*subject.text)
    }

    fn subject_of(&mut self, pattern: &[u8]) -> u32 {
        let literal = is_literal(pattern);
        let hash = self.hasher.hash_one(pattern);
        let known = if literal {
            self.literal.find(hash, |id| self.text(*id) == Some(pattern)).copied()
        } else {
            self.wild.get(pattern)
        };
        if let Some(id) = known {
            return id;
        }
        let id = self.subjects.insert(Subject {
            text: pattern.into(),
            plain: Vec::new(),
            groups: Vec::new(),
            count: 0,
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

    fn forget(&mut self, id: u32) {
        let Some(subject) = self.subjects.try_remove(id as usize) else { return };
        if is_literal(&subject.text) {
            let hash = self.hasher.hash_one(&*subject.text);
            if let Ok(place) = self.literal.find_entry(hash, |found| *found == id) {
                place.remove();
            }
        } else {
            self.wild.remove(&subject.text);
        }
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
