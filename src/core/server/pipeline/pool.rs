//! Room for requests: bounded in number, bytes and how many run at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// One caller has half of it all at most: what he sends, and how long it takes, keeps nobody
/// else from being answered.
const SHARE: usize = 2;

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
    callers: Mutex<HashMap<String, Share>>,
}

/// What one caller has of it.
struct Share {
    requests: usize,
    bytes: usize,
    turns: Arc<Semaphore>,
}

/// A request's place; it is free again when the ticket is dropped.
pub struct Ticket {
    room: Arc<Room>,
    bytes: usize,
}

/// The place of a request whose caller is known.
pub struct Seat {
    ticket: Ticket,
    caller: String,
    turns: Arc<Semaphore>,
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
            callers: Mutex::default(),
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
    /// The same as one of this caller's, if he has room.
    pub fn of(self, caller: &str) -> Result<Seat, Full> {
        let (pool, bytes) = (self.room.pool, self.bytes);
        let mut callers = self.room.callers();
        let share = callers.entry(caller.to_owned()).or_insert_with(|| Share {
            requests: 0,
            bytes: 0,
            turns: Arc::new(Semaphore::new((pool.running / SHARE).max(1))),
        });
        if share.requests >= (pool.requests / SHARE).max(1) || share.bytes + bytes > pool.bytes / SHARE {
            return Err(Full);
        }
        share.requests += 1;
        share.bytes += bytes;
        let turns = share.turns.clone();
        drop(callers);
        Ok(Seat { ticket: self, caller: caller.to_owned(), turns })
    }

    /// Waits for a turn to run. A request that waits for something else gives
    /// its turn back meanwhile, and keeps its place.
    pub async fn turn(&self) -> Turn {
        // The semaphore is never closed.
        Turn { _permit: self.room.turns.clone().acquire_owned().await.ok() }
    }
}

impl Room {
    fn callers(&self) -> std::sync::MutexGuard<'_, HashMap<String, Share>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Takes room for what a request has become.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let room = &self.ticket.room;
        let mut callers = room.callers();
        let Some(share) = callers.get_mut(&self.caller) else { return Err(Full) };
        if share.bytes + bytes > room.pool.bytes / SHARE {
            return Err(Full);
        }
        let held = room.bytes.fetch_add(bytes, Ordering::AcqRel);
        if held + bytes > room.pool.bytes {
            room.bytes.fetch_sub(bytes, Ordering::AcqRel);
            return Err(Full);
        }
        share.bytes += bytes;
        drop(callers);
        self.ticket.bytes += bytes;
        Ok(())
    }

    /// As [`Ticket::turn`].
    pub async fn turn(&self) -> Turn {
        self.ticket.turn().await
    }

    /// One of the requests of its caller that run, if there is room.
    pub fn try_run(&self) -> Option<OwnedSemaphorePermit> {
        self.turns.clone().try_acquire_owned().ok()
    }

    /// The same when there is.
    pub async fn run(&self) -> Option<OwnedSemaphorePermit> {
        // never closed
        self.turns.clone().acquire_owned().await.ok()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut callers = self.ticket.room.callers();
        let Some(share) = callers.get_mut(&self.caller) else { return };
        share.requests -= 1;
        share.bytes -= self.ticket.bytes;
        if share.requests == 0 {
            callers.remove(&self.caller);
        }
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

    #[tokio::test]
    async fn a_caller_has_half_of_it() {
        let gate = Gate::new(Pool { requests: 4, bytes: 100, running: 2 });
        let of = |caller, bytes| gate.enter(bytes).and_then(|ticket| ticket.of(caller));
        let mut first = of("eve", 20).ok().unwrap();
        assert!(first.grow(31).is_err(), "beyond her half of the bytes");
        assert!(first.grow(20).is_ok());
        let second = of("eve", 10).ok().unwrap();
        assert!(of("eve", 0).is_err(), "beyond her half of the requests");
        let running = first.try_run().unwrap();
        assert!(second.try_run().is_none(), "beyond her half of those that run");
        let mut honest = of("bob", 40).ok().unwrap();
        assert!(honest.try_run().is_some());
        assert!(honest.grow(11).is_err(), "beyond all there is");
        drop((running, first));
        assert!(second.run().await.is_some());
        assert!(honest.grow(10).is_ok());
        drop((second, honest));
        assert_eq!(gate.0.bytes.load(Ordering::Acquire), 0);
        assert!(gate.0.callers().is_empty());
        gate.idle().await;
    }
}
