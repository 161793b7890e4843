//! The [`Agent`] trait and the built-in agents (spec 02 §§2, 3).
//!
//! An agent is a DDL and a function from an authorized [`Call`] to an
//! [`Outcome`]. It sees its node through the [`Node`] trait and nothing of the
//! wire: whoever hands it a call has verified, authorized and audited it.

mod bolt_tasks;
mod choria_registry;
mod choria_util;
mod control;
pub mod data;
pub mod data_library;
pub mod discovery;
pub mod external;
mod filemgr;
pub mod library;
pub mod local;
mod native;
mod nettest;
mod node;
mod package;
mod process;
pub mod provision;
mod puppet;
mod rpcutil;
pub mod ruby;
mod scout;
mod service;
mod shell;
mod system;
pub(crate) use rpcutil::describe;

use std::pin::Pin;
use std::time::Duration;

use serde_json::{Map, Value};

pub use choria_registry::ChoriaRegistry;
pub use choria_util::ChoriaUtil;
pub use control::{Control, Ending};
pub use native::{SETTINGS, native, tasks};
pub use node::{Announcing, Counts, Node, Traffic};
pub use provision::Provision;
pub use rpcutil::RpcUtil;
pub use scout::Scout;

use crate::core::ddl::AgentDdl;
use crate::core::rpc::StatusCode;

/// What an agent's work is.
pub type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// One action on one node. Everything but `data` comes from the verified
/// request, never from the body.
#[derive(Debug, Clone)]
pub struct Call {
    /// Agent asked for.
    pub agent: String,
    /// Action asked for; it is one of the agent's DDL.
    pub action: String,
    /// Inputs as the caller sent them.
    pub data: Map<String, Value>,
    /// Request id, 32 hex digits in protocol v1.
    pub request_id: String,
    /// Identity of the machine the caller used; not authenticated.
    pub sender: String,
    /// Verified caller id, `choria=bob.mcollective`.
    pub caller: String,
    /// Collective the request was addressed to.
    pub collective: String,
    /// Seconds the request is valid.
    pub ttl: i64,
    /// Unix seconds the request was made.
    pub time: i64,
}

impl Call {
    /// All but the inputs, as programs of others are told (spec 02 §§4, 5).
    pub fn about(&self) -> Map<String, Value> {
        let members: [(&str, Value); 8] = [
            ("agent", self.agent.as_str().into()),
            ("action", self.action.as_str().into()),
            ("requestid", self.request_id.as_str().into()),
            ("senderid", self.sender.as_str().into()),
            ("callerid", self.caller.as_str().into()),
            ("collective", self.collective.as_str().into()),
            ("ttl", self.ttl.into()),
            ("msgtime", self.time.into()),
        ];
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// A text input; empty when absent or not a text.
    pub fn text(&self, name: &str) -> &str {
        self.data.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// What an action came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Status code of the reply.
    pub code: StatusCode,
    /// Status text of the reply.
    pub message: String,
    /// Outputs.
    pub data: Map<String, Value>,
}

impl Outcome {
    /// Success with these outputs; anything but an object counts as none.
    pub fn ok(data: Value) -> Outcome {
        let data = match data {
            Value::Object(data) => data,
            _ => Map::new(),
        };
        Outcome { code: StatusCode::Ok, message: "OK".to_owned(), data }
    }

    /// Failure without outputs.
    pub fn failed(code: StatusCode, message: impl Into<String>) -> Outcome {
        Outcome { code, message: message.into(), data: Map::new() }
    }
}

/// What a call does beside being of an action: policies know it as one more action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// Its name as it was asked for, then other spellings of it. One that is allowed is enough,
    /// one that a rule denies is too much.
    pub names: Vec<String>,
    /// What a caller is told who may not.
    pub refusal: String,
}

/// Something a node can do for a caller.
pub trait Agent: Send + Sync {
    /// Its interface; the node enforces it.
    fn ddl(&self) -> &AgentDdl;

    /// Inputs whose values no audit log may hold.
    fn secrets(&self) -> &'static [&'static str] {
        &[]
    }

    /// Hides within inputs what no audit log may hold.
    fn hide(&self, data: &mut Map<String, Value>) {
        let _ = data;
    }

    /// What else its caller has to be allowed for this call; default nothing. It is asked and
    /// audited after the action.
    fn deed(&self, call: &Call) -> Option<Deed> {
        let _ = call;
        None
    }

    /// Whether it judges inputs itself: it is handed all a caller sent, `process_results`
    /// included. Otherwise those it declares have been held to its interface.
    fn judges_inputs(&self) -> bool {
        false
    }

    /// How long an action may take before its caller hears nothing; default the timeout
    /// of the interface.
    fn limit(&self, _action: &str) -> Duration {
        Duration::from_secs(self.ddl().metadata.timeout)
    }

    /// What it sees to beside its calls, while its node serves; default nothing.
    fn attend<'a>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(std::future::ready(()))
    }

    /// Runs one action that is in the DDL. Calls run at the same time.
    fn run<'a>(&'a self, call: &'a Call, node: &'a dyn Node) -> Running<'a>;
}

/// The RPC agents every node has, a waiting one too; `discovery` is no RPC agent and comes with
/// the pipeline.
pub fn built_in() -> Vec<std::sync::Arc<dyn Agent>> {
    vec![std::sync::Arc::new(RpcUtil), std::sync::Arc::new(ChoriaUtil::default())]
}

#[cfg(test)]
mod tests;
