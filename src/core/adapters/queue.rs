//! Documents between taking in and handing on: in memory, or in a spool on disk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::document::Document;
use super::settings::{AdapterError, Settings};
use super::spool::{Spool, SpoolError};

/// A queue; its first documents stay in it until they are said to be taken.
pub(super) struct Queue {
    place: Place,
    came: Notify,
    capacity: usize,
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
        Ok(Queue { place, came: Notify::new(), capacity: settings.queue })
    }

    /// Documents in memory at most.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether what is in it is there after a restart.
    pub(super) fn outlives(&self) -> bool {
        matches!(self.place, Place::Disk(_))
    }

    /// Documents in it.
    pub(super) fn waiting(&self) -> usize {
        match &self.place {
            Place::Memory(documents) => lock(documents).len(),
            Place::Disk(spool) => lock(spool).waiting(),
        }
    }

    /// Puts documents in, as far as there is room.
    pub(super) async fn put(&self, documents: Vec<Document>) -> Put {
        let all = documents.len();
        let put = match &self.place {
            Place::Memory(kept) => {
                let mut kept = lock(kept);
                let room = self.capacity.saturating_sub(kept.len());
                kept.extend(documents.into_iter().take(room));
                Put { lost: all.saturating_sub(room), error: None }
            }
            Place::Disk(spool) => {
                let spool = spool.clone();
                let put = move || {
                    let mut spool = lock(&spool);
                    spool.put(&documents)
                };
                match tokio::task::spawn_blocking(put).await {
                    Ok((lost, error)) => Put { lost, error },
                    Err(_) => Put { lost: all, error: None },
                }
            }
        };
        self.came.notify_one();
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
        match &self.place {
            Place::Memory(documents) => Ok(lock(documents).iter().take(most).cloned().collect()),
            Place::Disk(spool) => {
                let spool = spool.clone();
                let look = tokio::task::spawn_blocking(move || lock(&spool).look(most));
                look.await.unwrap_or_else(|_| Ok(vec![]))
            }
        }
    }

    /// The first `count` are somebody else's.
    pub(super) async fn advance(&self, count: usize) {
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
