//! Counters of a running broker, written without locks by their one owner each.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

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
    /// Connections cut because they did not answer pings.
    pub stale_connections: u64,
    /// Refusals by reason: `no certificate`, `password`, `tls handshake`, …
    pub refusals: BTreeMap<&'static str, u64>,
    /// Connections now, by account.
    pub accounts: BTreeMap<&'static str, usize>,
}

/// What is known about one connection.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// Number of the connection, unique in this process.
    pub cid: u64,
    /// Peer address.
    pub remote: Option<SocketAddr>,
    /// Time since it was admitted.
    pub uptime: Duration,
    /// Time since anything was received.
    pub idle: Duration,
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
