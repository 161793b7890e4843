//! Looking at a running broker from outside: counters and connections.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustls_pki_types::CertificateDer;

use super::fanout::FanOut;
use super::index::{Listed, Target};
use super::leaf::LeafInfo;
use super::limits::Limits;
use super::look::{Look, Placed, Select};
use super::shard::Shard;
use super::shared::{Handover, Identity, ShardCounters, ShardInboxes, Shared};
use super::stats::{Answers, ClosedInfo, ConnectionInfo, Stats, SubscriptionInfo};
use crate::core::admission::{Account, Transport};

/// How long a report may take before it is given without the shards that are late.
const REPORT: Duration = Duration::from_secs(2);

/// Subscriptions described while the index is held.
const DESCRIBED: usize = 512;

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

impl Shared {
    /// Counters now.
    pub(super) fn stats(&self) -> Stats {
        let shared = self;
        let sum = |counter: fn(&ShardCounters) -> u64| shared.shards.iter().map(counter).sum();
        Stats {
            server_id: shared.identity.server_id.clone(),
            uptime: shared.start.elapsed(),
            connections: shared
                .open
                .load(Ordering::Relaxed)
                .saturating_sub(shared.handshaking.load(Ordering::Relaxed))
                .saturating_sub(shared.waiting.load(Ordering::Relaxed)),
            hubs: shared.hubs.load(Ordering::Relaxed),
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
            pending_bytes: shared.held() + shared.pending_held.load(Ordering::Relaxed),
            messages_lost: sum(|shard| shard.lost.load(Ordering::Relaxed)),
            slow_consumers: sum(|shard| shard.slow.load(Ordering::Relaxed)),
            stale_connections: sum(|shard| shard.stale.load(Ordering::Relaxed)),
            doubled_names: shared.claims.doubled(),
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
            closed: shared.closed.counts(),
            lookups: sum(|shard| shard.lookups[0].load(Ordering::Relaxed)),
            lookups_cached: sum(|shard| shard.lookups[1].load(Ordering::Relaxed)),
            fan_out: FanOut {
                messages: std::array::from_fn(|size| {
                    let count = |shard: &ShardCounters| shard.fan_out[size].load(Ordering::Relaxed);
                    shared.shards.iter().map(count).sum()
                }),
                deliveries: sum(|shard| shard.deliveries.load(Ordering::Relaxed)),
            },
        }
    }
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

    /// Whether new connections of the first listener have to show who they are.
    pub fn requires_credentials(&self) -> bool {
        let settings = self.shared.settings();
        let transport = if settings.tls.is_some() { Transport::Tls } else { Transport::Plaintext };
        settings.authenticator.requires_credentials(transport)
    }

    /// False when a thread has failed, whose connections nobody serves any more.
    pub fn is_healthy(&self) -> bool {
        self.shared.threads_lost.load(Ordering::Relaxed) == 0
    }

    /// Time since the start.
    pub fn uptime(&self) -> Duration {
        self.shared.start.elapsed()
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    /// Counters now.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// What is known about up to `limit` connections, by ascending number. Asks the shards, so it may
    /// take as long as one turn of the busiest of them.
    pub fn connections(&self, limit: usize) -> Vec<ConnectionInfo> {
        self.select(Select { most: limit, ..Select::default() }).1
    }

    /// How many connections are wanted, and what is known about those that come first.
    pub fn select(&self, wanted: Select) -> (usize, Vec<ConnectionInfo>) {
        let (order, most) = (wanted.order, wanted.most);
        let mut total = 0;
        let mut connections = Vec::new();
        for (count, mut part) in self.ask(move |shard| shard.select(&wanted)) {
            total += count;
            connections.append(&mut part);
        }
        connections.sort_by_cached_key(|connection| (order.key(connection), connection.cid));
        connections.truncate(most);
        (total, connections)
    }

    /// Connections to hubs this broker is a leaf of.
    pub fn hubs(&self) -> Vec<LeafInfo> {
        if self.shared.hubs.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let mut hubs: Vec<LeafInfo> = self.ask(Shard::hubs).into_iter().flatten().collect();
        hubs.sort_by_key(|hub| hub.cid);
        hubs
    }

    /// Connections that have ended and are remembered, the longest gone first.
    pub fn closed(&self, wanted: impl Fn(&ConnectionInfo) -> bool) -> Vec<ClosedInfo> {
        self.shared.closed.list(wanted)
    }

    /// Certificate chains of some connections, those without one left out.
    pub fn certificates(&self, cids: impl IntoIterator<Item = u64>) -> Chains {
        let cids = ascending(cids);
        self.ask(move |shard| shard.certificates(&cids)).into_iter().flatten().collect()
    }

    /// Subscriptions of some connections, by connection; no more than about `most` in all, or
    /// `text` bytes of what clients wrote.
    pub fn subscriptions_of(
        &self,
        cids: impl IntoIterator<Item = u64>,
        most: usize,
        text: usize,
    ) -> HashMap<u64, Vec<SubscriptionInfo>> {
        let (cids, share) = (ascending(cids), most / self.shards.len().max(1));
        let placed = self.ask(move |shard| shard.subscriptions_of(&cids, share));
        let mut by_account: HashMap<Account, Vec<Placed>> = HashMap::new();
        for one in placed.into_iter().flatten() {
            by_account.entry(one.account).or_default().push(one);
        }
        let mut found: HashMap<u64, Vec<SubscriptionInfo>> = HashMap::new();
        let mut left = text;
        for (account, placed) in by_account {
            // in pieces: who subscribes meanwhile waits for one of them
            for some in placed.chunks(DESCRIBED) {
                if left == 0 {
                    break;
                }
                let keys: Vec<_> = some.iter().filter_map(|one| Some((one.key?, one.target))).collect();
                let listed = self.shared.router.describe(account, &keys);
                for info in joined(listed, some.to_vec()) {
                    left = left.saturating_sub(info.text());
                    found.entry(info.cid).or_default().push(info);
                }
            }
        }
        found
    }

    /// How many subscriptions there are, and `most` of them behind the first `skip`: of one account or of
    /// all, those that want `test` if given.
    pub fn subscriptions(
        &self,
        account: Option<Account>,
        test: Option<&[u8]>,
        skip: usize,
        most: usize,
    ) -> (usize, Vec<SubscriptionInfo>) {
        let accounts = account.map_or_else(Account::all, |account| vec![account]);
        let (mut total, mut listed) = (0, Vec::new());
        for account in accounts {
            let (count, mut part) = self.shared.router.list(
                account,
                test,
                skip.saturating_sub(total),
                most.saturating_sub(listed.len()),
            );
            total += count;
            listed.append(&mut part);
        }
        let targets: Arc<[Target]> = listed.iter().map(|one| one.target).collect();
        let placed = self.ask(move |shard| shard.placed(&targets)).into_iter().flatten().collect();
        (total, joined(listed, placed))
    }

    /// Subscriptions now and ever made, and answers kept: of one account or of all.
    pub fn answers(&self, account: Option<Account>) -> (usize, u64, Answers) {
        let router = &self.shared.router;
        let (now, made) = account.map_or_else(|| (router.len(), router.made()), |one| router.len_of(one));
        let answers = self.ask(move |shard| shard.answers(account)).into_iter();
        (now, made, answers.fold(Answers::default(), Answers::and))
    }

    /// Asks every shard, and does without those that are late.
    fn ask<T: Send + 'static>(&self, question: impl Fn(&Shard) -> T + Clone + Send + 'static) -> Vec<T> {
        let (sender, receiver) = mpsc::channel();
        for shard in self.shards.iter() {
            let (sender, question) = (sender.clone(), question.clone());
            let look = Look::new(move |shard| {
                // whoever asked may have gone
                let _ = sender.send(question(shard));
            });
            shard.send_one(Handover::Look(look));
        }
        drop(sender);
        let until = Instant::now() + REPORT;
        let next = || receiver.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
        std::iter::from_fn(next).take(self.shards.len()).collect()
    }
}

fn ascending(cids: impl IntoIterator<Item = u64>) -> Arc<[u64]> {
    let mut cids: Vec<u64> = cids.into_iter().collect();
    cids.sort_unstable();
    cids.into()
}

/// What the index and the shards know about the same subscriptions, in the order of the index.
fn joined(listed: Vec<Listed>, placed: Vec<Placed>) -> Vec<SubscriptionInfo> {
    let mut placed: HashMap<Target, Placed> = placed.into_iter().map(|one| (one.target, one)).collect();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    listed
        .into_iter()
        .filter_map(|one| {
            let found = placed.remove(&one.target)?;
            Some(SubscriptionInfo {
                account: found.account.name(),
                subject: text(&one.subject),
                queue: one.queue.map(|queue| text(&queue)),
                sid: found.sid,
                delivered: found.delivered,
                max: found.max,
                cid: found.cid,
            })
        })
        .collect()
}
