//! One call of an agent without a network, for those who write agents.

use std::sync::Arc;
use std::time::Duration;

use super::{Agent, Call, Counts, Node, Outcome, Traffic};
use crate::core::config::Config;
use crate::core::ddl::Metadata;
use crate::core::protocol::filter::Facts;
use crate::core::rpc::StatusCode;

/// A node of nothing but a configuration and facts.
pub struct LocalNode {
    config: Config,
    facts: Arc<Facts>,
    agents: Vec<Metadata>,
}

impl LocalNode {
    /// A node that has this agent.
    pub fn new(config: Config, facts: Facts, agent: &dyn Agent) -> LocalNode {
        LocalNode { config, facts: Arc::new(facts), agents: vec![agent.ddl().metadata.clone()] }
    }

    /// Calls the agent as a node would after it has authorized the caller: an action it
    /// does not have, inputs its interface refuses and time that runs out are told alike.
    pub async fn call(&self, agent: &dyn Agent, mut call: Call) -> Outcome {
        let Some(interface) = agent.ddl().action(&call.action) else {
            let message = format!("Unknown action {} for agent {}", call.action, call.agent);
            return Outcome::failed(StatusCode::UnknownAction, message);
        };
        if !agent.judges_inputs() {
            call.data.shift_remove("process_results");
            if let Err(e) = interface.validate(&call.data) {
                return Outcome::failed(StatusCode::InvalidData, format!("Validation failed: {e}"));
            }
        }
        let limit = agent.limit(&call.action).saturating_add(Duration::from_secs(1));
        let ran = tokio::time::timeout(limit, agent.run(&call, self)).await;
        ran.unwrap_or_else(|_| {
            Outcome::failed(StatusCode::Aborted, format!("the action took longer than {limit:?}"))
        })
    }
}

impl Node for LocalNode {
    fn identity(&self) -> &str {
        &self.config.identity
    }
    fn config(&self) -> &Config {
        &self.config
    }
    fn facts(&self) -> Arc<Facts> {
        self.facts.clone()
    }
    fn classes(&self) -> Arc<Vec<String>> {
        Arc::default()
    }
    fn agents(&self) -> Vec<Metadata> {
        self.agents.clone()
    }
    fn counts(&self) -> Counts {
        Counts::default()
    }
    fn started(&self) -> i64 {
        self.now()
    }
    fn now(&self) -> i64 {
        jiff::Timestamp::now().as_second()
    }
    fn connected_server(&self) -> Option<String> {
        None
    }
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
    fn provisioning(&self) -> bool {
        false
    }
}
