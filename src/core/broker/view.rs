//! Looking at a running broker from outside: counters and connections.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustls_pki_types::CertificateDer;

use super::options::Limits;
use super::shared::{Handover, Identity, ShardInboxes, Shared};
use super::stats::{ConnectionInfo, Stats};
use crate::core::admission::Account;

/// How long a report may take before it is given without the shards that are late.
const REPORT: Duration = Duration::from_secs(2);

/// Certificate chains by connection number, leaf first.
pub type Chains = HashMap<u64, Vec<CertificateDer<'static>>>;

/// A cheap handle on a broker that can look and touch nothing. It may outlive
/// the broker, and then sees the last counters and no connection.
#[derive(Clone)]
pub struct View {
    shared: Arc<Shared>,
    shards: ShardInboxes,
    addresses: Vec<SocketAddr>,
}

impl View {
    pub(super) fn new(shared: Arc<Shared>, shards: ShardInboxes, addresses: Vec<SocketAddr>) -> Self {
        Self { shared, shards, addresses }
    }

    /// Addresses listened on.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Bounds in force.
    pub fn limits(&self) -> Limits {
        self.shared.settings().limits.clone()
    }

    /// Whether new connections of the first listener speak TLS.
    pub fn has_tls(&self) -> bool {
        self.shared.settings().tls.is_some()
    }

    /// False when a thread has failed, whose connections nobody serves any more.
    pub fn is_healthy(&self) -> bool {
        self.shared.threads_lost.load(Ordering::Relaxed) == 0
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    /// Counters now.
    pub fn stats(&self) -> Stats {
        let shared = &self.shared;
        let sum = |counter: fn(&super::shared::ShardCounters) -> u64| shared.shards.iter().map(counter).sum();
        Stats {
            server_id: shared.identity.server_id.clone(),
            uptime: shared.start.elapsed(),
            connections: shared
                .open
                .load(Ordering::Relaxed)
                .saturating_sub(shared.handshaking.load(Ordering::Relaxed))
                .saturating_sub(shared.waiting.load(Ordering::Relaxed)),
            total_connections: shared.total(),
            handshaking: shared.handshaking.load(Ordering::Relaxed),
            waiting: shared.waiting.load(Ordering::Relaxed),
            handshakes: shared.handshakes.load(Ordering::Relaxed),
            handshakes_resumed: shared.handshakes_resumed.load(Ordering::Relaxed),
            handshakes_failed: shared.handshakes_failed.load(Ordering::Relaxed),
            subscriptions: shared.router.len(),
            subscriptions_made: shared.router.made(),
            in_msgs: sum(|shard| shard.in_msgs.load(Ordering::Relaxed)),
            in_bytes: sum(|shard| shard.in_bytes.load(Ordering::Relaxed)),
            out_msgs: sum(|shard| shard.out_msgs.load(Ordering::Relaxed)),
            out_bytes: sum(|shard| shard.out_bytes.load(Ordering::Relaxed)),
            pending_bytes: shared.ledger(),
            slow_consumers: sum(|shard| shard.slow.load(Ordering::Relaxed)),
            stale_connections: sum(|shard| shard.stale.load(Ordering::Relaxed)),
            refusals: shared.refusals(),
            accounts: Account::all()
                .into_iter()
                .map(|account| {
                    let links = shared
                        .shards
                        .iter()
                        .map(|shard| shard.accounts[account].load(Ordering::Relaxed))
                        .sum();
                    (account.name(), links)
                })
                .collect(),
        }
    }

    /// What is known about up to `limit` connections, by ascending number. Asks the shards, so it may
    /// take as long as one turn of the busiest of them.
    pub fn connections(&self, limit: usize) -> Vec<ConnectionInfo> {
        let mut connections: Vec<ConnectionInfo> =
            self.ask(|sender| Handover::Report(sender, limit)).into_iter().flatten().collect();
        connections.sort_by_key(|connection| connection.cid);
        connections.truncate(limit);
        connections
    }

    /// Certificate chains of some connections, those without one left out.
    pub fn certificates(&self, cids: impl IntoIterator<Item = u64>) -> Chains {
        let mut cids: Vec<u64> = cids.into_iter().collect();
        cids.sort_unstable();
        let cids: Arc<[u64]> = cids.into();
        self.ask(|sender| Handover::Certificates(sender, cids.clone())).into_iter().flatten().collect()
    }

    /// Asks every shard, and does without those that are late.
    fn ask<T>(&self, question: impl Fn(mpsc::Sender<T>) -> Handover) -> Vec<T> {
        let (sender, receiver) = mpsc::channel();
        for shard in self.shards.iter() {
            shard.send_one(question(sender.clone()));
        }
        drop(sender);
        let until = Instant::now() + REPORT;
        let next = || receiver.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
        std::iter::from_fn(next).take(self.shards.len()).collect()
    }
}
