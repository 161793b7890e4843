//! A shard's sending side: queues, flushes, and the end of links.

use std::io::Read;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::close::Close;
use super::keepalive::{Due, LinkTimer};
use super::ledger::Message;
use super::link::Link;
use super::outbound::{Flushed, Outbound, WriteScratch, write_all};
use super::shard::{POOLED, Shard, UNSENT};
use super::shared::client_ip;
use super::sid::Sid;
use crate::core::nats::frame;
use crate::core::nats::info::ServerInfo;

/// Bytes of one link that are sent at once, without waiting for the end of the turn: four full records.
const FULL: usize = 64 * 1024;
/// How long links are flushed in one go.
const FLUSHING: Duration = Duration::from_millis(20);
/// Links after which the clock is looked at.
const LOOKED: u32 = 8;

impl Shard {
    /// Queues a line for a link.
    pub(super) fn queue_line(&mut self, key: u32, line: &[u8]) {
        self.lay(key, |out| out.extend_from_slice(line));
    }

    /// Queues `-ERR '<text>'` for a link that stays.
    pub(super) fn queue_error(&mut self, key: u32, text: &str) {
        self.queue_line(key, &frame::error_line(text));
    }

    /// Queues bytes that TLS itself made.
    pub(super) fn queue_cipher(&mut self, key: u32, bytes: &[u8]) {
        if let Some((outbound, _)) = self.outbound_of(key) {
            outbound.push_cipher(bytes);
            self.weigh(key);
        }
    }

    /// Lays bytes out for a link, and closes it when it is too far behind.
    pub(super) fn lay(&mut self, key: u32, lay: impl FnOnce(&mut Vec<u8>)) {
        let Some((outbound, scratch)) = self.outbound_of(key) else { return };
        let before = outbound.pending();
        outbound.lay(scratch, lay);
        let after = outbound.pending();
        self.unsent += after - before;
        if after >= FULL {
            self.weigh(key);
        }
    }

    /// Queues a message that others hold too.
    pub(super) fn share(&mut self, key: u32, message: Arc<Message>, sid: Sid) {
        let Some((outbound, _)) = self.outbound_of(key) else { return };
        outbound.share(message, sid);
        let full = outbound.pending() >= FULL;
        // what it takes to remember it
        self.unsent += size_of::<(Arc<Message>, Sid)>();
        if full {
            self.weigh(key);
        }
    }

    /// The queue of a link that can be sent to, on the list of those to flush.
    fn outbound_of(&mut self, key: u32) -> Option<(&mut Outbound, &mut WriteScratch)> {
        let link = self.links.get_mut(key as usize).filter(|link| !link.closing)?;
        if !link.dirty {
            link.dirty = true;
            self.dirty.push(key);
        }
        let outbound = link.outbound.get_or_insert_with(|| self.pool.pop().unwrap_or_default());
        Some((outbound, &mut self.writing))
    }

    /// A burst within one turn is no slow reader: what the socket takes is sent, and what is left weighed.
    fn weigh(&mut self, key: u32) {
        // what thousands get is sent when all have it, as long as there is time and room
        let limits = &self.settings.limits;
        let crowded = |link: &Link| {
            let holder = link.charge.holder();
            holder.bytes() > limits.of(holder.kind()).memory / 2
        };
        if self.links.get(key as usize).is_some_and(|link| link.writable && (!self.wide || crowded(link))) {
            // a PONG among it leaves after the effects of everything before
            self.hand_over(true);
            self.flush_link(key);
        } else {
            self.settle(key);
        }
    }

    /// Enters what a link holds into the account, and closes it when that is too much.
    pub(super) fn settle(&mut self, key: u32) {
        let Some(link) = self.links.get_mut(key as usize).filter(|link| !link.closing) else { return };
        link.settle();
        let holder = link.charge.holder();
        let limits = &self.settings.limits;
        if link.weight() > limits.max_pending || holder.bytes() > limits.of(holder.kind()).memory {
            self.close_later(key, Close::SlowPending);
        }
    }

    /// Sends in the middle of a turn when much is laid out, so that memory stays bounded.
    pub(super) fn relieve(&mut self) {
        if self.unsent >= UNSENT {
            self.hand_over(true);
            self.flush_dirty();
        }
    }

    /// Sends what waits. What is for other shards has been handed over by then: in this order a PONG
    /// leaves after the effects of everything before it.
    ///
    /// It ends when it has had its time, as a large message for thousands takes: the rest comes in
    /// turns to come. What was left before has half of the time.
    pub(super) fn flush_dirty(&mut self) {
        let begun = self.shared.start.elapsed();
        let mut count = 0_u32;
        let mut late = |shard: &Self, time: Duration| {
            count += 1;
            count.is_multiple_of(LOOKED) && shard.shared.start.elapsed() >= begun + time
        };
        while let Some(key) = self.behind.pop_front() {
            self.flush_one(key);
            if late(self, FLUSHING / 2) {
                break;
            }
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        let mut left = dirty.drain(..);
        for key in left.by_ref() {
            self.flush_one(key);
            if late(self, FLUSHING) {
                break;
            }
        }
        // each once: it is on a list until it was flushed
        self.behind.extend(left);
        // flushing queues nothing, so the list is still empty
        self.dirty = dirty;
        self.unsent = 0;
    }

    fn flush_one(&mut self, key: u32) {
        if let Some(link) = self.links.get_mut(key as usize) {
            link.dirty = false;
            if link.closing {
                return;
            }
            if link.writable {
                self.flush_link(key);
            } else {
                self.settle(key);
            }
        }
    }

    fn flush_link(&mut self, key: u32) {
        let Some(link) = self.links.get_mut(key as usize) else { return };
        let Some(outbound) = link.outbound.as_mut() else { return };
        let before = outbound.pending();
        let tls = link.tls.as_deref_mut();
        match outbound.flush(&mut link.stream, tls, &mut link.cipher, &mut self.writing) {
            Ok(Flushed::All) => {
                link.loses = false;
                if let Some(outbound) = link.outbound.take() {
                    // it may have been behind before
                    if link.charge.weight() > 0 {
                        link.settle();
                    }
                    self.recycle(outbound);
                }
            }
            Ok(Flushed::Blocked) => {
                link.writable = false;
                if outbound.blocked_since.is_none() || outbound.pending() != before {
                    outbound.blocked_since = Some(self.now);
                }
                if !std::mem::replace(&mut link.write_timer, true) {
                    let timer = LinkTimer { link: key, cid: link.cid, due: Due::Write };
                    self.wheel.insert(self.now + self.settings.limits.write_deadline, timer);
                }
                self.settle(key);
            }
            Err(error) if error.peer_has_gone() => {
                // What it said last may not have been read yet: reading comes to
                // the end of it, and to the end of the link.
                (link.writable, link.hung_up) = (false, true);
                self.queue_read(key);
                self.settle(key);
            }
            Err(error) => self.close_later(key, Close::Write(error.to_string())),
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

    /// Closes what was closing in this turn.
    pub(super) fn close_all(&mut self) {
        while let Some((key, why)) = self.closing.pop() {
            if self.links.contains(key as usize) {
                self.close(key, &why);
            }
        }
    }

    fn close(&mut self, key: u32, why: &Close) {
        let subscriptions = self.links.get(key as usize).map_or(0, |link| link.subscription_count);
        self.detach_hub(key);
        self.drop_subscriptions(key);
        let mut link = self.links.remove(key as usize);
        // for the report: how many it had
        link.subscription_count = subscriptions;
        if why.flushes() {
            let mut outbound = link.outbound.take().or_else(|| self.pool.pop()).unwrap_or_default();
            if let Some(text) = why.told() {
                outbound.lay(&mut self.writing, |out| out.extend_from_slice(&frame::error_line(text)));
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
        let _ = self.registry.deregister(&mut link.stream);
        if let Some(leaf) = link.leaf.take() {
            return leaf.end(why);
        }
        let info = self.info_of(&link);
        self.shared.closed.link(info, why, self.now);
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(counters) = self.counters() {
            counters.accounts[link.account].fetch_sub(1, Ordering::Relaxed);
            match why {
                // who lost messages has been counted
                Close::SlowPending | Close::SlowWrite if !link.loses => {
                    counters.slow.fetch_add(1, Ordering::Relaxed);
                }
                Close::Stale => {
                    counters.stale.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            }
        }
        let (cid, remote, user, name) = (link.cid, link.remote, &link.client.user, &link.client.name);
        match why {
            Close::ClientClosed | Close::Gone(_) | Close::Shutdown => {
                tracing::debug!(cid, %remote, %user, %name, reason = %why.reason(), "connection closed");
            }
            // what a peer can cause again and again
            Close::Refused(reason) => self.shared.refusal_log.note("second CONNECT", || {
                tracing::warn!(cid, %remote, %user, %name, %reason, "connection refused");
            }),
            Close::Revoked(reason) => self.shared.refusal_log.note_of(why.kind(), user, || {
                tracing::warn!(cid, %remote, %user, %name, %reason, "connection cut, it is no longer allowed");
            }),
            _ => self.shared.refusal_log.note(why.kind(), || {
                tracing::info!(cid, %remote, %user, %name, reason = %why.reason(), "connection closed");
            }),
        }
    }
}
