//! A connection that is not in yet, and what decides whether it gets in.

use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;

use super::ledger::Held;
use super::session::check_options;
use super::shared::Settings;
use super::shown;
use super::stats::ConnectionInfo;
use super::tls::TlsSession;
use super::wire::ReadError;
use crate::core::admission::{ConnectionFacts, Grant, PeerCertificate, Refusal, RefusalKind};
use crate::core::nats::codec::{self, Event, Step};
use crate::core::nats::connect::ConnectOptions;
use crate::core::nats::frame;

/// A connection that is not in yet.
pub struct PendingLink {
    /// Number of the connection.
    pub cid: u64,
    /// Socket.
    pub stream: TcpStream,
    /// Peer address.
    pub remote: SocketAddr,
    /// Listener it came by.
    pub listener: usize,
    /// TLS state, on TLS listeners.
    pub tls: Option<Box<dyn TlsSession>>,
    /// The TLS handshake is done; true from the start on clear text.
    pub secure: bool,
    /// Nonce of its INFO; empty if none was sent.
    pub nonce: String,
    /// Plaintext that is no whole line yet.
    pub input: Vec<u8>,
    /// Ciphertext that is no whole record yet.
    pub cipher: Vec<u8>,
    /// Bytes the socket did not take yet.
    pub unsent: Vec<u8>,
    /// When it was accepted, on the handshake thread's clock.
    pub since: Duration,
    /// When it must have got further, on the handshake thread's clock.
    pub deadline: Duration,
    /// When it got further last, and how much it had sent by then; see [`PendingLink::heard_from`].
    pub heard: Duration,
    /// See there.
    pub received_then: usize,
    /// Generation of the settings it was judged by.
    pub judged_by: u64,
    /// Bytes it has sent.
    pub received: usize,
    /// The system has seen the end of its stream.
    pub hung_up: bool,
    /// Somebody decides about its CONNECT: nothing more is read until then.
    pub judged: bool,
    /// What it holds, in the broker's account.
    pub held: Held,
}

/// Bytes a network carries at a time.
const SEGMENT: usize = 1024;

/// How a link leaves.
pub enum Outcome {
    /// Without a word.
    Silently {
        /// For the log.
        reason: String,
        /// Under which name it is counted; not at all when empty.
        counted: &'static str,
    },
    /// With an `-ERR`.
    Told {
        /// For the log.
        reason: String,
        /// Under which name it is counted.
        counted: &'static str,
        /// Text of the `-ERR`.
        text: &'static str,
    },
    /// Into a shard.
    In(Box<(ConnectOptions, Grant)>),
    /// It stays until somebody has had time to decide.
    Pending(Box<ConnectionFacts>),
}

impl PendingLink {
    /// Enters what it holds now into the account.
    pub fn settle(&mut self) {
        self.held.set(self.input.capacity() + self.cipher.capacity() + self.unsent.capacity());
    }

    /// It has sent something at `now`, and `got_further` by it. Bytes are as good from a segment's worth
    /// on: who sends one at a time holds a place as if it were silent.
    pub fn heard_from(&mut self, now: Duration, got_further: bool) {
        if got_further || self.received >= self.received_then + SEGMENT {
            (self.heard, self.received_then) = (now, self.received);
        }
    }

    /// Acts on complete lines: only CONNECT and PING are taken here.
    pub fn talk(&mut self, settings: &Settings) -> Option<Outcome> {
        let bounds = settings.limits.bounds();
        let input = std::mem::take(&mut self.input);
        let mut used = 0;
        let leave = loop {
            let Some(rest) = input.get(used..).filter(|rest| !rest.is_empty()) else { break None };
            if is_forbidden(rest) {
                break Some(Outcome::Told {
                    reason: "the peer sent something else before CONNECT".to_owned(),
                    counted: "no connect",
                    text: "Authorization Violation",
                });
            }
            match codec::next(rest, &bounds) {
                Ok(Step::Need(_)) => break None,
                Ok(Step::Event(event, count)) => {
                    used += count;
                    match event {
                        Event::Connect(body) => break Some(judge(self, body, settings)),
                        Event::Ping => self.say(frame::PONG),
                        // what else there is has been refused by its first letters
                        _ => {}
                    }
                }
                Err(error) => {
                    let reason = error.to_string();
                    let counted = "protocol";
                    break Some(match error.wire_text() {
                        Some(text) => Outcome::Told { reason, counted, text },
                        None => Outcome::Silently { reason, counted },
                    });
                }
            }
        };
        self.input = input.get(used..).unwrap_or_default().to_vec();
        leave
    }

    /// Queues a line, encrypted if need be.
    pub fn say(&mut self, line: &[u8]) {
        match self.tls.as_mut() {
            None => self.unsent.extend_from_slice(line),
            // a session that cannot encrypt has been closed by the peer, which then hears nothing
            Some(session) => drop(session.write(&mut self.cipher, line, &mut self.unsent)),
        }
    }

    fn certificate(&self) -> Result<Option<PeerCertificate>, Refusal> {
        shown::certificate(self.tls.as_deref().filter(|_| self.secure))
    }

    /// What reports show of it when it has gone.
    pub fn report(&self, now: Duration) -> ConnectionInfo {
        ConnectionInfo {
            cid: self.cid,
            remote: Some(self.remote),
            at: now,
            uptime: now.saturating_sub(self.since),
            idle: now.saturating_sub(self.heard),
            tls: self.tls.as_ref().filter(|_| self.secure).map(|tls| tls.summary()).unwrap_or_default(),
            ..ConnectionInfo::default()
        }
    }

    /// Name of its certificate, for logs.
    pub fn certname(&self) -> String {
        let certificate = self.certificate().ok().flatten();
        certificate.as_ref().and_then(PeerCertificate::certname).unwrap_or_default().to_owned()
    }
}

/// Verbs that are refused before CONNECT, as soon as they show: nobody unknown
/// gets a megabyte of payload buffered first.
fn is_forbidden(line: &[u8]) -> bool {
    [&b"PUB"[..], b"HPUB", b"SUB", b"UNSUB"]
        .iter()
        .any(|verb| line.get(..verb.len()).is_some_and(|front| front.eq_ignore_ascii_case(verb)))
}

/// How a link leaves whose bytes cannot be read.
pub fn broken(link: &mut PendingLink, error: ReadError) -> Outcome {
    // Health checks connect and reset: whoever said nothing is not refused.
    if link.secure || error.is_reset() {
        return Outcome::Silently { reason: error.to_string(), counted: "" };
    }
    if let ReadError::Tls(rustls::Error::InvalidMessage(_)) = error {
        // whoever does not speak TLS is told nothing in it
        link.unsent = Vec::new();
    }
    Outcome::Silently { reason: error.to_string(), counted: "tls handshake" }
}

/// Decides about CONNECT.
fn judge(link: &PendingLink, body: &[u8], settings: &Settings) -> Outcome {
    let options = match ConnectOptions::decode(body) {
        Ok(options) => options,
        Err(error) => return Outcome::Silently { reason: error.to_string(), counted: "protocol" },
    };
    if let Err((reason, text)) = check_options(&options) {
        return Outcome::Told { reason: reason.to_owned(), counted: "protocol", text };
    }
    let facts = match shown::facts(link.remote, link.tls.as_deref(), options, &link.nonce) {
        Ok(facts) => facts,
        Err(refusal) => return refused(refusal),
    };
    match settings.authenticator.authenticate_quickly(&facts) {
        None => Outcome::Pending(Box::new(facts)),
        Some(verdict) => outcome_of(facts.options, verdict),
    }
}

/// How a link leaves about whom has been decided.
pub fn outcome_of(options: ConnectOptions, verdict: Result<Grant, Refusal>) -> Outcome {
    match verdict {
        Ok(grant) => Outcome::In(Box::new((options, grant))),
        Err(refusal) => refused(refusal),
    }
}

fn refused(refusal: Refusal) -> Outcome {
    Outcome::Told {
        reason: refusal.reason,
        counted: refusal_name(refusal.kind),
        text: "Authorization Violation",
    }
}

fn refusal_name(kind: RefusalKind) -> &'static str {
    match kind {
        RefusalKind::TlsRequired => "tls required",
        RefusalKind::NoCertificate => "no certificate",
        RefusalKind::BadCertificate => "bad certificate",
        RefusalKind::Password => "password",
        RefusalKind::NotConfigured => "not configured",
        RefusalKind::Token => "token",
        RefusalKind::Signature => "signature",
        RefusalKind::Request => "account request",
    }
}

/// 11 random bytes as 15 characters (spec 04 §6.2).
pub fn new_nonce() -> String {
    use base64::Engine;
    let mut bytes = [0; 11];
    // without randomness no signature can be asked for: the empty nonce is refused by token rules
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return String::new();
    }
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
