//! Serving a few pages over HTTP, with bounds: few connections, short
//! requests, one request a connection, ten seconds for all of it.
//!
//! Brokers show themselves this way, and emulators. Pages are served from one
//! thread with a runtime of its own: a slow reader of pages must not slow
//! anything else. Who may see names is [`access`].

pub mod access;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Semaphore, oneshot};

/// Connections at a time; more wait unaccepted.
const CONNECTIONS: usize = 32;
/// From accepting a connection to its last byte.
const PATIENCE: Duration = Duration::from_secs(10);
/// Request line and headers, together; the smallest hyper takes.
const REQUEST: usize = 8192;
/// Headers of a request.
const HEADERS: usize = 64;
/// Pages being made at a time: the largest of a broker asks every shard.
const MAKERS: usize = 2;

/// Content type of Prometheus text.
pub const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Why no pages are served.
#[derive(Debug, thiserror::Error)]
pub enum PagesError {
    /// The address could not be bound.
    #[error("listening for monitoring on {address} failed: {source}; is something else running there?")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The thread or its runtime could not be made.
    #[error("starting the monitoring thread failed: {0}")]
    Thread(#[from] io::Error),
}

/// Whoever asks; an extension of every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Pages for one peer.
pub(in crate::core) fn pages_for(pages: &Router, peer: IpAddr) -> Router {
    pages.clone().layer(Extension(Peer(peer)))
}

/// Pages that are served. Dropping it ends them.
pub struct Pages {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Pages {
    /// Binds `address` and serves what `router` makes of the address bound.
    ///
    /// # Errors
    /// [`PagesError`] when the address cannot be bound or the thread not made.
    pub fn start(
        address: SocketAddr,
        router: impl FnOnce(SocketAddr) -> Router,
    ) -> Result<Pages, PagesError> {
        let bind = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = bind().map_err(|source| PagesError::Bind { address, source })?;
        let router = router(address);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(MAKERS)
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("monitoring".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, router) => {}
                    _ = stopped => {}
                }
            });
            // a page being made has two seconds at most, and nobody to read it
            runtime.shutdown_background();
        })?;
        tracing::info!(%address, "monitoring is listening");
        Ok(Pages { address, stop: Some(stop), thread: Some(thread) })
    }

    /// The address listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // the other end goes with the thread
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, pages: Router) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "monitoring cannot listen"),
    };
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
