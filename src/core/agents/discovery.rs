//! The `discovery` agent (spec 02 §3.1): a pong means "I match".
//!
//! It is no RPC agent: by the time it is asked the filter was evaluated, and
//! there is nothing to authorize in saying so.

use crate::core::build;
use crate::core::ddl::Metadata;

/// Name of the agent.
pub const NAME: &str = "discovery";
/// Text of a reply.
pub const PONG: &str = "pong";

/// The answer to a payload: the original looks for the letters anywhere.
pub fn answer(payload: &[u8]) -> Option<&'static str> {
    payload.windows(4).any(|w| w == b"ping").then_some(PONG)
}

/// What inventories show of it.
pub fn metadata() -> Metadata {
    Metadata {
        name: NAME.to_owned(),
        description: "Discovery Agent".to_owned(),
        author: "Choria in Rust".to_owned(),
        license: build::LICENSE.to_owned(),
        version: build::VERSION.to_owned(),
        url: "https://choria.io".to_owned(),
        timeout: 2,
        provider: None,
        service: false,
        persistent: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_ping_is_answered() {
        assert_eq!(answer(b"ping"), Some("pong"));
        assert_eq!(answer(b"\"ping\" please"), Some("pong"));
        assert_eq!(answer(b"pin"), None);
        assert_eq!(answer(b""), None);
    }
}
