//! The walk of a request that waited for this node: judged as of now, then authorized, audited and run as all others.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;

use super::pool::{Full, Seat, Turn};
use super::stages::{self, Accepted, LONGEST_TTL};
use super::{Pipeline, now, raise};
use crate::core::protocol::deferred::Deferred;
use crate::core::server::remembering::Remembering;

/// Why a request that waited does not run.
#[derive(Debug, PartialEq, Eq)]
pub enum Deferral {
    /// It never will.
    Refused(String),
    /// Not now.
    Later(String),
}

/// Why there is no reply of one.
#[derive(Debug, PartialEq, Eq)]
pub enum Undone {
    /// It ran here before.
    Ran,
    /// It took longer than its agent may.
    TooLong,
    /// A fault of this program.
    Panicked,
}

/// Room for one, taken before it begins.
pub struct Place {
    seat: Seat,
    _turn: Turn,
}

impl Pipeline {
    /// What this node remembers of requests that may wait.
    pub fn remembering(&self) -> &Arc<Remembering> {
        &self.remembering
    }

    /// Judges a request that was found at a place of `caller` and `id`, hashed and plain.
    pub fn judge_deferred(&self, text: &str, at: (&str, &str)) -> Result<(Deferred, Accepted), Deferral> {
        raise(&self.node.counters().total);
        let judged = stages::deferred(text, at, &self.verifier, self.node.config(), now());
        match &judged {
            Ok(_) => raise(&self.node.counters().validated),
            Err(_) => raise(&self.node.counters().unvalidated),
        }
        judged
    }

    /// Takes room for it among all others, of its caller's share.
    pub async fn place_deferred(&self, accepted: &Accepted) -> Result<Place, Deferral> {
        let full = |Full| Deferral::Later("this node has no room for it".to_owned());
        let envelope = &accepted.request().envelope;
        let ticket = self.gate.enter(accepted.request().message.len()).map_err(full)?;
        let turn = ticket.turn().await;
        Ok(Place { seat: ticket.of(&envelope.callerid).map_err(full)?, _turn: turn })
    }

    /// Runs it, once; what comes of it, as the text of a reply.
    pub async fn run_deferred(&self, accepted: &Accepted, place: &mut Place) -> Result<String, Undone> {
        let envelope = &accepted.request().envelope;
        let (caller, now) = (&envelope.callerid, now());
        // so that the request as it was first asked, which may be on its way yet, is one that ran
        if self.replay.has_run(caller, &envelope.requestid, LONGEST_TTL, now) {
            return Err(Undone::Ran);
        }
        raise(&self.node.counters().passed);
        match AssertUnwindSafe(self.outcome(accepted, &mut place.seat)).catch_unwind().await {
            Ok(Some(body)) => Ok(body.encode()),
            Ok(None) => Err(Undone::TooLong),
            Err(_) => {
                self.panicked(&envelope.requestid, caller);
                Err(Undone::Panicked)
            }
        }
    }
}
