//! Where a change stands.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::Allowance;

/// A change that is going through its stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// How many have been asked after each stage.
    bounds: Vec<usize>,
    /// Most that are asked at once.
    batch: usize,
    allowed: Allowance,
    asked: HashSet<String>,
    /// Asked, and not heard of yet.
    waiting: HashSet<String>,
    bad: BTreeSet<String>,
    /// Tasks whose end is not known, by node: the id of the run.
    running: BTreeMap<String, String>,
    /// How many a check has looked at.
    checked: usize,
}

/// A change that stops here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooMany {
    /// Nodes that did badly.
    pub bad: usize,
    /// Nodes that were asked.
    pub asked: usize,
    /// How many might have done badly.
    pub allowed: usize,
}

impl Rollout {
    /// Nobody was asked yet. `bounds` are of [`super::Stages::bounds`], a batch is at least one.
    pub fn new(bounds: Vec<usize>, batch: Option<usize>, allowed: Allowance) -> Rollout {
        let batch = batch.unwrap_or(usize::MAX).max(1);
        let (asked, waiting, bad, running) = Default::default();
        Rollout { bounds, batch, allowed, asked, waiting, bad, running, checked: 0 }
    }

    /// Sizes of all groups that are still to be asked, each within one stage.
    pub fn groups(&self) -> Vec<usize> {
        let mut asked = self.asked();
        let mut groups = vec![];
        while let Some(bound) = self.bounds.iter().find(|bound| **bound > asked) {
            let size = (bound - asked).min(self.batch);
            groups.push(size);
            asked += size;
        }
        groups
    }

    /// These are asked now.
    pub fn asking(&mut self, names: &[String]) {
        self.asked.extend(names.iter().cloned());
        self.waiting.extend(names.iter().cloned());
    }

    /// A node answered, or was looked at later. One that was not asked does not count.
    pub fn heard(&mut self, node: &str, good: bool) {
        if !self.asked.contains(node) {
            return;
        }
        self.waiting.remove(node);
        self.running.remove(node);
        match good {
            true => drop(self.bad.remove(node)),
            false => drop(self.bad.insert(node.to_owned())),
        }
    }

    /// A node answered that the run of this id goes on: it did neither well nor badly yet.
    pub fn runs(&mut self, node: &str, id: &str) {
        if self.asked.contains(node) {
            self.waiting.remove(node);
            self.running.insert(node.to_owned(), id.to_owned());
        }
    }

    /// What became of that is not known: it counts as bad until it is.
    pub fn lost(&mut self, node: &str) {
        if self.running.contains_key(node) {
            self.bad.insert(node.to_owned());
        }
    }

    /// Tasks whose end is not known, by node: the id of the run.
    pub fn running(&self) -> &BTreeMap<String, String> {
        &self.running
    }

    /// Nobody is waited for any more: who has not answered did badly.
    pub fn waited(&mut self) {
        self.bad.extend(self.waiting.drain());
    }

    /// A check has looked at so many of those that were asked.
    pub fn looked_at(&mut self, so_many: usize) {
        self.checked = so_many;
    }

    /// How many a check has looked at, the first that were asked.
    pub fn checked(&self) -> usize {
        self.checked
    }

    /// Who did badly, sorted.
    pub fn bad(&self) -> impl Iterator<Item = &String> {
        self.bad.iter()
    }

    /// How many were asked.
    pub fn asked(&self) -> usize {
        self.asked.len()
    }

    /// Whether a stage is over, and which of how many, both counted from one.
    pub fn stage(&self) -> (bool, usize, usize) {
        let asked = self.asked();
        let number = self.bounds.iter().take_while(|bound| **bound < asked).count() + 1;
        (self.bounds.contains(&asked), number, self.bounds.len())
    }

    /// Lets more or fewer do badly from here on.
    pub fn allow(&mut self, allowed: Allowance) {
        self.allowed = allowed;
    }

    /// Whether it may go on.
    ///
    /// # Errors
    /// Too many did badly.
    pub fn verdict(&self) -> Result<(), TooMany> {
        let (bad, asked) = (self.bad.len(), self.asked());
        let allowed = self.allowed.of(asked);
        if bad > allowed { Err(TooMany { bad, asked, allowed }) } else { Ok(()) }
    }
}
