//! What all threads of one broker share.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::account::PerAccount;
use super::claims::Claims;
use super::closed::Closed;
use super::fanout::BOUNDS;
use super::handshake_queue::HandshakeQueue;
use super::inbox::Inbox;
use super::index::Matched;
use super::ledger::{Counter, Holders, Message};
use super::limits::Limits;
use super::link::NewLink;
use super::look::Look;
use super::packed::{For, Packed};
use super::resumption::without_resumption;
use super::router::Router;
use crate::core::admission::{Authenticator, Transport};
use crate::core::log::RefusalLog;
use crate::core::nats::info::ServerInfo;

/// What a reload may change.
pub struct Settings {
    /// TLS configuration for new connections.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Rules for new connections.
    pub authenticator: Arc<dyn Authenticator>,
    /// Bounds.
    pub limits: Limits,
}

impl Settings {
    /// Settings as they are applied: TLS sessions resume only where each
    /// decision judges the chain of the peer.
    pub fn new(
        tls: Option<Arc<rustls::ServerConfig>>,
        authenticator: Arc<dyn Authenticator>,
        limits: Limits,
    ) -> Self {
        let judged = authenticator.judges_chains();
        let tls = tls.map(|config| if judged { config } else { without_resumption(&config) });
        Self { tls, authenticator, limits }
    }
}

/// What INFO says about this broker.
#[derive(Debug)]
pub struct Identity {
    /// Unique id.
    pub server_id: String,
    /// Name.
    pub server_name: String,
    /// Cluster name.
    pub cluster: String,
    /// Version.
    pub version: String,
    /// Host and port told to clients, by listener.
    pub advertised: Vec<(String, u16)>,
}

/// A link, wherever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkId {
    /// Shard that owns it.
    pub shard: u16,
    /// Its place there.
    pub key: u32,
    /// Number of its connection, which guards against a reused place.
    pub cid: u64,
    /// It does not hear what it says itself.
    pub deaf: bool,
    /// It is a hub: what it says goes to no other, and it is not slowed down.
    pub hub: bool,
    /// A waiting machine, whom nobody has asked for what it says now: that has room only where
    /// nobody is behind.
    pub unasked: bool,
}

/// A link to a hub, wherever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeafId {
    /// Shard that owns it.
    pub shard: u16,
    /// Its place there.
    pub key: u32,
    /// Number of this connection to a hub, which guards against a reused place.
    pub serial: u32,
}

/// Something for a shard.
pub enum Handover {
    /// A connection that has been let in.
    Link(Box<NewLink>),
    /// Small messages, or for few.
    Packed(Packed),
    /// A message that is large and for many.
    Message {
        /// Who published it.
        from: LinkId,
        /// Whom it is for.
        to: For,
        /// The message.
        message: Arc<Message>,
        /// Everybody who wants it.
        matched: Arc<Matched>,
    },
    /// A message for a hub, and the queue groups there that are to have it.
    ForHub {
        /// Who published it.
        from: LinkId,
        /// The hub.
        to: LeafId,
        /// Names of queue groups.
        queues: Vec<Box<[u8]>>,
        /// The message.
        message: Arc<Message>,
    },
    /// A hub is to be told what is wanted here.
    Interest(LeafId),
    /// Receivers of what a link publishes are behind: it is to be slower.
    Throttle(LinkId),
    /// Settings have changed.
    Reload,
    /// The engine behind this broker is to be connected to anew.
    RedialEngine,
    /// Somebody wants to know something.
    Look(Look),
    /// Tell clients to go, then close them spread over the time.
    LameDuck(Duration),
    /// Close everything and end.
    Stop,
}

/// Counters of one shard: written under its lock, read by anybody.
#[derive(Debug, Default)]
pub struct ShardCounters {
    /// Links now.
    pub links: AtomicUsize,
    /// Links of each account now.
    pub accounts: PerAccount<AtomicUsize>,
    /// Messages from clients.
    pub in_msgs: AtomicU64,
    /// Their payload bytes.
    pub in_bytes: AtomicU64,
    /// Messages to clients.
    pub out_msgs: AtomicU64,
    /// Their payload bytes.
    pub out_bytes: AtomicU64,
    /// Links cut because they did not read.
    pub slow: AtomicU64,
    /// Messages that receivers lost, because they were too far behind.
    pub lost: AtomicU64,
    /// Links cut because they did not answer.
    pub stale: AtomicU64,
    /// Subjects looked up, and how many of them in its own answers.
    pub lookups: [AtomicU64; 2],
    /// Messages by [`BOUNDS`] of those who wanted them.
    pub fan_out: [AtomicU64; BOUNDS.len() + 1],
    /// Deliveries of those.
    pub deliveries: AtomicU64,
    /// Bytes that its links hold, and messages made by it.
    pub held: Counter,
}

/// See the module documentation.
pub struct Shared {
    /// What INFO says.
    pub identity: Identity,
    /// Who gets what.
    pub router: Router,
    /// Clock zero of all threads.
    pub start: Instant,
    /// Buffered TLS sessions instead of unbuffered ones.
    pub buffered_tls: bool,
    /// Counters by shard.
    pub shards: Vec<ShardCounters>,
    /// Connections, handshakes included.
    pub open: AtomicUsize,
    /// Connections in TLS or CONNECT.
    pub handshaking: AtomicUsize,
    /// Connections that wait until others are in.
    pub waiting: AtomicUsize,
    /// Completed handshakes with an admitted connection.
    pub handshakes: AtomicU64,
    /// Those among them that continued an earlier TLS session.
    pub handshakes_resumed: AtomicU64,
    /// Handshakes that ended otherwise.
    pub handshakes_failed: AtomicU64,
    /// The broker ends: what takes long is not begun any more.
    pub stopping: AtomicBool,
    /// Threads that have panicked.
    pub threads_lost: AtomicUsize,
    /// Connections that have ended.
    pub closed: Closed,
    /// Names of waiting nodes.
    pub claims: Claims,
    /// Hubs it is a leaf of and connected to now.
    pub hubs: AtomicUsize,
    /// Who holds what.
    pub holders: Arc<Holders>,
    /// Bytes of peers that are not in yet.
    pub pending_held: Counter,
    loop_subject: String,
    settings: RwLock<Arc<Settings>>,
    generation: AtomicU64,
    last_cid: AtomicU64,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
    /// Lines about what peers can cause again and again, of all threads.
    pub refusal_log: RefusalLog,
    /// Those who are not in yet.
    pub(super) handshake_queue: Mutex<HandshakeQueue>,
}

impl Shared {
    /// State of a broker that starts now.
    pub fn new(identity: Identity, settings: Settings, shards: usize, buffered_tls: bool) -> Self {
        Self {
            identity,
            router: Router::default(),
            start: Instant::now(),
            buffered_tls,
            shards: std::iter::repeat_with(ShardCounters::default).take(shards).collect(),
            open: AtomicUsize::new(0),
            handshaking: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            handshakes: AtomicU64::new(0),
            handshakes_resumed: AtomicU64::new(0),
            handshakes_failed: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            threads_lost: AtomicUsize::new(0),
            closed: Closed::default(),
            claims: Claims::default(),
            hubs: AtomicUsize::new(0),
            holders: Arc::default(),
            pending_held: Counter::default(),
            loop_subject: format!("$LDS.{:016x}{:016x}", random_u64(), random_u64()),
            settings: RwLock::new(Arc::new(settings)),
            generation: AtomicU64::new(0),
            last_cid: AtomicU64::new(0),
            refusals: Mutex::new(BTreeMap::new()),
            refusal_log: RefusalLog::default(),
            handshake_queue: Mutex::default(),
        }
    }

    /// Settings now.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the settings.
    pub fn replace_settings(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Changes after each replacement. Read it before the settings: then who
    /// decides by them knows later whether they may have been replaced.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// What this broker announces of itself to hubs: whoever hears of it from one of them is in a loop.
    pub fn loop_subject(&self) -> &str {
        &self.loop_subject
    }

    /// A number for a new connection.
    pub fn next_cid(&self) -> u64 {
        self.last_cid.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Connections ever numbered.
    pub fn total(&self) -> u64 {
        self.handshakes.load(Ordering::Relaxed)
    }

    /// Counts a refusal.
    pub fn refused(&self, reason: &'static str) {
        *self.refusals.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// Refusals by reason.
    pub fn refusals(&self) -> BTreeMap<&'static str, u64> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes the broker holds for its peers. What strangers send before they are in is bounded by the
    /// number of handshakes, and is no reason to cut anybody: it is not among them.
    pub fn held(&self) -> usize {
        self.shards.iter().map(|shard| shard.held.load(Ordering::Relaxed)).sum()
    }

    /// INFO for one connection.
    pub fn info<'a>(
        &'a self,
        settings: &Settings,
        listener: usize,
        cid: u64,
        client_ip: &'a str,
        tls: bool,
    ) -> ServerInfo<'a> {
        let (host, port) =
            self.identity.advertised.get(listener).map_or(("", 0), |(host, port)| (host.as_str(), *port));
        ServerInfo {
            server_id: &self.identity.server_id,
            server_name: &self.identity.server_name,
            version: &self.identity.version,
            proto: 1,
            go: "rust",
            host,
            port,
            headers: true,
            auth_required: settings.authenticator.requires_credentials(match tls {
                true => Transport::Tls,
                false => Transport::Plaintext,
            }),
            tls_required: tls,
            max_payload: settings.limits.max_payload,
            client_id: cid,
            client_ip,
            cluster: &self.identity.cluster,
            ..ServerInfo::default()
        }
    }
}

/// Address text as it stands in INFO: mapped IPv4 addresses as IPv4.
pub fn client_ip(remote: SocketAddr) -> String {
    match remote.ip().to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.to_string(),
    }
}

/// Inboxes of all shards.
pub type ShardInboxes = Arc<[Arc<Inbox<Handover>>]>;

/// Random bytes from the system, as a number.
pub fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    // failure leaves zero, which callers can live with: nothing secret comes of it
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
