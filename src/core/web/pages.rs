//! Pages from a thread with a runtime of its own: a slow reader of pages must
//! not slow anything else. Brokers show themselves this way, and emulators.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use axum::Router;
use tokio::sync::oneshot;

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
                    () = listen(listener, router) => {}
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

async fn listen(listener: TcpListener, pages: Router) {
    match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => super::serve(listener, pages).await,
        Err(error) => tracing::error!(%error, "monitoring cannot listen"),
    }
}
