//! What a connection gets: an account, a name, and what it may publish and subscribe.

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;

use super::account::Account;
use super::facts::{ConnectionFacts, Transport};
use crate::core::nats::subject;

/// Subject patterns in one piece of memory: 50,000 links hold one each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubjectList(Box<str>);

impl SubjectList {
    /// Collects patterns; empty ones are dropped. An entry may carry a queue: `subject queue`.
    pub fn new<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Self {
        let mut text = String::new();
        for pattern in patterns {
            let pattern = pattern.as_ref().trim();
            // a line end would smuggle in a second entry
            if pattern.is_empty() || pattern.contains(['\n', '\r']) {
                continue;
            }
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(pattern);
        }
        Self(text.into_boxed_str())
    }

    /// The patterns in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split('\n').filter(|pattern| !pattern.is_empty())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Allow and deny lists of one direction. An absent allow list allows everything,
/// a present one nothing else, and deny always wins (spec 04 §3.5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permission {
    /// What is allowed, everything when absent.
    pub allow: Option<SubjectList>,
    /// What is refused.
    pub deny: SubjectList,
    /// Beside the list, inboxes `COLLECTIVE.reply.NUID.…` may be heard whose random part is written out: what
    /// comes there are answers of streams, and who has not made one does not know it from here. Default false.
    pub inboxes: bool,
}

/// Whether a pattern is of an inbox as NATS' own client libraries make them, below a collective's reply subject: 22
/// letters and digits (a NUID), and what comes behind them. Hashes of names, which others know, are longer.
fn is_inbox(pattern: &[u8]) -> bool {
    let mut tokens = pattern.split(|byte| *byte == b'.');
    let collective = tokens.next().unwrap_or_default();
    let plain = !collective.is_empty() && !collective.starts_with(b"$") && !matches!(collective, b"*" | b">");
    plain
        && tokens.next() == Some(b"reply")
        && tokens.next().is_some_and(|nuid| nuid.len() == 22 && nuid.iter().all(u8::is_ascii_alphanumeric))
}

impl Permission {
    /// Everything is allowed.
    pub fn unrestricted() -> Self {
        Self::default()
    }

    /// Nothing is allowed.
    pub fn nothing() -> Self {
        Self { deny: SubjectList::new([">"]), ..Self::default() }
    }

    /// These and nothing else.
    pub fn only<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Self {
        let allow = SubjectList::new(patterns);
        // an empty list must not read as "no list"
        if allow.is_empty() { Self::nothing() } else { Self { allow: Some(allow), ..Self::default() } }
    }

    /// Whether no check is needed.
    pub fn is_unrestricted(&self) -> bool {
        self.allow.is_none() && self.deny.is_empty()
    }

    /// Whether a message with this literal subject may be published.
    pub fn may_publish(&self, literal: &[u8]) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.iter().any(|pattern| subject::matches(pattern, literal)))
            && !self.denies(literal)
    }

    /// Whether this pattern may be subscribed, with this queue if one is used.
    ///
    /// An entry with a queue allows that queue on its subjects, and there no
    /// other; denied, it denies that queue. Entries without one are about all.
    pub fn may_subscribe(&self, pattern: &[u8], queue: Option<&[u8]>) -> bool {
        let about = |entry: &str| match entry.split_once(' ') {
            None => subject::covers(entry, pattern).then_some(None),
            Some((entry, named)) => subject::covers(entry, pattern)
                .then(|| queue.map(|queue| subject::matches(named.trim(), queue))),
        };
        let allowed = self.allow.as_ref().is_none_or(|allow| {
            let (mut plain, mut named) = (false, None);
            for entry in allow.iter() {
                match about(entry) {
                    // for a subscription without a queue, entries with one say nothing
                    Some(None) => plain |= !entry.contains(' '),
                    Some(Some(is_it)) => named = Some(named.unwrap_or(false) || is_it),
                    None => {}
                }
            }
            named.unwrap_or(plain)
        });
        let denied = || {
            self.deny.iter().any(|entry| match about(entry) {
                Some(None) => !entry.contains(' '),
                Some(Some(is_it)) => is_it,
                None => false,
            })
        };
        (allowed || self.inboxes && is_inbox(pattern)) && !denied()
    }

    /// Whether an allowed subscription still needs its messages filtered one by one.
    pub fn must_filter(&self, pattern: &[u8]) -> bool {
        self.deny.iter().any(|entry| !entry.contains(' ') && subject::overlaps(entry, pattern))
    }

    /// Whether the deny list names this literal subject.
    pub fn denies(&self, literal: &[u8]) -> bool {
        self.deny.iter().any(|entry| subject::matches(entry, literal))
    }
}

/// What somebody is to the network. Limits go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerKind {
    /// A configured node.
    Node,
    /// A node that waits to be provisioned; its token is one for a whole fleet.
    WaitingNode,
    /// An operator or another client, and everybody where nothing tells nodes from clients.
    Client,
    /// What serves the network itself: provisioner, system user, connections in this process.
    Service,
    /// Another network, which this broker is a leaf of.
    Hub,
}

impl PeerKind {
    /// All of them, each at the place of its number.
    pub const ALL: [Self; 5] = [Self::Node, Self::WaitingNode, Self::Client, Self::Service, Self::Hub];

    /// Its name in settings and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::WaitingNode => "waiting",
            Self::Client => "client",
            Self::Service => "service",
            Self::Hub => "hub",
        }
    }
}

/// Whose connection it is: all connections of one peer share its limits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    /// What it is.
    pub kind: PeerKind,
    /// Its certificate's name, else the user's, else what a waiting node claims to be.
    /// Empty where nobody has to say who he is.
    pub identity: Box<str>,
}

/// Limits of one connection, where they differ from the broker's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GrantLimits {
    /// Most subscriptions; the broker's limit when absent.
    pub max_subscriptions: Option<usize>,
}

/// Permission to publish where requests that were delivered want their answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Responses {
    /// Answers to one request; 1 by default, any number when absent.
    pub max: Option<u32>,
    /// How long after the request; 2 minutes by default.
    pub expires: Duration,
}

impl Default for Responses {
    fn default() -> Self {
        Self { max: Some(1), expires: Duration::from_secs(120) }
    }
}

/// The answer to an accepted connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Where its subjects live.
    pub account: Account,
    /// User name in reports; may be empty.
    pub user: String,
    /// What it may publish. Shared: most nodes have the same.
    pub publish: Arc<Permission>,
    /// What it may subscribe.
    pub subscribe: Arc<Permission>,
    /// Where it may publish beside that: answers to what it was asked.
    pub responses: Option<Responses>,
    /// Its limits.
    pub limits: GrantLimits,
    /// Whose connection it is.
    pub peer: Peer,
}

impl Grant {
    /// No restriction within an account.
    pub fn unrestricted(account: Account, user: impl Into<String>) -> Self {
        let user = user.into();
        Self {
            account,
            peer: Peer { kind: PeerKind::Client, identity: user.as_str().into() },
            user,
            publish: Arc::new(Permission::unrestricted()),
            subscribe: Arc::new(Permission::unrestricted()),
            responses: None,
            limits: GrantLimits::default(),
        }
    }
}

/// Classes of refusal, for counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// The connection is not TLS and must be.
    TlsRequired,
    /// No verified certificate and nothing in its place.
    NoCertificate,
    /// A certificate without a usable name.
    BadCertificate,
    /// Wrong or missing password of a reserved user.
    Password,
    /// The reserved user or account is not configured here.
    NotConfigured,
    /// A token that is not accepted.
    Token,
    /// An unknown key, or a signature that is not its.
    Signature,
    /// Asked for something no connection gets.
    Request,
}

/// Why a connection is refused. The wire says `Authorization Violation`, the log says this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// For counters.
    pub kind: RefusalKind,
    /// The one true reason, without secrets.
    pub reason: String,
}

impl Refusal {
    /// A refusal with its reason.
    pub fn new(kind: RefusalKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }
}

/// Decides about connections. Pure: the same facts get the same answer.
pub trait Authenticator: Send + Sync {
    /// Lets a connection in or says why not.
    ///
    /// # Errors
    /// A [`Refusal`] with the one true reason.
    fn authenticate(&self, facts: &ConnectionFacts) -> Result<Grant, Refusal>;

    /// The same decision for those who must not wait: `None` when it would take
    /// long, because a slow hash of a password has to be computed. Whoever asks
    /// then calls [`authenticate`](Self::authenticate) on a thread that may wait.
    fn authenticate_quickly(&self, facts: &ConnectionFacts) -> Option<Result<Grant, Refusal>> {
        Some(self.authenticate(facts))
    }

    /// Whether INFO must carry a nonce for signatures.
    fn wants_nonce(&self) -> bool {
        false
    }

    /// Whether INFO says that something must be shown to get in: false where
    /// somebody without credential and certificate is let in over `transport`.
    fn requires_credentials(&self, transport: Transport) -> bool {
        let _ = transport;
        true
    }

    /// Whether every decision judges the chain of the peer by what is trusted
    /// at that moment. Only then may TLS sessions resume: a resumed session
    /// brings the chain of an earlier handshake, which nobody else looks at.
    fn judges_chains(&self) -> bool {
        false
    }

    /// Whether this chain, leaf first, looks as if it had been revoked: a quick
    /// look that decides nothing. After a reload such connections are judged
    /// before all others.
    fn suspects(&self, chain: &[CertificateDer<'static>]) -> bool {
        let _ = chain;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_present_and_deny() {
        let deny_replies = Permission { deny: SubjectList::new(["*.reply.>"]), ..Default::default() };
        for (permission, subject, publish, subscribe, filter) in [
            (Permission::unrestricted(), "a.b", true, true, false),
            (Permission::nothing(), "a.b", false, false, true),
            (Permission::only(["a.*"]), "a.b", true, true, false),
            (Permission::only(["a.*"]), "a.>", true, false, false),
            (Permission::only(["a.*"]), "b", false, false, false),
            (Permission::only([""; 0]), "b", false, false, true),
            (deny_replies.clone(), ">", true, true, true),
            (deny_replies.clone(), "c.reply.x.>", false, false, true),
            (deny_replies, "c.node.x", true, true, false),
        ] {
            assert_eq!(permission.may_publish(subject.as_bytes()), publish, "{permission:?} {subject}");
            assert_eq!(
                permission.may_subscribe(subject.as_bytes(), None),
                subscribe,
                "{permission:?} {subject}"
            );
            assert_eq!(permission.must_filter(subject.as_bytes()), filter, "{permission:?} {subject}");
        }
    }

    #[test]
    fn queue_entries() {
        let permission = Permission::only(["a.> q1"]);
        assert!(permission.may_subscribe(b"a.b", Some(b"q1")));
        assert!(!permission.may_subscribe(b"a.b", Some(b"q2")));
        assert!(!permission.may_subscribe(b"a.b", None));
        let both = Permission::only(["a.>", "a.> q1"]);
        assert!(both.may_subscribe(b"a.b", None) && both.may_subscribe(b"a.b", Some(b"q1")));
        assert!(!both.may_subscribe(b"a.b", Some(b"q2")));
        let denied = Permission { deny: SubjectList::new(["a.> q1", "b"]), ..Default::default() };
        assert!(denied.may_subscribe(b"a.b", None) && denied.may_subscribe(b"a.b", Some(b"q2")));
        assert!(!denied.may_subscribe(b"a.b", Some(b"q1")));
        assert!(!denied.may_subscribe(b"b", None) && !denied.may_subscribe(b"b", Some(b"q2")));
        assert!(!denied.must_filter(b"a.b") && denied.must_filter(b">"));
    }

    #[test]
    fn a_line_end_adds_no_entry() {
        assert_eq!(SubjectList::new(["a\n>", "b"]).iter().collect::<Vec<_>>(), ["b"]);
    }
}
