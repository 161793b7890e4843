//! Counters of a running broker, written without locks by their one owner each.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::fanout::FanOut;

/// A snapshot of everything counted. Numbers of different shards are read one
/// after the other, so sums may be off by what happened in between.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Unique id of this process, as in INFO.
    pub server_id: String,
    /// Time since start.
    pub uptime: Duration,
    /// Connections now, handshakes not counted.
    pub connections: usize,
    /// Hubs it is connected to as a leaf.
    pub hubs: usize,
    /// Connections ever admitted.
    pub total_connections: u64,
    /// Connections in TLS or CONNECT now.
    pub handshaking: usize,
    /// Connections that wait until others of their address are in.
    pub waiting: usize,
    /// Handshakes completed with an admitted connection.
    pub handshakes: u64,
    /// Those among them that continued an earlier TLS session.
    pub handshakes_resumed: u64,
    /// Handshakes that ended otherwise: TLS failures and time-outs.
    pub handshakes_failed: u64,
    /// Subscriptions now.
    pub subscriptions: usize,
    /// Subscriptions ever made.
    pub subscriptions_made: u64,
    /// Messages received from clients.
    pub in_msgs: u64,
    /// Payload bytes received from clients.
    pub in_bytes: u64,
    /// Messages sent to clients.
    pub out_msgs: u64,
    /// Payload bytes sent to clients.
    pub out_bytes: u64,
    /// Bytes of messages waiting to be sent, in memory.
    pub pending_bytes: usize,
    /// Connections cut because they did not read.
    pub slow_consumers: u64,
    /// Messages they did not get, because they were too far behind.
    pub messages_lost: u64,
    /// Connections cut because they did not answer pings.
    pub stale_connections: u64,
    /// Waiting nodes that claimed a name somebody else had.
    pub doubled_names: u64,
    /// Refusals by reason: `no certificate`, `password`, `tls handshake`, …
    pub refusals: BTreeMap<&'static str, u64>,
    /// Connections now, by account.
    pub accounts: BTreeMap<&'static str, usize>,
    /// Connections that had been let in, by the reason of their end.
    pub closed: BTreeMap<String, u64>,
    /// Subjects looked up for messages.
    pub lookups: u64,
    /// Those answered without asking the index.
    pub lookups_cached: u64,
    /// Messages by the number of those who wanted them.
    pub fan_out: FanOut,
}

/// What is known about one connection.
#[derive(Debug, Clone, Default)]
pub struct ConnectionInfo {
    /// Number of the connection, unique in this process.
    pub cid: u64,
    /// Peer address.
    pub remote: Option<SocketAddr>,
    /// When all this was so, since the start of the broker.
    pub at: Duration,
    /// Time since it was admitted.
    pub uptime: Duration,
    /// Time since anything was received.
    pub idle: Duration,
    /// Time between the last ping and its answer, once there was one.
    pub rtt: Option<Duration>,
    /// Account it is in.
    pub account: &'static str,
    /// User name from the grant.
    pub user: String,
    /// Connection name from CONNECT.
    pub name: String,
    /// Client library.
    pub lang: String,
    /// Client library version.
    pub version: String,
    /// TLS version and cipher suite, empty on clear text.
    pub tls: String,
    /// Bytes waiting to be sent.
    pub pending_bytes: usize,
    /// Messages received from it.
    pub in_msgs: u64,
    /// Payload bytes received from it.
    pub in_bytes: u64,
    /// Messages sent to it.
    pub out_msgs: u64,
    /// Payload bytes sent to it.
    pub out_bytes: u64,
    /// Its subscriptions.
    pub subscriptions: usize,
}

/// A connection that has ended. Its times are those of its end.
#[derive(Debug, Clone)]
pub struct ClosedInfo {
    /// What was known about it.
    pub connection: ConnectionInfo,
    /// Why it ended, in the words of nats-server where it has any.
    pub reason: String,
    /// When, since the start of the broker.
    pub stop: Duration,
}

/// What is known about one subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionInfo {
    /// Account it is in.
    pub account: &'static str,
    /// Subject or pattern.
    pub subject: String,
    /// Queue group.
    pub queue: Option<String>,
    /// Id the client gave it.
    pub sid: String,
    /// Messages it got.
    pub delivered: u32,
    /// Messages after which it ends; 0 for never.
    pub max: u32,
    /// Connection that made it.
    pub cid: u64,
}

impl SubscriptionInfo {
    /// Bytes of what its client wrote.
    pub fn text(&self) -> usize {
        self.subject.len() + self.queue.as_ref().map_or(0, String::len) + self.sid.len()
    }
}

/// Answers that shards keep for subjects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// Subjects with an answer.
    pub subjects: usize,
    /// Most subscriptions in one.
    pub largest: usize,
    /// Subscriptions in all of them.
    pub targets: usize,
    /// Times somebody asked.
    pub lookups: u64,
    /// Times the answer was there.
    pub hits: u64,
}

impl Answers {
    /// Two shards together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            subjects: self.subjects + other.subjects,
            largest: self.largest.max(other.largest),
            targets: self.targets + other.targets,
            lookups: self.lookups + other.lookups,
            hits: self.hits + other.hits,
        }
    }
}
