//! Interfaces of agents that this client lacks, asked of others: of the registry, or of a
//! node that has the agent.
//!
//! A reply of protocol v1 is not signed, and an interface says which inputs a request
//! gets by itself. So nodes of ours sign the interface, as a request that nobody would
//! take for one: it holds the id of what was asked, and its time was over in 1970.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::caller::Client;
use super::error::ClientError;
use super::rpc::{RpcCall, RpcOptions, RpcReply};
use crate::core::ddl::AgentDdl;
use crate::core::protocol::v1::SecureRequest;
use crate::core::security::CallerId;

/// How long one of them is waited for.
const PATIENCE: Duration = Duration::from_secs(4);

/// Seconds that an action may take by the word of somebody else: silent nodes are waited for
/// as long.
const LONGEST: u64 = 3600;

/// Why an interface was not had of somebody.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// The request was not sent.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Nobody answered.
    #[error("no answer")]
    Silence,
    /// Somebody answered that it has none, or may not.
    #[error("{node} answered: {problem}")]
    Refused {
        /// Who.
        node: String,
        /// What it says.
        problem: String,
    },
    /// What came cannot be believed, or read.
    #[error("the answer of {node} is not used: {problem}")]
    Unusable {
        /// Who.
        node: String,
        /// What is wrong.
        problem: String,
    },
}

impl Client {
    /// The interface of an agent from the registry, whichever node answers for it. One of
    /// the original does not sign it.
    ///
    /// # Errors
    /// [`InterfaceError`]
    pub async fn interface_of_registry(&self, agent: &str) -> Result<AgentDdl, InterfaceError> {
        let inputs = json!({"name": agent, "plugin_type": "agent", "format": "json"});
        let options = self.options("choria_registry", inputs)?;
        let mut call = RpcCall::service(self, options).await?;
        let reply = call.next().await?.ok_or(InterfaceError::Silence)?;
        self.interface(agent, &reply, false)
    }

    /// The interface of an agent from a node that has it, which signs it.
    ///
    /// # Errors
    /// [`InterfaceError`]
    pub async fn interface_of_node(&self, agent: &str, node: &str) -> Result<AgentDdl, InterfaceError> {
        let options = self.options("choria_util", json!({"name": agent}))?;
        let mut call = RpcCall::direct(self, options, vec![node.to_owned()]).await?;
        let reply = call.next().await?.ok_or(InterfaceError::Silence)?;
        self.interface(agent, &reply, true)
    }

    fn options(&self, agent: &str, inputs: Value) -> Result<RpcOptions, ClientError> {
        let data = match inputs {
            Value::Object(data) => data,
            _ => Map::new(),
        };
        Ok(RpcOptions {
            agent: agent.to_owned(),
            action: "ddl".to_owned(),
            data,
            collective: self.collective(None)?,
            timeout: PATIENCE,
            batch: None,
        })
    }

    fn interface(&self, agent: &str, reply: &RpcReply, must_sign: bool) -> Result<AgentDdl, InterfaceError> {
        let node = || reply.sender.clone();
        if !reply.body.statuscode.is_ok() {
            return Err(InterfaceError::Refused { node: node(), problem: reply.body.statusmsg.clone() });
        }
        let unusable = |problem: String| InterfaceError::Unusable { node: node(), problem };
        let text = |output: &str| reply.body.data.get(output).and_then(Value::as_str).unwrap_or_default();
        let json = match text("signed") {
            "" if must_sign => return Err(unusable("it is not signed".to_owned())),
            "" => text("ddl").to_owned(),
            signed => self.signed(signed, reply).map_err(unusable)?,
        };
        let mut ddl = AgentDdl::parse(json.as_bytes()).map_err(|e| unusable(e.to_string()))?;
        ddl.metadata.timeout = ddl.metadata.timeout.min(LONGEST);
        match ddl.metadata.name == agent {
            true if ddl.has_plain_names() => Ok(ddl),
            true => {
                Err(unusable("names in it have other characters than letters, digits, _ and -".to_owned()))
            }
            false => Err(unusable("it is the interface of another agent".to_owned())),
        }
    }

    /// What the sender of a reply signed, for this request.
    fn signed(&self, text: &str, reply: &RpcReply) -> Result<String, String> {
        let secure = SecureRequest::decode(text.as_bytes()).map_err(|e| e.to_string())?;
        let now = jiff::Timestamp::now().as_second();
        let verified = self.verifier.verify(&secure, now).map_err(|e| e.to_string())?;
        let of_sender = CallerId::of_certname(&reply.sender).is_some_and(|id| id == *verified.caller());
        let request = verified.into_inner();
        if !of_sender || request.envelope.requestid != reply.protocol().envelope.requestid {
            return Err("it is signed by another, or for another request".to_owned());
        }
        Ok(request.message)
    }
}
