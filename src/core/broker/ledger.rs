//! One account for every byte the broker holds for its peers.
//!
//! Bytes live inside a [`Charge`] of a link, or a [`Message`] that several
//! links share. A charge names whom it is for: the [`Holder`], an identity with
//! all its links. So the sum is known, and when it is too much, who holds the
//! most of it: that one is cut, and not whoever happens to speak.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::handshake_queue::neighbourhood;
use super::limits::{KindLimits, Limits};
use super::pace::Pace;
use super::{copies, stream_share};
use crate::core::admission::{Account, Peer, PeerKind};
use crate::core::nats::frame::Frame;

/// Why a waiting node is refused whose name is taken: whoever has the token of a fleet can wait by any
/// name, and would be given the certificate of a node that is there.
pub const MEMBER: &str = "a member of this name is connected";

/// Bytes held by all of one shard.
pub type Counter = Arc<AtomicUsize>;

/// A frame that is in the account while anybody holds it: once, however many do.
#[derive(Debug)]
pub struct Message {
    frame: Frame,
    counter: Counter,
    /// The subject that decided who gets it, where that is another than is shown.
    routed: Option<Box<[u8]>>,
}

impl Message {
    /// Enters a frame.
    pub fn new(frame: Frame, counter: &Counter) -> Arc<Self> {
        Arc::new(Self::entered(frame, None, counter))
    }

    /// Enters one that is for those who subscribed to `routed`, whatever subject it shows.
    pub fn routed_by(frame: Frame, routed: &[u8], counter: &Counter) -> Arc<Self> {
        Arc::new(Self::entered(frame, Some(routed.into()), counter))
    }

    fn entered(frame: Frame, routed: Option<Box<[u8]>>, counter: &Counter) -> Self {
        counter.fetch_add(frame.len(), Ordering::Relaxed);
        Self { frame, counter: counter.clone(), routed }
    }

    /// The subject that decides who gets it.
    pub fn routed(&self) -> &[u8] {
        self.routed.as_deref().unwrap_or_else(|| self.frame.subject())
    }
}

impl Deref for Message {
    type Target = Frame;

    fn deref(&self) -> &Frame {
        &self.frame
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.counter.fetch_sub(self.frame.len(), Ordering::Relaxed);
    }
}

/// Bytes of somebody whose name is not known yet, or of messages between two shards.
#[derive(Debug)]
pub struct Held {
    counter: Counter,
    bytes: usize,
}

impl Held {
    /// Nothing yet.
    pub fn new(counter: &Counter) -> Self {
        Self { counter: counter.clone(), bytes: 0 }
    }

    /// States what is held now.
    pub fn set(&mut self, bytes: usize) {
        adjust(&self.counter, self.bytes, bytes);
        self.bytes = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// An identity with its links: a node, a client, whoever an account knows by one name.
#[derive(Debug)]
pub struct Holder {
    account: Account,
    peer: Peer,
    /// Where its links come from, where that is part of who it is.
    from: Option<IpAddr>,
    /// What all its links hold, messages shared with others counted in full.
    bytes: AtomicUsize,
    /// What their subscriptions take of it.
    subscribed: AtomicUsize,
    links: AtomicUsize,
    /// How fast all its links may speak together.
    pace: Pace,
    /// How much of the same all its links hear.
    copies: copies::OfHolder,
    /// Consumers they have made.
    consumers: Arc<stream_share::OfHolder>,
    /// Number of its newest link, and the milliseconds of the broker's clock it came at.
    newest: AtomicU64,
    newest_at: AtomicU64,
    /// The log has been told that it is there more than once.
    told_doubled: AtomicBool,
    /// The member of its name has come, where it is a waiting node.
    ousted: AtomicBool,
}

/// How long an older link of a node may still deliver what was on its way when a newer one came.
const OVERLAP: Duration = Duration::from_secs(1);

impl Holder {
    /// What it is.
    pub fn kind(&self) -> PeerKind {
        self.peer.kind
    }

    /// Its name, for the log.
    pub fn identity(&self) -> &str {
        &self.peer.identity
    }

    /// Whether link `cid` of a node, which was heard just now, shows for the first time that two
    /// machines are that node: a newer link has been there for a while, and this one lives on.
    pub fn shows_double(&self, cid: u64, now: Duration) -> bool {
        if self.newest.load(Ordering::Relaxed) <= cid || self.peer.kind != PeerKind::Node {
            return false;
        }
        let since = Duration::from_millis(self.newest_at.load(Ordering::Relaxed));
        self.links.load(Ordering::Relaxed) > 1
            && now > since + OVERLAP
            && !self.told_doubled.swap(true, Ordering::Relaxed)
    }

    /// Whether the member by whose name this waiting node waits has come meanwhile.
    pub fn is_ousted(&self) -> bool {
        self.ousted.load(Ordering::Relaxed)
    }

    /// What its links hold together.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What the subscriptions of its links take.
    pub fn subscribed(&self) -> usize {
        self.subscribed.load(Ordering::Relaxed)
    }

    /// How fast all its links may speak together.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// How much of the same all its links hear.
    pub fn copies(&self) -> &copies::OfHolder {
        &self.copies
    }

    /// Consumers all its links have made.
    pub fn consumers(&self) -> &stream_share::OfHolder {
        &self.consumers
    }

    /// What one of its links holds when all hold as much: the heaviest holds no less.
    pub fn share(&self) -> usize {
        self.bytes() / self.links.load(Ordering::Relaxed).max(1)
    }
}

/// Who holds what. Names are kept as long as they have a link.
#[derive(Debug, Default)]
pub struct Holders {
    known: Mutex<Known>,
    /// What is held, and by how many links, by kind.
    kinds: [KindTotal; PeerKind::ALL.len()],
}

#[derive(Debug, Default)]
struct Known {
    by_name: HashMap<Name, Arc<Holder>>,
    /// Links of waiting nodes by where they come from.
    waiting: HashMap<IpAddr, usize>,
    /// Waiting nodes by their names.
    waiting_by_name: HashMap<Box<str>, Vec<Arc<Holder>>>,
    /// Members that were here a moment ago: since when they are not, and where they were. The first are
    /// those that left last; when they are many, or a while has passed, they are the second.
    gone: [HashMap<Box<str>, (Duration, IpAddr)>; 2],
    gone_since: Duration,
    /// What those have made who left.
    consumers: HashMap<Name, Arc<stream_share::OfHolder>>,
}

impl Known {
    /// Whether a name is that of a member, or of one that left a moment ago: whoever has the token
    /// would only have to wait until a node is cut off, or restarts. Where it was it may wait at once,
    /// as a node does that is provisioned anew.
    fn is_of_a_member(&self, name: &str, from: IpAddr, now: Duration) -> bool {
        let is_here = MEMBERS.iter().any(|kind| {
            let member = Peer { kind: *kind, identity: name.into() };
            self.by_name.contains_key(&(Account::Choria, member, None))
        });
        let was_here = |(left, at): &(Duration, IpAddr)| {
            now < *left + HELD_FREE && neighbourhood(*at) != neighbourhood(from)
        };
        is_here || self.gone.iter().any(|gone| gone.get(name).is_some_and(was_here))
    }

    /// A member has left.
    fn keep_free(&mut self, name: &str, from: IpAddr, now: Duration) {
        let [last, before] = &mut self.gone;
        if last.len() >= MOST_GONE / 2 || now > self.gone_since + HELD_FREE {
            *before = std::mem::take(last);
            self.gone_since = now;
        }
        last.insert(name.into(), (now, from));
    }

    /// Keeps what somebody has made who left; of too many the oldest go.
    fn keep_consumers(&mut self, name: Name, made: Arc<stream_share::OfHolder>) {
        if self.consumers.len() >= MOST_GONE {
            let mut since: Vec<u64> = self.consumers.values().map(|made| made.since()).collect();
            let (_, middle, _) = since.select_nth_unstable(MOST_GONE / 2);
            let middle = *middle;
            self.consumers.retain(|_, made| made.since() > middle);
        }
        self.consumers.insert(name, made);
    }
}

/// Identities that left and are remembered, by the consumers they made or for their names.
const MOST_GONE: usize = 65_536;

/// How long nobody else waits by the name of a member that has left.
const HELD_FREE: Duration = Duration::from_secs(300);

/// Who has a name by a certificate.
const MEMBERS: [PeerKind; 3] = [PeerKind::Node, PeerKind::Client, PeerKind::Service];

/// A waiting node is known by its address, too: whoever has the token of a fleet can wait by
/// any name, and would keep the machine of that name out.
type Name = (Account, Peer, Option<IpAddr>);

#[derive(Debug, Default)]
struct KindTotal {
    bytes: AtomicUsize,
    links: AtomicUsize,
}

/// A link's place among those of its identity. It is given back when this goes.
#[derive(Debug)]
pub struct LinkSlot {
    holders: Arc<Holders>,
    holder: Arc<Holder>,
    /// Where the link comes from, and since when.
    at: IpAddr,
    since: Instant,
    entered: Duration,
    left: bool,
}

impl Holders {
    /// A place for one more link of an identity. Where nobody has to say who he is, each connection
    /// is one of its own.
    ///
    /// # Errors
    /// The identity has as many as it may, or its kind has: the name of that refusal.
    pub fn enter(
        self: &Arc<Self>,
        account: Account,
        peer: &Peer,
        (cid, from): (u64, IpAddr),
        limits: &Limits,
        now: Duration,
    ) -> Result<LinkSlot, &'static str> {
        let mut peer = peer.clone();
        if peer.identity.is_empty() {
            peer.identity = format!("connection {cid}").into();
        }
        let KindLimits { connections, .. } = *limits.of(peer.kind);
        let (peer_kind, kind) = (peer.kind, &self.kinds[peer.kind as usize]);
        let at = from;
        let from = (peer_kind == PeerKind::WaitingNode).then_some(from);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(from) = &from {
            if known.is_of_a_member(&peer.identity, *from, now) {
                return Err(MEMBER);
            }
            // one machine leaves room for those elsewhere
            if known.waiting.get(from).copied().unwrap_or_default()
                >= limits.most_links(peer_kind).div_ceil(2)
            {
                return Err("too many connections of waiting nodes at one address");
            }
        }
        let name = (account, peer, from);
        let holder = known.by_name.get(&name).cloned();
        let links = holder.as_ref().map_or(0, |holder| holder.links.load(Ordering::Relaxed));
        if links >= connections {
            return Err("too many connections of one identity");
        }
        if kind.links.load(Ordering::Relaxed) >= limits.most_links(peer_kind) {
            return Err("too many connections of waiting nodes");
        }
        let holder = holder.unwrap_or_else(|| {
            let [bytes, subscribed, links] = [0; 3].map(AtomicUsize::new);
            let (peer, pace, copies) = (name.1.clone(), Pace::default(), copies::OfHolder::default());
            // who comes back has made what it made
            let consumers = known.consumers.remove(&name).unwrap_or_default();
            let (newest, newest_at, told_doubled, ousted) = Default::default();
            let of = Holder {
                account,
                peer,
                from,
                bytes,
                subscribed,
                links,
                pace,
                copies,
                consumers,
                newest,
                newest_at,
                told_doubled,
                ousted,
            };
            let holder = Arc::new(of);
            if from.is_some() {
                known.waiting_by_name.entry(holder.identity().into()).or_default().push(holder.clone());
            }
            known.by_name.insert(name, holder.clone());
            holder
        });
        if let Some(from) = from {
            *known.waiting.entry(from).or_default() += 1;
        } else if account == Account::Choria {
            for gone in &mut known.gone {
                gone.remove(holder.identity());
            }
            let ousted = known.waiting_by_name.get(holder.identity()).into_iter().flatten();
            ousted.for_each(|waiting| waiting.ousted.store(true, Ordering::Relaxed));
        }
        holder.links.fetch_add(1, Ordering::Relaxed);
        holder.newest.store(cid, Ordering::Relaxed);
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        holder.newest_at.store(millis, Ordering::Relaxed);
        kind.links.fetch_add(1, Ordering::Relaxed);
        Ok(LinkSlot { holders: self.clone(), holder, at, since: Instant::now(), entered: now, left: false })
    }

    /// What all of a kind hold.
    pub fn of_kind(&self, kind: PeerKind) -> usize {
        self.kinds[kind as usize].bytes.load(Ordering::Relaxed)
    }

    /// The `most` who hold the most, of one kind or of all.
    pub fn heaviest(&self, kind: Option<PeerKind>, most: usize) -> Vec<Arc<Holder>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let of_kind = known.by_name.values().filter(|holder| kind.is_none_or(|kind| kind == holder.kind()));
        // what they hold changes meanwhile: each is asked once
        let mut found: Vec<_> = of_kind.map(|holder| (holder.bytes(), holder)).collect();
        if found.len() > most {
            found.select_nth_unstable_by_key(most, |(bytes, _)| Reverse(*bytes));
            found.truncate(most);
        }
        found.into_iter().map(|(_, holder)| holder.clone()).collect()
    }
}

impl LinkSlot {
    fn leave(&mut self) {
        if std::mem::replace(&mut self.left, true) {
            return;
        }
        let mut known = self.holders.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(from) = &self.holder.from
            && let Some(links) = known.waiting.get_mut(from)
        {
            *links -= 1;
            if *links == 0 {
                known.waiting.remove(from);
            }
        }
        self.holders.kinds[self.holder.kind() as usize].links.fetch_sub(1, Ordering::Relaxed);
        if self.holder.links.fetch_sub(1, Ordering::Relaxed) == 1 {
            let name = (self.holder.account, self.holder.peer.clone(), self.holder.from);
            known.by_name.remove(&name);
            let identity = self.holder.identity();
            if self.holder.from.is_some() {
                if let Some(waiting) = known.waiting_by_name.get_mut(identity) {
                    waiting.retain(|holder| !Arc::ptr_eq(holder, &self.holder));
                    if waiting.is_empty() {
                        known.waiting_by_name.remove(identity);
                    }
                }
            } else if self.holder.account == Account::Choria {
                known.keep_free(identity, self.at, self.entered + self.since.elapsed());
            }
            if self.holder.consumers.any() {
                known.keep_consumers(name, self.holder.consumers.clone());
            }
        }
    }
}

impl Drop for LinkSlot {
    fn drop(&mut self) {
        self.leave();
    }
}

/// What one link holds.
#[derive(Debug)]
pub struct Charge {
    slot: LinkSlot,
    counter: Counter,
    /// Bytes that are the link's alone: these are in the shard's sum.
    own: usize,
    /// These and messages shared with others, counted in full.
    weight: usize,
    /// Those of the first that its subscriptions take.
    subscribed: usize,
}

impl Charge {
    /// A charge of nothing.
    pub fn new(slot: LinkSlot, counter: &Counter) -> Self {
        Self { slot, counter: counter.clone(), own: 0, weight: 0, subscribed: 0 }
    }

    /// Whom it is for.
    pub fn holder(&self) -> &Arc<Holder> {
        &self.slot.holder
    }

    /// What it names now.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Gives its place among the links of its identity back, before another is taken for it.
    pub fn leave(&mut self) {
        self.set(0, 0, 0);
        self.slot.leave();
    }

    /// States what the link holds now: `own` bytes of its own, `subscribed` of them for its
    /// subscriptions, `weight` with what it shares.
    pub fn set(&mut self, own: usize, subscribed: usize, weight: usize) {
        if subscribed != self.subscribed {
            adjust(&self.slot.holder.subscribed, self.subscribed, subscribed);
            self.subscribed = subscribed;
        }
        if own != self.own {
            adjust(&self.counter, self.own, own);
            self.own = own;
        }
        if weight != self.weight {
            adjust(&self.slot.holder.bytes, self.weight, weight);
            adjust(&self.slot.holders.kinds[self.slot.holder.kind() as usize].bytes, self.weight, weight);
            self.weight = weight;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0, 0, 0);
    }
}

fn adjust(counter: &AtomicUsize, before: usize, now: usize) {
    // additions and subtractions of one link come in order, so no sum goes below zero
    if now >= before {
        counter.fetch_add(now - before, Ordering::Relaxed);
    } else {
        counter.fetch_sub(before - now, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
