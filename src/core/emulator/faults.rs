//! Waiting nodes that are not as they should be: provisioners meet all of them.

use std::sync::Arc;

use tokio::sync::Notify;

use super::behaviour::stride;
use crate::core::agents::{Agent, Call, Node, Running};
use crate::core::ddl::AgentDdl;

/// Shares of the fleet, each between 0 and 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Faults {
    /// Are found and never answer.
    pub silent: f64,
    /// Are gone, without a word, once they are configured and before they restart.
    pub dying: f64,
    /// Want another access token.
    pub wrong_token: f64,
    /// Claim the name of the node before them.
    pub doubled: f64,
}

/// What one node does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // as in `Faults`
pub enum Fault {
    /// Nothing.
    None,
    Silent,
    Dying,
    WrongToken,
    Doubled,
}

impl Faults {
    /// What node `index` of `count` does wrong: spread evenly, and the same in every run.
    pub fn of(&self, index: usize, count: usize) -> Fault {
        let place = index * stride(count) % count.max(1);
        let mut bound = 0;
        for (share, fault) in [
            (self.silent, Fault::Silent),
            (self.dying, Fault::Dying),
            (self.wrong_token, Fault::WrongToken),
            (self.doubled, Fault::Doubled),
        ] {
            bound += (share * count as f64).round() as usize;
            if place < bound {
                return fault;
            }
        }
        Fault::None
    }
}

/// The agents of a node with this fault, `provision` among them; `death` is told when it dies.
pub(super) fn agents(
    mut built_in: Vec<Arc<dyn Agent>>,
    provision: Arc<dyn Agent>,
    fault: Fault,
    death: &Arc<Notify>,
) -> Vec<Arc<dyn Agent>> {
    match fault {
        Fault::Silent => {
            built_in.push(provision);
            built_in.into_iter().map(|agent| Arc::new(Mute(agent)) as Arc<dyn Agent>).collect()
        }
        Fault::Dying => {
            built_in.push(Arc::new(Dying { agent: provision, death: death.clone() }));
            built_in
        }
        _ => {
            built_in.push(provision);
            built_in
        }
    }
}

/// Never answers.
struct Mute(Arc<dyn Agent>);

impl Agent for Mute {
    fn ddl(&self) -> &AgentDdl {
        self.0.ddl()
    }

    fn run<'a>(&'a self, _: &'a Call, _: &'a dyn Node) -> Running<'a> {
        Box::pin(std::future::pending())
    }
}

/// Is configured, and dies of being told to restart.
struct Dying {
    agent: Arc<dyn Agent>,
    death: Arc<Notify>,
}

impl Agent for Dying {
    fn ddl(&self) -> &AgentDdl {
        self.agent.ddl()
    }

    fn run<'a>(&'a self, call: &'a Call, node: &'a dyn Node) -> Running<'a> {
        if call.action != "restart" {
            return self.agent.run(call, node);
        }
        self.death.notify_one();
        Box::pin(std::future::pending())
    }
}
