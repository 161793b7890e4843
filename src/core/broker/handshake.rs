//! The threads that let connections in: INFO, TLS, CONNECT, authentication.
//!
//! They run at lower priority than the shards where the system offers that,
//! and only so many connections are in their hands at a time, so that ten
//! thousand nodes coming back at once do not slow down those that are in.
//! A connection leaves as a [`NewLink`] for a shard, and is never seen again.

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::inbox::Inbox;
use super::link::NewLink;
use super::outbound::write_all;
use super::session::check_manners;
use super::shard::WAKER;
use super::shared::{Handover, Settings, ShardInboxes, Shared, client_ip};
use super::timer::TimerWheel;
use super::tls::{self, TlsSession};
use super::wire::{ReadError, ReadScratch, Received};
use crate::core::admission::{
    ConnectionFacts, Grant, LinkKind, PeerCertificate, Refusal, RefusalKind, Transport,
};
use crate::core::nats::codec::{self, Event, Step};
use crate::core::nats::connect::ConnectOptions;
use crate::core::nats::frame;

/// Bytes that may wait for a peer that is not in yet.
const MOST_UNSENT: usize = 64 * 1024;

/// Something for a handshake thread.
pub enum Arrival {
    /// A connection as accepted.
    Socket {
        /// Its socket.
        stream: TcpStream,
        /// Peer address.
        remote: SocketAddr,
        /// Listener it came by.
        listener: usize,
        /// The listener speaks TLS.
        tls: bool,
    },
    /// Close everything and end.
    Stop,
}

/// A connection that is not in yet.
struct Guest {
    cid: u64,
    stream: TcpStream,
    remote: SocketAddr,
    listener: usize,
    tls: Option<Box<dyn TlsSession>>,
    /// The TLS handshake is done; true from the start on clear text.
    secure: bool,
    nonce: String,
    input: Vec<u8>,
    cipher: Vec<u8>,
    /// Bytes the socket did not take yet.
    unsent: Vec<u8>,
    deadline: Duration,
    hung_up: bool,
}

/// How a guest leaves.
enum Leave {
    /// Without a word.
    Silently { reason: String, counted: &'static str },
    /// With an `-ERR`.
    Told { reason: String, counted: &'static str, text: &'static str },
    /// Into a shard.
    In(Box<(ConnectOptions, Grant)>),
}

/// See the module documentation.
pub struct HandshakeRoom {
    shared: Arc<Shared>,
    poll: Poll,
    inbox: Arc<Inbox<Arrival>>,
    shards: ShardInboxes,
    next_shard: Arc<AtomicUsize>,
    guests: Slab<Guest>,
    wheel: TimerWheel<(usize, u64)>,
    now: Duration,
    scratch: ReadScratch,
    stop: bool,
}

impl HandshakeRoom {
    /// An empty room.
    pub fn new(
        shared: Arc<Shared>,
        poll: Poll,
        inbox: Arc<Inbox<Arrival>>,
        shards: ShardInboxes,
        next_shard: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            now: shared.start.elapsed(),
            shared,
            poll,
            inbox,
            shards,
            next_shard,
            guests: Slab::new(),
            wheel: TimerWheel::new(Duration::from_millis(50)),
            scratch: ReadScratch::new(),
            stop: false,
        }
    }

    /// Serves until told to stop.
    pub fn run(mut self) {
        lower_priority();
        let mut events = Events::with_capacity(256);
        let (mut arrived, mut fired) = (Vec::new(), Vec::new());
        while !self.stop {
            let patience = self.wheel.next().map(|at| at.saturating_sub(self.now) + Duration::from_millis(1));
            if let Err(error) = self.poll.poll(&mut events, patience)
                && error.kind() != ErrorKind::Interrupted
            {
                tracing::error!(%error, "waiting for handshakes failed");
                break;
            }
            self.now = self.shared.start.elapsed();
            self.inbox.take(&mut arrived);
            for arrival in arrived.drain(..) {
                match arrival {
                    Arrival::Socket { stream, remote, listener, tls } => {
                        self.welcome(stream, remote, listener, tls);
                    }
                    Arrival::Stop => self.stop = true,
                }
            }
            for event in events.iter().filter(|event| event.token() != WAKER) {
                let key = event.token().0;
                if let Some(guest) = self.guests.get_mut(key) {
                    guest.hung_up |= event.is_read_closed() || event.is_error();
                }
                if event.is_writable() {
                    self.flush(key);
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.hear(key);
                }
            }
            self.now = self.shared.start.elapsed();
            self.wheel.advance(self.now, &mut fired);
            for (key, cid) in fired.drain(..) {
                self.expire(key, cid);
            }
        }
        for guest in self.guests.drain() {
            drop(guest);
            self.shared.handshaking.fetch_sub(1, Ordering::AcqRel);
            self.shared.open.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn welcome(&mut self, mut stream: TcpStream, remote: SocketAddr, listener: usize, with_tls: bool) {
        let settings = self.shared.settings();
        let cid = self.shared.next_cid();
        let session = match (with_tls, &settings.tls) {
            (false, _) => Ok(None),
            (true, Some(config)) => tls::accept(config.clone(), self.shared.buffered_tls).map(Some),
            (true, None) => Err(rustls::Error::General("TLS is no longer configured".to_owned())),
        };
        let session = match session {
            Ok(session) => session,
            Err(error) => {
                tracing::error!(%remote, %error, "starting TLS for a connection failed");
                return self.gone("tls handshake");
            }
        };
        let nonce = if settings.authenticator.wants_nonce() { new_nonce() } else { String::new() };
        let address = client_ip(remote);
        let mut info = self.shared.info(&settings, listener, cid, &address, with_tls);
        info.nonce = (!nonce.is_empty()).then_some(nonce.as_str());
        let line = info.line();
        let limits = &settings.limits;
        let deadline = self.now + if with_tls { limits.tls_timeout } else { limits.auth_timeout };
        let entry = self.guests.vacant_entry();
        let key = entry.key();
        if let Err(error) =
            self.poll.registry().register(&mut stream, Token(key), Interest::READABLE | Interest::WRITABLE)
        {
            tracing::warn!(%remote, %error, "registering a connection failed; it is closed");
            return self.gone("registration");
        }
        entry.insert(Guest {
            cid,
            stream,
            remote,
            listener,
            secure: session.is_none(),
            tls: session,
            nonce,
            input: Vec::new(),
            cipher: Vec::new(),
            unsent: line,
            deadline,
            hung_up: false,
        });
        self.wheel.insert(deadline, (key, cid));
        self.flush(key);
    }

    /// Counts a connection that ended before it was in.
    fn gone(&self, counted: &'static str) {
        self.shared.handshaking.fetch_sub(1, Ordering::AcqRel);
        self.shared.open.fetch_sub(1, Ordering::AcqRel);
        self.shared.handshakes_failed.fetch_add(1, Ordering::Relaxed);
        if !counted.is_empty() {
            self.shared.refused(counted);
        }
    }

    fn flush(&mut self, key: usize) {
        let Some(guest) = self.guests.get_mut(key) else { return };
        if guest.unsent.is_empty() {
            return;
        }
        match write_all(&mut guest.stream, &guest.unsent) {
            Ok(count) if count == guest.unsent.len() => guest.unsent = Vec::new(),
            Ok(count) => {
                guest.unsent.drain(..count);
            }
            Err(error) => {
                let reason = format!("writing to the peer failed: {error}");
                self.dismiss(key, Leave::Silently { reason, counted: "" });
            }
        }
    }

    /// Reads what a guest has to say, until there is no more or it leaves.
    fn hear(&mut self, key: usize) {
        loop {
            let Some(guest) = self.guests.get_mut(key) else { return };
            let received = self.scratch.receive(
                &mut guest.stream,
                guest.tls.as_deref_mut(),
                &mut guest.cipher,
                guest.hung_up,
            );
            guest.unsent.extend_from_slice(&self.scratch.reply);
            guest.input.extend_from_slice(self.scratch.plain());
            let received = match received {
                Ok(received) => received,
                Err(error) => {
                    let leave = broken(guest, error);
                    return self.dismiss(key, leave);
                }
            };
            if !guest.secure && guest.tls.as_ref().is_some_and(|session| !session.is_handshaking()) {
                guest.secure = true;
                guest.deadline = self.now + self.shared.settings().limits.auth_timeout;
                let timer = (key, guest.cid);
                self.wheel.insert(guest.deadline, timer);
            }
            let leave = self.talk(key);
            self.flush(key);
            if let Some(leave) = leave {
                return self.dismiss(key, leave);
            }
            if self.guests.get(key).is_some_and(|guest| guest.unsent.len() > MOST_UNSENT) {
                let reason = "the peer asks and does not read".to_owned();
                return self.dismiss(key, Leave::Silently { reason, counted: "protocol" });
            }
            match received {
                Received::More => {}
                Received::Drained => return,
                Received::Closed => {
                    let reason = "the peer went before it was let in".to_owned();
                    return self.dismiss(key, Leave::Silently { reason, counted: "" });
                }
            }
        }
    }

    /// Acts on complete lines: only CONNECT and PING are taken here.
    fn talk(&mut self, key: usize) -> Option<Leave> {
        let settings = self.shared.settings();
        let bounds = settings.limits.bounds();
        let guest = self.guests.get_mut(key)?;
        let input = std::mem::take(&mut guest.input);
        let mut used = 0;
        let leave = loop {
            let Some(rest) = input.get(used..).filter(|rest| !rest.is_empty()) else { break None };
            if is_forbidden(rest) {
                break Some(Leave::Told {
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
                        Event::Connect(body) => break Some(judge(guest, body, &settings)),
                        Event::Ping => guest.say(frame::PONG),
                        // what else there is has been refused by its first letters
                        _ => {}
                    }
                }
                Err(error) => {
                    let reason = error.to_string();
                    let counted = "protocol";
                    break Some(match error.wire_text() {
                        Some(text) => Leave::Told { reason, counted, text },
                        None => Leave::Silently { reason, counted },
                    });
                }
            }
        };
        guest.input = input.get(used..).unwrap_or_default().to_vec();
        leave
    }

    fn expire(&mut self, key: usize, cid: u64) {
        let Some(guest) = self.guests.get(key).filter(|guest| guest.cid == cid) else { return };
        if guest.deadline > self.now {
            // the handshake got further meanwhile, and set its own timer
            return;
        }
        let leave = if guest.secure {
            Leave::Told {
                reason: "no CONNECT came in time".to_owned(),
                counted: "authentication timeout",
                text: "Authentication Timeout",
            }
        } else {
            Leave::Silently { reason: "the TLS handshake took too long".to_owned(), counted: "tls timeout" }
        };
        self.dismiss(key, leave);
    }

    fn dismiss(&mut self, key: usize, leave: Leave) {
        let Some(mut guest) = self.guests.try_remove(key) else { return };
        let (cid, remote) = (guest.cid, guest.remote);
        let _ = self.poll.registry().deregister(&mut guest.stream);
        match leave {
            Leave::In(admitted) => {
                let (options, grant) = *admitted;
                if options.verbose {
                    guest.say(frame::OK);
                }
                self.admit(guest, options, grant);
            }
            Leave::Silently { reason, counted } => {
                let _ = write_all(&mut guest.stream, &guest.unsent);
                let certname = guest.certname();
                if counted.is_empty() {
                    tracing::debug!(cid, %remote, certname, %reason, "connection ended before it was let in");
                } else {
                    tracing::warn!(cid, %remote, certname, %reason, "connection refused");
                }
                self.gone(counted);
            }
            Leave::Told { reason, counted, text } => {
                guest.say(&frame::error_line(text));
                if let Some(session) = guest.tls.as_mut() {
                    session.close(&mut guest.cipher, &mut guest.unsent);
                }
                let _ = write_all(&mut guest.stream, &guest.unsent);
                // unread input would turn the close into a reset that overtakes the error
                let _ = guest.stream.shutdown(Shutdown::Write);
                let _ = guest.stream.read(&mut [0; 4096]);
                let certname = guest.certname();
                tracing::warn!(cid, %remote, certname, %reason, "connection refused");
                self.gone(counted);
            }
        }
    }

    fn admit(&mut self, guest: Guest, options: ConnectOptions, grant: Grant) {
        tracing::debug!(
            cid = guest.cid, remote = %guest.remote, account = %grant.account, user = %grant.user,
            name = %options.name, "connection admitted"
        );
        self.shared.handshakes.fetch_add(1, Ordering::Relaxed);
        self.shared.handshaking.fetch_sub(1, Ordering::AcqRel);
        let shard = self.next_shard.fetch_add(1, Ordering::Relaxed) % self.shards.len().max(1);
        if let Some(inbox) = self.shards.get(shard) {
            inbox.send_one(Handover::Link(Box::new(NewLink {
                cid: guest.cid,
                stream: guest.stream,
                tls: guest.tls,
                remote: guest.remote,
                listener: guest.listener,
                nonce: guest.nonce.into(),
                options,
                grant,
                input: guest.input,
                cipher: guest.cipher,
                unsent: guest.unsent,
            })));
        }
    }
}

impl Guest {
    /// Queues a line, encrypted if need be.
    fn say(&mut self, line: &[u8]) {
        match self.tls.as_mut() {
            None => self.unsent.extend_from_slice(line),
            // a session that cannot encrypt has been closed by the peer, which then hears nothing
            Some(session) => drop(session.write(&mut self.cipher, line, &mut self.unsent)),
        }
    }

    fn certificate(&self) -> Result<Option<PeerCertificate>, Refusal> {
        let chain = self.tls.as_ref().filter(|_| self.secure).and_then(|session| session.peer_certificates());
        match chain {
            None | Some([]) => Ok(None),
            Some(chain) => PeerCertificate::parse(chain.to_vec())
                .map(Some)
                .map_err(|error| Refusal::new(RefusalKind::BadCertificate, error.to_string())),
        }
    }

    fn certname(&self) -> String {
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

fn broken(guest: &mut Guest, error: ReadError) -> Leave {
    if guest.secure {
        return Leave::Silently { reason: error.to_string(), counted: "" };
    }
    if let ReadError::Tls(rustls::Error::InvalidMessage(_)) = error {
        // whoever does not speak TLS is told nothing in it
        guest.unsent = Vec::new();
    }
    Leave::Silently { reason: error.to_string(), counted: "tls handshake" }
}

/// Decides about CONNECT.
fn judge(guest: &Guest, body: &[u8], settings: &Settings) -> Leave {
    let options = match ConnectOptions::decode(body) {
        Ok(options) => options,
        Err(error) => return Leave::Silently { reason: error.to_string(), counted: "protocol" },
    };
    if let Err((reason, text)) = check_manners(&options) {
        return Leave::Told { reason: reason.to_owned(), counted: "protocol", text };
    }
    let refuse = |refusal: Refusal| Leave::Told {
        reason: refusal.reason,
        counted: refusal_name(refusal.kind),
        text: "Authorization Violation",
    };
    let certificate = match guest.certificate() {
        Ok(certificate) => certificate,
        Err(refusal) => return refuse(refusal),
    };
    let facts = ConnectionFacts {
        remote: Some(guest.remote),
        kind: LinkKind::Client,
        transport: if guest.tls.is_some() { Transport::Tls } else { Transport::Plaintext },
        certificate,
        options,
        nonce: guest.nonce.clone(),
    };
    match settings.authenticator.authenticate(&facts) {
        Ok(grant) => Leave::In(Box::new((facts.options, grant))),
        Err(refusal) => refuse(refusal),
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
        RefusalKind::Request => "account request",
    }
}

/// 11 random bytes as 15 characters (spec 04 §6.2).
fn new_nonce() -> String {
    use base64::Engine;
    let mut bytes = [0; 11];
    // without randomness no signature can be asked for: the empty nonce is refused by token rules
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return String::new();
    }
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// Lets the shards go first. On Linux this is about the calling thread alone.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, 5) {
        tracing::debug!(%error, "handshake threads run at normal priority");
    }
}
