//! What a session is made with.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::ServerList;

/// What a session needs to know.
pub struct SessionOptions {
    /// Connection name shown by the broker: certname of a node, caller of a client.
    pub name: String,
    /// Where the brokers are.
    pub servers: ServerList,
    /// `None` connects without TLS: only for brokers that listen in plain text on loopback.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Inboxes are made under this subject, `<main collective>.reply`.
    pub inbox_prefix: String,
    /// The token shown to the broker, read anew for every try; `None` for no token.
    pub token: Option<Arc<dyn Fn() -> zeroize::Zeroizing<String> + Send + Sync>>,
    /// Broker user and password, where configured.
    pub user: Option<(String, zeroize::Zeroizing<String>)>,
    /// Keep-alive: 2 minutes on nodes, 30 s elsewhere. Default 30 s.
    pub ping_interval: Duration,
    /// Limit of one connection attempt, TLS included. Default 2 s.
    pub connect_timeout: Duration,
    /// Address connections start from; default the system's choice. Emulators
    /// spread over many, so that ports do not run out.
    pub local_address: Option<IpAddr>,
    /// Tries under way at once, shared by the sessions of a process that has
    /// thousands: more of them than its processors can carry all time out.
    pub turns: Option<Arc<Semaphore>>,
    /// Bytes the buffer for what is read begins with, and is made anew with. Default 64 KiB, which
    /// suits whoever hears thousands. Of a connection by TLS async-nats 0.51 keeps to it until TLS
    /// begins, and reads by small pieces after that.
    pub read_buffer: u16,
    /// Messages of one subscription that may wait for the program to take them; more are lost. Default
    /// 16,384, for whoever hears thousands at once: each may be as large as the broker takes.
    pub subscription_capacity: usize,
    /// `None` tries for ever; else the first connection fails after this long,
    /// and at once when every broker refuses this process for what it is.
    pub give_up_after: Option<Duration>,
    /// Told the reasons when the first pass over the brokers failed and there
    /// will be another; without it, that goes to the log like all later ones.
    pub first_failure: Option<FirstFailure>,
}

/// Hears one text a broker tried: `nats://host:port: reason`.
pub type FirstFailure = Arc<dyn Fn(&[String]) + Send + Sync>;

impl SessionOptions {
    /// Options with the documented defaults.
    pub fn new(
        name: impl Into<String>,
        servers: ServerList,
        inbox_prefix: impl Into<String>,
    ) -> SessionOptions {
        SessionOptions {
            name: name.into(),
            servers,
            tls: None,
            inbox_prefix: inbox_prefix.into(),
            token: None,
            user: None,
            ping_interval: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(2),
            local_address: None,
            turns: None,
            read_buffer: u16::MAX,
            subscription_capacity: 16_384,
            give_up_after: None,
            first_failure: None,
        }
    }
}
