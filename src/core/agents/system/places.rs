//! Threads for what may hang: files and name servers of others. Turns for programs that only
//! look, which many may ask for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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

/// So many of one caller at once: who asks for more waits for himself, and for nobody else.
pub struct Turns {
    each: usize,
    callers: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl Turns {
    /// That many of each.
    pub fn new(each: usize) -> Turns {
        Turns { each, callers: Mutex::default() }
    }

    /// Waits for a turn of this caller; it ends when it is dropped.
    pub async fn of(&self, caller: &str) -> Option<OwnedSemaphorePermit> {
        let turns = {
            let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
            callers.retain(|_, turns| turns.strong_count() > 0);
            let known = callers.get(caller).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turns = Arc::new(Semaphore::new(self.each));
                callers.insert(caller.to_owned(), Arc::downgrade(&turns));
                turns
            })
        };
        // Nobody closes it.
        turns.acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_has_his_turns_waits_and_others_do_not() {
        let turns = Turns::new(2);
        let first = turns.of("bob").await;
        let second = turns.of("bob").await;
        assert!(turns.of("bob").now_or_never().is_none());
        assert!(turns.of("alice").now_or_never().is_some());
        drop(first);
        let third = turns.of("bob").now_or_never().expect("one is free");
        drop((second, third));
        assert!(turns.of("carol").await.is_some());
        assert_eq!(turns.callers.lock().unwrap().len(), 1, "who has none is not remembered");
    }
}
