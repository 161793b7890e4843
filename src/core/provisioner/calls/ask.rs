//! What nodes are asked, what may come of it, and how long it takes.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::core::protocol::filter::Filter;
use crate::core::provisioning::Mark;

/// A node was asked and gave no good answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// Nothing came in time.
    #[error("{agent}#{action}: no answer within {} s", .limit.as_secs_f32())]
    Silent {
        /// Agent.
        agent: &'static str,
        /// Action.
        action: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// Nobody hears what is said to this name.
    #[error("{agent}#{action}: no answer, nobody listens by this name")]
    Absent {
        /// Agent.
        agent: &'static str,
        /// Action.
        action: &'static str,
    },
    /// What it says is more than is kept of a node in work.
    #[error("{agent}#{action}: the answer is too large")]
    TooLarge {
        /// Agent.
        agent: &'static str,
        /// Action.
        action: &'static str,
    },
    /// The agent said no.
    #[error("{agent}#{action}: {text} ({code})")]
    Refused {
        /// Agent.
        agent: &'static str,
        /// Action.
        action: &'static str,
        /// Status code.
        code: i64,
        /// Its words, shortened.
        text: String,
    },
    /// The answer is none.
    #[error("{agent}#{action}: the answer cannot be read: {reason}")]
    Unreadable {
        /// Agent.
        agent: &'static str,
        /// Action.
        action: &'static str,
        /// Why.
        reason: String,
    },
    /// Another machine of the name answered than before.
    #[error(
        "two machines claim this name, neither is configured: {agent}#{action} is answered by another than what was asked before"
    )]
    Another {
        /// Agent.
        agent: &'static str,
        /// Action.
        action: &'static str,
    },
    /// It did not leave this machine.
    #[error("the request was not sent: {0}")]
    NotSent(String),
    /// The same because there is no broker.
    #[error("the request was not sent: there is no connection to a broker")]
    NoBroker,
}

/// The machine that gave the first answer, by its mark if it has one.
pub type First = OnceLock<Option<Mark>>;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Agent.
    pub agent: &'static str,
    /// Action.
    pub action: &'static str,
    /// Inputs.
    pub data: Map<String, Value>,
    /// Equal for many nodes and without side effects that must not be repeated: may be gathered.
    /// Requests with a filter are not.
    pub shared: bool,
    /// Which machines of the node's name it is for; by default all of them.
    pub filter: Filter,
    /// Who has answered first of those that are asked with the same: others are not listened to.
    pub first: Arc<First>,
}

impl CallError {
    /// Whether the request was one of those that show if a node is there.
    pub(in crate::core::provisioner) fn is_of_first_contact(&self) -> bool {
        matches!(self, CallError::Absent { action: "inventory" | "jwt", .. })
    }
}

/// Tries, failures and time of one action, for metrics.
#[derive(Debug, Default)]
pub struct ActionTimes {
    /// Tries.
    pub count: AtomicU64,
    /// Time of all tries, microseconds.
    pub micros: AtomicU64,
    /// Tries without a good answer.
    pub errors: AtomicU64,
}

/// Actions the provisioner uses, as metrics name them.
pub const ACTIONS: [&str; 8] = [
    "choria_provision#jwt",
    "choria_provision#gen25519",
    "rpcutil#inventory",
    "choria_provision#gencsr",
    "choria_provision#shutdown",
    "choria_provision#release_update",
    "choria_provision#configure",
    "choria_provision#restart",
];
