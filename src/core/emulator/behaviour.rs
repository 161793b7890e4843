//! Nodes that are not as they should be: a fleet always has some.

use std::sync::Arc;
use std::time::Duration;

use crate::core::agents::{Agent, Call, Node, Running};
use crate::core::ddl::AgentDdl;

/// How one node behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    Good,
    /// Runs every action a second late.
    Slow,
    /// Is connected and never answers.
    Silent,
    /// Denies every action.
    Denying,
    /// Comes and goes.
    Flapping,
}

/// Shares of the fleet, each between 0 and 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[allow(missing_docs)] // as in `Manner`
pub struct Manners {
    pub slow: f64,
    pub silent: f64,
    pub denying: f64,
    pub flapping: f64,
}

impl Manners {
    /// The manner of node `index` of `count`: misbehaving ones are spread
    /// evenly, and the same node misbehaves in every run.
    pub fn of(&self, index: usize, count: usize) -> Manner {
        let place = index * stride(count) % count.max(1);
        let mut bound = 0;
        for (share, manner) in [
            (self.slow, Manner::Slow),
            (self.silent, Manner::Silent),
            (self.denying, Manner::Denying),
            (self.flapping, Manner::Flapping),
        ] {
            bound += (share * count as f64).round() as usize;
            if place < bound {
                return manner;
            }
        }
        Manner::Good
    }
}

/// A step that visits every place of `count` once and lands far from the last
/// one: near the golden section, and without a common divisor.
pub(super) fn stride(count: usize) -> usize {
    let gcd = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let first = (count as f64 * 0.618) as usize;
    (first.max(1)..).find(|step| gcd(*step, count.max(1)) == 1).unwrap_or(1)
}

const DELAY: Duration = Duration::from_secs(1);

/// The agents of a node of this manner.
pub fn agents(agents: Vec<Arc<dyn Agent>>, manner: Manner) -> Vec<Arc<dyn Agent>> {
    match manner {
        Manner::Slow => agents.into_iter().map(|agent| Arc::new(Late(agent)) as Arc<dyn Agent>).collect(),
        _ => agents,
    }
}

struct Late(Arc<dyn Agent>);

impl Agent for Late {
    fn ddl(&self) -> &AgentDdl {
        self.0.ddl()
    }

    fn run<'a>(&'a self, call: &'a Call, node: &'a dyn Node) -> Running<'a> {
        Box::pin(async move {
            tokio::time::sleep(DELAY).await;
            self.0.run(call, node).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_the_fleet_misbehave() {
        let manners = Manners { slow: 0.1, silent: 0.2, ..Manners::default() };
        let count = |manner| (0..1000).filter(|i| manners.of(*i, 1000) == manner).count();
        for (manner, expected) in [(Manner::Slow, 100), (Manner::Silent, 200), (Manner::Good, 700)] {
            assert_eq!(count(manner), expected, "{manner:?}");
        }
        let slow: Vec<usize> = (0..1000).filter(|i| manners.of(*i, 1000) == Manner::Slow).collect();
        assert!(slow.windows(2).all(|w| w[1] - w[0] < 30), "spread over the fleet: {slow:?}");
        assert_eq!(Manners::default().of(3, 10), Manner::Good);
    }
}
