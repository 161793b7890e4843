//! Those who are not in yet, by address: so many of one at a time, the others
//! wait their turn. A fleet behind one address gets in one after the other, and
//! a stranger cannot keep everybody else out.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use mio::net::TcpStream;

use super::limits::Limits;
use super::shared::Shared;

/// Connections of one address that wait for each handshake it may have at a time.
const WAITING: usize = 8;
/// Connections that wait for each handshake that may be under way; with more, few are accepted, and
/// with twice as many none.
const QUEUED: usize = 4;
/// Those few, each time.
const BEYOND: usize = 16;
/// Of these, connections of one address: two strangers' addresses do not fill the queue.
const QUEUED_OF_ONE: usize = 128;
/// One for so many handshakes may be begun beyond their number from addresses that clients have come
/// from before: a fleet that comes back does not keep its operators out.
const RESERVED: usize = 8;
/// Such addresses that are remembered.
const KNOWN: usize = 4096;

/// Those who are not in yet.
#[derive(Default)]
pub struct HandshakeQueue {
    by_address: HashMap<IpAddr, AddressQueue>,
    /// In the order they came.
    queue: VecDeque<Arrived>,
    /// Where clients have come from, and in which order.
    known: HashSet<IpAddr>,
    order: VecDeque<IpAddr>,
}

/// Those of one address.
#[derive(Default)]
struct AddressQueue {
    handshaking: usize,
    /// Of those that wait for all others.
    queued: usize,
    waiting: VecDeque<Arrived>,
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

impl Shared {
    /// Counts a connection that begins its handshake and gives it back, unless it has to wait: its
    /// address has as many as it may, then up to [`WAITING`] times as many wait, or everybody has.
    ///
    /// # Errors
    /// Too many of its address wait.
    pub fn begin_handshake(&self, new: Arrived, limits: &Limits) -> Result<Option<Arrived>, Arrived> {
        let mut handshake_queue = self.lock_handshake_queue();
        let address = neighbourhood(new.remote.ip());
        let reserved =
            if handshake_queue.known.contains(&address) { limits.max_handshakes / RESERVED } else { 0 };
        let most = limits.max_handshakes_per_address.max(1);
        let address_queue = handshake_queue.by_address.entry(address).or_default();
        let begins = if address_queue.handshaking >= most {
            if address_queue.waiting.len() >= most.saturating_mul(WAITING) {
                return Err(new);
            }
            address_queue.waiting.push_back(new);
            self.waiting.fetch_add(1, Ordering::AcqRel);
            None
        } else if self.handshaking.load(Ordering::Acquire) >= limits.max_handshakes + reserved {
            if address_queue.queued >= most.min(QUEUED_OF_ONE) {
                return Err(new);
            }
            address_queue.queued += 1;
            handshake_queue.queue.push_back(new);
            self.waiting.fetch_add(1, Ordering::AcqRel);
            None
        } else {
            address_queue.handshaking += 1;
            self.handshaking.fetch_add(1, Ordering::AcqRel);
            Some(new)
        };
        self.open.fetch_add(1, Ordering::AcqRel);
        Ok(begins)
    }

    /// Counts the end of a handshake, whatever it was; the connection stays counted as open.
    /// Returns whose turn it is, whose handshake begins with that.
    #[must_use]
    pub fn end_handshake(&self, address: IpAddr) -> Option<Arrived> {
        let limits = &self.settings().limits;
        let address = neighbourhood(address);
        let mut handshake_queue = self.lock_handshake_queue();
        let address_queue = handshake_queue.by_address.get_mut(&address)?;
        if let Some(next) = address_queue.waiting.pop_front() {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Some(next);
        }
        address_queue.handshaking = address_queue.handshaking.saturating_sub(1);
        if address_queue.handshaking == 0 && address_queue.queued == 0 {
            handshake_queue.by_address.remove(&address);
        }
        let under_way = self.handshaking.fetch_sub(1, Ordering::AcqRel) - 1;
        while under_way < limits.max_handshakes
            && let Some(next) = handshake_queue.queue.pop_front()
        {
            let address_queue =
                handshake_queue.by_address.entry(neighbourhood(next.remote.ip())).or_default();
            address_queue.queued = address_queue.queued.saturating_sub(1);
            if address_queue.handshaking >= limits.max_handshakes_per_address.max(1) {
                // its address has begun others meanwhile
                address_queue.waiting.push_back(next);
                continue;
            }
            address_queue.handshaking += 1;
            self.handshaking.fetch_add(1, Ordering::AcqRel);
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Some(next);
        }
        None
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
        let most = self.settings().limits.max_handshakes;
        if self.handshaking.load(Ordering::Acquire) < most {
            return usize::MAX;
        }
        match self.lock_handshake_queue().queue.len() / most.saturating_mul(QUEUED).max(1) {
            0 => usize::MAX,
            // one of a known address need not wait
            1 => BEYOND,
            _ => 0,
        }
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
        let mut count = std::mem::take(&mut handshake_queue.queue).len();
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

    #[test]
    fn addresses_that_are_one() {
        let of = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }
}
