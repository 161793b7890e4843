//! Identities, signing, verifying, certificates, revocation and TLS for
//! networks that trust certificates (spec 01 §§9, 15).
//!
//! A [`Provider`] is made once from the configuration: it knows the name of
//! this process, its certificate and key, and whom it trusts. From it come a
//! [`Signer`] for requests that leave, a [`RequestVerifier`] for requests that
//! arrive, and the two TLS configurations. All of them share one [`Trust`]
//! (CA certificates and revocation lists) and one set of credentials, which
//! [`Provider::reload`] replaces in one step.
//!
//! There is no "do not verify": a [`Verified`] can only be made by
//! [`RequestVerifier::verify`], and a CA file without certificates, an empty
//! revocation list or a provider that is not supported end the start.

mod believed;
mod caller;
mod certificate;
mod chain;
mod credentials;
pub mod crl;
pub mod download;
mod error;
mod expected;
mod fitness;
mod following;
pub mod https;
pub mod key_transport;
mod paths;
pub mod pem;
mod provider;
mod resumption;
mod signer;
pub mod subject;
pub mod tls;
pub mod tls_errors;
pub mod tokens;
mod trust;
mod verifier;
pub mod waiting;
pub mod web_service;

#[cfg(test)]
mod chain_tests;
#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod provider_tests;
#[cfg(test)]
mod tests;

pub use crate::core::protocol::NameList;
pub use caller::CallerId;
pub use certificate::{Certificate, expiry_warning};
pub use chain::{ChainError, Usage, Validity};
pub use credentials::Credentials;
pub use error::{SecurityError, VerifyError};
pub use following::{Following, follow_trust};
pub use paths::{Files, TrustVersion};
pub use provider::Provider;
pub use signer::Signer;
pub use trust::{SharedTrust, Trust};
pub use verifier::{ClaimReader, RequestTrust, RequestVerifier, Verified};
