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

use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::crowds::Arrived;
use super::guest::{Guest, Leave, broken, new_nonce, sentence};
use super::inbox::Inbox;
use super::judges::{Case, Court, Judged};
use super::ledger::Held;
use super::link::NewLink;
use super::outbound::write_all;
use super::shard::WAKER;
use super::shared::{Handover, Settings, ShardInboxes, Shared, client_ip};
use super::timer::TimerWheel;
use super::tls;
use super::wire::{ReadScratch, Received};
use crate::core::admission::{ConnectionFacts, Grant, PeerKind};
use crate::core::log::RefusalLog;
use crate::core::nats::connect::ConnectOptions;
use crate::core::nats::frame;

/// Bytes that may wait for a peer that is not in yet.
const MOST_UNSENT: usize = 64 * 1024;

/// Bytes a peer may send before it is in, beside CONNECT: certificates, and a few pings.
const MOST_RECEIVED: usize = 256 * 1024;
/// A peer that was silent for this long makes room for another when the room is full.
const IDLE: Duration = Duration::from_millis(500);
/// Most peers sent away at once for that.
const MAKE_ROOM: usize = 64;

/// Something for a handshake thread.
pub enum Arrival {
    /// A connection as accepted.
    Socket(Arrived),
    /// It has been decided about a guest.
    Judged(Box<Judged>),
    /// The room is full, and others wait outside.
    Crowded,
    /// Close everything and end.
    Stop,
}

/// See the module documentation.
pub struct HandshakeRoom {
    shared: Arc<Shared>,
    poll: Poll,
    inbox: Arc<Inbox<Arrival>>,
    shards: ShardInboxes,
    next_shard: Arc<AtomicUsize>,
    court: Court,
    guests: Slab<Guest>,
    /// Whose turn it is, because somebody of their address has left.
    next: Vec<Arrived>,
    wheel: TimerWheel<(usize, u64)>,
    now: Duration,
    scratch: ReadScratch,
    refusals: RefusalLog,
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
        court: Court,
    ) -> Self {
        Self {
            now: shared.start.elapsed(),
            shared,
            poll,
            inbox,
            shards,
            next_shard,
            court,
            guests: Slab::new(),
            next: Vec::new(),
            wheel: TimerWheel::new(Duration::from_millis(50)),
            scratch: ReadScratch::new(),
            refusals: RefusalLog::default(),
            stop: false,
        }
    }

    /// Serves until told to stop.
    pub fn run(mut self) {
        lower_priority();
        let mut events = Events::with_capacity(256);
        let (mut arrived, mut fired) = (Vec::new(), Vec::new());
        while !self.stop {
            let mut patience =
                self.wheel.next().map(|at| at.saturating_sub(self.now) + Duration::from_millis(1));
            if !self.next.is_empty() {
                patience = Some(Duration::ZERO);
            }
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
                    Arrival::Socket(new) => self.welcome(new),
                    Arrival::Judged(judged) => self.conclude(*judged),
                    Arrival::Crowded => self.make_room(),
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
            while let Some(new) = self.next.pop() {
                self.welcome(new);
            }
            self.now = self.shared.start.elapsed();
            self.wheel.advance(self.now, &mut fired);
            for (key, cid) in fired.drain(..) {
                self.expire(key, cid);
            }
        }
        let guests: Vec<SocketAddr> = self.guests.drain().map(|guest| guest.remote).collect();
        let next = self.next.drain(..).map(|new| new.remote);
        for remote in guests.into_iter().chain(next.collect::<Vec<_>>()) {
            let mut ended = 1;
            // whoever would be next ends too
            while self.shared.end_handshake(remote.ip()).is_some() {
                ended += 1;
            }
            self.shared.open.fetch_sub(ended, Ordering::AcqRel);
        }
    }

    fn welcome(&mut self, new: Arrived) {
        let Arrived { mut stream, remote, listener, tls: with_tls } = new;
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
                return self.gone(remote, "tls handshake");
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
            return self.gone(remote, "registration");
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
            since: self.now,
            deadline,
            heard: self.now,
            judged_by: 0,
            received: 0,
            hung_up: false,
            judged: false,
            held: Held::new(&self.shared.guests_held),
        });
        self.wheel.insert(deadline, (key, cid));
        self.flush(key);
    }

    /// Counts a connection that ended before it was in.
    fn gone(&mut self, remote: SocketAddr, counted: &'static str) {
        self.next.extend(self.shared.end_handshake(remote.ip()));
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
        let generation = self.shared.generation();
        let settings = self.shared.settings();
        loop {
            let Some(guest) = self.guests.get_mut(key) else { return };
            if guest.judged {
                return;
            }
            guest.heard = self.now;
            let received = self.scratch.receive(
                &mut guest.stream,
                guest.tls.as_deref_mut(),
                &mut guest.cipher,
                guest.hung_up,
            );
            guest.received += self.scratch.taken();
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
                guest.deadline = self.now + settings.limits.auth_timeout;
                let timer = (key, guest.cid);
                self.wheel.insert(guest.deadline, timer);
            }
            guest.judged_by = generation;
            let leave = guest.talk(&settings);
            guest.settle();
            let flooding = guest.received > MOST_RECEIVED + settings.limits.max_connect;
            self.flush(key);
            match leave {
                None => {}
                Some(Leave::Pending(facts)) => return self.submit(key, *facts, settings),
                Some(leave) => return self.dismiss(key, leave),
            }
            if flooding || self.guests.get(key).is_some_and(|guest| guest.unsent.len() > MOST_UNSENT) {
                let reason = "the peer sends much and does not say who it is".to_owned();
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

    /// Has somebody decide who may take the time.
    fn submit(&mut self, key: usize, facts: ConnectionFacts, settings: Arc<Settings>) {
        let Some(guest) = self.guests.get_mut(key) else { return };
        guest.judged = true;
        let (cid, deadline, room) = (guest.cid, guest.deadline, self.inbox.clone());
        if !self.court.submit(Case { key, cid, deadline, facts, settings, room }) {
            let reason = "too many passwords wait to be checked".to_owned();
            let (counted, text) = ("passwords waiting", "Authorization Violation");
            self.dismiss(key, Leave::Told { reason, counted, text });
        }
    }

    fn conclude(&mut self, judged: Judged) {
        let Judged { key, cid, facts, verdict } = judged;
        if self.guests.get(key).is_some_and(|guest| guest.cid == cid) {
            self.dismiss(key, sentence(facts.options, verdict));
        }
    }

    /// Sends away peers that hold a place and do nothing with it, the longest silent first.
    fn make_room(&mut self) {
        let mut idle: Vec<(Duration, usize)> = self
            .guests
            .iter()
            .filter(|(_, guest)| guest.heard + IDLE <= self.now && !guest.judged)
            .map(|(key, guest)| (guest.heard, key))
            .collect();
        idle.sort_unstable();
        for (_, key) in idle.into_iter().take(MAKE_ROOM) {
            let reason = "the peer was silent while others waited to be let in".to_owned();
            self.dismiss(key, Leave::Silently { reason, counted: "crowded out" });
        }
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
        if let Leave::Silently { counted, .. } | Leave::Told { counted, .. } = &leave {
            self.shared.closed.guest(guest.report(self.now), counted, self.now);
        }
        match leave {
            Leave::In(admitted) => {
                let (options, grant) = *admitted;
                if options.verbose {
                    guest.say(frame::OK);
                }
                self.admit(guest, options, grant);
            }
            // handled where it arises; nobody leaves by it
            Leave::Pending(_) => self.gone(remote, "protocol"),
            Leave::Silently { reason, counted } => {
                let _ = write_all(&mut guest.stream, &guest.unsent);
                if !guest.unsent.is_empty() {
                    // as below: the alert says what is wrong with the peer's certificate
                    let _ = guest.stream.shutdown(Shutdown::Write);
                    let _ = guest.stream.read(&mut [0; 4096]);
                }
                let certname = guest.certname();
                if counted.is_empty() {
                    tracing::debug!(cid, %remote, certname, %reason, "connection ended before it was let in");
                } else {
                    self.refusals.note(counted, || {
                        tracing::warn!(cid, %remote, certname, %reason, "connection refused");
                    });
                }
                self.gone(remote, counted);
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
                self.refusals.note(counted, || {
                    tracing::warn!(cid, %remote, certname, %reason, "connection refused");
                });
                self.gone(remote, counted);
            }
        }
    }

    fn admit(&mut self, mut guest: Guest, options: ConnectOptions, grant: Grant) {
        let settings = self.shared.settings();
        let seat = match self.shared.holders.seat(grant.account, &grant.peer, guest.cid, &settings.limits) {
            Ok(seat) => seat,
            Err(counted) => {
                guest.say(&frame::error_line("maximum connections exceeded"));
                let _ = write_all(&mut guest.stream, &guest.unsent);
                let (cid, remote) = (guest.cid, guest.remote);
                let (kind, identity) = (grant.peer.kind.name(), &grant.peer.identity);
                self.refusals.note(counted, || {
                    tracing::warn!(cid, %remote, kind, %identity, reason = counted, "connection refused");
                });
                self.shared.closed.guest(guest.report(self.now), counted, self.now);
                return self.gone(remote, counted);
            }
        };
        tracing::debug!(
            cid = guest.cid, remote = %guest.remote, account = %grant.account, user = %grant.user,
            name = %options.name, "connection admitted"
        );
        self.shared.handshakes.fetch_add(1, Ordering::Relaxed);
        if matches!(grant.peer.kind, PeerKind::Client | PeerKind::Service) {
            self.shared.remember(guest.remote.ip());
        }
        if guest.tls.as_ref().is_some_and(|session| session.is_resumed()) {
            self.shared.handshakes_resumed.fetch_add(1, Ordering::Relaxed);
        }
        self.next.extend(self.shared.end_handshake(guest.remote.ip()));
        // a small network is one shard's: nothing it says is handed over
        let small = self.shared.open.load(Ordering::Relaxed) <= settings.limits.one_shard;
        let shard = match small {
            true => 0,
            false => self.next_shard.fetch_add(1, Ordering::Relaxed) % self.shards.len().max(1),
        };
        if let Some(inbox) = self.shards.get(shard) {
            inbox.send_one(Handover::Link(Box::new(NewLink {
                cid: guest.cid,
                stream: guest.stream,
                tls: guest.tls,
                remote: guest.remote,
                listener: guest.listener,
                nonce: guest.nonce.into(),
                judged_by: guest.judged_by,
                options,
                grant,
                input: guest.input,
                cipher: guest.cipher,
                unsent: guest.unsent,
                seat,
            })));
        }
    }
}

/// Lets the shards go first. On Linux this is about the calling thread alone.
pub fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, 5) {
        tracing::debug!(%error, "handshake threads run at normal priority");
    }
}
