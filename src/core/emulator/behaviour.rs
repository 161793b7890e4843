//! Nodes that are not as they should be: a fleet always has some.

use std::sync::Arc;
use std::time::Duration;

use crate::core::agents::{Agent, Call, Node, Running};
use crate::core::ddl::AgentDdl;

/// How one node behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
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
#[allow(missing_docs)] // as in `Behaviour`
pub struct BehaviourMix {
    pub slow: f64,
    pub silent: f64,
    pub denying: f64,
    pub flapping: f64,
}

impl BehaviourMix {
    /// The behaviour of node `index` of `count`: misbehaving ones are spread
    /// evenly, and the same node misbehaves in every run.
    pub fn of(&self, index: usize, count: usize) -> Behaviour {
        let place = index * stride(count) % count.max(1);
        let mut bound = 0;
        for (share, behaviour) in [
            (self.slow, Behaviour::Slow),
            (self.silent, Behaviour::Silent),
            (self.denying, Behaviour::Denying),
            (self.flapping, Behaviour::Flapping),
        ] {
            bound += (share * count as f64).round() as usize;
            if place < bound {
                return behaviour;
            }
        }
        Behaviour::Good
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

/// The agents of a node of this behaviour.
pub fn agents(agents: Vec<Arc<dyn Agent>>, behaviour: Behaviour) -> Vec<Arc<dyn Agent>> {
    match behaviour {
        Behaviour::Slow => agents.into_iter().map(|agent| Arc::new(Late(agent)) as Arc<dyn Agent>).collect(),
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
        let behaviours = BehaviourMix { slow: 0.1, silent: 0.2, ..BehaviourMix::default() };
        let count = |behaviour| (0..1000).filter(|i| behaviours.of(*i, 1000) == behaviour).count();
        for (behaviour, expected) in
            [(Behaviour::Slow, 100), (Behaviour::Silent, 200), (Behaviour::Good, 700)]
        {
            assert_eq!(count(behaviour), expected, "{behaviour:?}");
        }
        let slow: Vec<usize> = (0..1000).filter(|i| behaviours.of(*i, 1000) == Behaviour::Slow).collect();
        assert!(slow.windows(2).all(|w| w[1] - w[0] < 30), "spread over the fleet: {slow:?}");
        assert_eq!(BehaviourMix::default().of(3, 10), Behaviour::Good);
    }
}
