//! What a node publishes of its own accord: registration data.

use std::sync::Arc;

use crate::core::agents::Node;
use crate::core::connection::Session;
use crate::core::protocol::filter::Filter;
use crate::core::protocol::subjects;
use crate::core::protocol::v1::{Envelope, Headers, Request, Transport, new_request_id};
use crate::core::registration;
use crate::core::security::{CallerId, Signer};

use super::NodeState;
use super::node::now;

/// Publishes in the name of the node.
pub struct Publisher {
    pub node: Arc<NodeState>,
    session: Session,
    caller: Option<CallerId>,
    signer: Option<Signer>,
}

impl Publisher {
    pub fn new(
        node: Arc<NodeState>,
        session: Session,
        caller: Option<CallerId>,
        signer: Option<Signer>,
    ) -> Publisher {
        Publisher { node, session, caller, signer }
    }

    /// Publishes a registration document as a signed request of the node: to
    /// `target` where one is configured, else to the registration agents.
    pub async fn registration(&self, payload: String, target: &str) -> Result<(), String> {
        let config = self.node.config();
        let caller = self.caller.as_ref().ok_or("the identity of this node cannot be a caller's")?;
        let collective = config.registration_collective.clone();
        let subject = match target {
            "" => subjects::broadcast(&collective, registration::AGENT),
            target => target.to_owned(),
        };
        let request = Request {
            message: payload,
            envelope: Envelope {
                requestid: new_request_id(),
                senderid: config.identity.clone(),
                callerid: caller.as_str().to_owned(),
                collective,
                agent: registration::AGENT.to_owned(),
                ttl: config.ttl,
                time: now(),
                filter: Filter::default(),
            },
        };
        let secure = match &self.signer {
            Some(signer) => signer.sign(&request).map_err(|e| e.to_string())?,
            // there is nothing to sign with yet, and whoever listens knows it
            None if self.node.provisioning() => registration::unsigned(&request),
            None => return Err("this node's key cannot sign requests, it needs an RSA key".to_owned()),
        };
        let url = self.session.connected_server().unwrap_or_else(|| "unknown".to_owned());
        let transport = Transport {
            data: secure.encode().into_bytes(),
            headers: Headers {
                reply_to: Some(registration::NO_REPLY.to_owned()),
                sender: config.identity.clone(),
                seen_by: vec![[url.clone(), config.identity.clone(), url]],
                federation: None,
            },
        };
        self.session.publish(subject, transport.encode().into()).await.map_err(|e| e.to_string())
    }

    /// Whether there is a broker to publish to.
    pub fn connected(&self) -> bool {
        self.session.connected_server().is_some()
    }
}
