//! A node to whom the broker refuses what is sent to its name, because that is not in its certificate.

use std::sync::Arc;

use tokio::sync::Notify;

use super::NodeState;
use crate::core::connection::{ComplaintListener, Session};
use crate::core::protocol::subjects;
use crate::core::security::Provider;

/// Hears whether a subscription to the node's own name is refused.
pub struct RefusedName {
    /// Subjects of the name, one a collective.
    own: Vec<String>,
    refused: Notify,
}

impl RefusedName {
    /// Listens from now on: begin before the node subscribes.
    pub fn listen(node: &NodeState, session: &Session) -> Arc<RefusedName> {
        let collectives = &node.config().collectives;
        let own = collectives.iter().map(|collective| subjects::node(collective, node.identity_text()));
        let listener = Arc::new(RefusedName { own: own.collect(), refused: Notify::new() });
        let weak: std::sync::Weak<RefusedName> = Arc::downgrade(&listener);
        session.hear_complaints(weak);
        listener
    }

    /// Waits for the refusal and says why it came; for ever where the certificate is not the reason.
    pub async fn reason(&self, node: &NodeState) -> String {
        loop {
            self.refused.notified().await;
            if let Some(reason) = node.provider().and_then(Provider::misnamed) {
                return reason;
            }
        }
    }
}

impl ComplaintListener for RefusedName {
    fn complained(&self, text: &str) {
        let subscription = text.contains("Permissions Violation for Subscription to");
        if subscription && self.own.iter().any(|subject| text.contains(subject)) {
            self.refused.notify_one();
        }
    }
}
