//! What is noticed of nodes, and how their walks end.

use serde::{Deserialize, Serialize};

/// What noticed a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Its startup event.
    Event,
    /// Its registration data.
    Registration,
    /// A discovery.
    Discovery,
    /// The journal: it was in work when this program ended.
    Journal,
    /// An operator.
    Operator,
}

/// What became of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noticed {
    /// It is new here and waits.
    New,
    /// It is known; nothing changes.
    Known,
    /// It was provisioned and is in the waiting room again.
    Again,
    /// It was provisioned and came back too often: nobody touches it for a while.
    Quarantined,
    /// There are as many names as are held.
    Full,
}

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// Configured and restarting.
    Provisioned,
    /// It was told to end itself.
    Shutdown,
    /// It runs another version soon.
    Upgraded,
    /// The helper said not now.
    Deferred,
    /// Another provisioner has it.
    Locked,
    /// Two machines claim the name.
    Doubled,
    /// It does not answer.
    Silent,
    /// Nobody listens by this name.
    Absent,
    /// Anything else: the reason is in the log.
    Failed,
    /// This program does not go on with it, for a reason of its own.
    Stopped,
}
