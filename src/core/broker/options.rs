//! What a broker is started with.

use std::net::SocketAddr;
use std::sync::Arc;

use super::leaf::Leaf;
use super::limits::Limits;
use crate::core::admission::{Authenticator, X509Authenticator, X509Options};

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
    /// Hubs it is a leaf of: other networks whose messages and interest it shares. The names of the
    /// clusters must differ.
    pub leaves: Vec<Leaf>,
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
            leaves: Vec::new(),
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
    #[error("listening on {address} failed: {source}{}", match source.kind() {
        std::io::ErrorKind::AddrInUse => "; is another broker running there?",
        std::io::ErrorKind::AddrNotAvailable => "; it is no address of this machine",
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 are root's",
        _ => "",
    })]
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
