//! What the policy says of a call.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::core::agents::{Call, Node};
use crate::core::authz::{About, Authorizer, AuthzRequest, Decision};
use crate::core::protocol::v1::Envelope;
use crate::core::server::NodeState;

/// Asks the policy for a call of another agent than the request is for.
pub async fn judge(call: &Call, node: &Arc<NodeState>, authorizer: &Arc<Authorizer>) -> Decision {
    let wanted = Wanted {
        caller: call.caller.clone(),
        agent: call.agent.clone(),
        collective: call.collective.clone(),
        action: call.action.clone(),
        data: authorizer.reads_inputs().then(|| call.data.clone()),
        ttl: call.ttl,
        time: call.time,
    };
    judged_as(wanted, node, authorizer).await
}

/// What a policy is asked about.
pub struct Wanted {
    caller: String,
    agent: String,
    collective: String,
    action: String,
    data: Option<Map<String, Value>>,
    ttl: i64,
    time: i64,
}

impl Wanted {
    /// An action of the agent that a request is for.
    pub fn of(envelope: &Envelope, action: &str, data: Option<Map<String, Value>>) -> Wanted {
        Wanted {
            caller: envelope.callerid.clone(),
            agent: envelope.agent.clone(),
            collective: envelope.collective.clone(),
            action: action.to_owned(),
            data,
            ttl: envelope.ttl,
            time: envelope.time,
        }
    }
}

/// Asks the policy, by its files and those of facts and classes as they are now.
pub async fn judged_as(wanted: Wanted, node: &Arc<NodeState>, authorizer: &Arc<Authorizer>) -> Decision {
    let authorizer = authorizer.clone();
    let decided = node.with_files(move |node| {
        let hosted = node.hosted();
        let about = About {
            collective: &wanted.collective,
            data: wanted.data.as_ref(),
            ttl: wanted.ttl,
            time: wanted.time,
            agents: hosted.names(),
            provision_mode: node.provisioning(),
        };
        let Wanted { caller, agent, action, .. } = &wanted;
        let wanted = AuthzRequest { caller, agent, action, about };
        let classes = node.known_classes();
        authorizer.decide(&wanted, classes.as_ref().map(|classes| classes.as_slice()), &node.facts())
    });
    let undecided = || Decision::undecided("the files that decide do not answer".to_owned());
    decided.await.unwrap_or_else(undecided)
}
