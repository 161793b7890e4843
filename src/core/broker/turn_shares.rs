//! How much of a turn each identity has had: ten thousand links of one name that
//! always have more to say are together served no longer than one. Pure.

use std::time::Duration;

use hashbrown::HashMap;

/// Time one identity may take of a turn, with all its links.
const SHARE: Duration = Duration::from_millis(4);
/// What was read in less is not worth a note: a reply, a ping.
const SHORT: Duration = Duration::from_micros(10);
/// Time of reading after which a turn sends, and looks who else has something to say.
const TURN: Duration = Duration::from_millis(50);

/// See the module documentation. Identities are told apart by the address of their
/// [`Holder`](super::ledger::Holder).
#[derive(Debug, Default)]
pub struct TurnShares {
    began: Duration,
    last: Duration,
    used: HashMap<usize, Duration>,
}

impl TurnShares {
    /// A new turn.
    pub fn begin(&mut self, now: Duration) {
        (self.began, self.last) = (now, now);
        self.used.clear();
    }

    /// Whether an identity has had its share.
    pub fn is_used_up(&self, holder: usize) -> bool {
        !self.used.is_empty() && self.used.get(&holder).is_some_and(|used| *used >= SHARE)
    }

    /// A link of an identity has been served until now; true when the turn has had its time.
    pub fn note(&mut self, holder: usize, now: Duration) -> bool {
        let took = now.saturating_sub(self.last);
        self.last = now;
        if took >= SHORT {
            *self.used.entry(holder).or_default() += took;
        }
        now >= self.began + TURN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_links_of_a_name_have_the_share_of_one() {
        let (mut shares, mut now) = (TurnShares::default(), Duration::from_secs(1));
        shares.begin(now);
        // little things count nothing
        for _ in 0..1000 {
            now += SHORT / 2;
            assert!(!shares.note(7, now));
        }
        assert!(!shares.is_used_up(7));
        for _ in 0..2 {
            now += SHARE / 2;
            shares.note(7, now);
        }
        assert!(shares.is_used_up(7) && !shares.is_used_up(8));
        shares.begin(now);
        assert!(!shares.is_used_up(7));
        assert!(shares.note(8, now + TURN));
    }
}
