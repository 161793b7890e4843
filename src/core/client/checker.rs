//! Is this message an answer to this request?

use std::collections::HashSet;
use std::sync::Arc;

use hashbrown::HashMap;

use super::addresses::Addresses;
use crate::core::nats::subject::{is_literal, valid_subject};
use crate::core::protocol::DecodeError;
use crate::core::protocol::json::{SCRATCH, Scratch};
use crate::core::protocol::v1::{Reply, SecureReply, Transport};
use crate::core::text::shortened;

/// Senders remembered that nobody asked; more are only counted.
const KEPT_UNEXPECTED: usize = 1000;
/// Longest name of a sender, in bytes.
const MAX_NAME: usize = 1024;
/// Senders that may answer a broadcast.
const MAX_SENDERS: usize = 250_000;

/// Reads replies to whatever requests, one after another in the same memory.
#[derive(Debug, Default)]
pub struct ReplyReader {
    data: Vec<u8>,
    secure: Scratch,
    reply: Scratch,
}

impl ReplyReader {
    /// A reply whose hash is right and whose sender is one.
    ///
    /// # Errors
    /// [`Dropped`].
    pub fn read<'a>(&'a mut self, payload: &'a [u8]) -> Result<Reply<'a>, Dropped> {
        let unreadable = |e: DecodeError| Dropped::Unreadable(e.to_string());
        self.data.clear();
        self.data.shrink_to(SCRATCH);
        let outer = Transport::decode_reply(payload, &mut self.data).map_err(unreadable)?;
        let secure = SecureReply::decode(&self.data, &mut self.secure).map_err(unreadable)?;
        let reply = secure.open(&mut self.reply).map_err(unreadable)?;
        let sender = &*reply.envelope.senderid;
        if !outer.is_empty() && outer != sender {
            return Err(Dropped::TwoSenders { outer: outer.into_owned(), inner: sender.to_owned() });
        }
        // Senders become subjects of later requests: one that cannot be would
        // end the request to everybody else.
        if !valid_subject(sender) || !is_literal(sender) || sender.len() > MAX_NAME {
            return Err(Dropped::NoName(shortened(sender, MAX_NAME)));
        }
        Ok(reply)
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
    /// It came by an address that this node was not given: another sent it, or
    /// a broker that changes subjects.
    #[error("a reply says it is of {0} and did not come by the address that {0} was given")]
    Elsewhere(String),
    /// It answered already.
    #[error("{0} answered twice")]
    Repeated(String),
    /// More senders than any fleet has.
    #[error("too many senders")]
    TooMany,
}

/// By what a reply says which request it answers.
#[derive(Debug, Default)]
pub struct RequestRef {
    /// Its id.
    pub id: String,
    /// The agent it was for.
    pub agent: String,
}

/// Checks the replies of one request.
#[derive(Debug)]
pub struct ReplyChecker {
    request: Arc<RequestRef>,
    /// Whether anybody may answer, or only who was asked.
    broadcast: bool,
    /// By which address each has to answer; none where all share one.
    addresses: Option<Addresses>,
    /// Who was asked or has answered, and whether it has answered.
    senders: HashMap<String, bool>,
    unexpected: HashSet<String>,
    dropped: u64,
    reader: ReplyReader,
}

impl ReplyChecker {
    /// Replies of `agent` to `request_id`, of anybody.
    pub fn broadcast(request_id: &str, agent: &str) -> ReplyChecker {
        ReplyChecker {
            request: Arc::new(RequestRef { id: request_id.to_owned(), agent: agent.to_owned() }),
            broadcast: true,
            addresses: None,
            senders: HashMap::new(),
            unexpected: HashSet::new(),
            dropped: 0,
            reader: ReplyReader::default(),
        }
    }

    /// Replies of `agent` to `request_id`, of `targets` only.
    pub fn direct<'a>(
        request_id: &str,
        agent: &str,
        targets: impl IntoIterator<Item = &'a String>,
    ) -> ReplyChecker {
        let senders = targets.into_iter().map(|name| (name.clone(), false)).collect();
        ReplyChecker { broadcast: false, senders, ..ReplyChecker::broadcast(request_id, agent) }
    }

    /// With an address for each node, by which alone its answer counts.
    pub(super) fn addressed(self, addresses: Option<Addresses>) -> ReplyChecker {
        ReplyChecker { addresses, ..self }
    }

    /// What the replies answer.
    pub fn request(&self) -> &Arc<RequestRef> {
        &self.request
    }

    /// Takes a message that came on `subject`, or says why it is no answer; what
    /// is dropped is counted.
    pub fn check<'a>(&'a mut self, subject: &str, payload: &'a [u8]) -> Result<Reply<'a>, Dropped> {
        let ReplyChecker { request, broadcast, addresses, senders, unexpected, dropped, reader } = self;
        let checked = reader.read(payload).and_then(|reply| {
            let sender = &*reply.envelope.senderid;
            if reply.envelope.requestid != request.id || reply.envelope.agent != request.agent {
                return Err(Dropped::OtherRequest(sender.to_owned()));
            }
            // Before anything is noted of the node it names.
            if addresses.as_ref().is_some_and(|addresses| !addresses.is_of(subject, sender)) {
                return Err(match senders.contains_key(sender) {
                    true => Dropped::Elsewhere(sender.to_owned()),
                    false => Dropped::Unexpected(sender.to_owned()),
                });
            }
            let known = senders.len();
            match senders.get_mut(sender) {
                Some(true) => return Err(Dropped::Repeated(sender.to_owned())),
                Some(answered) => *answered = true,
                None if !*broadcast => return Err(Dropped::Unexpected(sender.to_owned())),
                None if known >= MAX_SENDERS => return Err(Dropped::TooMany),
                None => drop(senders.insert(sender.to_owned(), true)),
            }
            Ok(reply)
        });
        if let Err(why) = &checked {
            *dropped += 1;
            if let Dropped::Unexpected(sender) | Dropped::Repeated(sender) = why
                && unexpected.len() < KEPT_UNEXPECTED
            {
                unexpected.insert(sender.clone());
            }
        }
        checked
    }

    /// Asked nodes that did not answer, sorted.
    pub fn missing(&self) -> Vec<String> {
        let silent = self.senders.iter().filter(|(_, answered)| !**answered);
        let mut missing: Vec<String> = silent.map(|(name, _)| name.clone()).collect();
        missing.sort();
        missing
    }

    /// Whether this node was asked and has not answered.
    pub fn waits_for(&self, node: &str) -> bool {
        self.senders.get(node) == Some(&false)
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
        let data = SecureReply::of(&reply.encode()).encode().into_bytes();
        let headers = Headers { reply_to: None, sender: outer.into(), seen_by: vec![], federation: None };
        Transport { data, headers }.encode()
    }

    #[test]
    fn only_answers_of_asked_nodes_are_taken_once() {
        let targets = ["n1".to_owned(), "n2".to_owned(), "n3".to_owned()];
        let mut checker = ReplyChecker::direct("id", "rpcutil", &targets);
        let mut check =
            |m: String| checker.check("s", m.as_bytes()).map(|r| r.envelope.senderid.into_owned());
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
    fn a_node_answers_by_its_own_address_only() {
        let targets = ["n1".to_owned(), "n2".to_owned()];
        let addresses = Addresses::new("c.reply.x.id".into()).unwrap();
        let mut checker = ReplyChecker::direct("id", "rpcutil", &targets).addressed(Some(addresses.clone()));
        let (one, two) = (addresses.node("n1"), addresses.node("n2"));
        let mut check = |subject: &str, name: &str| {
            let message = message(name, name, "id", "rpcutil");
            checker.check(subject, message.as_bytes()).map(|r| r.envelope.senderid.into_owned())
        };
        for subject in [&one, addresses.shared(), "c.reply.x.id.x"] {
            assert_eq!(check(subject, "n2"), Err(Dropped::Elsewhere("n2".into())), "{subject}");
        }
        assert_eq!(check(&one, "n9"), Err(Dropped::Unexpected("n9".into())));
        assert_eq!(check(&two, "n2").unwrap(), "n2", "what others said of it does not count");
        assert_eq!(check(&one, "n2"), Err(Dropped::Elsewhere("n2".into())));
        assert_eq!(check(&one, "n1").unwrap(), "n1");
        assert_eq!(checker.unexpected(), ["n9"]);
        assert_eq!(checker.dropped(), 5);
    }

    #[test]
    fn a_changed_reply_is_dropped() {
        let text = message("n1", "n1", "id", "rpcutil");
        let mut transport = Transport::decode(text.as_bytes()).unwrap();
        let data = String::from_utf8(transport.data).unwrap();
        transport.data = data.replacen("n1", "n2", 1).into_bytes();
        let mut checker = ReplyChecker::broadcast("id", "rpcutil");
        assert!(matches!(checker.check("s", transport.encode().as_bytes()), Err(Dropped::Unreadable(_))));
    }

    #[test]
    fn a_broadcast_takes_anybody_once() {
        let mut checker = ReplyChecker::broadcast("id", "discovery");
        assert!(checker.check("s", message("n1", "n1", "id", "discovery").as_bytes()).is_ok());
        assert!(checker.check("s", message("n2", "n2", "id", "discovery").as_bytes()).is_ok());
        assert!(checker.check("s", message("n2", "n2", "id", "discovery").as_bytes()).is_err());
        assert!(checker.missing().is_empty());
    }

    #[test]
    fn a_sender_that_nothing_can_be_sent_to_is_no_node() {
        let mut checker = ReplyChecker::broadcast("id", "discovery");
        for name in ["", "a b", "a..b", ".a", "a.", "*", "n.>", "a\r\nPUB x 0", &"a".repeat(2000)] {
            let message = message(name, name, "id", "discovery");
            let outcome = checker.check("s", message.as_bytes());
            assert!(matches!(outcome, Err(Dropped::NoName(_))), "{name:?}");
        }
        assert!(checker.check("s", message("ok_1.x", "ok_1.x", "id", "discovery").as_bytes()).is_ok());
    }
}
