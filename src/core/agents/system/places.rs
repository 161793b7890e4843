//! Threads for what may hang: files and name servers of others.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// So many threads and no more: what hangs keeps its own, and who comes when all hang is
/// told so.
#[derive(Clone)]
pub struct Places {
    free: Arc<Semaphore>,
    all: usize,
}

impl Places {
    /// That many at once.
    pub fn new(all: usize) -> Places {
        Places { free: Arc::new(Semaphore::new(all)), all }
    }

    /// Does work that blocks. It is done to its end when nobody waits for it any more.
    ///
    /// # Errors
    /// There is no place, as a sentence.
    pub async fn block<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let place = self.free.clone().try_acquire_owned();
        let place = place.map_err(|_| format!("{} such requests are at work, and none ends", self.all))?;
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        });
        done.await.map_err(|e| e.to_string())
    }

    /// Does short work that blocks, once there is a place; nothing when it is not done within
    /// `limit`.
    pub async fn block_within<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let working = async {
            let place = self.free.clone().acquire_owned().await.ok()?;
            let done = tokio::task::spawn_blocking(move || {
                let _place = place;
                work()
            });
            done.await.ok()
        };
        tokio::time::timeout(limit, working).await.ok().flatten()
    }
}
