//! One thread that owns links: its event loop, its clock, its inbox.
//!
//! A turn of the loop takes what other threads handed over, reads from the
//! links that have something, fires timers, hands over what is for other
//! shards, and sends. Links are closed last, so that nothing disappears while
//! it is in use.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;

use super::close::Close;
use super::copies::Copies;
use super::delivery::Delivery;
use super::errands::Outbox;
use super::fanout::FanOut;
use super::inbox::Inbox;
use super::keepalive::LinkTimer;
use super::ledger::Counter;
use super::link::{Link, NewLink, Traffic};
use super::outbound::{Outbound, WriteScratch};
use super::publish::LastPublish;
use super::reauthenticate::Reauthentication;
use super::router::MatchCache;
use super::shared::{Handover, Settings, ShardCounters, ShardInboxes, Shared, random_u64};
use super::shortage::Shortage;
use super::subscriptions::Subscriptions;
use super::timer::TimerWheel;
use super::turn_shares::TurnShares;
use super::wire::ReadScratch;

/// Token of the waker; links have their place in the slab and the end of their number.
pub const WAKER: Token = Token(usize::MAX);
/// What waits in another shard's inbox before this one stops reading from its clients.
const CONGESTED: usize = 32 * 1024 * 1024;
/// What one turn hands over to another shard before it reads no further.
const PILED: usize = 8 * 1024 * 1024;
/// Links read from in one turn.
const SERVED: usize = 512;
/// Bytes laid out for links that were up to date before those are served in the middle of a turn:
/// a wide fan-out is sent by full records, and its memory stays bounded.
pub const UNSENT: usize = 8 * 1024 * 1024;
/// Emptied queues kept for the next link that needs one.
pub const POOLED: usize = 512;

/// See the module documentation.
pub struct Shard {
    pub(super) id: u16,
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Arc<Settings>,
    pub(super) registry: Registry,
    pub(super) inbox: Arc<Inbox<Handover>>,
    pub(super) peers: ShardInboxes,
    /// What goes to each peer at the end of the turn.
    pub(super) outboxes: Vec<Outbox>,
    /// All shards, this one included; none when it has ended.
    pub(super) others: Option<Shards>,
    /// The first timer its thread knows of while it sleeps.
    pub(super) sleeps_until: Option<Duration>,
    pub(super) links: Slab<Link>,
    pub(super) subscriptions: Subscriptions,
    pub(super) cache: MatchCache,
    pub(super) wheel: TimerWheel<LinkTimer>,
    pub(super) now: Duration,
    /// What others have handed over and is still to be done, and what all of it counted.
    pub(super) arrived: VecDeque<Handover>,
    pub(super) arriving: usize,
    /// Links to read from.
    pub(super) ready: VecDeque<u32>,
    /// Links to judge again.
    pub(super) reauthentication: Reauthentication,
    /// Links to flush.
    pub(super) dirty: Vec<u32>,
    /// Links to flush when there is time.
    pub(super) behind: VecDeque<u32>,
    /// Links to close.
    pub(super) closing: Vec<(u32, Close)>,
    pub(super) reading: ReadScratch,
    pub(super) writing: WriteScratch,
    /// Boxed, as links hold them: an idle link pays for one pointer.
    #[allow(clippy::vec_box)]
    pub(super) pool: Vec<Box<Outbound>>,
    /// Bytes that its links hold, and messages made by it.
    pub(super) held: Counter,
    /// Bytes laid out in this turn and not sent yet.
    pub(super) unsent: usize,
    /// The last message's way, for the next one.
    pub(super) last: LastPublish,
    /// Who is cut when memory is short.
    pub(super) shortage: Shortage,
    /// Time of this turn that identities have had.
    pub(super) shares: TurnShares,
    pub(super) copies: Copies,
    /// The message at hand goes to many.
    pub(super) wide: bool,
    pub(super) traffic: Traffic,
    pub(super) fan_out: FanOut,
    pub(super) random: u64,
    stop: bool,
}

/// All shards of a broker. A thread holds the lock of its own during a turn; another may take it
/// while that thread sleeps, and do there what little there is to do.
pub type Shards = Arc<[Mutex<Shard>]>;

/// The token of a link; never that of the waker.
fn token(key: usize, cid: u64) -> Token {
    Token((((cid & 0x7fff_ffff) << 32) | key as u64) as usize)
}

fn lock(cell: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // whoever panicked with it has ended the broker
    cell.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves a shard until it is told to stop.
pub fn run(shards: &Shards, id: u16, mut poll: Poll) {
    let Some(cell) = shards.get(usize::from(id)) else { return };
    let mut events = Events::with_capacity(1024);
    lock(cell).others = Some(shards.clone());
    let mut patience = Some(Duration::ZERO);
    loop {
        if let Err(error) = poll.poll(&mut events, patience)
            && error.kind() != io::ErrorKind::Interrupted
        {
            tracing::error!(%error, shard = id, "waiting for broker connections failed");
            return lock(cell).end();
        }
        let mut shard = lock(cell);
        shard.turn(&events);
        if shard.stop {
            return shard.end();
        }
        patience = shard.patience();
        shard.sleeps_until = shard.wheel.next();
    }
}

impl Shard {
    /// A shard that owns nothing yet.
    pub fn new(
        id: u16,
        shared: Arc<Shared>,
        registry: Registry,
        inbox: Arc<Inbox<Handover>>,
        peers: ShardInboxes,
    ) -> Self {
        let settings = shared.settings();
        let held =
            shared.shards.get(usize::from(id)).map(|counters| counters.held.clone()).unwrap_or_default();
        Self {
            id,
            settings,
            registry,
            inbox,
            outboxes: peers.iter().map(|_| Outbox::default()).collect(),
            others: None,
            sleeps_until: None,
            peers,
            links: Slab::new(),
            subscriptions: Subscriptions::default(),
            cache: MatchCache::default(),
            wheel: TimerWheel::new(Duration::from_millis(125)),
            now: shared.start.elapsed(),
            arrived: VecDeque::new(),
            arriving: 0,
            ready: VecDeque::new(),
            reauthentication: Reauthentication::default(),
            dirty: Vec::new(),
            behind: VecDeque::new(),
            closing: Vec::new(),
            reading: ReadScratch::new(),
            writing: WriteScratch::default(),
            pool: Vec::new(),
            held,
            unsent: 0,
            last: LastPublish::default(),
            shortage: Shortage::default(),
            shares: TurnShares::default(),
            copies: Copies::default(),
            wide: false,
            traffic: Traffic::default(),
            fan_out: FanOut::default(),
            // never zero, which the generator could not leave
            random: random_u64() | 1,
            shared,
            stop: false,
        }
    }

    /// One turn of the loop.
    fn turn(&mut self, events: &Events) {
        let congested = self.congested();
        self.now = self.shared.start.elapsed();
        self.take_in();
        for event in events {
            self.note(event);
        }
        if !congested {
            self.serve();
        }
        self.reauthenticate_some();
        let mut fired = Vec::new();
        self.wheel.advance(self.now, &mut fired);
        for timer in fired {
            self.fire(timer);
        }
        self.hand_over(true);
        self.finish();
    }

    /// Sends, closes and counts.
    pub(super) fn finish(&mut self) {
        self.flush_dirty();
        self.keep_budget();
        self.close_all();
        self.publish_counters();
    }

    /// How long the loop may sleep.
    fn patience(&self) -> Option<Duration> {
        if !self.arrived.is_empty() || !self.behind.is_empty() {
            Some(Duration::ZERO)
        } else if self.congested() {
            Some(Duration::from_millis(1))
        } else if !self.ready.is_empty() || !self.reauthentication.is_over() {
            Some(Duration::ZERO)
        } else {
            // rounded up, or the loop would spin through the last millisecond
            self.wheel.next().map(|at| at.saturating_sub(self.now) + Duration::from_millis(1))
        }
    }

    /// Others have been handed so much that reading on would only pile up more.
    pub(super) fn is_piled(&self) -> bool {
        self.outboxes.iter().any(|outbox| outbox.load > PILED) || self.congested()
    }

    /// Another shard is far behind, or memory is short: reading on would only pile up more.
    /// It passes by itself: shards go on sending, and cut those that do not read.
    fn congested(&self) -> bool {
        self.shared.held() > self.settings.limits.max_pending_total
            || (0_u16..).zip(self.peers.iter()).any(|(id, peer)| id != self.id && peer.load() > CONGESTED)
    }

    fn note(&mut self, event: &mio::event::Event) {
        if event.token() == WAKER {
            return;
        }
        let key = event.token().0 & u32::MAX as usize;
        // another may have its place by now
        let Some(link) = self.links.get_mut(key).filter(|link| token(key, link.cid) == event.token()) else {
            return;
        };
        if event.is_writable() {
            link.writable = true;
            if link.outbound.is_some() && !link.dirty {
                link.dirty = true;
                self.dirty.push(key as u32);
            }
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            link.hung_up |= event.is_read_closed() || event.is_error();
            self.queue_read(key as u32);
        }
    }

    /// Reads once from links that have something: nobody is served twice before all were, and no
    /// identity for longer than its share. Only so many in one turn, or fifty thousand replies would
    /// hold up everything else.
    fn serve(&mut self) {
        self.shares.begin(self.shared.start.elapsed());
        let mut served = 0;
        for _ in 0..self.ready.len() {
            let Some(key) = self.ready.pop_front() else { return };
            let holder = self.links.get(key as usize).map(|link| Arc::as_ptr(link.charge.holder()).addr());
            let Some(holder) = holder else { continue };
            if self.shares.is_used_up(holder) {
                // all others first
                self.ready.push_back(key);
                continue;
            }
            self.read_link(key);
            served += 1;
            if self.shares.note(holder, self.shared.start.elapsed()) || served == SERVED || self.is_piled() {
                return;
            }
        }
    }

    pub(super) fn receive(&mut self, handover: Handover) {
        match handover {
            Handover::Link(new) => self.adopt(*new),
            Handover::Message { from, to, message, matched } => {
                self.deliver_for(from, to, &matched, Delivery::made(message));
            }
            Handover::Packed(packed) => {
                for (from, to, matched, message) in packed.iter() {
                    let receivers = matched.plain(self.id).len();
                    self.deliver_for(from, to, matched, Delivery::published(&message, receivers));
                }
            }
            Handover::ForHub { from, to, queues, message } => {
                let queues: Vec<&[u8]> = queues.iter().map(|queue| &**queue).collect();
                self.give_hub(from, to, &queues, &mut Delivery::made(message));
            }
            Handover::Interest(leaf) => self.tell_interest(leaf),
            Handover::Throttle(link) => self.throttle(link),
            Handover::Reload => {
                self.settings = self.shared.settings();
                self.judge_hubs();
                self.reauthenticate_all();
            }
            Handover::RedialEngine => self.redial_engine(),
            Handover::Look(look) => look.at(self),
            Handover::LameDuck(duration) => self.lame_duck(duration),
            Handover::Stop => self.stop = true,
        }
    }

    fn adopt(&mut self, new: NewLink) {
        let judged_by = new.judged_by;
        let (mut link, input, unsent) = Link::new(new, self.now, &self.held);
        let entry = self.links.vacant_entry();
        let key = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.registry.register(&mut link.stream, token(key, link.cid), interest) {
            tracing::warn!(%error, cid = link.cid, "registering a connection failed; it is closed");
            if link.leaf.is_none() {
                self.shared.open.fetch_sub(1, Ordering::Relaxed);
            }
            return;
        }
        let (cid, account, with_tls) = (link.cid, link.account, link.tls.is_some());
        let is_hub = link.leaf.is_some();
        if !is_hub {
            link.claim = self.shared.claims.claim(
                account,
                &link.client.user,
                &link.client.name,
                &self.shared.refusal_log,
            );
        }
        entry.insert(link);
        let key = key as u32;
        if is_hub {
            self.attach_hub(key);
        } else if let Some(counters) = self.counters() {
            counters.accounts[account].fetch_add(1, Ordering::Relaxed);
        }
        self.set_first_ping(key, cid);
        if is_hub {
            self.judge_hub(key);
        } else if judged_by != self.shared.generation() {
            // a reload came between its admission and now
            self.settings = self.shared.settings();
            self.reauthentication.add(key, cid);
        }
        if !unsent.is_empty() {
            if with_tls {
                self.queue_cipher(key, &unsent);
            } else {
                self.queue_line(key, &unsent);
            }
        }
        if !input.is_empty() {
            self.ingest(key, &input);
        }
        self.settle(key);
        self.note_unfinished(key);
        if self.links.get(key as usize).is_some_and(Link::has_more_to_say) {
            self.queue_read(key);
        }
    }

    pub(super) fn counters(&self) -> Option<&ShardCounters> {
        self.shared.shards.get(usize::from(self.id))
    }

    fn publish_counters(&self) {
        let Some(counters) = self.counters() else { return };
        counters.links.store(self.links.len(), Ordering::Relaxed);
        counters.in_msgs.store(self.traffic.in_msgs, Ordering::Relaxed);
        counters.in_bytes.store(self.traffic.in_bytes, Ordering::Relaxed);
        counters.out_msgs.store(self.traffic.out_msgs, Ordering::Relaxed);
        counters.out_bytes.store(self.traffic.out_bytes, Ordering::Relaxed);
        counters.lost.store(self.traffic.lost, Ordering::Relaxed);
        for (counter, count) in counters.lookups.iter().zip(self.cache.lookups()) {
            counter.store(count, Ordering::Relaxed);
        }
        for (counter, count) in counters.fan_out.iter().zip(self.fan_out.messages) {
            counter.store(count, Ordering::Relaxed);
        }
        counters.deliveries.store(self.fan_out.deliveries, Ordering::Relaxed);
    }

    /// Marks a link to be closed at the end of the turn.
    pub(super) fn close_later(&mut self, key: u32, why: Close) {
        if let Some(link) = self.links.get_mut(key as usize)
            && !link.closing
        {
            link.closing = true;
            self.closing.push((key, why));
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
            self.close_later(key, Close::Shutdown);
        }
        self.close_all();
        self.publish_counters();
        // or all would hold each other for ever
        self.others = None;
    }
}
