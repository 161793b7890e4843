//! What an agent may know of the node it runs on.

use std::pin::Pin;
use std::sync::Arc;

use rustls::ClientConfig;
use serde::Serialize;

use super::Control;
use super::external::DataSet;
use crate::core::config::Config;
use crate::core::ddl::{AgentDdl, Metadata};
use crate::core::lifecycle::EventType;
use crate::core::machine::host::Host;
use crate::core::protocol::filter::Facts;
use crate::core::provisioning::Mark;

/// The node as agents and data plugins see it.
pub trait Node: Send + Sync {
    /// Name on the wire.
    fn identity(&self) -> &str;
    /// Effective configuration.
    fn config(&self) -> &Config;
    /// Facts as of now.
    fn facts(&self) -> Arc<Facts>;
    /// Classes as of now, sorted.
    fn classes(&self) -> Arc<Vec<String>>;
    /// Metadata of the running agents, sorted by name.
    fn agents(&self) -> Vec<Metadata>;
    /// The interface of an agent of this node.
    fn interface(&self, agent: &str) -> Option<AgentDdl> {
        let _ = agent;
        None
    }
    /// Its external data plugins.
    fn data_plugins(&self) -> Arc<DataSet> {
        Arc::default()
    }
    /// A text signed by this node for a request, which is valid as no request itself;
    /// nothing where there is no key that can sign.
    fn signed(&self, text: &str, request_id: &str) -> Option<String> {
        let _ = (text, request_id);
        None
    }
    /// Counters as of now.
    fn counts(&self) -> Counts;
    /// Unix seconds this process started.
    fn started(&self) -> i64;
    /// Unix seconds as of now.
    fn now(&self) -> i64;
    /// URL of the broker connected to.
    fn connected_server(&self) -> Option<String>;
    /// Bytes of the largest message that the broker takes.
    fn max_payload(&self) -> usize {
        1 << 20
    }
    /// Messages and bytes of the current connection.
    fn traffic(&self) -> Traffic;
    /// Whether the node waits for its configuration.
    fn provisioning(&self) -> bool;
    /// What its answers are known by while it waits.
    fn mark(&self) -> Option<&Mark> {
        None
    }
    /// Whether its provisioner may replace its binary.
    fn upgradable(&self) -> bool {
        false
    }
    /// Its autonomous agents, where it has any.
    fn machines(&self) -> Option<&Host> {
        None
    }
    /// How it shows others its certificate; nothing where it has none.
    fn tls(&self) -> Option<Arc<ClientConfig>> {
        None
    }
    /// Ends the node.
    fn control(&self) -> Control {
        Control::default()
    }
    /// Publishes a lifecycle event of the node; `new_version` is what an upgrade leads to.
    fn announce<'a>(&'a self, kind: EventType, new_version: Option<&'a str>) -> Announcing<'a> {
        let _ = (kind, new_version);
        Box::pin(std::future::ready(()))
    }
}

/// What publishing an event is.
pub type Announcing<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Messages and bytes of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Messages received.
    pub in_msgs: u64,
    /// Messages sent.
    pub out_msgs: u64,
    /// Bytes received.
    pub in_bytes: u64,
    /// Bytes sent.
    pub out_bytes: u64,
    /// Connections after the first.
    pub reconnects: u64,
}

/// What became of the requests a node received (spec 02 §1.6). The first eight
/// have the original's names and meanings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Messages received.
    pub total: u64,
    /// Verified, for this node, matching its filter and in time.
    pub validated: u64,
    /// Unreadable, unverified or for another collective.
    pub unvalidated: u64,
    /// Matched the filter.
    pub passed: u64,
    /// Did not match the filter.
    pub filtered: u64,
    /// Replies sent.
    pub replies: u64,
    /// Too old or from the future.
    pub ttlexpired: u64,
    /// Lifecycle events published.
    pub events: u64,
    /// Ours: seen before, not run again.
    pub replayed: u64,
    /// Ours: no room to queue them.
    pub dropped: u64,
    /// Ours: not authorized.
    pub denied: u64,
    /// Ours: the agent took longer than its timeout.
    pub timedout: u64,
    /// Ours: the filter costs more than a request, or its caller, may.
    pub overbudget: u64,
    /// Ours: a fault of this program ended them.
    pub panicked: u64,
    /// Ours: registration messages published.
    pub registrations: u64,
}
