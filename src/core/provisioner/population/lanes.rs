//! Whose turn it is: three lanes, by what is known of a name.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// Where a name stands that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// A discovery has found it, and it never failed.
    Found,
    /// It is claimed only, and never failed.
    Claimed,
    /// It has failed before.
    Failed,
}

/// One turn in so many is of names that failed before, even where others are ready.
const ROUND: usize = 8;

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// In the order of [`Lane`].
    names: [VecDeque<Arc<str>>; 3],
    turn: usize,
}

impl Lanes {
    pub(super) fn push(&mut self, lane: Lane, name: Arc<str>) {
        self.names[lane as usize].push_back(name);
    }

    /// The next name; `failed_too` says whether it may be one that failed before. Those
    /// found and those claimed take turns; those that failed come after both.
    pub(super) fn next(&mut self, failed_too: bool) -> Option<(Lane, Arc<str>)> {
        let [first, second] = match self.turn.is_multiple_of(2) {
            true => [Lane::Found, Lane::Claimed],
            false => [Lane::Claimed, Lane::Found],
        };
        let order = match self.turn == ROUND - 1 {
            true => [Lane::Failed, first, second],
            false => [first, second, Lane::Failed],
        };
        self.turn = (self.turn + 1) % ROUND;
        let allowed = order.into_iter().filter(|lane| failed_too || *lane != Lane::Failed);
        allowed.into_iter().find_map(|lane| Some((lane, self.names[lane as usize].pop_front()?)))
    }

    /// Names that were forgotten and came back stand in a lane twice; while nobody takes
    /// any, that must not go on for ever.
    pub(super) fn tidy(&mut self, known: usize, is_known: impl Fn(&str) -> bool) {
        for names in &mut self.names {
            if names.len() > 2 * known + 1024 {
                let mut seen = HashSet::new();
                names.retain(|name| is_known(name) && seen.insert(name.clone()));
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.names.iter().map(VecDeque::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_failed_comes_after_others_and_now_and_then() {
        let mut lanes = Lanes::default();
        for (lane, word) in [(Lane::Failed, "x"), (Lane::Claimed, "c"), (Lane::Found, "f")] {
            (0..10).for_each(|_| lanes.push(lane, word.into()));
        }
        let mut turns = |count: usize, failed_too| -> String {
            (0..count).filter_map(|_| lanes.next(failed_too)).map(|(_, name)| name.to_string()).collect()
        };
        assert_eq!(turns(16, true), "fcfcfcfxfcfcfcfx");
        assert_eq!(turns(16, false), "fcfccc");
        assert_eq!(turns(16, true), "xxxxxxxx");
    }
}
