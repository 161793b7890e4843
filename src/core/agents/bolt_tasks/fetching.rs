//! Files of tasks on their way. They come in their own time, whoever asked for them and however
//! long that one waits: who asks again is told how far they are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::core::agents::Node;
use crate::core::config::System;
use crate::core::log::RefusalLog;
use crate::core::tasks::cache::{Cache, CacheError};
use crate::core::tasks::records::FileRecord;
use crate::core::tasks::source::Source;

/// How long the files of a task may take.
const LONGEST: Duration = Duration::from_secs(6 * 3600);
/// Tasks whose files come at once, and of one caller.
const AT_ONCE: usize = 16;
const OF_CALLER: usize = 8;

/// What became of it: how many files had to be fetched, or why one cannot be had.
type Fetched = Result<usize, Arc<CacheError>>;

/// The files that are on their way, by their hashes and addresses.
#[derive(Default)]
pub struct Fetching(Mutex<HashMap<String, UnderWay>>, Arc<RefusalLog>);

#[derive(Clone)]
struct UnderWay {
    caller: String,
    came: Arc<AtomicU64>,
    done: watch::Receiver<Option<Fetched>>,
}

impl Fetching {
    /// Sees to it that all files are there, or waits until then for them.
    ///
    /// # Errors
    /// One cannot be had, or they are [still coming](CacheError::Coming).
    pub async fn fetch(
        self: &Arc<Self>,
        cache: &Arc<Cache>,
        records: &[FileRecord],
        (node, caller): (&dyn Node, &str),
        until: Instant,
    ) -> Fetched {
        let there = {
            let (cache, records) = (cache.clone(), records.to_vec());
            tokio::task::spawn_blocking(move || records.iter().all(|record| cache.has(record)))
        };
        let of = records.iter().map(|record| record.size_bytes).sum();
        match tokio::time::timeout_at(until, there).await {
            Ok(Ok(true)) => return Ok(0),
            Ok(_) => {}
            Err(_) => return Err(Arc::new(CacheError::Coming { came: 0, of })),
        }
        let Some(tls) = node.tls() else {
            let name = records.first().map(|record| record.filename.clone()).unwrap_or_default();
            let problem = "this node has no certificate to show".to_owned();
            return Err(Arc::new(CacheError::Other { name, problem }));
        };
        let source = Source::find(node.config(), &System, tls).await;
        let cache = cache.clone();
        let wanted = records.to_vec();
        let under_way = self.join(records, caller, async move |came| {
            let fetched = tokio::time::timeout(LONGEST, cache.fetch(&wanted, &source, &came)).await;
            let name = || wanted.first().map(|record| record.filename.clone()).unwrap_or_default();
            let problem =
                || format!("it and the others did not come within {} hours", LONGEST.as_secs() / 3600);
            fetched
                .unwrap_or_else(|_| Err(CacheError::Other { name: name(), problem: problem() }))
                .map_err(Arc::new)
        })?;
        under_way.by(until, of).await
    }

    /// What is on its way, begun where it is not.
    fn join<W>(
        self: &Arc<Self>,
        records: &[FileRecord],
        caller: &str,
        work: impl FnOnce(Arc<AtomicU64>) -> W,
    ) -> Result<UnderWay, Arc<CacheError>>
    where
        W: Future<Output = Fetched> + Send + 'static,
    {
        // by their addresses, too: who names a wrong one fails alone
        let key: String =
            records.iter().map(|record| format!("{} {}\n", record.sha256, record.target())).collect();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = all.get(&key) {
            return Ok(there.clone());
        }
        let busy = |whose: String| Arc::new(CacheError::Busy(whose));
        if all.len() >= AT_ONCE {
            return Err(busy(format!("{AT_ONCE} tasks")));
        }
        if all.values().filter(|one| one.caller == caller).count() >= OF_CALLER {
            return Err(busy(format!("{OF_CALLER} tasks of yours")));
        }
        let (tell, done) = watch::channel(None);
        let came = Arc::new(AtomicU64::new(0));
        let work = work(came.clone());
        let under_way = UnderWay { caller: caller.to_owned(), came, done };
        all.insert(key.clone(), under_way.clone());
        let ended = Ended { all: self.clone(), key };
        let (refusals, whose) = (self.1.clone(), caller.to_owned());
        tokio::spawn(async move {
            let fetched = work.await;
            drop(ended);
            // who waits is told
            if let Err(Some(Err(e))) = tell.send(Some(fetched)).map_err(|unheard| unheard.0) {
                refusals.note_of("files", &whose, || {
                    tracing::warn!(caller = whose, "files of a task did not come: {e}");
                });
            }
        });
        Ok(under_way)
    }
}

impl UnderWay {
    /// What became of it, or how far it is at that time.
    async fn by(mut self, until: Instant, of: u64) -> Fetched {
        let done = tokio::time::timeout_at(until, self.done.wait_for(Option::is_some)).await;
        let fetched = done.ok().and_then(|done| done.ok().and_then(|fetched| fetched.clone()));
        let came = self.came.load(Ordering::Relaxed);
        fetched.unwrap_or_else(|| Err(Arc::new(CacheError::Coming { came, of })))
    }
}

/// What has ended is not on its way, however it ended.
struct Ended {
    all: Arc<Fetching>,
    key: String,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::sync::Notify;

    use super::*;
    use crate::core::tasks::records::parse;

    fn records(digit: u8) -> Vec<FileRecord> {
        let hash = char::from(b"0123456789abcdef"[usize::from(digit)]).to_string().repeat(64);
        let record = json!([{"filename": "x", "sha256": hash, "size_bytes": 90,
                             "uri": {"path": "/puppet/v3/x", "params": {}}}]);
        parse(&record.to_string()).unwrap()
    }

    /// What is half-way until its word comes.
    async fn slow(came: Arc<AtomicU64>, word: Arc<Notify>) -> Fetched {
        came.store(45, Ordering::Relaxed);
        word.notified().await;
        Ok(1)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    #[tokio::test]
    async fn what_is_on_its_way_comes_whoever_waits() {
        let (fetching, word) = (Arc::new(Fetching::default()), Arc::new(Notify::new()));
        let first =
            fetching.join(&records(1), "a", |came| slow(came, word.clone())).unwrap().by(soon(), 90).await;
        let told = first.unwrap_err().to_string();
        assert_eq!(told, "its files are still coming, 45 of 90 bytes are here: ask again");
        // the same, not another from its beginning; whoever goes away does not end it
        let never = async |_| -> Fetched { unreachable!("it is on its way") };
        drop(fetching.join(&records(1), "b", never).unwrap().by(soon(), 90));
        let second = fetching.join(&records(1), "b", never).unwrap();
        word.notify_one();
        assert_eq!(second.by(Instant::now() + Duration::from_secs(60), 90).await.unwrap(), 1);
        assert!(fetching.0.lock().unwrap().is_empty());
        let panics = fetching.join(&records(1), "a", async |_| panic!("a fault")).unwrap();
        assert!(panics.by(Instant::now() + Duration::from_secs(60), 90).await.is_err());
        assert!(fetching.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn they_are_bounded() {
        let (fetching, word) = (Arc::new(Fetching::default()), Arc::new(Notify::new()));
        let begin =
            |records: &[FileRecord], caller| fetching.join(records, caller, |came| slow(came, word.clone()));
        for (from, caller) in [(0, "a"), (8, "b")] {
            for digit in from..from + 8 {
                assert!(begin(&records(digit), caller).is_ok());
            }
            let more = [records(0), records(1)].concat();
            let refused = begin(&more, caller).err().unwrap().to_string();
            assert!(refused.contains(if from == 0 { "8 tasks of yours" } else { "16 tasks" }), "{refused}");
        }
    }
}
