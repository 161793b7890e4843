//! Why a received message was refused.

use std::fmt;

use super::json::JsonError;

/// One JSON document of the onion (spec 01 §1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// What travels over the middleware.
    Transport,
    /// A request with its signature and certificate.
    SecureRequest,
    /// The signed request.
    Request,
    /// A reply with its hash.
    SecureReply,
    /// The hashed reply.
    Reply,
    /// What an agent is asked or answers (spec 02 §2.1).
    Body,
    /// The inputs in it, in memory.
    Inputs,
    /// The outputs in it, in memory.
    Outputs,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layer::Transport => "transport",
            Layer::SecureRequest => "secure request",
            Layer::Request => "request",
            Layer::SecureReply => "secure reply",
            Layer::Reply => "reply",
            Layer::Body => "RPC body",
            Layer::Inputs => "list of inputs",
            Layer::Outputs => "list of outputs",
        })
    }
}

/// A message that cannot be understood or breaks a rule of its layer.
///
/// The text names the layer and the key, never the content: messages carry
/// what callers typed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Larger than the layer may be.
    #[error("the {layer} has {size} bytes, more than the limit of {limit}; send less data in one message")]
    TooLarge {
        /// The layer that was read.
        layer: Layer,
        /// Bytes received.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not JSON, or a value of another type than the key has.
    #[error("the {layer} cannot be read: {source}")]
    Json {
        /// The layer that was read.
        layer: Layer,
        /// What was wrong, and where.
        source: JsonError,
    },
    /// The `protocol` key is missing or names something else.
    #[error(
        "the {layer} is not of the protocol {expected}; the sender speaks another version or is not Choria"
    )]
    Protocol {
        /// The layer that was read.
        layer: Layer,
        /// The value `protocol` has to have.
        expected: &'static str,
    },
    /// A required key is not there.
    #[error("the {layer} has no `{key}`, which is required")]
    Missing {
        /// The layer that was read.
        layer: Layer,
        /// The absent key.
        key: &'static str,
    },
    /// A value is there and breaks a rule.
    #[error("`{key}` of the {layer} {rule}")]
    Rule {
        /// The layer that was read.
        layer: Layer,
        /// The offending key.
        key: &'static str,
        /// The rule, as the rest of a sentence: "must be at least 30".
        rule: &'static str,
    },
    /// The hash of a secure reply is not the hash of its message.
    #[error("the hash of the secure reply does not match its message; it was changed on the way")]
    Hash,
}
