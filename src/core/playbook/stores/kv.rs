//! A bucket of the network's streams; where its values expire it has locks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::lease::{Lease, lost_before, now};
use super::{Lock, Options, Store, Trouble, World};
use crate::core::streams::bucket::{check_bucket, check_key};
use crate::core::streams::{Bucket, StreamError};

/// How often a lock is tried.
const TRY_AGAIN: Duration = Duration::from_secs(1);

struct Kv {
    bucket: String,
    prefix: String,
    patience: Duration,
}

pub(super) fn open(options: &Options<'_>) -> Result<Box<dyn Store>, Trouble> {
    let bucket = options.required("bucket")?.to_owned();
    check_bucket(&bucket).map_err(|e| options.wrong(e))?;
    let prefix = options.text("prefix")?.unwrap_or_default().to_owned();
    Ok(Box::new(Kv { bucket, prefix, patience: options.seconds("timeout", 120)? }))
}

impl Kv {
    fn key(&self, key: &str) -> Result<String, Trouble> {
        let key = format!("{}{key}", self.prefix);
        check_key(&key).map_err(|e| Trouble(e.to_string()))?;
        Ok(key)
    }

    fn bucket(&self, world: &mut World) -> Result<Bucket, Trouble> {
        let client = world.client()?;
        let streams = client.streams();
        let found = world.wait(Bucket::find(&streams, &self.bucket))?.map_err(trouble)?;
        found.ok_or_else(|| {
            Trouble(format!("there is no bucket {0}; choria kv add {0} makes it", self.bucket))
        })
    }

    async fn acquire(&self, bucket: Bucket, key: String) -> Result<HeldKey, String> {
        let ttl = bucket.config().ttl;
        if ttl < Duration::from_secs(1) {
            return Err(format!(
                "locks need a bucket whose values expire, and those of {} do not: whoever dies would hold it for ever",
                self.bucket
            ));
        }
        let begun = Instant::now();
        let lock = LockKey { bucket, key, mark: format!("locked by playbook {}", uuid::Uuid::new_v4()) };
        // what is not answered may have been done then
        let mut asked = None;
        loop {
            let since = *asked.get_or_insert_with(now);
            match lock.take().await {
                Ok(Some(revision)) => return Ok(HeldKey::keep(lock, revision, Lease::new(ttl, since), ttl)),
                Ok(None) => asked = None,
                // the next try finds out
                Err(e) if e.may_be_done() => {}
                Err(e) => return Err(e.to_string()),
            }
            if begun.elapsed() + TRY_AGAIN > self.patience {
                return Err(format!("somebody else held it for {} s", self.patience.as_secs()));
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }
}

fn trouble(error: StreamError) -> Trouble {
    Trouble(error.to_string())
}

/// A key, and how somebody marks it as his.
#[derive(Debug, Clone)]
struct LockKey {
    bucket: Bucket,
    key: String,
    /// Nobody else's, so that who is not answered can see later whether it was done.
    mark: String,
}

impl LockKey {
    /// Takes it where nobody has it; its revision.
    async fn take(&self) -> Result<Option<u64>, StreamError> {
        self.own(self.bucket.create_key(&self.key, self.mark.clone().into()).await).await
    }

    /// Keeps it for another while; nothing once somebody else has it.
    async fn renew(&self, revision: u64) -> Result<Option<u64>, StreamError> {
        self.own(self.bucket.update(&self.key, self.mark.clone().into(), revision).await).await
    }

    /// Removes it, also where a renewal was under way; one that is another's by now stays. Whether it
    /// was there.
    async fn free(&self, revision: u64) -> Result<bool, StreamError> {
        match self.bucket.delete_at(&self.key, revision).await {
            Err(e) if e.is_conflict() => {}
            done => return done.map(|_| true),
        }
        match self.bucket.get(&self.key).await? {
            Some(entry) if entry.value == self.mark.as_bytes() => {
                self.bucket.delete_at(&self.key, entry.revision).await.map(|_| true)
            }
            _ => Ok(false),
        }
    }

    /// What was written, be it by a request that was done and not answered.
    async fn own(&self, written: Result<u64, StreamError>) -> Result<Option<u64>, StreamError> {
        match written {
            Err(e) if e.is_conflict() => {
                let entry = self.bucket.get(&self.key).await?;
                Ok(entry.filter(|entry| entry.value == self.mark.as_bytes()).map(|entry| entry.revision))
            }
            written => written.map(Some),
        }
    }
}

/// A key that is a lock, and kept meanwhile.
#[derive(Debug)]
pub(in crate::core::playbook) struct HeldKey {
    lock: LockKey,
    lease: Arc<Lease>,
    /// The last revision that is known.
    revision: tokio::sync::watch::Receiver<u64>,
    renewing: tokio::task::JoinHandle<()>,
}

impl HeldKey {
    fn keep(lock: LockKey, revision: u64, lease: Lease, ttl: Duration) -> HeldKey {
        let (last, known) = tokio::sync::watch::channel(revision);
        let lease = Arc::new(lease);
        let (of, renewals) = (lock.clone(), lease.clone());
        let renewing = tokio::spawn(async move {
            let mut asked = None;
            loop {
                tokio::time::sleep(ttl / 3).await;
                let since = *asked.get_or_insert_with(now);
                let revision = *last.borrow();
                match of.renew(revision).await {
                    Ok(Some(next)) => {
                        last.send_replace(next);
                        renewals.renewed(since);
                        asked = None;
                    }
                    Ok(None) => {
                        let why = "somebody else has removed or taken it";
                        tracing::warn!("lock {} is lost, {why}", of.key);
                        return renewals.lose(why);
                    }
                    Err(e) => tracing::warn!("lock {} was not renewed: {e}", of.key),
                }
            }
        });
        HeldKey { lock, lease, revision: known, renewing }
    }

    /// Why it may be somebody else's by now.
    pub(super) fn lost(&self) -> Option<String> {
        self.lease.lost()
    }

    pub(super) async fn release(self) -> Result<(), String> {
        self.renewing.abort();
        let revision = *self.revision.borrow();
        match self.lock.free(revision).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(lost_before(self.lost())),
            Err(e) => Err(e.to_string()),
        }
    }
}

impl Drop for HeldKey {
    fn drop(&mut self) {
        // without being renewed the key is forgotten
        self.renewing.abort();
    }
}

impl Store for Kv {
    fn read(&self, world: &mut World, key: &str) -> Result<Json, Trouble> {
        let name = self.key(key)?;
        let bucket = self.bucket(world)?;
        match world.wait(bucket.get(&name))?.map_err(trouble)? {
            Some(entry) => Ok(Json::String(String::from_utf8_lossy(&entry.value).into_owned())),
            None => Err(Trouble(format!("No such key {key}"))),
        }
    }

    fn write(&self, world: &mut World, key: &str, value: &str) -> Result<(), Trouble> {
        let name = self.key(key)?;
        let bucket = self.bucket(world)?;
        world.wait(bucket.put(&name, value.to_owned().into()))?.map(drop).map_err(trouble)
    }

    fn lock(&self, world: &mut World, key: &str) -> Result<Lock, Trouble> {
        let name = self.key(key)?;
        let bucket = self.bucket(world)?;
        world.wait(self.acquire(bucket, name))?.map(Lock::Kv).map_err(Trouble)
    }
}
