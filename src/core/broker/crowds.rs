//! Those who are not in yet, by address: so many of one at a time, the others
//! wait their turn. A fleet behind one address gets in one after the other, and
//! a stranger cannot keep everybody else out.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use mio::net::TcpStream;

use super::shared::Shared;

/// Connections of one address that wait for each handshake it may have at a time.
const WAITING: usize = 8;

/// Those of one address that are not in yet.
#[derive(Default)]
pub struct Crowd {
    handshaking: usize,
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
    /// Counts a connection that begins its handshake and gives it back, unless its address has
    /// `most` of them: then it waits, up to [`WAITING`] times as many of one address.
    ///
    /// # Errors
    /// Too many of its address wait.
    pub fn begin_handshake(&self, new: Arrived, most: usize) -> Result<Option<Arrived>, Arrived> {
        let mut crowds = self.lock_crowds();
        let crowd = crowds.entry(neighbourhood(new.remote.ip())).or_default();
        let begins = if crowd.handshaking < most.max(1) {
            crowd.handshaking += 1;
            self.handshaking.fetch_add(1, Ordering::AcqRel);
            Some(new)
        } else if crowd.waiting.len() < most.saturating_mul(WAITING) {
            crowd.waiting.push_back(new);
            self.waiting.fetch_add(1, Ordering::AcqRel);
            None
        } else {
            return Err(new);
        };
        self.open.fetch_add(1, Ordering::AcqRel);
        Ok(begins)
    }

    /// Counts the end of a handshake, whatever it was; the connection stays counted as open.
    /// Returns the next of its address, whose handshake begins with that.
    #[must_use]
    pub fn end_handshake(&self, address: IpAddr) -> Option<Arrived> {
        let address = neighbourhood(address);
        let mut crowds = self.lock_crowds();
        let crowd = crowds.get_mut(&address)?;
        if let Some(next) = crowd.waiting.pop_front() {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Some(next);
        }
        self.handshaking.fetch_sub(1, Ordering::AcqRel);
        crowd.handshaking = crowd.handshaking.saturating_sub(1);
        if crowd.handshaking == 0 {
            crowds.remove(&address);
        }
        None
    }

    /// Closes those who wait for others of their address.
    pub fn send_waiting_away(&self) {
        for crowd in self.lock_crowds().values_mut() {
            let count = std::mem::take(&mut crowd.waiting).len();
            self.waiting.fetch_sub(count, Ordering::AcqRel);
            self.open.fetch_sub(count, Ordering::AcqRel);
        }
    }

    fn lock_crowds(&self) -> MutexGuard<'_, HashMap<IpAddr, Crowd>> {
        self.crowds.lock().unwrap_or_else(PoisonError::into_inner)
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
