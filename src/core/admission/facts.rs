//! What is known about a connection when it asks to be let in (spec 04 §3.1).

use std::net::SocketAddr;

use super::certificate::PeerCertificate;
use crate::core::nats::connect::ConnectOptions;

/// How the bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TLS, with or without a client certificate.
    Tls,
    /// Clear text over the network.
    Plaintext,
    /// A connection made inside this process; the original's `pipe`.
    InProcess,
}

/// Who speaks at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// A NATS client.
    Client,
    /// A leaf broker.
    Leaf,
}

/// Everything an [`Authenticator`](super::Authenticator) may judge by. `Debug` prints no secret.
#[derive(Debug, Clone)]
pub struct ConnectionFacts {
    /// Peer address; none for in-process connections.
    pub remote: Option<SocketAddr>,
    /// Client or leaf.
    pub kind: LinkKind,
    /// TLS, clear text or in-process.
    pub transport: Transport,
    /// Verified certificate of the peer, if it presented one.
    pub certificate: Option<PeerCertificate>,
    /// What CONNECT said.
    pub options: ConnectOptions,
    /// Nonce sent in INFO, which `options.sig` signs; empty when none was sent.
    pub nonce: String,
}

impl ConnectionFacts {
    /// Facts of a client about which nothing else is known yet.
    pub fn new(transport: Transport) -> Self {
        Self {
            remote: None,
            kind: LinkKind::Client,
            transport,
            certificate: None,
            options: ConnectOptions::default(),
            nonce: String::new(),
        }
    }

    /// Name of the certificate, for logs and rules.
    pub fn certname(&self) -> Option<&str> {
        self.certificate.as_ref().and_then(PeerCertificate::certname)
    }
}
