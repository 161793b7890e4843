//! Where the answers to one request go, so that no node can answer as another.
//!
//! Replies of protocol v1 are not signed: what tells one node from another is
//! that each node asked by name is given an address of its own, the reply
//! subject and a part that nobody can guess. A reply counts as a node's only
//! where it comes by that node's address, and so does the broker's word that
//! nobody listens there. The reply subject is part of the transport, which v1
//! does not sign, so that nodes of any kind follow it (spec 01 §2.1).
//!
//! The part is a keyed hash of what is addressed, so nothing is remembered per
//! node. Broadcasts, services and federated requests are one message that all
//! share, with one address: there a node can speak for another.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::ClientError;

/// Bytes of a hash that stand in an address, and their length as text.
const BYTES: usize = 16;
/// Characters of the part that cannot be guessed.
pub(super) const TAG: usize = 22;

/// The addresses of one conversation. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    base: Arc<str>,
    key: Arc<hmac::Key>,
}

/// What the broker says nobody listens for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Nobody<'a> {
    /// The subject of this node.
    At(&'a str),
    /// The nowhere of this probe.
    Probed(u64),
    /// The subject of a broadcast or service.
    AtAll,
    /// The subject by which this federation carries requests.
    Carries(&'a str),
    /// Nothing: the conversation has sent this to itself.
    Myself,
}

const ALL: &str = "all.nodes";
const MYSELF: &str = "own.word";

impl Addresses {
    /// Addresses below the reply subject `base`, not to be guessed.
    ///
    /// # Errors
    /// No random numbers are to be had.
    pub(super) fn new(base: String) -> Result<Addresses, ClientError> {
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| ClientError::NoRandom)?;
        Ok(Addresses { base: base.into(), key: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &secret)) })
    }

    /// What all nodes of a broadcast answer to.
    pub(super) fn shared(&self) -> &str {
        &self.base
    }

    /// What covers the addresses of single nodes.
    pub(super) fn of_nodes(&self) -> String {
        format!("{}.*", self.base)
    }

    /// What covers the broker's words.
    pub(super) fn of_broker(&self) -> String {
        format!("{}.none.>", self.base)
    }

    /// Appends what makes the shared address that of `node`.
    pub(super) fn push_node(&self, node: &str, to: &mut Vec<u8>) {
        to.push(b'.');
        to.extend_from_slice(&self.tag("node.", node));
    }

    /// Where the broker says that nobody listens on the subject of `node`.
    pub(super) fn nobody_at(&self, node: &str) -> String {
        self.none("node.", node)
    }

    /// Where it says so of everybody.
    pub(super) fn nobody_at_all(&self) -> String {
        self.none("", ALL)
    }

    /// Where it says that nobody carries requests to this federation.
    pub(super) fn nobody_carries(&self, federation: &str) -> String {
        self.none("site.", federation)
    }

    /// Where it answers a probe.
    pub(super) fn probe(&self, number: u64) -> String {
        self.none("probe.", &number.to_string())
    }

    /// Where a conversation hears what it sent itself.
    pub(super) fn myself(&self) -> String {
        self.none("", MYSELF)
    }

    fn none(&self, kind: &str, what: &str) -> String {
        let tag = self.tag(kind, what);
        // A tag is ASCII.
        [&self.base, ".none.", std::str::from_utf8(&tag).unwrap_or_default(), ".", kind, what].concat()
    }

    /// Whether `subject` is the address of `node`.
    pub(super) fn is_of(&self, subject: &str, node: &str) -> bool {
        let tag = subject.strip_prefix(&*self.base).and_then(|rest| rest.strip_prefix('.'));
        tag.is_some_and(|tag| self.is_tag(tag, "node.", node))
    }

    /// What the broker's word on `subject` is about: `None` where it is none of
    /// its addresses, `Some(None)` where nobody can have been told this one.
    pub(super) fn word<'a>(&self, subject: &'a str) -> Option<Option<Nobody<'a>>> {
        let below = subject.strip_prefix(&*self.base)?.strip_prefix(".none.")?;
        let Some((tag, what)) = below.split_once('.') else { return Some(None) };
        if !self.is_tag(tag, "", what) {
            return Some(None);
        }
        Some(match what.split_once('.') {
            Some(("node", name)) => Some(Nobody::At(name)),
            Some(("site", name)) => Some(Nobody::Carries(name)),
            Some(("probe", number)) => number.parse().ok().map(Nobody::Probed),
            _ if what == ALL => Some(Nobody::AtAll),
            _ => (what == MYSELF).then_some(Nobody::Myself),
        })
    }

    fn is_tag(&self, tag: &str, kind: &str, what: &str) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(tag.as_bytes(), &self.tag(kind, what)).is_ok()
    }

    fn tag(&self, kind: &str, what: &str) -> [u8; TAG] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(kind.as_bytes());
        context.update(what.as_bytes());
        let hash = context.sign();
        let mut tag = [0; TAG];
        // 16 bytes are 22 characters; a hash has 32.
        let _ = URL_SAFE_NO_PAD.encode_slice(hash.as_ref().get(..BYTES).unwrap_or_default(), &mut tag);
        tag
    }
}

#[cfg(test)]
impl Addresses {
    /// The address of a node, as text.
    pub(super) fn node(&self, node: &str) -> String {
        let mut text = self.shared().as_bytes().to_vec();
        self.push_node(node, &mut text);
        String::from_utf8(text).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::nats::subject::{is_literal, valid_subject};

    #[test]
    fn an_address_is_of_one_node_and_one_request() {
        let addresses = Addresses::new("mcollective.reply.x.1".into()).unwrap();
        let other = Addresses::new("mcollective.reply.x.1".into()).unwrap();
        let of = addresses.node("n1.example.net");
        assert!(valid_subject(&of) && is_literal(&of), "{of}");
        assert!(addresses.is_of(&of, "n1.example.net"));
        assert_eq!(of.len(), addresses.shared().len() + 1 + TAG);
        for wrong in [
            addresses.shared(),
            "",
            "mcollective.reply.x.1.",
            &other.node("n1.example.net"),
            &of[..of.len() - 1],
        ] {
            assert!(!addresses.is_of(wrong, "n1.example.net"), "{wrong}");
        }
        assert!(!addresses.is_of(&of, "n2.example.net"));
        assert_ne!(of, addresses.node("n2.example.net"));
    }

    #[test]
    fn the_brokers_word_is_about_what_was_sent() {
        let addresses = Addresses::new("c.reply.x.1".into()).unwrap();
        let none = addresses.nobody_at("n1.example.net");
        assert!(valid_subject(&none) && is_literal(&none), "{none}");
        assert_eq!(addresses.word(&none), Some(Some(Nobody::At("n1.example.net"))));
        assert_eq!(addresses.word(&addresses.probe(7)), Some(Some(Nobody::Probed(7))));
        assert_eq!(addresses.word(&addresses.nobody_at_all()), Some(Some(Nobody::AtAll)));
        assert_eq!(
            addresses.word(&addresses.nobody_carries("london")),
            Some(Some(Nobody::Carries("london")))
        );
        assert_eq!(addresses.word(&addresses.myself()), Some(Some(Nobody::Myself)));
        assert_eq!(addresses.word(&addresses.node("n1.example.net")), None);
        assert_eq!(addresses.word("c.reply.x.1"), None);
        // What a node can make of its own addresses, and of none at all.
        let forged = none.replace("n1.example.net", "n2.example.net");
        let swapped = none.replace("node.n1.example.net", "all.nodes");
        for forged in
            [&forged, &swapped, "c.reply.x.1.none.x", "c.reply.x.1.none.node.n2", "c.reply.x.1.none."]
        {
            assert_eq!(addresses.word(forged), Some(None), "{forged}");
        }
        // An answer's address is no address of the broker's word.
        assert!(!addresses.is_of(&none, "n1.example.net"));
    }
}
