//! HTTP for status pages, with bounds: few connections, short requests, one
//! request a connection, ten seconds for all of it. Who may see names is
//! [`access`].

use std::cmp::Reverse;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

pub mod access;
mod addresses;
mod browsers;
mod pages;

pub use addresses::{AddressError, listen_addresses};
pub use browsers::protect;
pub use pages::{PROMETHEUS, Pages, PagesError};

/// Connections at a time; more wait until one of these ends, or has had its time and makes room.
const CONNECTIONS: usize = 32;
/// Of these, for programs of this machine alone.
const OF_THIS_MACHINE: usize = 4;
/// Connections that wait, and those of one address; more are closed.
const WAITING: usize = 256;
const WAITING_OF_ONE: usize = 16;
/// Time everybody has for a request.
const GRACE: Duration = Duration::from_millis(250);
/// From accepting a connection to its last byte.
const PATIENCE: Duration = Duration::from_secs(10);
/// Request line and headers, together; the smallest hyper takes.
const REQUEST: usize = 8192;
/// Headers of a request.
const HEADERS: usize = 64;

/// Whoever asks: an extension of every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Pages for one peer.
pub fn pages_for(pages: &Router, peer: IpAddr) -> Router {
    pages.clone().layer(Extension(Peer(peer)))
}

/// A connection that is being served.
struct Served {
    peer: IpAddr,
    since: Instant,
    task: AbortHandle,
}

/// Serves pages, for ever.
pub async fn serve(listener: TcpListener, pages: Router) {
    let mut served: Vec<Served> = Vec::new();
    let mut waiting: Vec<(TcpStream, IpAddr)> = Vec::new();
    loop {
        let accepted = match waiting.is_empty() {
            true => Some(listener.accept().await),
            false => tokio::time::timeout(GRACE / 10, listener.accept()).await.ok(),
        };
        match accepted {
            Some(Ok((stream, peer))) => {
                let of_peer = waiting.iter().filter(|(_, other)| *other == peer.ip()).count();
                // who has more than that waits for himself, and is told so by the end of it
                let most = if peer.ip().is_loopback() { WAITING } else { WAITING - WAITING_OF_ONE };
                if of_peer < WAITING_OF_ONE && waiting.len() < most {
                    waiting.push((stream, peer.ip()));
                }
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "accepting a monitoring connection failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            None => {}
        }
        served.retain(|other| !other.task.is_finished());
        loop {
            let of: Vec<_> = served.iter().map(|other| (other.peer, other.since)).collect();
            let wanting: Vec<_> = waiting.iter().map(|(_, peer)| *peer).collect();
            let Some((place, peer)) =
                next(&of, &wanting).and_then(|place| Some((place, *wanting.get(place)?)))
            else {
                break;
            };
            if of.len() >= places(peer) {
                match goes(&of, peer, Instant::now()) {
                    Some(place) => served.swap_remove(place).task.abort(),
                    None => break,
                }
            }
            let (stream, peer) = waiting.remove(place);
            let task = tokio::spawn(answer(stream, peer, pages_for(&pages, peer)));
            served.push(Served { peer, since: Instant::now(), task: task.abort_handle() });
        }
    }
}

/// Answers one request.
async fn answer(stream: TcpStream, peer: IpAddr, pages: Router) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE / 2)
        .keep_alive(false)
        .max_buf_size(REQUEST)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages));
    if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, connection).await {
        tracing::debug!(%peer, %error, "a monitoring connection failed");
    }
}

/// Connections at a time for somebody: programs of this machine find some that nobody else takes.
fn places(peer: IpAddr) -> usize {
    if peer.is_loopback() { CONNECTIONS } else { CONNECTIONS - OF_THIS_MACHINE }
}

fn count(served: &[(IpAddr, Instant)], peer: IpAddr) -> usize {
    served.iter().filter(|(other, _)| *other == peer).count()
}

/// Who comes next of those who wait, in their order: of the address that has least.
fn next(served: &[(IpAddr, Instant)], waiting: &[IpAddr]) -> Option<usize> {
    (0..waiting.len()).min_by_key(|place| waiting.get(*place).map(|peer| count(served, *peer)))
}

/// Who makes room for a newcomer: the oldest of the address that has most, if it had its time, or if
/// that address has more than the newcomer's would.
fn goes(served: &[(IpAddr, Instant)], newcomer: IpAddr, now: Instant) -> Option<usize> {
    let (place, (peer, since)) =
        served.iter().enumerate().max_by_key(|(_, (peer, since))| (count(served, *peer), Reverse(*since)))?;
    let crowds = count(served, *peer) > count(served, newcomer) + 1;
    (crowds || now.duration_since(*since) >= GRACE).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_the_crowd_makes_room() {
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let [one, other] = [1, 2].map(|last| IpAddr::from([127, 0, 0, last]));
        let served = [(other, at(0)), (one, at(20)), (one, at(10)), (one, at(30))];
        assert_eq!(goes(&served, other, at(10) + GRACE), Some(2));
        assert_eq!(goes(&served, one, at(9) + GRACE), None, "who has most waits for himself");
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
        assert_eq!(next(&served, &[one, one, other]), Some(2));
        assert_eq!(next(&served, &[one, one]), Some(0));
        assert_eq!(next(&served, &[]), None);
        assert!(places(one) < places(IpAddr::from([127, 0, 0, 1])));
    }
}
