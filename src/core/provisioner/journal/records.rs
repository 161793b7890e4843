//! Records that are open, oldest first.
//!
//! A node that is configured and never seen again leaves its record behind, and
//! anybody in the waiting room can do that by as many names as it likes. So what
//! is kept of nodes that are not in work has bounds: beyond them the oldest are
//! given up, which costs a node that comes back after all another configuration.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Most records of nodes that are not in work,
const MOST: usize = 2000;
/// and most bytes of all records before those of nodes that are not in work go.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Where a node is as far as this program knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    /// Inputs of `configure`, a JSON object.
    pub inputs: Arc<str>,
    /// Whether it took them.
    pub configured: bool,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Where in the order each is, and what it says.
    by_node: HashMap<Arc<str>, (u64, Open)>,
    order: BTreeMap<u64, Arc<str>>,
    serial: u64,
    /// Of all inputs.
    bytes: usize,
}

impl Records {
    pub(super) fn get(&self, node: &str) -> Option<&Open> {
        self.by_node.get(node).map(|(_, open)| open)
    }

    /// In their order.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Arc<str>> {
        self.order.values()
    }

    /// All of them, in their order.
    pub(super) fn all(&self) -> Vec<(Arc<str>, Open)> {
        self.iter().map(|(node, open)| (node.clone(), open.clone())).collect()
    }

    fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Open)> {
        self.nodes().filter_map(|node| Some((node, self.get(node)?)))
    }

    pub(super) fn answered(&mut self, node: &str, inputs: &str) {
        self.close(node);
        let node: Arc<str> = node.into();
        self.serial += 1;
        self.bytes += inputs.len();
        self.order.insert(self.serial, node.clone());
        self.by_node.insert(node, (self.serial, Open { inputs: inputs.into(), configured: false }));
    }

    pub(super) fn configured(&mut self, node: &str) {
        if let Some((_, open)) = self.by_node.get_mut(node) {
            open.configured = true;
        }
    }

    pub(super) fn close(&mut self, node: &str) {
        if let Some((place, open)) = self.by_node.remove(node) {
            self.order.remove(&place);
            self.bytes -= open.inputs.len();
        }
    }

    /// The oldest of nodes that are not in work, as many as are more than is kept.
    pub(super) fn surplus(&self, is_in_work: impl Fn(&str) -> bool) -> Vec<Arc<str>> {
        // as a rule nobody has to be looked at
        if self.by_node.len() <= MOST && self.bytes <= MOST_BYTES {
            return vec![];
        }
        let left: Vec<_> = self.iter().filter(|(node, _)| !is_in_work(node)).collect();
        let (mut number, mut bytes) = (left.len(), self.bytes);
        let mut surplus = vec![];
        for (node, open) in left {
            if number <= MOST && bytes <= MOST_BYTES {
                break;
            }
            number -= 1;
            bytes -= open.inputs.len();
            surplus.push(node.clone());
        }
        surplus
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_that_nobody_works_on_are_given_up() {
        let mut records = Records::default();
        (0..MOST + 3).for_each(|number| records.answered(&format!("n{number}"), "{}"));
        // one that is answered anew is the youngest
        records.answered("n1", "{}");
        let surplus = records.surplus(|node| node == "n0");
        let surplus: Vec<&str> = surplus.iter().map(|node| &**node).collect();
        assert_eq!(surplus, ["n2", "n3"]);
        surplus.iter().for_each(|node| records.close(node));
        assert!(records.surplus(|node| node == "n0").is_empty());
        assert_eq!(records.bytes, (MOST + 1) * 2);
        let large = format!("[\"{}\"]", "x".repeat(MOST_BYTES));
        records.answered("large", &large);
        assert!(records.surplus(|_| true).is_empty(), "all are in work");
        assert_eq!(records.surplus(|node| node != "large").len(), 1);
        records.close("large");
        records.nodes().cloned().collect::<Vec<_>>().iter().for_each(|node| records.close(node));
        assert_eq!((records.bytes, records.order.len(), records.by_node.len()), (0, 0, 0));
    }
}
