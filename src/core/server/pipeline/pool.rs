//! Room for requests: bounded in number, bytes and how many run at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Bounds of a node's work (design decision 9).
#[derive(Debug, Clone, Copy)]
pub struct Pool {
    /// Requests waiting and running.
    pub requests: usize,
    /// Bytes of them.
    pub bytes: usize,
    /// Requests running at once.
    pub running: usize,
}

impl Default for Pool {
    fn default() -> Pool {
        Pool { requests: 2048, bytes: 64 * 1024 * 1024, running: 128 }
    }
}

/// There is no room.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

pub struct Gate(Arc<Room>);

struct Room {
    pool: Pool,
    requests: AtomicUsize,
    bytes: AtomicUsize,
    turns: Arc<Semaphore>,
    emptied: Notify,
}

/// A request's place; it is free again when the ticket is dropped.
pub struct Ticket {
    room: Arc<Room>,
    bytes: usize,
}

/// A running request.
pub struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Gate {
    pub fn new(pool: Pool) -> Gate {
        Gate(Arc::new(Room {
            pool,
            requests: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            turns: Arc::new(Semaphore::new(pool.running.max(1))),
            emptied: Notify::new(),
        }))
    }

    /// Takes a place for a request of `bytes`.
    pub fn enter(&self, bytes: usize) -> Result<Ticket, Full> {
        let room = &self.0;
        let ticket = Ticket { room: room.clone(), bytes };
        let requests = room.requests.fetch_add(1, Ordering::AcqRel);
        let held = room.bytes.fetch_add(bytes, Ordering::AcqRel);
        // A refused ticket gives its place back by being dropped.
        if requests >= room.pool.requests || held + bytes > room.pool.bytes { Err(Full) } else { Ok(ticket) }
    }

    /// Waits until no request is left.
    pub async fn idle(&self) {
        loop {
            let emptied = self.0.emptied.notified();
            if self.0.requests.load(Ordering::Acquire) == 0 {
                return;
            }
            emptied.await;
        }
    }
}

impl Ticket {
    /// Waits for a turn to run. A request that waits for something else gives
    /// its turn back meanwhile, and keeps its place.
    pub async fn turn(&self) -> Turn {
        // The semaphore is never closed.
        Turn { _permit: self.room.turns.clone().acquire_owned().await.ok() }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.room.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        if self.room.requests.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.room.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_bounded_and_given_back() {
        let gate = Gate::new(Pool { requests: 2, bytes: 100, running: 1 });
        let first = gate.enter(40).ok().unwrap();
        let second = gate.enter(40).ok().unwrap();
        assert!(gate.enter(1).is_err(), "a third request");
        drop(second);
        assert!(gate.enter(61).is_err(), "too many bytes");
        let turn = first.turn().await;
        let second = gate.enter(10).ok().unwrap();
        let waiting = tokio::spawn(async move { drop(second.turn().await) });
        drop((turn, first));
        waiting.await.unwrap();
        gate.idle().await;
    }
}
