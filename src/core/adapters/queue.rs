//! Documents between taking in and handing on: in memory, or in a spool on disk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::document::Document;
use super::settings::{AdapterError, Settings};
use super::shares::Shares;
use super::spool::{LOOK, Spool, SpoolError};

/// Bytes of documents in memory.
const IN_MEMORY: u64 = 64 * 1024 * 1024;
/// Bytes that are looked at in one go, about; a spool has a bound of its own.
const BATCH: usize = 4 * 1024 * 1024;

/// A queue; its first documents stay in it until they are said to be taken.
pub(super) struct Queue {
    place: Place,
    came: Notify,
    capacity: usize,
    shares: Mutex<Shares>,
}

enum Place {
    Memory(Mutex<VecDeque<Document>>),
    Disk(Arc<Mutex<Spool>>),
}

/// What becomes of documents that are put in.
#[derive(Debug, Default)]
pub(super) struct Put {
    /// How many found no room.
    pub(super) lost: usize,
    /// Why, where that is not the room.
    pub(super) error: Option<SpoolError>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A list of documents is one whatever its holder did then.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queue {
    /// The queue of an adapter. What its spool has kept is in it.
    pub(super) fn of(settings: &Settings) -> Result<Queue, AdapterError> {
        let place = match &settings.spool {
            None => Place::Memory(Mutex::default()),
            Some((path, most)) => {
                let spool = Spool::open(&path.join(&settings.name), *most);
                let name = settings.name.clone();
                let spool = spool.map_err(|source| AdapterError::Spool { name, source })?;
                Place::Disk(Arc::new(Mutex::new(spool)))
            }
        };
        let whole = settings.spool.as_ref().map_or(settings.queue as u64, |(_, most)| *most);
        let left = match &place {
            Place::Memory(_) => (0, 0),
            Place::Disk(spool) => lock(spool).left(),
        };
        let shares = Mutex::new(Shares::new(whole, left));
        Ok(Queue { place, came: Notify::new(), capacity: settings.queue, shares })
    }

    /// Documents in memory at most.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether what is in it is there after a restart.
    pub(super) fn outlives(&self) -> bool {
        matches!(self.place, Place::Disk(_))
    }

    /// What a document takes of the whole: its bytes on disk; in memory one of so many documents, or more of them where
    /// it is larger than its part of the bytes.
    fn cost(&self, document: &Document) -> u64 {
        let bytes = document.text.len() as u64 + 1;
        if self.outlives() { bytes } else { (bytes * self.capacity as u64).div_ceil(IN_MEMORY).max(1) }
    }

    /// Documents in it.
    pub(super) fn waiting(&self) -> usize {
        match &self.place {
            Place::Memory(documents) => lock(documents).len(),
            Place::Disk(spool) => lock(spool).waiting(),
        }
    }

    /// Puts documents in, as far as there is room, and while it fills as far as their senders
    /// have no more than a share of it.
    pub(super) async fn put(&self, mut documents: Vec<Document>) -> Put {
        let came = documents.len();
        {
            let mut shares = lock(&self.shares);
            // one that is too large is in nobody's way
            documents
                .retain(|document| document.text.len() < LOOK && shares.admit(document, self.cost(document)));
        }
        let all = documents.len();
        let mut put = match &self.place {
            Place::Memory(kept) => {
                lock(kept).extend(documents);
                Put::default()
            }
            Place::Disk(spool) => {
                let spool = spool.clone();
                let put = move || {
                    let put = lock(&spool).put(&documents);
                    (put, documents)
                };
                match tokio::task::spawn_blocking(put).await {
                    Ok(((lost, error), documents)) => {
                        let mut shares = lock(&self.shares);
                        for document in documents.iter().skip(all - lost) {
                            shares.withdraw(document, self.cost(document));
                        }
                        Put { lost, error }
                    }
                    Err(_) => Put { lost: all, error: None },
                }
            }
        };
        self.came.notify_one();
        put.lost += came - all;
        put
    }

    /// The first documents, `most` at most; waits until there is one.
    pub(super) async fn look(&self, most: usize) -> Result<Vec<Document>, SpoolError> {
        loop {
            let found = self.first(most).await?;
            if !found.is_empty() {
                return Ok(found);
            }
            self.came.notified().await;
        }
    }

    /// The same without waiting.
    pub(super) async fn first(&self, most: usize) -> Result<Vec<Document>, SpoolError> {
        let found = match &self.place {
            Place::Memory(documents) => {
                let mut room = BATCH;
                let fits = |document: &&Document| {
                    let fits = room > 0;
                    room = room.saturating_sub(document.text.len());
                    fits
                };
                lock(documents).iter().take(most).take_while(fits).cloned().collect()
            }
            Place::Disk(spool) => {
                let spool = spool.clone();
                let look = tokio::task::spawn_blocking(move || lock(&spool).look(most));
                look.await.unwrap_or_else(|_| Ok(vec![]))?
            }
        };
        lock(&self.shares).look(&found, |document| self.cost(document));
        Ok(found)
    }

    /// The first `count` are somebody else's.
    pub(super) async fn advance(&self, count: usize) {
        lock(&self.shares).advance(count);
        match &self.place {
            Place::Memory(documents) => {
                let mut documents = lock(documents);
                let count = count.min(documents.len());
                documents.drain(..count);
            }
            Place::Disk(spool) => {
                let spool = spool.clone();
                let _ = tokio::task::spawn_blocking(move || lock(&spool).advance(count)).await;
            }
        }
    }

    /// Writes down how far it is.
    pub(super) async fn settle(&self) {
        if let Place::Disk(spool) = &self.place {
            let spool = spool.clone();
            let _ = tokio::task::spawn_blocking(move || lock(&spool).settle()).await;
        }
    }
}
