//! Is this message an answer to this request?

use std::collections::HashSet;

use crate::core::nats::subject::{is_literal, valid_subject};
use crate::core::protocol::v1::{Reply, SecureReply, Transport};

/// Senders remembered that nobody asked; more are only counted.
const KEPT_UNEXPECTED: usize = 1000;
/// Longest name of a sender, in bytes.
const MAX_NAME: usize = 1024;
/// Senders that may answer a broadcast.
const MAX_SENDERS: usize = 250_000;

/// A reply that belongs to the request.
#[derive(Debug, Clone)]
pub struct CheckedReply {
    /// Node that answered, as it says itself.
    pub sender: String,
    /// The reply.
    pub reply: Reply,
}

impl CheckedReply {
    /// Reads a reply to whatever request: its hash is right, and its sender is one.
    ///
    /// # Errors
    /// [`Dropped`].
    pub fn read(payload: &[u8]) -> Result<CheckedReply, Dropped> {
        let unreadable = |e: crate::core::protocol::DecodeError| Dropped::Unreadable(e.to_string());
        let transport = Transport::decode(payload).map_err(unreadable)?;
        let reply = SecureReply::decode(&transport.data).and_then(|s| s.open()).map_err(unreadable)?;
        let sender = reply.envelope.senderid.clone();
        let outer = transport.headers.sender;
        if !outer.is_empty() && outer != sender {
            return Err(Dropped::TwoSenders { outer, inner: sender });
        }
        // Senders become subjects of later requests: one that cannot be would
        // end the request to everybody else.
        if !valid_subject(&sender) || !is_literal(&sender) || sender.len() > MAX_NAME {
            return Err(Dropped::NoName(sender.chars().take(MAX_NAME).collect()));
        }
        Ok(CheckedReply { sender, reply })
    }
}

/// Why a message was not taken for an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// Not a v1 reply, or its hash is wrong.
    #[error("unreadable reply: {0}")]
    Unreadable(String),
    /// The sender cannot be a node: nothing could be sent to it.
    #[error("a reply says it is of {0:?}, which is no node name")]
    NoName(String),
    /// Answers another request or agent.
    #[error("reply of {0} is for another request")]
    OtherRequest(String),
    /// The outer and the inner sender differ.
    #[error("reply of {outer} says inside that it is of {inner}")]
    TwoSenders {
        /// Of the transport.
        outer: String,
        /// Of the reply.
        inner: String,
    },
    /// Nobody asked this node.
    #[error("{0} was not asked")]
    Unexpected(String),
    /// It answered already.
    #[error("{0} answered twice")]
    Repeated(String),
    /// More senders than any fleet has.
    #[error("too many senders")]
    TooMany,
}

/// Checks the replies of one request.
#[derive(Debug)]
pub struct ReplyChecker {
    request_id: String,
    agent: String,
    /// `None` for a broadcast: anybody may answer, once.
    asked: Option<HashSet<String>>,
    answered: HashSet<String>,
    unexpected: HashSet<String>,
    dropped: u64,
}

impl ReplyChecker {
    /// Replies of `agent` to `request_id`, of anybody.
    pub fn broadcast(request_id: &str, agent: &str) -> ReplyChecker {
        ReplyChecker {
            request_id: request_id.to_owned(),
            agent: agent.to_owned(),
            asked: None,
            answered: HashSet::new(),
            unexpected: HashSet::new(),
            dropped: 0,
        }
    }

    /// Replies of `agent` to `request_id`, of `targets` only.
    pub fn direct<'a>(
        request_id: &str,
        agent: &str,
        targets: impl IntoIterator<Item = &'a String>,
    ) -> ReplyChecker {
        let asked = targets.into_iter().cloned().collect();
        ReplyChecker { asked: Some(asked), ..ReplyChecker::broadcast(request_id, agent) }
    }

    /// Takes a message, or says why it is no answer; what is dropped is counted.
    pub fn check(&mut self, payload: &[u8]) -> Result<CheckedReply, Dropped> {
        let checked = self.examine(payload);
        match &checked {
            Ok(reply) => {
                self.answered.insert(reply.sender.clone());
            }
            Err(dropped) => {
                self.dropped += 1;
                if let Dropped::Unexpected(sender) | Dropped::Repeated(sender) = dropped
                    && self.unexpected.len() < KEPT_UNEXPECTED
                {
                    self.unexpected.insert(sender.clone());
                }
            }
        }
        checked
    }

    fn examine(&self, payload: &[u8]) -> Result<CheckedReply, Dropped> {
        let CheckedReply { sender, reply } = CheckedReply::read(payload)?;
        if reply.envelope.requestid != self.request_id || reply.envelope.agent != self.agent {
            return Err(Dropped::OtherRequest(sender));
        }
        if self.asked.as_ref().is_some_and(|asked| !asked.contains(&sender)) {
            return Err(Dropped::Unexpected(sender));
        }
        if self.answered.contains(&sender) {
            return Err(Dropped::Repeated(sender));
        }
        if self.answered.len() >= MAX_SENDERS {
            return Err(Dropped::TooMany);
        }
        Ok(CheckedReply { sender, reply })
    }

    /// Asked nodes that did not answer, sorted.
    pub fn missing(&self) -> Vec<String> {
        let mut missing: Vec<String> =
            self.asked.iter().flatten().filter(|n| !self.answered.contains(*n)).cloned().collect();
        missing.sort();
        missing
    }

    /// Whether this node answered.
    pub fn answered(&self, node: &str) -> bool {
        self.answered.contains(node)
    }

    /// Senders nobody asked, and those that answered twice; sorted, at most
    /// 1,000.
    pub fn unexpected(&self) -> Vec<String> {
        let mut names: Vec<String> = self.unexpected.iter().cloned().collect();
        names.sort();
        names
    }

    /// Messages dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::protocol::v1::{Headers, ReplyEnvelope};

    fn message(outer: &str, inner: &str, id: &str, agent: &str) -> String {
        let reply = Reply {
            message: "{}".into(),
            envelope: ReplyEnvelope {
                requestid: id.into(),
                senderid: inner.into(),
                agent: agent.into(),
                time: 1,
            },
        };
        let headers = Headers { reply_to: None, sender: outer.into(), seen_by: vec![], federation: None };
        Transport { data: SecureReply::seal(&reply).encode().into_bytes(), headers }.encode()
    }

    #[test]
    fn only_answers_of_asked_nodes_are_taken_once() {
        let targets = ["n1".to_owned(), "n2".to_owned(), "n3".to_owned()];
        let mut checker = ReplyChecker::direct("id", "rpcutil", &targets);
        let mut check = |m: String| checker.check(m.as_bytes()).map(|r| r.sender);
        assert_eq!(check(message("n1", "n1", "id", "rpcutil")).unwrap(), "n1");
        assert_eq!(check(message("n1", "n1", "id", "rpcutil")), Err(Dropped::Repeated("n1".into())));
        assert_eq!(check(message("n9", "n9", "id", "rpcutil")), Err(Dropped::Unexpected("n9".into())));
        assert_eq!(check(message("n2", "n2", "other", "rpcutil")), Err(Dropped::OtherRequest("n2".into())));
        assert_eq!(check(message("n2", "n2", "id", "package")), Err(Dropped::OtherRequest("n2".into())));
        assert!(matches!(check(message("n9", "n2", "id", "rpcutil")), Err(Dropped::TwoSenders { .. })));
        assert!(matches!(check("{}".into()), Err(Dropped::Unreadable(_))));
        assert_eq!(checker.missing(), ["n2", "n3"]);
        assert_eq!(checker.unexpected(), ["n1", "n9"]);
        assert_eq!(checker.dropped(), 6);
    }

    #[test]
    fn a_changed_reply_is_dropped() {
        let text = message("n1", "n1", "id", "rpcutil");
        let mut transport = Transport::decode(text.as_bytes()).unwrap();
        let data = String::from_utf8(transport.data).unwrap();
        transport.data = data.replacen("n1", "n2", 1).into_bytes();
        let mut checker = ReplyChecker::broadcast("id", "rpcutil");
        assert!(matches!(checker.check(transport.encode().as_bytes()), Err(Dropped::Unreadable(_))));
    }

    #[test]
    fn a_broadcast_takes_anybody_once() {
        let mut checker = ReplyChecker::broadcast("id", "discovery");
        assert!(checker.check(message("n1", "n1", "id", "discovery").as_bytes()).is_ok());
        assert!(checker.check(message("n2", "n2", "id", "discovery").as_bytes()).is_ok());
        assert!(checker.check(message("n2", "n2", "id", "discovery").as_bytes()).is_err());
        assert!(checker.missing().is_empty());
    }

    #[test]
    fn a_sender_that_nothing_can_be_sent_to_is_no_node() {
        let mut checker = ReplyChecker::broadcast("id", "discovery");
        for name in ["", "a b", "a..b", ".a", "a.", "*", "n.>", "a\r\nPUB x 0", &"a".repeat(2000)] {
            let outcome = checker.check(message(name, name, "id", "discovery").as_bytes());
            assert!(matches!(outcome, Err(Dropped::NoName(_))), "{name:?}");
        }
        assert!(checker.check(message("ok_1.x", "ok_1.x", "id", "discovery").as_bytes()).is_ok());
    }
}
