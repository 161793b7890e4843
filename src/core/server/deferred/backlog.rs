//! What waits for a node as far as it has read, by whom. Pure.
//!
//! The stream is read on from where reading ended, each message once: what is kept by one caller, whose place is
//! in the subject, costs nobody else a look. Callers take turns, and whoever has more than a share is refused the rest.

use std::collections::{BTreeMap, HashMap, VecDeque};

/// Requests of a caller that one look takes up; a command of ours lets him keep 100 at a time.
const SHARE: usize = 256;
/// Requests that are known to wait, of all callers.
const MOST: usize = 4096;
/// Requests that are to be refused.
const MOST_BEYOND: usize = 4096;

/// A request that waits, and the number of its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its place.
    pub subject: String,
    /// Its message.
    pub number: u64,
}

impl Waiting {
    fn caller(&self) -> &str {
        self.subject.split('.').nth(3).unwrap_or_default()
    }
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Backlog {
    /// All up to this has been read.
    read: u64,
    /// What there was no room for begins here.
    again: Option<u64>,
    /// What is to be tried at the next look begins here.
    later: Option<u64>,
    turns: VecDeque<String>,
    waiting: BTreeMap<String, VecDeque<Waiting>>,
    count: usize,
    beyond: VecDeque<Waiting>,
    /// How many of a caller this look has taken up.
    shares: HashMap<String, usize>,
}

impl Backlog {
    /// A look begins: everybody has a whole share. Whether there is something to do, where the last message of all
    /// is `last`.
    pub fn begin(&mut self, last: u64) -> bool {
        self.shares.clear();
        if let Some(later) = self.later.take() {
            self.again = Some(self.again.map_or(later, |again| again.min(later)));
        }
        let nothing = self.is_empty() && self.again.is_none();
        // a stream that was made anew begins with one
        if last < self.read && nothing {
            self.read = 0;
        }
        !nothing || last > self.read
    }

    /// Whether a message has not been read yet.
    pub fn is_news(&self, number: u64) -> bool {
        number > self.read
    }

    /// The number of the message behind which reading goes on; those that were left out come when all others are done.
    pub fn behind(&mut self) -> u64 {
        if self.is_empty()
            && let Some(again) = self.again.take()
        {
            self.read = self.read.min(again.saturating_sub(1));
        }
        self.read
    }

    /// Whether there is room for more.
    pub fn has_room(&self) -> bool {
        self.count < MOST
    }

    /// A message was read; `waits` where it is a request that nobody has begun.
    pub fn heard(&mut self, subject: &str, number: u64, waits: bool) {
        self.read = self.read.max(number);
        if !waits {
            return;
        }
        let waiting = Waiting { subject: subject.to_owned(), number };
        let caller = waiting.caller().to_owned();
        let share = self.shares.entry(caller.clone()).or_default();
        if *share >= SHARE {
            return match self.beyond.len() < MOST_BEYOND {
                true => self.beyond.push_back(waiting),
                false => leave(&mut self.again, number),
            };
        }
        if self.count >= MOST {
            return leave(&mut self.again, number);
        }
        *share += 1;
        self.count += 1;
        let queue = self.waiting.entry(caller.clone()).or_default();
        if queue.is_empty() {
            self.turns.push_back(caller);
        }
        queue.push_back(waiting);
    }

    /// The next one, of the caller whose turn it is.
    pub fn next(&mut self) -> Option<Waiting> {
        let caller = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&caller)?;
        let next = queue.pop_front();
        match queue.is_empty() {
            true => drop(self.waiting.remove(&caller)),
            false => self.turns.push_back(caller),
        }
        self.count = self.count.saturating_sub(1);
        next
    }

    /// The next one that is beyond its caller's share.
    pub fn next_beyond(&mut self) -> Option<Waiting> {
        self.beyond.pop_front()
    }

    /// This one is to be tried at another look.
    pub fn postpone(&mut self, number: u64) {
        leave(&mut self.later, number);
    }

    /// Nothing is known that waits, but what was left out.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.beyond.is_empty()
    }

    /// Something was left out.
    pub fn is_short(&self) -> bool {
        self.again.is_some()
    }
}

fn leave(first: &mut Option<u64>, number: u64) {
    *first = Some(first.map_or(number, |known| known.min(number)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(caller: &str, id: u64) -> String {
        format!("choria.requests.node.{caller}.{id}")
    }

    fn hear(backlog: &mut Backlog, caller: &str, numbers: impl IntoIterator<Item = u64>) {
        numbers.into_iter().for_each(|n| backlog.heard(&subject(caller, n), n, true));
    }

    fn takes(backlog: &mut Backlog) -> Vec<u64> {
        std::iter::from_fn(|| backlog.next()).map(|waiting| waiting.number).collect()
    }

    #[test]
    fn callers_take_turns_and_reading_goes_on() {
        let mut backlog = Backlog::default();
        assert!(backlog.begin(7));
        hear(&mut backlog, "a", 1..=4);
        hear(&mut backlog, "b", [5]);
        backlog.heard(&subject("b", 6), 6, false);
        hear(&mut backlog, "c", [7]);
        assert_eq!(takes(&mut backlog), [1, 5, 7, 2, 3, 4]);
        assert_eq!((backlog.behind(), backlog.begin(7), backlog.begin(8)), (7, false, true));
        // what was put off is read again, with what came behind it
        backlog.postpone(5);
        backlog.postpone(3);
        assert!(backlog.begin(7));
        assert_eq!(backlog.behind(), 2);
        hear(&mut backlog, "a", [3]);
        backlog.heard(&subject("c", 9), 9, false);
        assert_eq!(takes(&mut backlog), [3]);
        assert!(!backlog.begin(9));
        assert!(backlog.begin(2), "the stream is another one");
        assert_eq!(backlog.behind(), 0);
    }

    #[test]
    fn who_has_more_than_a_share_is_refused_the_rest() {
        let mut backlog = Backlog::default();
        backlog.begin(1);
        hear(&mut backlog, "a", 1..=20_000);
        hear(&mut backlog, "b", [20_001]);
        assert_eq!(backlog.next().unwrap().number, 1);
        assert_eq!(backlog.next().unwrap().number, 20_001);
        assert_eq!(takes(&mut backlog).len(), SHARE - 1);
        let mut refused = 0;
        while let Some(waiting) = backlog.next_beyond() {
            refused += 1;
            assert_eq!(waiting.number, (SHARE + refused) as u64);
        }
        assert!(refused == MOST_BEYOND && backlog.is_empty() && backlog.is_short());
        assert_eq!(backlog.behind(), (SHARE + MOST_BEYOND) as u64);
        assert!(!backlog.is_short());
        // in the same look he has had his share
        hear(&mut backlog, "a", 5000..5010);
        assert!(backlog.next().is_none() && backlog.next_beyond().is_some());
        backlog.begin(20_001);
        hear(&mut backlog, "a", [5010]);
        assert!(backlog.next().is_some());
    }

    #[test]
    fn so_many_are_known_and_the_rest_is_read_again() {
        let mut backlog = Backlog::default();
        backlog.begin(1);
        for n in 1..=10_000_u64 {
            backlog.heard(&subject(&format!("c{}", n % 50), n), n, true);
        }
        assert!(!backlog.has_room() && backlog.is_short());
        assert_eq!(takes(&mut backlog).len(), MOST);
        assert_eq!(backlog.behind(), MOST as u64);
    }
}
