//! HTTP for status pages, with bounds: few connections, short requests, one
//! request a connection, ten seconds for all of it. Who may see names is
//! [`access`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

pub mod access;
mod addresses;
mod pages;

pub use addresses::{AddressError, listen_addresses};
pub use pages::{PROMETHEUS, Pages, PagesError};

/// Connections at a time; more wait unaccepted.
const CONNECTIONS: usize = 32;
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
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "accepting a monitoring connection failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(pages_for(&pages, peer.ip()));
        tokio::spawn(async move {
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
            drop(place);
        });
    }
}
