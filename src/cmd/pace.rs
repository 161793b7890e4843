//! How often a command's thread may be woken.
//!
//! Thousands of nodes answer one at a time over seconds. A thread that is woken
//! for each of them spends as much on waking up as on the answers, and takes the
//! processor from whoever brings the next ones.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two wakes of a thread that is woken all the time. Nobody sees a row
/// come this much later.
const REST: Duration = Duration::from_millis(5);
/// Wakes without a rest, and how many are saved up while little happens: a
/// command on a few nodes never rests.
const FREE: u32 = 256;

/// Says when to rest. One wake is free again after each [`REST`] that was spent
/// otherwise.
#[derive(Debug)]
pub struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    free: u32,
    /// What is saved up is counted from here.
    from: Instant,
}

impl Pace {
    /// Nothing is used up at `now`.
    pub fn new(now: Instant) -> Pace {
        Pace(Mutex::new(State { free: FREE, from: now }))
    }

    /// How long to rest before going to sleep at `now`, when anything may wake
    /// the thread.
    pub fn rest(&self, now: Instant) -> Option<Duration> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let saved = now.saturating_duration_since(state.from).as_micros() / REST.as_micros();
        if saved > 0 {
            state.free = u32::try_from(saved).unwrap_or(FREE).saturating_add(state.free).min(FREE);
            state.from = now;
        }
        if state.free == 0 {
            state.from = now + REST;
            return Some(REST);
        }
        state.free -= 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rests among `wakes`, each `apart` after the last rest or wake.
    fn rests(pace: &Pace, begun: Instant, wakes: u32, apart: Duration) -> (u32, Instant) {
        (0..wakes).fold((0, begun), |(rests, now), _| match pace.rest(now) {
            Some(rest) => (rests + 1, now + rest + apart),
            None => (rests, now + apart),
        })
    }

    #[test]
    fn who_is_woken_all_the_time_rests_once_the_free_wakes_are_used_up() {
        let begun = Instant::now();
        let pace = Pace::new(begun);
        let (rested, now) = rests(&pace, begun, FREE, Duration::ZERO);
        assert_eq!(rested, 0);
        let (rested, now) = rests(&pace, now, 1000, Duration::from_micros(10));
        assert!(rested > 950, "{rested}");
        // some silence, and small things are quick again
        let later = now + FREE * REST;
        assert_eq!(rests(&pace, later, FREE, Duration::ZERO).0, 0);
        assert_eq!(rests(&pace, later, 1, Duration::ZERO).0, 1);
    }

    #[test]
    fn who_is_woken_now_and_then_never_rests() {
        let begun = Instant::now();
        assert_eq!(rests(&Pace::new(begun), begun, 10_000, REST).0, 0);
    }
}
