//! The system's CAs, for async-nats: none.
//!
//! async-nats 0.51 reads and parses the system's whole store at each connect, and
//! refuses to connect where a file of it is unreadable, although it is given its
//! TLS configuration and throws the store away (nats-io/nats.rs issue 1622): some
//! 300 files and ten milliseconds for each connect of each node. A session of
//! ours trusts the CA it was configured with and nothing else, so this answers
//! with an empty store. What does need the system's CAs, HTTPS of releases and of
//! helpers, reads them by `choria::core::security::system_roots`.
//!
//! To be deleted, with `[patch.crates-io]` in Cargo.toml, once async-nats looks
//! before it reads. Who embeds the library without this gets the same behaviour,
//! slower.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::convert::Infallible;

use rustls_pki_types::CertificateDer;

/// What was found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CertificateResult {
    /// Nothing.
    pub certs: Vec<CertificateDer<'static>>,
    /// Nothing is read, so nothing fails.
    pub errors: Vec<Infallible>,
}

/// An empty store.
pub fn load_native_certs() -> CertificateResult {
    CertificateResult::default()
}
