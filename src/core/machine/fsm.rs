//! The finite state machine (spec 06 §3): which event leads from where to where.

/// What an event comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing leads from here by that event.
    Invalid,
    /// It leads to where the machine is: nothing happens at all.
    Same,
    /// The machine moves to that state.
    Moves(u16),
}

/// From a state, by an event, to a state; sorted.
#[derive(Debug, Clone, Default)]
pub struct Table(Box<[(u16, u16, u16)]>);

impl Table {
    /// Of (from, event, to), of which the later count.
    pub fn new(moves: Vec<(u16, u16, u16)>) -> Table {
        let mut table: Vec<(u16, u16, u16)> = Vec::with_capacity(moves.len());
        let mut indexed: Vec<_> = moves.into_iter().enumerate().collect();
        indexed.sort_by_key(|(at, (from, event, _))| (*from, *event, *at));
        for (_, (from, event, to)) in indexed {
            match table.last_mut() {
                Some(last) if (last.0, last.1) == (from, event) => last.2 = to,
                _ => table.push((from, event, to)),
            }
        }
        Table(table.into())
    }

    /// What `event` comes to in `state`.
    pub fn judge(&self, state: u16, event: u16) -> Verdict {
        match self.0.binary_search_by_key(&(state, event), |(from, event, _)| (*from, *event)) {
            Ok(at) => match self.0.get(at) {
                Some((_, _, to)) if *to == state => Verdict::Same,
                Some((_, _, to)) => Verdict::Moves(*to),
                None => Verdict::Invalid,
            },
            Err(_) => Verdict::Invalid,
        }
    }

    /// Events that lead on from `state`.
    pub fn events(&self, state: u16) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().filter(move |(from, ..)| *from == state).map(|(_, event, _)| *event)
    }

    /// All moves.
    pub fn moves(&self) -> &[(u16, u16, u16)] {
        &self.0
    }
}

/// States, as bits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct States(Box<[u64]>);

impl States {
    /// Of these.
    pub fn new(states: &[u16]) -> States {
        let words = states.iter().map(|state| usize::from(state / 64) + 1).max().unwrap_or(0);
        let mut bits = vec![0; words];
        for state in states {
            if let Some(word) = bits.get_mut(usize::from(state / 64)) {
                *word |= 1 << (state % 64);
            }
        }
        States(bits.into())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether that one is among them.
    pub fn has(&self, state: u16) -> bool {
        self.0.get(usize::from(state / 64)).is_some_and(|word| word & 1 << (state % 64) != 0)
    }
}

/// How long a machine that moves often waits before it moves again, in milliseconds.
const WAITS: [u64; 20] =
    [0, 25, 50, 75, 100, 125, 150, 200, 250, 500, 750, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500, 5000];
/// After so many seconds without a move nothing is remembered.
const QUIET: u64 = 60;

/// Slows down a machine that moves all the time (spec 06 §3.5). What leads nowhere is not
/// counted: a check that is OK every four seconds is no hurry.
#[derive(Debug, Clone, Default)]
pub struct Limiter {
    count: u8,
    last: std::time::Duration,
}

impl Limiter {
    /// Milliseconds to wait before a move now; the wait is drawn from half to one and a half
    /// of the table's. `draw` is below one.
    pub fn wait(&mut self, now: std::time::Duration, draw: f64) -> u64 {
        if now.saturating_sub(self.last).as_secs() >= QUIET {
            self.count = 0;
        }
        let wait = WAITS.get(usize::from(self.count)).copied().unwrap_or(5000);
        (wait as f64 * (0.5 + draw.clamp(0.0, 1.0))) as u64
    }

    /// Counts a move.
    pub fn count(&mut self, now: std::time::Duration) {
        if now.saturating_sub(self.last).as_secs() >= QUIET {
            self.count = 0;
        }
        self.count = (self.count + 1).min(19);
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn later_moves_count_and_the_same_state_is_none() {
        let table = Table::new(vec![(0, 0, 1), (1, 0, 1), (0, 0, 2), (2, 1, 0)]);
        assert_eq!(table.judge(0, 0), Verdict::Moves(2));
        assert_eq!(table.judge(1, 0), Verdict::Same);
        assert_eq!(table.judge(2, 0), Verdict::Invalid);
        assert_eq!(table.events(2).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn states_are_bits() {
        let states = States::new(&[0, 64, 700]);
        assert!(states.has(0) && states.has(64) && states.has(700));
        assert!(!states.has(1) && !states.has(701) && !states.has(u16::MAX));
        assert!(States::new(&[]).is_empty());
    }

    #[test]
    fn a_machine_that_moves_all_the_time_waits_longer_until_it_was_quiet() {
        let mut limiter = Limiter::default();
        let at = Duration::from_secs(100);
        let waits: Vec<u64> = (0..4)
            .map(|_| {
                let wait = limiter.wait(at, 0.5);
                limiter.count(at);
                wait
            })
            .collect();
        assert_eq!(waits, [0, 25, 50, 75]);
        assert_eq!(limiter.wait(at + Duration::from_secs(59), 0.0), 50);
        assert_eq!(limiter.wait(at + Duration::from_secs(60), 0.5), 0);
        (0..100).for_each(|_| limiter.count(at));
        assert_eq!(limiter.wait(at, 1.0), 7500);
    }
}
