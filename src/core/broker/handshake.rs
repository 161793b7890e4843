//! The threads that let connections in: INFO, TLS, CONNECT, authentication.
//!
//! They run at lower priority than the shards where the system offers that,
//! and only so many connections are in their hands at a time, so that ten
//! thousand nodes coming back at once do not slow down those that are in.
//! A connection leaves as a [`NewLink`](super::link::NewLink) for a shard, and is never seen again.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::handshake_queue::Arrived;
use super::inbox::Inbox;
use super::ledger::Held;
use super::outbound::write_all;
use super::pending::{Outcome, PendingLink, broken, new_nonce, outcome_of};
use super::shard::WAKER;
use super::shared::{Settings, ShardInboxes, Shared, client_ip};
use super::slow_checks::{Checked, SlowCheck, SlowChecks};
use super::timer::TimerWheel;
use super::tls;
use super::wire::{ReadScratch, Received};
use crate::core::admission::ConnectionFacts;
use crate::core::security::tls_errors::told;

/// Bytes that may wait for a peer that is not in yet.
const MOST_UNSENT: usize = 64 * 1024;

/// Bytes a peer may send before it is in, beside CONNECT: certificates, and a few pings.
const MOST_RECEIVED: usize = 256 * 1024;

/// Something for a handshake thread.
pub enum Arrival {
    /// A connection as accepted.
    Socket(Arrived),
    /// It has been decided about a link.
    Checked(Box<Checked>),
    /// Others wait: all handshakes there may be are under way, or all that their address may have.
    Full,
    /// Close everything and end.
    Stop,
}

/// See the module documentation.
pub struct HandshakeThread {
    pub(super) shared: Arc<Shared>,
    pub(super) poll: Poll,
    pub(super) inbox: Arc<Inbox<Arrival>>,
    pub(super) shards: ShardInboxes,
    pub(super) next_shard: Arc<AtomicUsize>,
    pub(super) slow_checks: SlowChecks,
    pub(super) pending: Slab<PendingLink>,
    /// Whose turn it is, because somebody of their address has left.
    pub(super) next: Vec<Arrived>,
    pub(super) wheel: TimerWheel<(usize, u64)>,
    pub(super) now: Duration,
    pub(super) scratch: ReadScratch,
    pub(super) stop: bool,
}

impl HandshakeThread {
    /// A thread with nothing to do yet.
    pub fn new(
        shared: Arc<Shared>,
        poll: Poll,
        inbox: Arc<Inbox<Arrival>>,
        shards: ShardInboxes,
        next_shard: Arc<AtomicUsize>,
        slow_checks: SlowChecks,
    ) -> Self {
        Self {
            now: shared.start.elapsed(),
            shared,
            poll,
            inbox,
            shards,
            next_shard,
            slow_checks,
            pending: Slab::new(),
            next: Vec::new(),
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
            let mut crowded = false;
            for arrival in arrived.drain(..) {
                match arrival {
                    Arrival::Socket(new) => self.welcome(new),
                    Arrival::Checked(judged) => self.conclude(*judged),
                    Arrival::Full => crowded = true,
                    Arrival::Stop => self.stop = true,
                }
            }
            for event in events.iter().filter(|event| event.token() != WAKER) {
                let key = event.token().0;
                if let Some(link) = self.pending.get_mut(key) {
                    link.hung_up |= event.is_read_closed() || event.is_error();
                }
                if event.is_writable() {
                    self.flush(key);
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.hear(key);
                }
            }
            // whoever has just said something is not silent
            if crowded {
                self.make_room();
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
        let pending: Vec<SocketAddr> = self.pending.drain().map(|link| link.remote).collect();
        let next = self.next.drain(..).map(|new| new.remote);
        for remote in pending.into_iter().chain(next.collect::<Vec<_>>()) {
            let (mut ended, mut last) = (1, remote);
            // whoever would be next ends too
            while let Some(next) = self.shared.end_handshake(last.ip()) {
                last = next.remote;
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
                tracing::error!(%remote, error = told(&error), "starting TLS for a connection failed");
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
        let entry = self.pending.vacant_entry();
        let key = entry.key();
        if let Err(error) =
            self.poll.registry().register(&mut stream, Token(key), Interest::READABLE | Interest::WRITABLE)
        {
            tracing::warn!(%remote, %error, "registering a connection failed; it is closed");
            return self.gone(remote, "registration");
        }
        entry.insert(PendingLink {
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
            received_then: 0,
            judged_by: 0,
            received: 0,
            hung_up: false,
            judged: false,
            held: Held::new(&self.shared.pending_held),
        });
        self.wheel.insert(deadline, (key, cid));
        self.flush(key);
    }

    /// Counts a connection that ended before it was in.
    pub(super) fn gone(&mut self, remote: SocketAddr, counted: &'static str) {
        self.next.extend(self.shared.end_handshake(remote.ip()));
        self.shared.open.fetch_sub(1, Ordering::AcqRel);
        self.shared.handshakes_failed.fetch_add(1, Ordering::Relaxed);
        if !counted.is_empty() {
            self.shared.refused(counted);
        }
    }

    fn flush(&mut self, key: usize) {
        let Some(link) = self.pending.get_mut(key) else { return };
        if link.unsent.is_empty() {
            return;
        }
        match write_all(&mut link.stream, &link.unsent) {
            Ok(count) if count == link.unsent.len() => link.unsent = Vec::new(),
            Ok(count) => {
                link.unsent.drain(..count);
            }
            Err(error) => {
                let reason = format!("writing to the peer failed: {error}");
                self.dismiss(key, Outcome::Silently { reason, counted: "" });
            }
        }
    }

    /// Reads what a link has to say, until there is no more or it leaves.
    fn hear(&mut self, key: usize) {
        let generation = self.shared.generation();
        let settings = self.shared.settings();
        loop {
            let Some(link) = self.pending.get_mut(key) else { return };
            if link.judged {
                return;
            }
            let received = self.scratch.receive(
                &mut link.stream,
                link.tls.as_deref_mut(),
                &mut link.cipher,
                link.hung_up,
            );
            link.received += self.scratch.taken();
            link.unsent.extend_from_slice(&self.scratch.reply);
            link.input.extend_from_slice(self.scratch.plain());
            link.heard_from(self.now, !self.scratch.reply.is_empty());
            let received = match received {
                Ok(received) => received,
                Err(error) => {
                    let leave = broken(link, error);
                    return self.dismiss(key, leave);
                }
            };
            if !link.secure && link.tls.as_ref().is_some_and(|session| !session.is_handshaking()) {
                link.secure = true;
                link.deadline = self.now + settings.limits.auth_timeout;
                let timer = (key, link.cid);
                self.wheel.insert(link.deadline, timer);
            }
            link.judged_by = generation;
            let leave = link.talk(&settings);
            link.settle();
            let flooding = link.received > MOST_RECEIVED + settings.limits.max_connect;
            self.flush(key);
            match leave {
                None => {}
                Some(Outcome::Pending(facts)) => return self.submit(key, *facts, settings),
                Some(leave) => return self.dismiss(key, leave),
            }
            if flooding || self.pending.get(key).is_some_and(|link| link.unsent.len() > MOST_UNSENT) {
                let reason = "the peer sends much and does not say who it is".to_owned();
                return self.dismiss(key, Outcome::Silently { reason, counted: "protocol" });
            }
            match received {
                Received::More => {}
                Received::Drained => return,
                Received::Closed => {
                    let reason = "the peer went before it was let in".to_owned();
                    return self.dismiss(key, Outcome::Silently { reason, counted: "" });
                }
            }
        }
    }

    /// Has somebody decide who may take the time.
    fn submit(&mut self, key: usize, facts: ConnectionFacts, settings: Arc<Settings>) {
        let Some(link) = self.pending.get_mut(key) else { return };
        link.judged = true;
        let (cid, deadline, answer_to) = (link.cid, link.deadline, self.inbox.clone());
        if !self.slow_checks.submit(SlowCheck { key, cid, deadline, facts, settings, answer_to }) {
            let reason = "too many passwords wait to be checked".to_owned();
            let (counted, text) = ("passwords waiting", "Authorization Violation");
            self.dismiss(key, Outcome::Told { reason, counted, text });
        }
    }

    fn conclude(&mut self, judged: Checked) {
        let Checked { key, cid, facts, verdict } = judged;
        if self.pending.get(key).is_some_and(|link| link.cid == cid) {
            self.dismiss(key, outcome_of(facts.options, verdict));
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
