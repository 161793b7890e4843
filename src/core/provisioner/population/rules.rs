//! Times and bounds of a population.

use std::time::Duration;

/// Times and bounds.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Most names held.
    pub most: usize,
    /// How long a node that was provisioned is left alone.
    pub cooldown: Duration,
    /// Without a sign for this long a waiting name is forgotten.
    pub forget_after: Duration,
    /// How long the node's own lock lasts, and a little more.
    pub locked: Duration,
    /// How long a node is left alone that came back `max_loops` times.
    pub quarantine: Duration,
    /// Times a node may come back after it was provisioned.
    pub max_loops: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            most: 100_000,
            cooldown: Duration::from_secs(60),
            forget_after: Duration::from_secs(180),
            locked: Duration::from_secs(125),
            quarantine: Duration::from_secs(600),
            max_loops: 3,
        }
    }
}
