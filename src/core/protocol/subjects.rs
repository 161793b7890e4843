//! Where messages travel (spec 01 §6).
//!
//! Collectives, agents and components are one token of a subject each;
//! identities keep their dots and become several.

use md5::{Digest, Md5};

use crate::core::text::hex;

/// Every node of `collective` that runs `agent` hears this.
pub fn broadcast(collective: &str, agent: &str) -> String {
    format!("{collective}.broadcast.agent.{agent}")
}

/// One of the nodes of `collective` that offer the service `agent` hears this;
/// they share a queue group named after the agent.
pub fn service(collective: &str, agent: &str) -> String {
    format!("{collective}.broadcast.service.{agent}")
}

/// One node hears this.
pub fn node(collective: &str, identity: &str) -> String {
    format!("{collective}.node.{identity}")
}

/// Where a caller awaits the replies to one request.
pub fn reply(collective: &str, caller: &str, request_id: &str) -> String {
    format!("{collective}.reply.{}.{request_id}", caller_hash(caller))
}

/// Prefix of the inboxes of a connection without a token.
pub fn inbox_prefix(collective: &str) -> String {
    format!("{collective}.reply")
}

/// Prefix of the inboxes of a connection that carries a token of `caller`.
pub fn caller_inbox_prefix(collective: &str, caller: &str) -> String {
    format!("{collective}.reply.{}", caller_hash(caller))
}

/// What stands for a caller in a subject: lower-case hex MD5.
///
/// Not a secret and not a proof: it only makes one token of a caller id.
pub fn caller_hash(caller: &str) -> String {
    hex(&Md5::digest(caller.as_bytes()))
}

/// Lifecycle events of one kind (`startup`, `alive`, …) from one component.
pub fn lifecycle(kind: &str, component: &str) -> String {
    format!("choria.lifecycle.event.{kind}.{component}")
}

/// What a federation broker of `cluster` hears from clients.
pub fn federation(cluster: &str) -> String {
    format!("choria.federation.{cluster}.federation")
}

/// What a federation broker of `cluster` hears from nodes: their replies.
pub fn federation_collective(cluster: &str) -> String {
    format!("choria.federation.{cluster}.collective")
}

/// Whether `text` can stand as one token of a subject: not empty, no dot, no
/// wildcard, no space or control character.
pub fn is_token(text: &str) -> bool {
    !text.is_empty()
        && !text.chars().any(|c| matches!(c, '.' | '*' | '>') || c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn subjects_and_inboxes_are_the_vectors() {
        let text =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/protocol.json"))
                .unwrap();
        let vectors: Value = serde_json::from_str(&text).unwrap();
        let subjects = &vectors["v1"]["subjects"];
        let caller = "choria=bob.mcollective";
        assert_eq!(subjects["broadcast"], broadcast("mcollective", "rpcutil"));
        assert_eq!(subjects["node"], node("mcollective", "node1.example.net"));
        assert_eq!(subjects["reply"], reply("mcollective", caller, "2f0c4c4d7b1e4b6f9a3d5e8c1a2b3c4d"));
        let inboxes = vectors["inboxes"].as_array().unwrap();
        assert_eq!(inboxes.len(), 3);
        for case in inboxes {
            let (caller, collective) =
                (case["caller"].as_str().unwrap(), case["collective"].as_str().unwrap());
            assert_eq!(case["md5"], caller_hash(caller));
            assert_eq!(case["prefix"], caller_inbox_prefix(collective, caller));
        }
    }

    #[test]
    fn a_token_has_no_dot_wildcard_or_space() {
        for good in ["mcollective", "rpcutil", "a-b_c", "ž", "a=b"] {
            assert!(is_token(good), "{good}");
        }
        for bad in ["", "a.b", "*", ">", "a b", "a\tb", "a\n", "a\0"] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }
}
