//! One thread that owns links: its event loop, its clock, its inbox.
//!
//! A turn of the loop takes what other threads handed over, reads from the
//! links that have something, fires timers, hands over what is for other
//! shards, and sends. Links are closed last, so that nothing disappears while
//! it is in use.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::close::Close;
use super::fanout::FanOut;
use super::inbox::Inbox;
use super::keepalive::LinkTimer;
use super::link::{Link, NewLink, Traffic};
use super::outbound::{Item, Outbound, WriteScratch};
use super::rejudge::Trial;
use super::router::MatchCache;
use super::shared::{Handover, Settings, ShardCounters, ShardInboxes, Shared, random_u64};
use super::subscriptions::Subscriptions;
use super::timer::TimerWheel;
use super::wire::ReadScratch;

/// Token of the waker; links have their place in the slab.
pub const WAKER: Token = Token(usize::MAX);
/// Things waiting in another shard's inbox before this one stops reading from its clients.
const CONGESTED: usize = 16 * 1024;
/// Links read from in one turn.
const SERVED: usize = 512;
/// Links with something to send before they are served in the middle of a turn.
pub const DIRTY: usize = 256;
/// Emptied queues kept for the next link that needs one.
pub const POOLED: usize = 2 * DIRTY;

/// See the module documentation.
pub struct Shard {
    pub(super) id: u16,
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Arc<Settings>,
    pub(super) poll: Poll,
    pub(super) inbox: Arc<Inbox<Handover>>,
    pub(super) peers: ShardInboxes,
    /// What goes to each peer at the end of the turn.
    pub(super) outboxes: Vec<Vec<Handover>>,
    pub(super) links: Slab<Link>,
    pub(super) subscriptions: Subscriptions,
    pub(super) cache: MatchCache,
    pub(super) wheel: TimerWheel<LinkTimer>,
    pub(super) now: Duration,
    /// Links to read from.
    pub(super) ready: VecDeque<u32>,
    /// Links to judge again.
    pub(super) trial: Trial,
    /// Links to flush.
    pub(super) dirty: Vec<u32>,
    /// Links to close.
    pub(super) doomed: Vec<(u32, Close)>,
    pub(super) reading: ReadScratch,
    pub(super) writing: WriteScratch,
    /// Boxed, as links hold them: an idle link pays for one pointer.
    #[allow(clippy::vec_box)]
    pub(super) pool: Vec<Box<Outbound>>,
    pub(super) ledger: Arc<AtomicUsize>,
    /// Things queued for all links.
    pub(super) items: usize,
    /// Bytes of unfinished input of all links.
    pub(super) held: usize,
    pub(super) traffic: Traffic,
    pub(super) fan_out: FanOut,
    pub(super) random: u64,
    stop: bool,
}

impl Shard {
    /// A shard that owns nothing yet.
    pub fn new(
        id: u16,
        shared: Arc<Shared>,
        poll: Poll,
        inbox: Arc<Inbox<Handover>>,
        peers: ShardInboxes,
    ) -> Self {
        let settings = shared.settings();
        let ledger =
            shared.shards.get(usize::from(id)).map(|counters| counters.ledger.clone()).unwrap_or_default();
        Self {
            id,
            settings,
            poll,
            inbox,
            outboxes: peers.iter().map(|_| Vec::new()).collect(),
            peers,
            links: Slab::new(),
            subscriptions: Subscriptions::default(),
            cache: MatchCache::default(),
            wheel: TimerWheel::new(Duration::from_millis(125)),
            now: shared.start.elapsed(),
            ready: VecDeque::new(),
            trial: Trial::default(),
            dirty: Vec::new(),
            doomed: Vec::new(),
            reading: ReadScratch::new(),
            writing: WriteScratch::default(),
            pool: Vec::new(),
            ledger,
            items: 0,
            held: 0,
            traffic: Traffic::default(),
            fan_out: FanOut::default(),
            // never zero, which the generator could not leave
            random: random_u64() | 1,
            shared,
            stop: false,
        }
    }

    /// Serves until told to stop.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        let (mut arrived, mut fired) = (Vec::new(), Vec::new());
        while !self.stop {
            let congested = self.congested();
            if let Err(error) = self.poll.poll(&mut events, self.patience(congested))
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, shard = self.id, "waiting for broker connections failed");
                break;
            }
            self.now = self.shared.start.elapsed();
            self.inbox.take(&mut arrived);
            for handover in arrived.drain(..) {
                self.receive(handover);
            }
            for event in &events {
                self.note(event);
            }
            if !congested {
                self.serve();
            }
            self.judge_some();
            self.wheel.advance(self.now, &mut fired);
            for timer in fired.drain(..) {
                self.fire(timer);
            }
            self.flush_dirty();
            self.keep_budget();
            self.bury();
            self.publish_counters();
        }
        self.end();
    }

    /// How long the loop may sleep.
    fn patience(&self, congested: bool) -> Option<Duration> {
        if congested {
            Some(Duration::from_millis(1))
        } else if !self.ready.is_empty() || !self.trial.is_over() {
            Some(Duration::ZERO)
        } else {
            // rounded up, or the loop would spin through the last millisecond
            self.wheel.next().map(|at| at.saturating_sub(self.now) + Duration::from_millis(1))
        }
    }

    /// Another shard is far behind, or memory is short: reading on would only pile up more.
    /// It passes by itself: shards go on sending, and cut those that do not read.
    fn congested(&self) -> bool {
        self.shared.ledger() > self.settings.limits.max_pending_total
            || (0_u16..).zip(self.peers.iter()).any(|(id, peer)| id != self.id && peer.len() > CONGESTED)
    }

    fn note(&mut self, event: &mio::event::Event) {
        if event.token() == WAKER {
            return;
        }
        let key = event.token().0;
        let Some(link) = self.links.get_mut(key) else { return };
        if event.is_writable() {
            link.writable = true;
            if link.outbound.is_some() && !link.dirty {
                link.dirty = true;
                self.dirty.push(key as u32);
            }
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            link.hung_up |= event.is_read_closed() || event.is_error();
            if !link.queued {
                link.queued = true;
                self.ready.push_back(key as u32);
            }
        }
    }

    /// Reads once from links that have something: nobody is served twice before all were.
    /// Only so many in one turn, or fifty thousand replies would hold up everything else.
    fn serve(&mut self) {
        for _ in 0..self.ready.len().min(SERVED) {
            let Some(key) = self.ready.pop_front() else { return };
            self.read_link(key);
        }
    }

    fn receive(&mut self, handover: Handover) {
        match handover {
            Handover::Link(new) => self.adopt(*new),
            Handover::Deliver { message, matched } => self.deliver_plain(&matched, message, None),
            Handover::Member { account, message, matched, group, target, tries } => {
                self.deliver_member(account, message, &matched, group, target, tries);
            }
            Handover::Reload => {
                self.settings = self.shared.settings();
                self.judge_all_again();
            }
            Handover::Look(look) => look.at(self),
            Handover::LameDuck(duration) => self.lame_duck(duration),
            Handover::Stop => self.stop = true,
        }
    }

    fn adopt(&mut self, new: NewLink) {
        let judged_by = new.judged_by;
        let (mut link, input, unsent) = Link::new(new, self.now);
        let entry = self.links.vacant_entry();
        let key = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut link.stream, Token(key), interest) {
            tracing::warn!(%error, cid = link.cid, "registering a connection failed; it is closed");
            self.shared.open.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let (cid, account, with_tls) = (link.cid, link.account, link.tls.is_some());
        link.claim = self.shared.claims.claim(account, &link.about.user, &link.about.name);
        entry.insert(link);
        let key = key as u32;
        if let Some(counters) = self.counters() {
            counters.accounts[account].fetch_add(1, Ordering::Relaxed);
        }
        self.set_first_ping(key, cid);
        if judged_by != self.shared.generation() {
            // a reload came between its admission and now
            self.settings = self.shared.settings();
            self.trial.add(key, cid);
        }
        if !unsent.is_empty() {
            if with_tls {
                self.queue_cipher(key, &unsent);
            } else {
                self.queue_line(key, unsent);
            }
        }
        if !input.is_empty() {
            self.ingest(key, &input);
        }
    }

    /// Cuts the link furthest behind while all messages together need too much memory.
    fn keep_budget(&mut self) {
        if self.shared.ledger() <= self.settings.limits.max_pending_total {
            return;
        }
        let furthest = self
            .links
            .iter()
            .filter(|(_, link)| !link.doomed && link.pending() > 0)
            .max_by_key(|(_, link)| link.weight())
            .map(|(key, _)| key as u32);
        if let Some(key) = furthest {
            self.doom(key, Close::SlowPending);
        }
    }

    pub(super) fn counters(&self) -> Option<&ShardCounters> {
        self.shared.shards.get(usize::from(self.id))
    }

    fn publish_counters(&self) {
        let Some(counters) = self.counters() else { return };
        counters.queues.store(self.items * size_of::<Item>(), Ordering::Relaxed);
        counters.links.store(self.links.len(), Ordering::Relaxed);
        counters.in_msgs.store(self.traffic.in_msgs, Ordering::Relaxed);
        counters.in_bytes.store(self.traffic.in_bytes, Ordering::Relaxed);
        counters.out_msgs.store(self.traffic.out_msgs, Ordering::Relaxed);
        counters.out_bytes.store(self.traffic.out_bytes, Ordering::Relaxed);
        for (counter, count) in counters.lookups.iter().zip(self.cache.lookups()) {
            counter.store(count, Ordering::Relaxed);
        }
        for (counter, count) in counters.fan_out.iter().zip(self.fan_out.messages) {
            counter.store(count, Ordering::Relaxed);
        }
        counters.deliveries.store(self.fan_out.deliveries, Ordering::Relaxed);
    }

    /// Marks a link to be closed at the end of the turn.
    pub(super) fn doom(&mut self, key: u32, why: Close) {
        if let Some(link) = self.links.get_mut(key as usize)
            && !link.doomed
        {
            link.doomed = true;
            self.doomed.push((key, why));
        }
    }

    /// A xorshift step: spreads load, protects nothing.
    pub(super) fn next_random(&mut self) -> u64 {
        let mut state = self.random;
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.random = state;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn end(&mut self) {
        let keys: Vec<u32> = self.links.iter().map(|(key, _)| key as u32).collect();
        for key in keys {
            self.doom(key, Close::Shutdown);
        }
        self.bury();
        self.publish_counters();
    }
}
