//! What answers at a broker's address and is none.
//!
//! A broker speaks first, before TLS has shown who it is, and async-nats keeps all of a line
//! until it ends. Whoever answers in a broker's place could make it as long as memory is: so
//! memory is looked at while a connection is made, and the try ends when it grows by what no
//! honest broker causes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::failure::Failure;
use crate::core::metrics::process;

/// What one try may take, in bytes of the process.
const MOST: u64 = 32 << 20;
/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(20);
/// Tries under way.
static TRIES: AtomicU64 = AtomicU64::new(0);

/// A try under way; it is none when this is dropped.
struct Try;

impl Try {
    fn begin() -> Try {
        TRIES.fetch_add(1, Ordering::Relaxed);
        Try
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        TRIES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs one try to connect. Dropping it, as happens when it takes too much, gives back what it
/// read. Of a process with many at once each may take its part.
pub(super) async fn bounded<T>(connecting: impl Future<Output = T>) -> Result<T, Failure> {
    let _one = Try::begin();
    let before = process::memory();
    let too_much = async {
        let mut looks = tokio::time::interval(EVERY);
        loop {
            looks.tick().await;
            let most = MOST.saturating_mul(TRIES.load(Ordering::Relaxed).max(1));
            if process::memory().saturating_sub(before) > most {
                return;
            }
        }
    };
    tokio::select! {
        done = connecting => Ok(done),
        () = too_much => Err(Failure::passing(format!(
            "what answers there sends more than {} MiB and has not said who it is: it is no broker",
            MOST >> 20
        ))),
    }
}
