//! HTTP for status pages, with bounds: few connections, short requests, one
//! request a connection, ten seconds for all of it. Who may see names is
//! [`access`].

use std::cmp::Reverse;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

pub mod access;
mod addresses;
mod browsers;
mod pages;

pub use addresses::{AddressError, listen_addresses};
pub use browsers::protect;
pub use pages::{PROMETHEUS, Pages, PagesError};

/// Connections at a time; more wait unaccepted until one of these ends, or has had its time and
/// makes room.
const CONNECTIONS: usize = 32;
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
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "accepting a monitoring connection failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        loop {
            served.retain(|other| !other.task.is_finished());
            if served.len() < CONNECTIONS {
                break;
            }
            let of: Vec<_> = served.iter().map(|other| (other.peer, other.since)).collect();
            match goes(&of, Instant::now()) {
                Some(place) => served.swap_remove(place).task.abort(),
                None => tokio::time::sleep(GRACE / 10).await,
            }
        }
        let since = Instant::now();
        let service = TowerToHyperService::new(pages_for(&pages, peer.ip()));
        let task = tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE / 2)
                .keep_alive(false)
                .max_buf_size(REQUEST)
                .max_headers(HEADERS)
                .serve_connection(TokioIo::new(stream), service);
            if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, connection).await {
                tracing::debug!(%peer, %error, "a monitoring connection failed");
            }
        });
        served.push(Served { peer: peer.ip(), since, task: task.abort_handle() });
    }
}

/// Who makes room for a newcomer: the oldest of the address that has most, if it had its time.
fn goes(served: &[(IpAddr, Instant)], now: Instant) -> Option<usize> {
    let count = |peer: &IpAddr| served.iter().filter(|(other, _)| other == peer).count();
    let (place, (_, since)) =
        served.iter().enumerate().max_by_key(|(_, (peer, since))| (count(peer), Reverse(*since)))?;
    (now.duration_since(*since) >= GRACE).then_some(place)
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
        assert_eq!(goes(&served, at(10) + GRACE), Some(2));
        assert_eq!(goes(&served, at(9) + GRACE), None);
        assert_eq!(goes(&served[..1], at(2000)), Some(0));
        assert_eq!(goes(&[], at(0)), None);
    }
}
