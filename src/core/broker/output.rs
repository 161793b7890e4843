//! A shard's sending side: queues, flushes, and the end of links.

use std::io::Read;
use std::net::Shutdown;
use std::sync::atomic::Ordering;

use super::close::Close;
use super::keepalive::{Due, LinkTimer};
use super::link::Link;
use super::outbound::{Flushed, Item, Outbound, write_all};
use super::shard::{DIRTY, POOLED, Shard};
use super::shared::client_ip;
use crate::core::nats::frame;
use crate::core::nats::info::ServerInfo;

impl Shard {
    /// Queues a fixed line for a link.
    pub(super) fn queue_fixed(&mut self, key: u32, line: &'static [u8]) {
        self.queue(key, Item::Fixed(line));
    }

    /// Queues a line made for a link.
    pub(super) fn queue_line(&mut self, key: u32, line: Vec<u8>) {
        self.queue(key, Item::Line(line.into_boxed_slice()));
    }

    /// Queues `-ERR '<text>'` for a link that stays.
    pub(super) fn queue_error(&mut self, key: u32, text: &str) {
        self.queue_line(key, frame::error_line(text));
    }

    /// Queues bytes that TLS itself made.
    pub(super) fn queue_cipher(&mut self, key: u32, bytes: &[u8]) {
        let Some(link) = self.links.get_mut(key as usize) else { return };
        let outbound = link.outbound.get_or_insert_with(|| self.pool.pop().unwrap_or_default());
        outbound.push_cipher(bytes);
        if !link.dirty {
            link.dirty = true;
            self.dirty.push(key);
        }
    }

    /// Queues anything for a link, and dooms it when it is too far behind.
    pub(super) fn queue(&mut self, key: u32, item: Item) {
        let Some(link) = self.links.get_mut(key as usize) else { return };
        if link.doomed {
            return;
        }
        let outbound = link.outbound.get_or_insert_with(|| self.pool.pop().unwrap_or_default());
        let weight = outbound.push(item);
        self.items += 1;
        if !link.dirty {
            link.dirty = true;
            self.dirty.push(key);
        }
        if weight > self.settings.limits.max_pending {
            // a burst within one turn is no slow reader: see what the socket takes
            self.flush_link(key);
            let limit = self.settings.limits.max_pending;
            if self.links.get(key as usize).is_some_and(|link| link.weight() > limit) {
                self.doom(key, Close::SlowPending);
            }
        }
    }

    /// Serves links in the middle of a turn when many have something to send,
    /// so that the memory of queues stays with a few hundred.
    pub(super) fn relieve(&mut self) {
        if self.dirty.len() >= DIRTY {
            self.flush_dirty();
        }
    }

    /// Hands over what is for other shards, then sends. In this order a PONG
    /// leaves after the effects of everything before it.
    pub(super) fn flush_dirty(&mut self) {
        for (outbox, peer) in self.outboxes.iter_mut().zip(self.peers.iter()) {
            peer.send(outbox);
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        for key in dirty.drain(..) {
            if let Some(link) = self.links.get_mut(key as usize) {
                link.dirty = false;
                if link.writable && !link.doomed {
                    self.flush_link(key);
                }
            }
        }
        // flushing queues nothing, so the list is still empty
        self.dirty = dirty;
    }

    fn flush_link(&mut self, key: u32) {
        let Some(link) = self.links.get_mut(key as usize) else { return };
        let Some(outbound) = link.outbound.as_mut() else { return };
        let (before, items) = (outbound.pending(), outbound.items());
        let tls = link.tls.as_deref_mut();
        match outbound.flush(&mut link.stream, tls, &mut link.cipher, &mut self.writing) {
            Ok(Flushed::All) => {
                self.items -= items;
                if let Some(outbound) = link.outbound.take() {
                    self.recycle(outbound);
                }
            }
            Ok(Flushed::Blocked) => {
                link.writable = false;
                self.items -= items - outbound.items();
                if outbound.blocked_since.is_none() || outbound.pending() != before {
                    outbound.blocked_since = Some(self.now);
                }
                if !std::mem::replace(&mut link.write_timer, true) {
                    let timer = LinkTimer { link: key, cid: link.cid, due: Due::Write };
                    self.wheel.insert(self.now + self.settings.limits.write_deadline, timer);
                }
            }
            Err(error) if error.peer_has_gone() => {
                self.items -= items - outbound.items();
                // What it said last may not have been read yet: reading comes to
                // the end of it, and to the end of the link.
                (link.writable, link.hung_up) = (false, true);
                if !std::mem::replace(&mut link.queued, true) {
                    self.ready.push_back(key);
                }
            }
            Err(error) => {
                self.items -= items - outbound.items();
                self.doom(key, Close::Write(error.to_string()));
            }
        }
    }

    fn recycle(&mut self, mut outbound: Box<Outbound>) {
        if self.pool.len() < POOLED {
            outbound.recycle();
            self.pool.push(outbound);
        }
    }

    /// An INFO line for a link, with changes.
    pub(super) fn info_line(&self, link: &Link, change: impl FnOnce(&mut ServerInfo<'_>)) -> Vec<u8> {
        let address = client_ip(link.remote);
        let mut info = self.shared.info(
            &self.settings,
            usize::from(link.listener),
            link.cid,
            &address,
            link.tls.is_some(),
        );
        change(&mut info);
        info.line()
    }

    /// Closes what was doomed in this turn.
    pub(super) fn bury(&mut self) {
        while let Some((key, why)) = self.doomed.pop() {
            if self.links.contains(key as usize) {
                self.close(key, &why);
            }
        }
    }

    fn close(&mut self, key: u32, why: &Close) {
        let subscriptions = self.links.get(key as usize).map_or(0, |link| link.subscription_count);
        self.drop_subscriptions(key);
        let mut link = self.links.remove(key as usize);
        // for the report: how many it had
        link.subscription_count = subscriptions;
        self.items -= link.outbound.as_ref().map_or(0, |outbound| outbound.items());
        if why.flushes() {
            let mut outbound = link.outbound.take().or_else(|| self.pool.pop()).unwrap_or_default();
            if let Some(text) = why.told() {
                outbound.push(Item::Line(frame::error_line(text).into_boxed_slice()));
            }
            // best effort: a peer that does not read loses the last words
            let flushed = outbound.flush(
                &mut link.stream,
                link.tls.as_deref_mut(),
                &mut link.cipher,
                &mut self.writing,
            );
            if let (Ok(Flushed::All), Some(tls)) = (flushed, link.tls.as_deref_mut()) {
                let mut goodbye = Vec::new();
                tls.close(&mut link.cipher, &mut goodbye);
                let _ = write_all(&mut link.stream, &goodbye);
            }
            self.recycle(outbound);
            // unread input would turn the close into a reset that overtakes those words
            let _ = link.stream.shutdown(Shutdown::Write);
            let mut sink = [0; 8192];
            for _ in 0..8 {
                if !matches!(link.stream.read(&mut sink), Ok(count) if count > 0) {
                    break;
                }
            }
        }
        let info = self.about(&link);
        self.shared.closed.link(info, why, self.now);
        self.held = self.held.saturating_sub(link.input.len());
        let _ = self.poll.registry().deregister(&mut link.stream);
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(counters) = self.counters() {
            counters.accounts[link.account].fetch_sub(1, Ordering::Relaxed);
            match why {
                Close::SlowPending | Close::SlowWrite => {
                    counters.slow.fetch_add(1, Ordering::Relaxed);
                }
                Close::Stale => {
                    counters.stale.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            }
        }
        let (cid, remote, user, name) = (link.cid, link.remote, &link.about.user, &link.about.name);
        match why {
            Close::ClientClosed | Close::Shutdown => {
                tracing::debug!(cid, %remote, %user, %name, reason = %why.reason(), "connection closed");
            }
            Close::Refused(reason) => {
                tracing::warn!(cid, %remote, %user, %name, %reason, "connection refused");
            }
            Close::Revoked(reason) => {
                tracing::warn!(cid, %remote, %user, %name, %reason, "connection cut, it is no longer allowed");
            }
            _ => tracing::info!(cid, %remote, %user, %name, reason = %why.reason(), "connection closed"),
        }
    }
}
