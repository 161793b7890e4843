//! Handing things to another thread: one batch, one lock, at most one wake.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use mio::Waker;

/// What was handed over, and what it stands for.
#[derive(Debug)]
struct Waiting<T> {
    items: Vec<T>,
    load: usize,
}

/// The receiving end of a thread with an event loop.
#[derive(Debug)]
pub struct Inbox<T> {
    waiting: Mutex<Waiting<T>>,
    /// What `waiting` stands for, and what was taken and is not [settled](Inbox::settle), readable
    /// without the lock.
    load: AtomicUsize,
    waker: Waker,
}

impl<T> Inbox<T> {
    /// An empty inbox whose waker belongs to the receiver's poll.
    pub fn new(waker: Waker) -> Self {
        Self { waiting: Mutex::new(Waiting { items: Vec::new(), load: 0 }), load: AtomicUsize::new(0), waker }
    }

    /// Hands a batch over that stands for `load`, and empties it. Order is kept.
    pub fn send(&self, batch: &mut Vec<T>, load: usize) {
        if batch.is_empty() {
            return;
        }
        let was_empty = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let was_empty = waiting.items.is_empty();
            if was_empty {
                std::mem::swap(&mut waiting.items, batch);
            } else {
                waiting.items.append(batch);
            }
            waiting.load += load;
            self.load.fetch_add(load, Ordering::Relaxed);
            was_empty
        };
        if was_empty {
            self.wake();
        }
    }

    /// Wakes the receiver.
    pub fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "waking a broker thread failed");
        }
    }

    /// Hands one thing over.
    pub fn send_one(&self, item: T) {
        self.send(&mut vec![item], 0);
    }

    /// Moves everything waiting into an empty vector of the receiver, who settles what is returned
    /// when all of it is done.
    pub fn take(&self, into: &mut Vec<T>) -> usize {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut waiting.items, into);
        std::mem::take(&mut waiting.load)
    }

    /// So much of it is done.
    pub fn settle(&self, load: usize) {
        self.load.fetch_sub(load, Ordering::Relaxed);
    }

    /// What is to be done, about.
    pub fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }
}
