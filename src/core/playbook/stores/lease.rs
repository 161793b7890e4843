//! How long a lock is known to be held.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since this machine started, that it slept through included: locks expire meanwhile, too.
pub(super) fn now() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// A lock is held for a while after it was last renewed, and by nobody knows whom after that.
#[derive(Debug)]
pub(super) struct Lease {
    ttl: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the last renewal that was granted was asked for.
    renewed: Duration,
    /// What is known to have become of it.
    lost: Option<String>,
}

impl Lease {
    /// One that was asked for at this time.
    pub(super) fn new(ttl: Duration, asked: Duration) -> Lease {
        Lease { ttl, state: Mutex::new(State { renewed: asked, lost: None }) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It holds for another while from when that was asked for.
    pub(super) fn renewed(&self, asked: Duration) {
        self.state().renewed = asked;
    }

    /// It is over.
    pub(super) fn lose(&self, why: &str) {
        self.state().lost.get_or_insert_with(|| why.to_owned());
    }

    /// How much of it is left.
    pub(super) fn left(&self) -> Duration {
        (self.state().renewed + self.ttl).saturating_sub(now())
    }

    /// Why the lock may be somebody else's by now.
    pub(super) fn lost(&self) -> Option<String> {
        let over = || {
            let ttl = self.ttl.as_secs();
            self.left().is_zero().then(|| format!("it was not renewed for its {ttl} s"))
        };
        let known = self.state().lost.clone();
        known.or_else(over)
    }
}

/// What is wrong with a lock that is given back and was not held any more.
pub(super) fn lost_before(why: Option<String>) -> String {
    let why = why.unwrap_or_else(|| "somebody else has removed or taken it".to_owned());
    format!("it was lost before, and others may have held it meanwhile: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_while_it_is_renewed() {
        let ttl = Duration::from_secs(10);
        let ago = |seconds| now().saturating_sub(Duration::from_secs(seconds));
        for (asked, held) in [(0, true), (5, true), (11, false)] {
            assert_eq!(Lease::new(ttl, ago(asked)).lost().is_none(), held, "{asked}");
        }
        let lease = Lease::new(ttl, ago(11));
        assert_eq!(lease.lost().as_deref(), Some("it was not renewed for its 10 s"));
        lease.renewed(ago(1));
        assert!(lease.lost().is_none() && lease.left() > Duration::from_secs(5));
        lease.lose("somebody else has taken it");
        lease.renewed(now());
        assert_eq!(lease.lost().as_deref(), Some("somebody else has taken it"));
    }
}
