//! Those who are not in yet, by address: so many of one at a time, the others
//! wait their turn, one of each address after the other. A fleet behind one
//! address gets in one by one, and strangers cannot keep everybody else out.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use mio::net::TcpStream;

use super::limits::Limits;
use super::shared::Shared;

/// Connections of one address that wait for each handshake it may have at a time.
const WAITING: usize = 8;
/// Of these, connections that wait for others than those of their own address.
const WAITING_FOR_OTHERS: usize = 128;
/// Connections that wait at most, and never more than half of all there may be. Beyond them one of
/// the address of which most wait goes for each that comes from another.
const QUEUED: usize = 16_384;
/// Of what comes beyond, so many are accepted each time: one of a known address need not wait.
const BEYOND: usize = 16;
/// One for so many handshakes may be begun beyond their number from addresses that clients have come
/// from before: a fleet that comes back does not keep its operators out.
const RESERVED: usize = 8;
/// Such addresses that are remembered.
const KNOWN: usize = 4096;

/// Those who are not in yet.
#[derive(Default)]
pub struct HandshakeQueue {
    by_address: HashMap<IpAddr, AddressQueue>,
    /// Addresses of which some wait, in the order of their turns.
    turns: VecDeque<IpAddr>,
    /// The same by how many wait.
    weights: BTreeSet<(usize, IpAddr)>,
    /// How many wait.
    queued: usize,
    /// Where clients have come from, and in which order.
    known: HashSet<IpAddr>,
    order: VecDeque<IpAddr>,
}

/// Those of one address.
#[derive(Default)]
struct AddressQueue {
    handshaking: usize,
    waiting: VecDeque<Arrived>,
}

impl HandshakeQueue {
    fn wait(&mut self, address: IpAddr, new: Arrived) {
        let address_queue = self.by_address.entry(address).or_default();
        if address_queue.waiting.is_empty() {
            // whom we know is next
            match self.known.contains(&address) {
                true => self.turns.push_front(address),
                false => self.turns.push_back(address),
            }
        }
        address_queue.waiting.push_back(new);
        self.queued += 1;
        self.weigh(address, |waiting| waiting - 1);
    }

    /// An address has another number of those who wait than `before` makes of what it has now.
    fn weigh(&mut self, address: IpAddr, before: impl Fn(usize) -> usize) {
        let waiting = self.by_address.get(&address).map_or(0, |queue| queue.waiting.len());
        self.weights.remove(&(before(waiting), address));
        if waiting > 0 {
            self.weights.insert((waiting, address));
        }
    }

    /// Makes room for one of this address by the youngest of the address of which most wait, unless
    /// that is this one, or no more wait of it than of this one. One of an address we know makes room
    /// by any that we do not know.
    fn make_room_for(&mut self, address: IpAddr) -> Option<Arrived> {
        let own = self.by_address.get(&address).map_or(0, |queue| queue.waiting.len());
        let (most, heaviest) = self.weights.last().copied().filter(|(_, heaviest)| *heaviest != address)?;
        let is_better = self.known.contains(&address) && !self.known.contains(&heaviest);
        if most <= own + 1 && !is_better {
            return None;
        }
        let address_queue = self.by_address.get_mut(&heaviest)?;
        let youngest = address_queue.waiting.pop_back()?;
        if address_queue.waiting.is_empty() {
            self.turns.retain(|turn| *turn != heaviest);
            if address_queue.handshaking == 0 {
                self.by_address.remove(&heaviest);
            }
        }
        self.queued -= 1;
        self.weigh(heaviest, |waiting| waiting + 1);
        Some(youngest)
    }

    /// Whose turn it is: one of each address, and none of an address that has as many as it may.
    fn next(&mut self, most_of_one: usize) -> Option<Arrived> {
        for _ in 0..self.turns.len() {
            let address = self.turns.pop_front()?;
            let Some(address_queue) = self.by_address.get_mut(&address) else { continue };
            let full = address_queue.handshaking >= most_of_one;
            let next = if full { None } else { address_queue.waiting.pop_front() };
            if !address_queue.waiting.is_empty() {
                self.turns.push_back(address);
            }
            if next.is_some() {
                address_queue.handshaking += 1;
                self.queued -= 1;
                self.weigh(address, |waiting| waiting + 1);
                return next;
            }
        }
        None
    }
}

/// A connection as accepted.
pub struct Arrived {
    /// Its socket.
    pub stream: TcpStream,
    /// Peer address.
    pub remote: SocketAddr,
    /// Listener it came by.
    pub listener: usize,
    /// The listener speaks TLS.
    pub tls: bool,
}

/// Why a connection neither begins its handshake nor waits for it.
pub enum NoPlace {
    /// Too many of its address are there already.
    OfItsAddress(Arrived),
    /// As many wait as may, and no fewer of its address than of others.
    InTheQueue(Arrived),
    /// There are as many connections as may be.
    AtAll(Arrived),
}

impl Shared {
    /// Counts a connection that begins its handshake and gives it back, unless it has to wait: its
    /// address has as many as it may, then up to [`WAITING`] times as many wait, or everybody has.
    ///
    /// # Errors
    /// There is no place for it.
    pub fn begin_handshake(&self, new: Arrived, limits: &Limits) -> Result<Option<Arrived>, NoPlace> {
        let mut handshake_queue = self.lock_handshake_queue();
        let address = neighbourhood(new.remote.ip());
        let reserved =
            if handshake_queue.known.contains(&address) { limits.max_handshakes / RESERVED } else { 0 };
        let most = limits.max_handshakes_per_address.max(1);
        let of_address = handshake_queue.by_address.get(&address);
        let (under_way, waiting) =
            of_address.map_or((0, 0), |queue| (queue.handshaking, queue.waiting.len()));
        let busy = self.handshaking.load(Ordering::Acquire) >= limits.max_handshakes + reserved;
        let begins = under_way < most && !busy;
        let places =
            if under_way >= most { most.saturating_mul(WAITING) } else { most.min(WAITING_FOR_OTHERS) };
        if !begins && waiting >= places {
            return Err(NoPlace::OfItsAddress(new));
        }
        let no_connection = self.open.load(Ordering::Acquire) >= limits.max_connections;
        if no_connection || !begins && handshake_queue.queued >= most_queued(limits) {
            if handshake_queue.make_room_for(address).is_none() {
                return Err(if no_connection { NoPlace::AtAll(new) } else { NoPlace::InTheQueue(new) });
            }
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            self.open.fetch_sub(1, Ordering::AcqRel);
            self.refused("crowded out");
        }
        self.open.fetch_add(1, Ordering::AcqRel);
        if begins {
            handshake_queue.by_address.entry(address).or_default().handshaking += 1;
            self.handshaking.fetch_add(1, Ordering::AcqRel);
            return Ok(Some(new));
        }
        handshake_queue.wait(address, new);
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Ok(None)
    }

    /// Counts the end of a handshake, whatever it was; the connection stays counted as open.
    /// Returns whose turn it is, whose handshake begins with that.
    #[must_use]
    pub fn end_handshake(&self, address: IpAddr) -> Option<Arrived> {
        let limits = &self.settings().limits;
        let address = neighbourhood(address);
        let mut handshake_queue = self.lock_handshake_queue();
        let address_queue = handshake_queue.by_address.get_mut(&address)?;
        address_queue.handshaking = address_queue.handshaking.saturating_sub(1);
        if address_queue.handshaking == 0 && address_queue.waiting.is_empty() {
            handshake_queue.by_address.remove(&address);
        }
        let under_way = self.handshaking.fetch_sub(1, Ordering::AcqRel) - 1;
        if under_way >= limits.max_handshakes {
            return None;
        }
        let next = handshake_queue.next(limits.max_handshakes_per_address.max(1))?;
        self.handshaking.fetch_add(1, Ordering::AcqRel);
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        Some(next)
    }

    /// Addresses whose silent connections make room for others, with how many handshakes each has
    /// under way: all when places are short, else those of which others wait.
    pub fn crowds(&self) -> HashMap<IpAddr, usize> {
        let busy = self.handshaking.load(Ordering::Acquire) >= self.settings().limits.max_handshakes;
        let handshake_queue = self.lock_handshake_queue();
        let crowds = handshake_queue.by_address.iter().filter(|(_, queue)| busy || !queue.waiting.is_empty());
        crowds.map(|(address, queue)| (*address, queue.handshaking)).collect()
    }

    /// How many should be accepted for now.
    pub fn places(&self) -> usize {
        let limits = &self.settings().limits;
        if self.handshaking.load(Ordering::Acquire) < limits.max_handshakes {
            return usize::MAX;
        }
        let is_full = self.lock_handshake_queue().queued >= most_queued(limits);
        if is_full { BEYOND } else { usize::MAX }
    }

    /// A client has come in from here: next time its handshake does not wait for those of others.
    pub fn remember(&self, address: IpAddr) {
        let address = neighbourhood(address);
        let mut handshake_queue = self.lock_handshake_queue();
        if handshake_queue.known.insert(address) {
            handshake_queue.order.push_back(address);
            if handshake_queue.order.len() > KNOWN
                && let Some(oldest) = handshake_queue.order.pop_front()
            {
                handshake_queue.known.remove(&oldest);
            }
        }
    }

    /// Closes those who wait.
    pub fn send_waiting_away(&self) {
        let mut handshake_queue = self.lock_handshake_queue();
        let mut count = 0;
        handshake_queue.turns.clear();
        handshake_queue.weights.clear();
        handshake_queue.queued = 0;
        for address_queue in handshake_queue.by_address.values_mut() {
            count += std::mem::take(&mut address_queue.waiting).len();
        }
        self.waiting.fetch_sub(count, Ordering::AcqRel);
        self.open.fetch_sub(count, Ordering::AcqRel);
    }

    fn lock_handshake_queue(&self) -> MutexGuard<'_, HandshakeQueue> {
        self.handshake_queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many may wait.
fn most_queued(limits: &Limits) -> usize {
    QUEUED.min(limits.max_connections / 2).max(1)
}

/// What counts as one address: an IPv4 address, or the /64 network one IPv6
/// host has to itself.
pub fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(port: u16) -> Arrived {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let remote = SocketAddr::from(([10, 0, 0, 1], port));
        Arrived { stream: TcpStream::from_std(stream), remote, listener: 0, tls: true }
    }

    #[test]
    fn addresses_take_turns_and_have_so_many_under_way() {
        let mut queue = HandshakeQueue::default();
        let [crowd, few, full] = [1, 2, 3].map(|last| IpAddr::from([10, 0, 0, last]));
        for port in 0..4 {
            queue.wait(crowd, arrived(port));
        }
        queue.by_address.entry(full).or_default().handshaking = 2;
        queue.wait(full, arrived(20));
        queue.wait(few, arrived(10));
        let mut next = || queue.next(2).map(|next| next.remote.port());
        assert_eq!([next(), next(), next(), next()], [Some(0), Some(10), Some(1), None]);
        queue.by_address.get_mut(&full).unwrap().handshaking -= 1;
        assert_eq!(queue.next(2).map(|next| next.remote.port()), Some(20));
        assert_eq!((queue.queued, queue.turns.len()), (2, 1));
        assert_eq!(Vec::from_iter(&queue.weights), [&(2, crowd)]);
    }

    #[test]
    fn who_has_most_makes_room() {
        let mut queue = HandshakeQueue::default();
        let [crowd, pair, new, friend] = [1, 2, 3, 4].map(|last| IpAddr::from([10, 0, 0, last]));
        (0..3).for_each(|port| queue.wait(crowd, arrived(port)));
        (10..12).for_each(|port| queue.wait(pair, arrived(port)));
        queue.known.insert(friend);
        let mut room = |address| queue.make_room_for(address).map(|gone| gone.remote.port());
        assert_eq!(room(crowd), None, "not by its own");
        assert_eq!([room(new), room(new)], [Some(2), Some(11)], "the youngest of who has most");
        assert_eq!([room(new), room(pair)], [Some(1), None], "not for as many");
        assert_eq!([room(friend), room(friend), room(friend)], [Some(10), Some(0), None]);
        assert_eq!((queue.queued, queue.turns.len(), queue.weights.len()), (0, 0, 0));
        queue.wait(new, arrived(20));
        queue.wait(friend, arrived(30));
        assert_eq!(queue.next(1).map(|next| next.remote.port()), Some(30), "whom we know is next");
    }

    #[test]
    fn addresses_that_are_one() {
        let of = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }
}
