//! How each check of each node is: five thousand nodes with ten checks each are some megabytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::seen::{Checked, Moved, Seen};
use crate::core::machine::host::MAX_MACHINES;

/// Nodes; what comes beyond this and the next two is not kept, and counted.
pub const MOST_NODES: usize = 100_000;
/// Machines of one node.
pub const MOST_CHECKS: usize = MAX_MACHINES;
/// Machines of all nodes.
pub const MOST_ALL: usize = 500_000;
/// Results that are remembered of a check.
const HISTORY: usize = 30;
/// Looks of a check that may be missed before it is gone.
const MISSED: i64 = 3;
/// Name of the state in which a check rests.
const MAINTENANCE: &str = "MAINTENANCE";
/// Statuses, as plugins of Nagios end.
const WELL: u8 = 0;
const UNKNOWN: u8 = 3;

/// States of a check that does not rest, by its status.
const STATES: [&str; 4] = ["OK", "WARNING", "CRITICAL", "UNKNOWN"];

/// All nodes that were heard of.
#[derive(Debug, Default)]
pub struct Fleet {
    nodes: BTreeMap<Arc<str>, Node>,
    /// Names that many share: of machines, states, versions.
    words: BTreeSet<Arc<str>>,
    count: usize,
    /// Events of nodes or checks beyond what is kept.
    pub dropped: u64,
    /// Looks of checks that found no place,
    pub left_out: u64,
    /// and the node of the last.
    crowded: Option<Arc<str>>,
}

/// A node.
#[derive(Debug, Default)]
pub struct Node {
    /// When it was last heard, unix seconds.
    pub seen: i64,
    /// Its machines by name.
    pub tracks: BTreeMap<Arc<str>, Track>,
}

/// A machine of a node, and what its check found.
#[derive(Debug, Clone)]
pub struct Track {
    /// State of the machine; empty before it is known.
    pub state: Arc<str>,
    /// Its version.
    pub version: Arc<str>,
    /// As a plugin of Nagios ends: well while it rests, unknown until it looks again. None for a machine that is no
    /// check.
    pub status: Option<u8>,
    /// Whether it has rested, and has not looked since.
    pub waits: bool,
    /// Which life of the machine it is; 0 where that is not known.
    pub(super) life: u64,
    /// When it looked last, unix seconds of its node, and how often it did while it is said to rest.
    pub(super) looked: i64,
    pub(super) looks: u8,
    /// Seconds between two looks, as far as that is known.
    pub(super) every: i64,
    /// Since when it has this status, and rests or does not, unix seconds.
    pub since: i64,
    /// When it was last told of, unix seconds.
    pub at: i64,
    /// What the check said last.
    pub output: Box<str>,
    /// Statuses, oldest first, with their times.
    pub history: Vec<(i64, u8)>,
}

impl Track {
    /// Whether it rests, and nobody is to be told of it.
    pub fn rests(&self) -> bool {
        &*self.state == MAINTENANCE
    }

    /// What people see of it.
    fn shown(&self) -> (Option<u8>, bool) {
        (self.status, self.rests())
    }
}

/// What an event changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub identity: Arc<str>,
    /// Of which machine.
    pub machine: Arc<str>,
    /// Whether what is shown of it is another now: its status, or whether it rests.
    pub differs: bool,
}

impl Fleet {
    /// All nodes, by name.
    pub fn nodes(&self) -> &BTreeMap<Arc<str>, Node> {
        &self.nodes
    }

    /// How many machines are known of all nodes.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The node of a check that found no place since this was asked last.
    pub fn take_crowded(&mut self) -> Option<Arc<str>> {
        self.crowded.take()
    }

    /// Takes an event, at this time in unix seconds.
    pub fn take(&mut self, seen: &Seen, now: i64) -> Option<Change> {
        match seen {
            Seen::Moved(moved) => self.moved(moved, now),
            Seen::Checked(checked) => self.checked(checked, now),
            Seen::Ran(_) => None,
        }
    }

    /// A node says it is there.
    pub fn alive(&mut self, identity: &str, now: i64) {
        if let Some(node) = self.nodes.get_mut(identity) {
            node.seen = now;
        }
    }

    /// A node that was known before is there.
    pub fn hear(&mut self, identity: &str, now: i64) {
        if self.nodes.len() < MOST_NODES {
            self.nodes.entry(identity.into()).or_default().seen = now;
        }
    }

    /// A node starts: its machines begin anew, and none of them rests. Says which did.
    pub fn begins(&mut self, identity: &str, now: i64) -> Vec<Arc<str>> {
        let empty = self.word("");
        let Some(node) = self.nodes.get_mut(identity) else { return vec![] };
        let rested = node.tracks.iter_mut().filter(|(_, track)| track.rests());
        rested
            .map(|(machine, track)| {
                track.state = empty.clone();
                (track.status, track.waits) = (track.status.map(|_| UNKNOWN), true);
                track.since = now;
                machine.clone()
            })
            .collect()
    }

    /// In which states its machines are is not known any more.
    pub(super) fn forget_states(&mut self, identity: &str) {
        let empty = self.word("");
        let node = self.nodes.get_mut(identity);
        for track in node.into_iter().flat_map(|node| node.tracks.values_mut()) {
            track.state = empty.clone();
        }
    }

    /// A check is known to rest.
    pub(super) fn rests(&mut self, identity: &str, machine: &str, now: i64) {
        let state = self.word(MAINTENANCE);
        let Some(track) = slot_of(&mut self.nodes, identity, machine) else { return };
        (track.state, track.status, track.at, track.since) = (state, Some(WELL), now, now);
        (track.waits, track.looks, track.output) = (false, 0, Box::default());
    }

    /// A check is still there, as it was.
    pub(super) fn is_there(&mut self, identity: &str, machine: &str, now: i64) {
        if let Some(track) = slot_of(&mut self.nodes, identity, machine) {
            track.at = now;
        }
    }

    /// Forgets a machine of a node.
    pub(super) fn forget_check(&mut self, identity: &str, machine: &str) {
        let gone = self.nodes.get_mut(identity).and_then(|node| node.tracks.remove(machine));
        self.count -= usize::from(gone.is_some());
    }

    /// Forgets checks that were not heard for so many seconds, nor for three of their intervals, of nodes that were;
    /// says which. They are not there any more: what takes a check away tells nobody.
    pub(super) fn forget_silent(&mut self, now: i64, after: i64) -> Vec<(Arc<str>, Arc<str>)> {
        let mut gone = Vec::new();
        for (identity, node) in &mut self.nodes {
            if now.saturating_sub(node.seen) > after {
                continue;
            }
            node.tracks.retain(|machine, track| {
                let heard = now.saturating_sub(track.at) <= after.max(track.every.saturating_mul(MISSED));
                // a machine that is no check may have nothing to say for years
                let stays = heard || track.status.is_none() || track.rests();
                if !stays {
                    gone.push((identity.clone(), machine.clone()));
                }
                stays
            });
        }
        self.count -= gone.len();
        gone
    }

    /// Forgets a node.
    pub fn forget(&mut self, identity: &str) -> Option<Node> {
        let gone = self.nodes.remove(identity)?;
        self.count -= gone.tracks.len();
        Some(gone)
    }

    /// Puts back what was kept.
    pub fn restore(&mut self, identity: &str, seen: i64, machine: &str, track: Track) {
        if self.slot(identity, machine, seen).is_none() {
            return;
        }
        let (state, version) = (self.word(&track.state), self.word(&track.version));
        let Some(slot) = slot_of(&mut self.nodes, identity, machine) else { return };
        *slot = Track { state, version, ..track };
    }

    fn word(&mut self, text: &str) -> Arc<str> {
        match self.words.get(text) {
            Some(word) => word.clone(),
            None => {
                let word: Arc<str> = text.into();
                // many different ones are no names that many share
                if self.words.len() < MOST_ALL / 10 {
                    self.words.insert(word.clone());
                }
                word
            }
        }
    }

    /// Where all places of a node are taken, a check has that of a machine that is none.
    fn makes_room(&mut self, identity: &str, machine: &str) {
        let full = self.count >= MOST_ALL;
        let Some(node) = self.nodes.get_mut(identity) else { return };
        if node.tracks.contains_key(machine) || !full && node.tracks.len() < MOST_CHECKS {
            return;
        }
        let other = node.tracks.iter().find(|(_, track)| track.status.is_none() && !track.rests());
        if let Some(name) = other.map(|(name, _)| name.clone()) {
            node.tracks.remove(&name);
            self.count -= 1;
            self.dropped += 1;
        }
    }

    /// Makes sure of a place for a machine of a node.
    fn slot(&mut self, identity: &str, machine: &str, now: i64) -> Option<(Arc<str>, Arc<str>)> {
        if !self.nodes.contains_key(identity) && self.nodes.len() >= MOST_NODES {
            self.dropped += 1;
            return None;
        }
        let name = self.word(machine);
        let empty = self.word("");
        let identity: Arc<str> = match self.nodes.get_key_value(identity) {
            Some((known, _)) => known.clone(),
            None => identity.into(),
        };
        let full = self.count >= MOST_ALL;
        let node = self.nodes.entry(identity.clone()).or_default();
        node.seen = node.seen.max(now);
        if !node.tracks.contains_key(&name) {
            if full || node.tracks.len() >= MOST_CHECKS {
                self.dropped += 1;
                return None;
            }
            let track = Track {
                state: empty.clone(),
                version: empty,
                status: None,
                waits: false,
                life: 0,
                looked: 0,
                looks: 0,
                every: 0,
                since: now,
                at: now,
                output: Box::default(),
                history: Vec::new(),
            };
            node.tracks.insert(name.clone(), track);
            self.count += 1;
        }
        Some((identity, name))
    }

    fn moved(&mut self, moved: &Moved, now: i64) -> Option<Change> {
        let (identity, machine) = self.slot(&moved.identity, &moved.machine, now)?;
        let (state, version) = (self.word(&moved.to), self.word(&moved.version));
        let track = slot_of(&mut self.nodes, &identity, &machine)?;
        let (before, rested) = (track.shown(), track.rests());
        (track.state, track.version, track.at) = (state, version, now);
        (track.life, track.looks) = (moved.life, 0);
        // what it found before it rested says nothing of how it is now
        if track.status.is_some() && rested != track.rests() {
            (track.status, track.waits) = (Some(if rested { UNKNOWN } else { WELL }), rested);
            track.output = Box::default();
        }
        // one that is asked for at once is as it was, and so is one whose machine mends what it found
        let differs = track.shown() != before;
        if differs {
            track.since = now;
        }
        Some(Change { identity, machine, differs })
    }

    fn checked(&mut self, checked: &Checked, now: i64) -> Option<Change> {
        self.makes_room(&checked.identity, &checked.machine);
        let Some((identity, machine)) = self.slot(&checked.identity, &checked.machine, now) else {
            self.left_out += 1;
            self.crowded = Some(checked.identity.as_str().into());
            return None;
        };
        let version = self.word(&checked.version);
        let state = self.word(STATES.get(usize::from(checked.status)).copied().unwrap_or_default());
        let track = slot_of(&mut self.nodes, &identity, &machine)?;
        track.at = now;
        track.every = checked.every;
        let before = track.shown();
        let anew = track.life != 0 && checked.life != 0 && track.life != checked.life;
        if checked.looked > track.looked {
            (track.looked, track.looks) = (checked.looked, track.looks.saturating_add(1));
        }
        if checked.life != 0 {
            track.life = checked.life;
        }
        if track.rests() {
            // one look may have been under way when it was put to rest
            if !anew && track.looks < 2 {
                return Some(Change { identity, machine, differs: false });
            }
            // that it looks again was not heard
            track.state = state;
        }
        (track.status, track.version) = (Some(checked.status), version);
        let differs = track.shown() != before;
        if differs {
            track.since = now;
        }
        track.waits = false;
        track.output = checked.output.as_str().into();
        if track.history.len() == HISTORY {
            track.history.remove(0);
        }
        track.history.push((now, checked.status));
        Some(Change { identity, machine, differs })
    }
}

fn slot_of<'a>(
    nodes: &'a mut BTreeMap<Arc<str>, Node>,
    identity: &str,
    machine: &str,
) -> Option<&'a mut Track> {
    nodes.get_mut(identity)?.tracks.get_mut(machine)
}

#[cfg(test)]
mod tests;
