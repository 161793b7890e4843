//! The embedded NATS-compatible broker: links and a router that never mix (spec 04).
//!
//! What it promises: a peer that does not read is cut and never waited for; a
//! storm of new connections cannot starve those that are in; order is kept
//! from each publisher to each subscription; a client that has its PONG can
//! rely on its subscriptions being seen by every publisher.

mod options;
mod stats;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use options::{BrokerError, Limits, Listener, Options};
pub use stats::{ConnectionInfo, Stats};

use crate::core::admission::Authenticator;

/// A running broker. Dropping it stops it as [`shutdown`](Broker::shutdown) does.
pub struct Broker {
    addresses: Vec<SocketAddr>,
}

impl Broker {
    /// Starts threads and returns when all sockets listen.
    ///
    /// # Errors
    /// [`BrokerError`] when the options contradict each other or an address cannot be bound.
    pub fn start(options: Options) -> Result<Self, BrokerError> {
        let _ = options;
        Err(BrokerError::NoListener)
    }

    /// Addresses listened on, in the order of [`Options::listeners`].
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The first address listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses.first().copied().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Counters now.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }

    /// What is known about up to `limit` connections, by ascending number.
    pub fn connections(&self, limit: usize) -> Vec<ConnectionInfo> {
        let _ = limit;
        Vec::new()
    }

    /// Replaces certificate, rules and limits for connections made from now on;
    /// limits apply to existing ones too. Existing connections stay.
    pub fn reload(
        &self,
        tls: Option<Arc<rustls::ServerConfig>>,
        authenticator: Arc<dyn Authenticator>,
        limits: Limits,
    ) {
        let _ = (tls, authenticator, limits);
    }

    /// Stops listening, tells clients, and closes connections spread over `duration`. Returns when all
    /// are closed or the time is over; call [`shutdown`](Broker::shutdown) next.
    pub fn lame_duck(&self, duration: Duration) {
        let _ = duration;
    }

    /// Closes all sockets and joins the threads.
    pub fn shutdown(self) {}
}
