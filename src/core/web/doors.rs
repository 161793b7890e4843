//! Who comes in of strangers that knock: few at a time, who has most makes room, and nobody keeps a
//! place for longer than others have to wait for it.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// How many connections are served, and how many wait for that.
#[derive(Debug, Clone, Copy)]
pub struct Doors {
    /// At a time; more wait until one of these ends, or has had its time and makes room.
    pub connections: usize,
    /// Of these, for programs of this machine alone.
    pub of_this_machine: usize,
    /// Connections that wait; more are closed.
    pub waiting: usize,
    /// Those of one address.
    pub waiting_of_one: usize,
    /// Time everybody has before there is need of the place.
    pub grace: Duration,
}

/// A connection that is being served.
struct Served {
    peer: IpAddr,
    since: Instant,
    task: AbortHandle,
}

impl Doors {
    /// Lets connections in, for ever. What `serve` makes of one is ended where somebody else needs its
    /// place; what has to go on regardless has to leave it.
    pub async fn open<F>(self, listener: TcpListener, serve: impl Fn(TcpStream, IpAddr) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut served: Vec<Served> = Vec::new();
        let mut waiting: Vec<(TcpStream, IpAddr)> = Vec::new();
        loop {
            let accepted = match waiting.is_empty() {
                true => Some(listener.accept().await),
                false => tokio::time::timeout(self.grace / 10, listener.accept()).await.ok(),
            };
            match accepted {
                Some(Ok((stream, peer))) => self.queue(&mut waiting, stream, peer.ip()),
                Some(Err(error)) => {
                    tracing::debug!(%error, "accepting a connection failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                None => {}
            }
            served.retain(|other| !other.task.is_finished());
            loop {
                let of: Vec<_> = served.iter().map(|other| (other.peer, other.since)).collect();
                let crowd = Crowd::of(of.iter().map(|(peer, _)| *peer));
                let waits = || waiting.iter().map(|(_, peer)| *peer).enumerate();
                // somebody there is a place for, or else somebody
                let next = crowd.next(waits().filter(|(_, peer)| of.len() < self.places(*peer)));
                let Some((place, peer)) = next.or_else(|| crowd.next(waits())) else { break };
                if of.len() >= self.places(peer) {
                    match self.goes(&of, &crowd, peer, Instant::now()) {
                        Some(place) => served.swap_remove(place).task.abort(),
                        None => break,
                    }
                }
                let (stream, peer) = waiting.remove(place);
                let task = tokio::spawn(serve(stream, peer));
                served.push(Served { peer, since: Instant::now(), task: task.abort_handle() });
            }
        }
    }

    /// Has a connection wait, where there is room or somebody else has more who wait: who has more than that
    /// waits for himself, and is told so by the end of it.
    fn queue<T>(&self, waiting: &mut Vec<(T, IpAddr)>, stream: T, peer: IpAddr) {
        let crowd = Crowd::of(waiting.iter().map(|(_, peer)| *peer));
        let own = crowd.count(peer);
        let most = if peer.is_loopback() { self.waiting } else { self.waiting - self.waiting_of_one };
        // many machines may be in one /64: only who makes room is told by that
        if waiting.iter().filter(|(_, other)| *other == peer).count() >= self.waiting_of_one {
            return;
        }
        if waiting.len() >= most {
            // the newest of whoever has most
            let other = waiting.iter().enumerate().max_by_key(|(_, (_, peer))| crowd.count(*peer));
            match other.map(|(place, (_, peer))| (place, crowd.count(*peer))) {
                Some((place, count)) if count > own + 1 => drop(waiting.remove(place)),
                _ => return,
            }
        }
        waiting.push((stream, peer));
    }

    /// Connections at a time for somebody: programs of this machine find some that nobody else takes.
    fn places(&self, peer: IpAddr) -> usize {
        if peer.is_loopback() { self.connections } else { self.connections - self.of_this_machine }
    }

    /// Who makes room for a newcomer: the oldest of the address that has most, if it had its time, or if
    /// that address has more than the newcomer's would.
    fn goes(
        &self,
        served: &[(IpAddr, Instant)],
        crowd: &Crowd,
        newcomer: IpAddr,
        now: Instant,
    ) -> Option<usize> {
        let (place, (peer, since)) = served
            .iter()
            .enumerate()
            .max_by_key(|(_, (peer, since))| (crowd.count(*peer), Reverse(*since)))?;
        let crowds = crowd.count(*peer) > crowd.count(newcomer) + 1;
        (crowds || now.duration_since(*since) >= self.grace).then_some(place)
    }
}

/// How many connections each address has; of IPv6 each /64, of which one machine has all.
struct Crowd(HashMap<IpAddr, usize>);

fn whose(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address => address,
    }
}

impl Crowd {
    fn of(peers: impl Iterator<Item = IpAddr>) -> Crowd {
        let mut counts = HashMap::new();
        for peer in peers {
            *counts.entry(whose(peer)).or_default() += 1;
        }
        Crowd(counts)
    }

    fn count(&self, peer: IpAddr) -> usize {
        self.0.get(&whose(peer)).copied().unwrap_or_default()
    }

    /// Who comes next of those who wait, in their order: of the address that has least.
    fn next(&self, waiting: impl Iterator<Item = (usize, IpAddr)>) -> Option<(usize, IpAddr)> {
        waiting.min_by_key(|(_, peer)| self.count(*peer))
    }
}

#[cfg(test)]
mod tests {
    use super::super::PAGES;
    use super::*;

    fn goes(served: &[(IpAddr, Instant)], newcomer: IpAddr, now: Instant) -> Option<usize> {
        PAGES.goes(served, &Crowd::of(served.iter().map(|(peer, _)| *peer)), newcomer, now)
    }

    #[test]
    fn the_oldest_of_the_crowd_makes_room() {
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let [one, other] = [1, 2].map(|last| IpAddr::from([127, 0, 0, last]));
        let served = [(other, at(0)), (one, at(20)), (one, at(10)), (one, at(30))];
        assert_eq!(goes(&served, other, at(10) + PAGES.grace), Some(2));
        assert_eq!(goes(&served, one, at(9) + PAGES.grace), None, "who has most waits for himself");
        assert_eq!(goes(&served[..1], one, at(2000)), Some(0));
        assert_eq!(goes(&[], one, at(0)), None);
        // a crowd goes at once for somebody who is alone
        let new = IpAddr::from([127, 0, 0, 3]);
        assert_eq!(goes(&served, new, at(40)), Some(2));
        assert_eq!(goes(&served[..2], new, at(40)), None);
    }

    #[test]
    fn who_has_least_comes_next_and_this_machine_finds_room() {
        let begin = Instant::now();
        let [one, other] = [1, 2].map(|last| IpAddr::from([192, 0, 2, last]));
        let served = [(one, begin), (one, begin), (other, begin)];
        let next = |waiting: &[IpAddr]| {
            Crowd::of(served.iter().map(|(peer, _)| *peer)).next(waiting.iter().copied().enumerate())
        };
        assert_eq!(next(&[one, one, other]), Some((2, other)));
        assert_eq!(next(&[one, one]), Some((0, one)));
        assert_eq!(next(&[]), None);
        // whoever fills the queue makes room for who has nobody in it
        let mut queue = vec![];
        for n in 0..1000_u16 {
            PAGES.queue(&mut queue, n, IpAddr::from([192, 0, 2, (n % 60) as u8]));
        }
        assert_eq!(queue.len(), PAGES.waiting - PAGES.waiting_of_one);
        PAGES.queue(&mut queue, 2000, IpAddr::from([198, 51, 100, 1]));
        assert_eq!((queue.len(), queue.last().map(|(n, _)| *n)), (240, Some(2000)));
        let v6 = |last| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
        assert_eq!(Crowd::of([v6(1), v6(2)].into_iter()).count(v6(3)), 2);
        assert!(PAGES.places(one) < PAGES.places(IpAddr::from([127, 0, 0, 1])));
    }
}
