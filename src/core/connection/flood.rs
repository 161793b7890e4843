//! What answers at a broker's address and is none.
//!
//! A broker speaks first, before TLS has shown who it is, and async-nats keeps all of a line
//! until it ends. Whoever answers in a broker's place could make it as long as memory is: so
//! memory is looked at while a connection is made, and the try ends when it grows by what no
//! honest broker causes.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::task::coop::poll_proceed;

use super::failure::Failure;
use crate::core::metrics::process;

/// What one try may take, in bytes of the process.
const MOST: u64 = 32 << 20;
/// What a task may do in one go is 128 reads, each as much as the system holds; a try may do few.
const SKIPPED: u32 = 124;
/// Tries under way.
static TRIES: AtomicU64 = AtomicU64::new(0);

/// Makes one try to connect one that ends when it takes too much. Dropping it gives back what it
/// read. Of a process with many at once each may take its part.
pub(super) fn bounded<F: Future>(connecting: F) -> Bounded<F> {
    TRIES.fetch_add(1, Ordering::Relaxed);
    Bounded { before: process::memory(), connecting: Box::pin(connecting) }
}

/// See [`bounded`].
pub(super) struct Bounded<F> {
    before: u64,
    connecting: Pin<Box<F>>,
}

impl<F> Drop for Bounded<F> {
    fn drop(&mut self) {
        TRIES.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<F: Future> Future for Bounded<F> {
    type Output = Result<F::Output, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let most = MOST.saturating_mul(TRIES.load(Ordering::Relaxed).max(1));
        if process::memory().saturating_sub(self.before) > most {
            return Poll::Ready(Err(Failure::passing(format!(
                "what answers there sends more than {} MiB and has not said who it is: it is no broker",
                MOST >> 20
            ))));
        }
        for _ in 0..SKIPPED {
            ready!(poll_proceed(cx)).made_progress();
        }
        self.connecting.as_mut().poll(cx).map(Ok)
    }
}
