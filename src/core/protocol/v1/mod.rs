//! Protocol version 1, the x509 one, as plain values (spec 01 §2).
//!
//! From the outside in: [`Transport`] carries a [`SecureRequest`] or a
//! [`SecureReply`], which carry the text of a [`Request`] or a [`Reply`],
//! whose message is what an agent is asked or answers. Every type has `decode`
//! and `encode`. A decoded value has passed every rule of its layer; what a
//! certificate and a signature are worth is for [`core::security`] to say.
//!
//! The secure layers keep their message as text: the signature and the hash
//! cover those bytes, so it is never rendered anew before it is verified.
//!
//! [`core::security`]: crate::core::security

mod fields;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod hostile;
mod reply;
mod request;
mod secure;
#[cfg(test)]
mod tests;
mod transport;

pub use reply::{Reply, ReplyEnvelope};
pub use request::{Envelope, Request, new_request_id};
pub use secure::{SecureReply, SecureRequest};
pub use transport::{Federation, Headers, Transport};

/// Largest transport that is decoded, in bytes.
///
/// Brokers carry messages of up to 1 MiB unless configured otherwise, and
/// NATS advises against more than 8 MiB. Everything inside a transport is
/// smaller than the transport, so this bounds the inner layers as well.
pub const MAX_TRANSPORT: usize = 8 * 1024 * 1024;
/// Longest life of a request that can be made, in seconds (spec 01 §4).
pub const MAX_TTL: i64 = 18_000;
/// Shortest life of a request, in seconds; receivers refuse less.
pub const MIN_TTL: i64 = 30;
/// Characters in a request id.
pub const REQUEST_ID_LENGTH: usize = 32;
