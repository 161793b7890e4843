//! RPC bodies: what an agent is asked and what it answers (spec 02 §2.1). Pure.
//!
//! They are the payload of protocol messages. Caller, request id, times and
//! filter come from the verified request around a body and are never read from
//! the body itself.

mod reply;
mod request;
mod status;
#[cfg(test)]
mod tests;

pub use reply::ReplyBody;
pub use request::{Heading, Inputs, RequestBody};
pub use status::StatusCode;

/// Text of a denial; clients and their users match on it.
pub const NOT_AUTHORIZED: &str = "You are not authorized to call this agent or action";

/// Largest body that is decoded, in bytes: what fits a transport.
pub const MAX_BODY: usize = crate::core::protocol::v1::MAX_TRANSPORT;
