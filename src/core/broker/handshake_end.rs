//! How a connection leaves its handshake: into a shard, told why not, or in silence.

use std::cmp::Reverse;
use std::io::Read;
use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::handshake::HandshakeThread;
use super::handshake_queue::neighbourhood;
use super::ledger::MEMBER;
use super::link::NewLink;
use super::outbound::write_all;
use super::pending::{Outcome, PendingLink};
use super::shared::Handover;
use crate::core::admission::{Grant, PeerKind};
use crate::core::nats::connect::ConnectOptions;
use crate::core::nats::frame;

/// A peer that was silent for this long makes room for another when the queue is full.
const IDLE: Duration = Duration::from_millis(500);
/// Most peers sent away at once for that.
const MAKE_ROOM: usize = 64;

impl HandshakeThread {
    /// Sends away peers that hold a place and do nothing with it: those of the address that has the
    /// most first, and of them the longest silent. Where places are free that is about addresses alone
    /// of which others wait.
    pub(super) fn make_room(&mut self) {
        let crowds = self.shared.crowds();
        let mut idle: Vec<_> = self
            .pending
            .iter()
            .filter(|(_, link)| link.heard + IDLE <= self.now && !link.judged)
            .filter_map(|(key, link)| {
                let under_way = *crowds.get(&neighbourhood(link.remote.ip()))?;
                Some((Reverse(under_way), link.heard, key))
            })
            .collect();
        idle.sort_unstable();
        for (.., key) in idle.into_iter().take(MAKE_ROOM) {
            let reason = "the peer was silent while others waited to be let in".to_owned();
            self.dismiss(key, Outcome::Silently { reason, counted: "crowded out" });
        }
    }

    pub(super) fn expire(&mut self, key: usize, cid: u64) {
        let Some(link) = self.pending.get(key).filter(|link| link.cid == cid) else { return };
        if link.deadline > self.now {
            // the handshake got further meanwhile, and set its own timer
            return;
        }
        let leave = if link.secure {
            Outcome::Told {
                reason: "no CONNECT came in time".to_owned(),
                counted: "authentication timeout",
                text: "Authentication Timeout",
            }
        } else {
            Outcome::Silently { reason: "the TLS handshake took too long".to_owned(), counted: "tls timeout" }
        };
        self.dismiss(key, leave);
    }

    pub(super) fn dismiss(&mut self, key: usize, leave: Outcome) {
        let Some(mut link) = self.pending.try_remove(key) else { return };
        let (cid, remote) = (link.cid, link.remote);
        let _ = self.poll.registry().deregister(&mut link.stream);
        if let Outcome::Silently { counted, .. } | Outcome::Told { counted, .. } = &leave {
            self.shared.closed.refused(link.report(self.now), counted, self.now);
        }
        match leave {
            Outcome::In(admitted) => {
                let (options, grant) = *admitted;
                if options.verbose {
                    link.say(frame::OK);
                }
                self.admit(link, options, grant);
            }
            // handled where it arises; nobody leaves by it
            Outcome::Pending(_) => self.gone(remote, "protocol"),
            Outcome::Silently { reason, counted } => {
                let _ = write_all(&mut link.stream, &link.unsent);
                if !link.unsent.is_empty() {
                    // as below: the alert says what is wrong with the peer's certificate
                    let _ = link.stream.shutdown(Shutdown::Write);
                    let _ = link.stream.read(&mut [0; 4096]);
                }
                let certname = link.certname();
                if counted.is_empty() {
                    tracing::debug!(cid, %remote, certname, %reason, "connection ended before it was let in");
                } else {
                    self.shared.refusal_log.note(counted, || {
                        tracing::warn!(cid, %remote, certname, %reason, "connection refused");
                    });
                }
                self.gone(remote, counted);
            }
            Outcome::Told { reason, counted, text } => {
                link.say(&frame::error_line(text));
                if let Some(session) = link.tls.as_mut() {
                    session.close(&mut link.cipher, &mut link.unsent);
                }
                let _ = write_all(&mut link.stream, &link.unsent);
                // unread input would turn the close into a reset that overtakes the error
                let _ = link.stream.shutdown(Shutdown::Write);
                let _ = link.stream.read(&mut [0; 4096]);
                let certname = link.certname();
                self.shared.refusal_log.note(counted, || {
                    tracing::warn!(cid, %remote, certname, %reason, "connection refused");
                });
                self.gone(remote, counted);
            }
        }
    }

    fn admit(&mut self, mut link: PendingLink, options: ConnectOptions, grant: Grant) {
        let settings = self.shared.settings();
        let (holders, limits) = (&self.shared.holders, &settings.limits);
        let slot =
            match holders.enter(grant.account, &grant.peer, (link.cid, link.remote.ip()), limits, self.now) {
                Ok(slot) => slot,
                Err(counted) => {
                    let text = if counted == MEMBER { MEMBER } else { "maximum connections exceeded" };
                    link.say(&frame::error_line(text));
                    let _ = write_all(&mut link.stream, &link.unsent);
                    let (cid, remote) = (link.cid, link.remote);
                    let (kind, identity) = (grant.peer.kind.name(), &grant.peer.identity);
                    self.shared.refusal_log.note(counted, || {
                        tracing::warn!(cid, %remote, kind, %identity, reason = counted, "connection refused");
                    });
                    self.shared.closed.refused(link.report(self.now), counted, self.now);
                    return self.gone(remote, counted);
                }
            };
        tracing::debug!(
            cid = link.cid, remote = %link.remote, account = %grant.account, user = %grant.user,
            name = %options.name, "connection admitted"
        );
        self.shared.handshakes.fetch_add(1, Ordering::Relaxed);
        if matches!(grant.peer.kind, PeerKind::Client | PeerKind::Service) {
            self.shared.remember(link.remote.ip());
        }
        if link.tls.as_ref().is_some_and(|session| session.is_resumed()) {
            self.shared.handshakes_resumed.fetch_add(1, Ordering::Relaxed);
        }
        self.next.extend(self.shared.end_handshake(link.remote.ip()));
        // a small network is one shard's: nothing it says is handed over
        let small = self.shared.open.load(Ordering::Relaxed) <= settings.limits.one_shard;
        let shard = match small {
            true => 0,
            false => self.next_shard.fetch_add(1, Ordering::Relaxed) % self.shards.len().max(1),
        };
        if let Some(inbox) = self.shards.get(shard) {
            inbox.send_one(Handover::Link(Box::new(NewLink {
                cid: link.cid,
                stream: link.stream,
                tls: link.tls,
                remote: link.remote,
                listener: link.listener,
                nonce: link.nonce.into(),
                judged_by: link.judged_by,
                options,
                grant,
                input: link.input,
                cipher: link.cipher,
                unsent: link.unsent,
                slot,
                leaf: None,
            })));
        }
    }
}
