//! HTTP for status pages, with bounds: few connections, short requests, one
//! request a connection, ten seconds for all of it. Who may see names is
//! [`access`].

use std::net::IpAddr;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

pub mod access;
mod addresses;
mod browsers;
mod doors;
mod pages;

pub use addresses::{AddressError, listen_addresses};
pub use browsers::protect;
pub use doors::Doors;
pub use pages::{PROMETHEUS, Pages, PagesError};

/// Connections of pages.
const PAGES: Doors = Doors {
    connections: 32,
    of_this_machine: 4,
    waiting: 256,
    waiting_of_one: 16,
    grace: Duration::from_millis(250),
};
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

/// Serves pages, for ever.
pub async fn serve(listener: TcpListener, pages: Router) {
    PAGES.open(listener, |stream, peer| answer(stream, peer, pages_for(&pages, peer))).await;
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
