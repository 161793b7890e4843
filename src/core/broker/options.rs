//! What a broker is started with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::core::admission::{Authenticator, PeerKind, X509Authenticator, X509Options};
use crate::core::nats::codec::Bounds;

/// One address to listen on.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Address; port 0 lets the system choose.
    pub address: SocketAddr,
    /// TLS after INFO. Without it the listener is clear text and must be bound to loopback.
    pub tls: bool,
    /// Somebody else listens there and hands in what was accepted: nothing is bound.
    pub handed_in: bool,
}

impl Listener {
    /// A TLS listener, as every real one is.
    pub fn tls(address: SocketAddr) -> Self {
        Self { address, tls: true, handed_in: false }
    }

    /// A clear text listener for tests and local tools; only loopback addresses are taken.
    pub fn plaintext(address: SocketAddr) -> Self {
        Self { address, tls: false, handed_in: false }
    }

    /// A listener somebody else accepts on: a service manager, a loop of one's own.
    /// Connections come by [`Broker::adopt`](super::Broker::adopt); the address is what INFO says.
    pub fn handed_in(self) -> Self {
        Self { handed_in: true, ..self }
    }
}

/// What peers of a kind may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindLimits {
    /// Connections of one identity.
    pub connections: usize,
    /// Subscriptions of one connection.
    pub subscriptions: usize,
    /// Bytes one identity may make the broker hold: what waits to be sent to it, messages it has
    /// begun, its subscriptions.
    pub memory: usize,
}

const MIB: usize = 1024 * 1024;

/// Defaults by kind, in the order of [`PeerKind::ALL`]. A node has one connection and some ten
/// subscriptions a collective and agent; it is sent requests. A client is sent the replies of a
/// whole fleet. One identity of any kind leaves four fifths of the connections to others.
const KINDS: [KindLimits; PeerKind::ALL.len()] = [
    KindLimits { connections: 64, subscriptions: 4_000, memory: 32 * MIB },
    KindLimits { connections: 4, subscriptions: 64, memory: 4 * MIB },
    KindLimits { connections: 10_000, subscriptions: 50_000, memory: 128 * MIB },
    KindLimits { connections: 10_000, subscriptions: 200_000, memory: 256 * MIB },
];

/// Bounds of the broker. The defaults are NATS's where it has one (spec 04 §6.11).
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time; default 50,000. Each takes a file descriptor: whoever starts the
    /// broker raises that limit of the process.
    pub max_connections: usize,
    /// Payload in bytes, headers included; default 1 MiB.
    pub max_payload: usize,
    /// Unsent bytes of one connection before it is cut; default 64 MiB.
    pub max_pending: usize,
    /// Memory for unsent messages of all connections together; default 512 MiB.
    /// Above it the connections furthest behind are cut.
    pub max_pending_total: usize,
    /// Control line arguments in bytes; default 4096.
    pub max_control_line: usize,
    /// Body of CONNECT in bytes; default 64 KiB.
    pub max_connect: usize,
    /// Subscriptions of one connection, whatever its kind; by default the kind decides.
    pub max_subscriptions: Option<usize>,
    /// Tokens of a subject or pattern that is subscribed to; default 64.
    pub max_tokens: usize,
    /// What peers may hold, in the order of [`PeerKind::ALL`].
    pub kinds: [KindLimits; PeerKind::ALL.len()],
    /// Connections up to which all are served by one thread: messages between them need no other;
    /// default 32.
    pub one_shard: usize,
    /// From the first byte of a message to its last; default 60 s.
    pub message_deadline: Duration,
    /// Time between pings; default 2 minutes.
    pub ping_interval: Duration,
    /// Unanswered pings before a connection is stale; default 2.
    pub ping_max: u32,
    /// From INFO to the end of the TLS handshake; default 2 s.
    pub tls_timeout: Duration,
    /// From there to CONNECT; default 2 s.
    pub auth_timeout: Duration,
    /// Longest time a write may be blocked; default 10 s.
    pub write_deadline: Duration,
    /// Connections in TLS or CONNECT at a time; more wait unaccepted. Default 512.
    pub max_handshakes: usize,
    /// Those among them from one address (IPv6: one /64 network). Eight times as many wait until
    /// it is their turn, more are closed at once. Default 384: a whole fleet may stand behind one
    /// address, and still leaves room for others.
    pub max_handshakes_per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 50_000,
            max_payload: 1024 * 1024,
            max_pending: 64 * 1024 * 1024,
            max_pending_total: 512 * 1024 * 1024,
            max_control_line: 4096,
            max_connect: 64 * 1024,
            max_subscriptions: None,
            max_tokens: 64,
            kinds: KINDS,
            one_shard: 32,
            message_deadline: Duration::from_secs(60),
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            tls_timeout: Duration::from_secs(2),
            auth_timeout: Duration::from_secs(2),
            write_deadline: Duration::from_secs(10),
            max_handshakes: 512,
            max_handshakes_per_address: 384,
        }
    }
}

impl Limits {
    /// What a peer of a kind may hold.
    pub fn of(&self, kind: PeerKind) -> &KindLimits {
        &self.kinds[kind as usize]
    }

    /// The same, to be changed.
    pub fn of_mut(&mut self, kind: PeerKind) -> &mut KindLimits {
        &mut self.kinds[kind as usize]
    }

    /// Connections all peers of a kind may have together: waiting nodes, of which anybody who has
    /// the token can be any number, leave a tenth to others.
    pub fn most_links(&self, kind: PeerKind) -> usize {
        match kind {
            PeerKind::WaitingNode => self.max_connections - self.max_connections / 10,
            _ => self.max_connections,
        }
    }

    /// Bytes all peers of a kind may make the broker hold: waiting nodes no more than a quarter.
    pub fn most_bytes(&self, kind: PeerKind) -> usize {
        match kind {
            PeerKind::WaitingNode => self.max_pending_total / 4,
            _ => self.max_pending_total,
        }
    }

    /// The part the codec needs.
    pub fn bounds(&self) -> Bounds {
        Bounds { control_line: self.max_control_line, connect: self.max_connect, payload: self.max_payload }
    }
}

/// Everything a broker needs to start.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; at least one.
    pub listeners: Vec<Listener>,
    /// TLS configuration from `security`; needed by TLS listeners.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Who may connect.
    pub authenticator: Arc<dyn Authenticator>,
    /// Bounds.
    pub limits: Limits,
    /// Name in INFO, usually the identity.
    pub server_name: String,
    /// Cluster name in INFO; default `CHORIA`.
    pub cluster_name: String,
    /// Version in INFO, `N.N.N`; clients gate features by it. Default 2.10.0:
    /// later ones promise stream features this broker does not serve.
    pub version: String,
    /// `host:port` told to clients; default is the listening address.
    pub advertise: Option<String>,
    /// Threads that own connections; default the processors, at most 4.
    pub shards: usize,
    /// Threads that do handshakes; default half the processors, at least 1.
    pub handshake_threads: usize,
    /// Use rustls's buffered connections instead of the unbuffered ones:
    /// twice the memory, kept as the way back should the unbuffered API go.
    pub buffered_tls: bool,
}

impl Default for Options {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            listeners: Vec::new(),
            tls: None,
            authenticator: Arc::new(X509Authenticator::new(X509Options::default())),
            limits: Limits::default(),
            server_name: "choria".to_owned(),
            cluster_name: "CHORIA".to_owned(),
            version: "2.10.0".to_owned(),
            advertise: None,
            shards: processors.min(4),
            handshake_threads: (processors / 2).max(1),
            buffered_tls: false,
        }
    }
}

/// Why a connection was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// No listener of that number is [`handed_in`](Listener::handed_in).
    #[error("taking a connection in: listener {0} of the options is not one whose connections are handed in")]
    NoListener(usize),
    /// Clear text from elsewhere.
    #[error("taking a connection in: {0} would speak clear text and is not on this machine")]
    PlaintextNotLoopback(SocketAddr),
    /// The handshake threads have enough to do: here it is back, for another try a little later.
    #[error("taking a connection in: too many handshakes are under way, try again in some milliseconds")]
    Busy(std::net::TcpStream),
    /// A limit was reached; it is closed, and counted under this name.
    #[error("taking a connection in: refused, {0}")]
    Refused(&'static str),
    /// The broker stops.
    #[error("taking a connection in: the broker is stopping")]
    Stopping,
    /// The socket is not usable.
    #[error("taking a connection in: its socket failed: {0}")]
    Socket(#[from] std::io::Error),
}

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// No listener was configured.
    #[error("starting the broker: no listener is configured, set at least one address to listen on")]
    NoListener,
    /// A TLS listener without TLS configuration.
    #[error("starting the broker: listener {0} uses TLS but no certificate is configured")]
    NoTls(SocketAddr),
    /// A clear text listener that others could reach.
    #[error("starting the broker: clear text listener {0} must be bound to a loopback address, or use TLS")]
    PlaintextNotLoopback(SocketAddr),
    /// The version clients would stumble over.
    #[error("starting the broker: version {0:?} is not of the form N.N.N, which clients demand")]
    Version(String),
    /// An address could not be bound.
    #[error("listening on {address} failed: {source}; is another broker running there?")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Threads or event queues could not be made.
    #[error("starting the broker's threads failed: {0}")]
    Threads(#[from] std::io::Error),
}
