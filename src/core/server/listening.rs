//! The subjects on which a node hears requests for its agents.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::WeakSender;

use super::NodeState;
use crate::core::connection::{ByteBudget, Message, Session, SubscriptionId};
use crate::core::ddl::Metadata;
use crate::core::protocol::subjects;

/// See the module documentation.
pub struct Listening {
    node: Arc<NodeState>,
    session: Session,
    /// To the pipeline; weak, so that it ends with the connection.
    sink: WeakSender<Message>,
    budget: Arc<ByteBudget>,
    subscriptions: Mutex<BTreeMap<String, Vec<SubscriptionId>>>,
}

impl Listening {
    pub fn new(
        node: Arc<NodeState>,
        session: Session,
        sink: WeakSender<Message>,
        budget: Arc<ByteBudget>,
    ) -> Listening {
        Listening { node, session, sink, budget, subscriptions: Mutex::default() }
    }

    /// Hears requests for an agent in every collective; of those for a service one node
    /// of all that offer it hears each.
    pub async fn hear(&self, agent: &Metadata) {
        let Some(sink) = self.sink.upgrade() else { return };
        let mut ids = vec![];
        for collective in &self.node.config().collectives {
            let (subject, queue) = match agent.service {
                true => (subjects::service(collective, &agent.name), Some(agent.name.clone())),
                false => (subjects::broadcast(collective, &agent.name), None),
            };
            let id = self.session.subscribe_within(subject, queue, sink.clone(), self.budget.clone());
            ids.push(id.await);
        }
        let mut all = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(agent.name.clone()).or_default().extend(ids);
    }

    /// Hears no more requests for it.
    pub fn forget(&self, agent: &str) {
        let ids = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner).remove(agent);
        ids.unwrap_or_default().into_iter().for_each(|id| self.session.unsubscribe(id));
    }
}
