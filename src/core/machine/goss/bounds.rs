//! What one validation may take: processor time, bytes that are looked at, bytes of compiled
//! expressions, resources. Whatever takes time is done here, aside of the threads that serve
//! the network.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// Pieces of work under way in this process.
static WORKERS: Semaphore = Semaphore::const_new(2);

/// Bounds of a validation, and what is used of them.
#[derive(Debug)]
pub(super) struct Bounds {
    time: Duration,
    /// Bytes that are looked at: of a text, once for each pattern.
    bytes: u64,
    /// Bytes of compiled expressions.
    compiled: u64,
    /// Resources.
    pub resources: usize,
    /// Microseconds.
    spent: AtomicU64,
    looked: AtomicU64,
    kept: AtomicU64,
    over: OnceLock<String>,
}

impl Bounds {
    /// Of rules of this machine.
    pub fn local() -> Bounds {
        Bounds {
            time: Duration::from_secs(10),
            bytes: 512 << 20,
            compiled: 16 << 20,
            resources: 5000,
            spent: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            over: OnceLock::new(),
        }
    }

    /// Of rules that somebody elsewhere gives or names.
    pub fn remote() -> Bounds {
        Bounds { resources: 500, ..Bounds::local() }
    }

    /// Why the rest is not done.
    pub fn over(&self) -> Option<&str> {
        self.over.get().map(String::as_str)
    }

    /// Begins a piece of work, whose time counts.
    pub fn work(&self) -> Work<'_> {
        Work { bounds: self, began: Instant::now() }
    }

    #[cfg(test)]
    pub fn of(time: Duration, bytes: u64, compiled: u64) -> Bounds {
        Bounds { time, bytes, compiled, ..Bounds::local() }
    }
}

/// A piece of work.
#[derive(Debug)]
pub(super) struct Work<'a> {
    bounds: &'a Bounds,
    began: Instant,
}

impl Work<'_> {
    /// Whether there is time left.
    ///
    /// # Errors
    /// There is none, in words.
    pub fn check(&self) -> Result<(), String> {
        let spent = Duration::from_micros(self.bounds.spent.load(Ordering::Relaxed));
        if spent + self.began.elapsed() > self.bounds.time {
            return Err(self.over(format!(
                "the rules took more than {} s to read and to compare: expect less of long texts",
                self.bounds.time.as_secs()
            )));
        }
        Ok(())
    }

    /// Before bytes are looked at.
    ///
    /// # Errors
    /// It is too much, in words.
    pub fn look(&self, bytes: usize) -> Result<(), String> {
        self.check()?;
        let bytes = bytes as u64;
        let looked = self.bounds.looked.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if looked > self.bounds.bytes {
            return Err(self.over(format!(
                "the rules look at more than {} MiB of text, all patterns together: expect less of long texts",
                self.bounds.bytes >> 20
            )));
        }
        Ok(())
    }

    /// Once an expression is compiled that is kept.
    ///
    /// # Errors
    /// It is too much, in words.
    pub fn keep(&self, bytes: usize) -> Result<(), String> {
        let bytes = bytes as u64;
        let kept = self.bounds.kept.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if kept > self.bounds.compiled {
            return Err(self.over(format!(
                "all regular expressions together take more than {} MiB: write fewer, or shorter ones",
                self.bounds.compiled >> 20
            )));
        }
        Ok(())
    }

    fn over(&self, why: String) -> String {
        self.bounds.over.get_or_init(|| why).clone()
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        let spent = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.bounds.spent.fetch_add(spent, Ordering::Relaxed);
    }
}

/// Does work that takes time, two at once in this process. It ends by its own bounds where
/// nobody waits for it any more.
pub(super) async fn worked<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let turn = WORKERS.acquire().await.map_err(|e| e.to_string())?;
    let working = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    });
    working.await.map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn each_bound_is_kept_and_named() {
        let bounds = Bounds::of(Duration::from_secs(10), 2 << 20, 1 << 20);
        let work = bounds.work();
        assert!(work.look(2 << 20).is_ok() && work.keep(1 << 20).is_ok() && bounds.over().is_none());
        assert!(work.look(1).unwrap_err().contains("more than 2 MiB of text"));
        assert!(bounds.over().is_some());
        let bounds = Bounds::of(Duration::from_secs(10), 1, 1 << 20);
        assert!(bounds.work().keep((1 << 20) + 1).unwrap_err().contains("expressions together"));
        // time of one piece counts for the next
        let bounds = Bounds::of(Duration::from_millis(5), 1, 1);
        let work = bounds.work();
        std::thread::sleep(Duration::from_millis(10));
        drop(work);
        assert!(bounds.work().check().unwrap_err().contains("took more than"));
    }

    /// On one thread that serves the network, which goes on meanwhile.
    #[tokio::test]
    async fn two_at_once_and_never_on_the_thread_that_asks() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let here = std::thread::current().id();
        let all = (0..8).map(|_| {
            let (now, most) = (now.clone(), most.clone());
            worked(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(10));
                now.fetch_sub(1, Ordering::SeqCst);
                std::thread::current().id()
            })
        });
        let threads = futures::future::join_all(all).await;
        assert!(threads.into_iter().all(|thread| thread.unwrap() != here));
        assert!(most.load(Ordering::SeqCst) <= 2);
    }
}
