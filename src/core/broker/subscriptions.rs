//! The subscriptions of the links of one shard: ids, counts, limits. Pure.
//!
//! The shard's table is the authority on whether a subscription still exists;
//! the index other shards route by only says where to look. No link owns
//! memory for it: ids are found in one table, and the subscriptions of a link
//! are chained through their entries.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;

use super::index::SubKey;
use super::sid::Sid;

/// End of a chain.
pub const NONE: u32 = u32::MAX;

/// One subscription of a link of this shard.
#[derive(Debug)]
pub struct Subscription {
    /// Link that owns it.
    pub link: u32,
    /// Its id.
    pub sid: Sid,
    /// Handle in the index.
    pub key: Option<SubKey>,
    /// Bytes it costs its link.
    pub cost: u32,
    /// Messages delivered since SUB.
    pub delivered: u32,
    /// Deliveries after which it ends; 0 for never.
    pub max: u32,
    /// A deny entry overlaps it: each message is checked.
    pub filtered: bool,
    serial: u32,
    next: u32,
    previous: u32,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Subscriptions {
    entries: Slab<Subscription>,
    by_sid: HashTable<u32>,
    hasher: DefaultHashBuilder,
    serial: u32,
}

impl Subscriptions {
    /// Adds a subscription at the front of its link's chain and returns its slot and serial number.
    ///
    /// `head` is the link's chain; `key` is set when the index knows it.
    pub fn insert(&mut self, link: u32, sid: &[u8], filtered: bool, head: &mut u32) -> (u32, u32) {
        self.serial = self.serial.wrapping_add(1);
        let slot = self.entries.insert(Subscription {
            link,
            sid: Sid::new(sid),
            key: None,
            cost: 0,
            delivered: 0,
            max: 0,
            filtered,
            serial: self.serial,
            next: *head,
            previous: NONE,
        }) as u32;
        if let Some(next) = self.entries.get_mut(*head as usize) {
            next.previous = slot;
        }
        *head = slot;
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.by_sid.insert_unique(hasher.hash_one((link, sid)), slot, |slot| {
            entries.get(*slot as usize).map_or(0, |entry| hasher.hash_one((entry.link, entry.sid.as_bytes())))
        });
        (slot, self.serial)
    }

    /// The slot of a link's subscription id.
    pub fn find(&self, link: u32, sid: &[u8]) -> Option<u32> {
        self.by_sid
            .find(self.hasher.hash_one((link, sid)), |slot| {
                self.entries
                    .get(*slot as usize)
                    .is_some_and(|entry| entry.link == link && entry.sid.as_bytes() == sid)
            })
            .copied()
    }

    /// A subscription by slot, if it is still the one with this serial number.
    pub fn get(&mut self, slot: u32, serial: u32) -> Option<&mut Subscription> {
        self.entries.get_mut(slot as usize).filter(|entry| entry.serial == serial)
    }

    /// A subscription by slot.
    pub fn at(&mut self, slot: u32) -> Option<&mut Subscription> {
        self.entries.get_mut(slot as usize)
    }

    /// The subscriptions of a link's chain, the youngest first, each with its slot and serial number.
    pub fn chain(&self, head: u32) -> impl Iterator<Item = (u32, u32, &Subscription)> {
        let entry = |slot: u32| self.entries.get(slot as usize).map(|entry| (slot, entry.serial, entry));
        std::iter::successors(entry(head), move |(_, _, entry_now)| entry(entry_now.next))
    }

    /// A subscription, if it is still the one with this serial number.
    pub fn look(&self, slot: u32, serial: u32) -> Option<&Subscription> {
        self.entries.get(slot as usize).filter(|entry| entry.serial == serial)
    }

    /// Takes a subscription out of the table and its link's chain.
    pub fn remove(&mut self, slot: u32, head: &mut u32) -> Option<Subscription> {
        let entry = self.entries.try_remove(slot as usize)?;
        match self.entries.get_mut(entry.previous as usize) {
            Some(previous) => previous.next = entry.next,
            None => *head = entry.next,
        }
        if let Some(next) = self.entries.get_mut(entry.next as usize) {
            next.previous = entry.previous;
        }
        let hash = self.hasher.hash_one((entry.link, entry.sid.as_bytes()));
        if let Ok(place) = self.by_sid.find_entry(hash, |found| *found == slot) {
            place.remove();
        }
        Some(entry)
    }

    /// Number of subscriptions.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_survive_removal_anywhere() {
        let mut table = Subscriptions::default();
        let mut head = NONE;
        let slots: Vec<u32> =
            (0..5_u8).map(|sid| table.insert(7, &[b'0' + sid], false, &mut head).0).collect();
        assert!(table.find(8, b"1").is_none());
        for (sid, removed) in [(2, 2_u8), (4, 4), (0, 0)] {
            assert_eq!(table.find(7, &[b'0' + removed]), Some(slots[sid]));
            table.remove(slots[sid], &mut head).unwrap();
            assert_eq!(table.find(7, &[b'0' + removed]), None);
        }
        let mut left = Vec::new();
        while head != NONE {
            left.push({
                let at = head;
                table.remove(at, &mut head).unwrap().sid
            });
        }
        assert_eq!(left, [Sid::new(b"3"), Sid::new(b"1")]);
        assert_eq!((table.len(), table.by_sid.len()), (0, 0));
    }

    #[test]
    fn a_slot_used_again_is_another_subscription() {
        let mut table = Subscriptions::default();
        let mut head = NONE;
        let (slot, first) = table.insert(1, b"a", false, &mut head);
        table.remove(slot, &mut head);
        let (again, second) = table.insert(1, b"a", false, &mut head);
        assert_eq!(slot, again);
        assert!(table.get(slot, first).is_none() && table.get(slot, second).is_some());
    }
}
