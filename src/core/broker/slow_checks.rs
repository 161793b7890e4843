//! Decisions that take long, on threads of their own.
//!
//! A password stored as a slow hash costs a twentieth of a second and more to
//! check. On a handshake thread that would stop everybody else's handshake, on
//! a shard everybody's messages. A few threads and a short queue bound what
//! strangers with wrong passwords can burn.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::handshake::{Arrival, lower_priority};
use super::inbox::Inbox;
use super::shared::{Settings, Shared};
use crate::core::admission::{ConnectionFacts, Grant, Refusal};

/// Decisions that wait. At a tenth of a second each, more would not be made
/// before the peers' time is over.
const WAITING: usize = 64;

/// One decision to make.
pub struct SlowCheck {
    /// Place of the link in its handshake thread.
    pub key: usize,
    /// Number of its connection.
    pub cid: u64,
    /// When it is sent away, on the broker's clock.
    pub deadline: Duration,
    /// What is known about it.
    pub facts: ConnectionFacts,
    /// The rules it is judged by.
    pub settings: Arc<Settings>,
    /// Where the answer goes.
    pub answer_to: Arc<Inbox<Arrival>>,
}

/// The queue of cases. The threads end with its last copy.
#[derive(Clone)]
pub struct SlowChecks(SyncSender<Box<SlowCheck>>);

impl SlowChecks {
    /// A slow_checks, and what its threads work on.
    pub fn new() -> (Self, SlowCheckQueue) {
        let (sender, receiver) = sync_channel(WAITING);
        (Self(sender), SlowCheckQueue(Arc::new(Mutex::new(receiver))))
    }

    /// Hands a case in; false if too many wait.
    pub fn submit(&self, case: SlowCheck) -> bool {
        match self.0.try_send(Box::new(case)) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

/// Cases for the threads that decide.
#[derive(Clone)]
pub struct SlowCheckQueue(Arc<Mutex<Receiver<Box<SlowCheck>>>>);

impl SlowCheckQueue {
    /// Decides until the last [`SlowChecks`] is gone.
    pub fn run(self, shared: &Shared) {
        lower_priority();
        loop {
            let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(case) = next else { return };
            let SlowCheck { key, cid, deadline, facts, settings, answer_to } = *case;
            if deadline <= shared.start.elapsed() || shared.stopping.load(Ordering::Relaxed) {
                // it has been told that its time is over, or nobody is there to tell
                continue;
            }
            let verdict = settings.authenticator.authenticate(&facts);
            answer_to.send_one(Arrival::Checked(Box::new(Checked { key, cid, facts, verdict })));
        }
    }
}

/// A decision.
pub struct Checked {
    /// Place of the link in its handshake thread.
    pub key: usize,
    /// Number of its connection.
    pub cid: u64,
    /// What it was judged by.
    pub facts: ConnectionFacts,
    /// The decision.
    pub verdict: Result<Grant, Refusal>,
}
