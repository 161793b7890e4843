//! Wildcard patterns by token: which of them match a subject.
//!
//! Only patterns with `*` or `>` live here. They are few next to the literal
//! subjects of a fleet, which a hash table finds in one step. A match visits
//! each node at most once, so no subject costs more than the size of the trie.

use hashbrown::HashMap;
use slab::Slab;

use crate::core::nats::subject::tokens;

/// Maps wildcard patterns to values and finds those that match a subject.
#[derive(Debug)]
pub struct Trie {
    nodes: Slab<Node>,
    root: usize,
}

#[derive(Debug, Default)]
struct Node {
    /// Literal tokens.
    children: HashMap<Box<[u8]>, usize>,
    /// Behind `*`.
    one: Option<usize>,
    /// Value of the pattern that ends in `>` here.
    rest: Option<u32>,
    /// Value of the pattern that ends here.
    here: Option<u32>,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.one.is_none() && self.rest.is_none() && self.here.is_none()
    }
}

impl Default for Trie {
    fn default() -> Self {
        let mut nodes = Slab::new();
        let root = nodes.insert(Node::default());
        Self { nodes, root }
    }
}

impl Trie {
    /// Sets the value of a pattern; an earlier value is returned.
    pub fn insert(&mut self, pattern: &[u8], value: u32) -> Option<u32> {
        let mut at = self.root;
        for token in tokens(pattern) {
            if token == b">" {
                return self.nodes.get_mut(at).and_then(|node| node.rest.replace(value));
            }
            at = match self.child(at, token) {
                Some(next) => next,
                None => {
                    let next = self.nodes.insert(Node::default());
                    if let Some(node) = self.nodes.get_mut(at) {
                        if token == b"*" {
                            node.one = Some(next);
                        } else {
                            node.children.insert(token.into(), next);
                        }
                    }
                    next
                }
            };
        }
        self.nodes.get_mut(at).and_then(|node| node.here.replace(value))
    }

    /// The value of exactly this pattern.
    pub fn get(&self, pattern: &[u8]) -> Option<u32> {
        let mut at = self.root;
        for token in tokens(pattern) {
            if token == b">" {
                return self.nodes.get(at)?.rest;
            }
            at = self.child(at, token)?;
        }
        self.nodes.get(at)?.here
    }

    /// Forgets a pattern and the nodes nobody needs any more.
    pub fn remove(&mut self, pattern: &[u8]) -> Option<u32> {
        let mut path = Vec::new();
        let mut at = self.root;
        let mut removed = None;
        let mut ended = false;
        for token in tokens(pattern) {
            if token == b">" {
                removed = self.nodes.get_mut(at)?.rest.take();
                ended = true;
                break;
            }
            path.push((at, token));
            at = self.child(at, token)?;
        }
        if !ended {
            removed = self.nodes.get_mut(at)?.here.take();
        }
        while let Some((parent, token)) = path.pop() {
            if !self.nodes.get(at).is_some_and(Node::is_empty) {
                break;
            }
            self.nodes.try_remove(at);
            if let Some(node) = self.nodes.get_mut(parent) {
                if token == b"*" {
                    node.one = None;
                } else {
                    node.children.remove(token);
                }
            }
            at = parent;
        }
        removed
    }

    /// Calls `found` with the value of every pattern that matches a literal subject.
    pub fn matches(&self, subject: &[u8], mut found: impl FnMut(u32)) {
        // nodes to visit, each with the place of its next token; past the end means none is left
        let mut open = vec![(self.root, 0_usize)];
        while let Some((at, start)) = open.pop() {
            let Some(node) = self.nodes.get(at) else { continue };
            let Some(remaining) = subject.get(start..) else {
                if let Some(value) = node.here {
                    found(value);
                }
                continue;
            };
            if let Some(value) = node.rest {
                found(value);
            }
            let length = memchr::memchr(b'.', remaining).unwrap_or(remaining.len());
            let next = start + length + 1;
            if let Some(one) = node.one {
                open.push((one, next));
            }
            if let Some(child) = node.children.get(remaining.get(..length).unwrap_or_default()) {
                open.push((*child, next));
            }
        }
    }

    /// Whether no pattern is held.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.nodes.len() == 1 && self.nodes.get(self.root).is_some_and(Node::is_empty)
    }

    fn child(&self, at: usize, token: &[u8]) -> Option<usize> {
        let node = self.nodes.get(at)?;
        if token == b"*" { node.one } else { node.children.get(token).copied() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::nats::subject::matches;

    fn pattern() -> impl Strategy<Value = String> {
        proptest::collection::vec("[ab*]", 1..5).prop_flat_map(|tokens| {
            any::<bool>().prop_map(move |rest| tokens.join(".") + if rest { ".>" } else { "" })
        })
    }

    proptest! {
        #[test]
        fn agrees_with_matching_one_by_one(
            patterns in proptest::collection::btree_set(pattern(), 0..20),
            removed in proptest::collection::vec(any::<prop::sample::Index>(), 0..10),
            subject in proptest::collection::vec("[abc]", 1..6),
        ) {
            let subject = subject.join(".");
            let mut left: Vec<String> = patterns.into_iter().collect();
            let mut trie = Trie::default();
            let names = left.clone();
            for (value, pattern) in names.iter().enumerate() {
                prop_assert_eq!(trie.insert(pattern.as_bytes(), value as u32), None);
            }
            for index in removed {
                if left.is_empty() {
                    break;
                }
                let gone = left.swap_remove(index.index(left.len()));
                prop_assert!(trie.remove(gone.as_bytes()).is_some());
                prop_assert_eq!(trie.get(gone.as_bytes()), None);
            }
            let mut found = Vec::new();
            trie.matches(subject.as_bytes(), |value| found.push(names[value as usize].clone()));
            found.sort();
            let mut expected: Vec<String> =
                left.iter().filter(|pattern| matches(pattern, &subject)).cloned().collect();
            expected.sort();
            prop_assert_eq!(found, expected);
            for pattern in &left {
                prop_assert!(trie.remove(pattern.as_bytes()).is_some());
            }
            prop_assert!(trie.is_empty());
        }
    }
}
