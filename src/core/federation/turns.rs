//! Whose message is carried next: each caller in turn, by what it costs. Pure.
//!
//! A message costs its bytes for each target. Callers are told apart by where their answers go,
//! which is their own word: who gives himself many names has a turn for each, and waits behind
//! everybody whose messages cost less.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Bytes that may wait; beyond that those whose turn is last are given up.
pub(super) const WAITING: usize = 16 * 1024 * 1024;
/// What a message costs for each target beside its bytes.
const EACH: usize = 256;
/// Callers that are remembered beyond those who wait.
const CALLERS: usize = 4096;
/// How long a message may wait: nobody waits for its answers any more.
const LATEST: Duration = Duration::from_secs(60);

/// A message on its way.
#[derive(Debug)]
struct Job {
    caller: String,
    text: Bytes,
    /// The next is the last of them.
    targets: Vec<String>,
    bytes: usize,
    /// When its turn began, in units of cost.
    start: u64,
    since: Instant,
}

/// What is handed on next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) target: String,
    pub(super) text: Bytes,
    /// Since when its message was on its way, where this is the last of it.
    pub(super) done: Option<Instant>,
}

/// All that waits, by turns.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// By when each is through if all are served alike, and in which order they came.
    jobs: BTreeMap<(u64, u64), Job>,
    /// When the last message of a caller is through.
    through: HashMap<String, u64>,
    now: u64,
    count: u64,
    bytes: usize,
    /// So many callers are looked through for those who are through.
    forget_at: usize,
}

impl Turns {
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Takes a message of a caller; how many targets lose theirs for want of room.
    pub(super) fn add(
        &mut self,
        caller: String,
        text: Bytes,
        mut targets: Vec<String>,
        since: Instant,
    ) -> u64 {
        let cost = text.len().saturating_add(EACH).saturating_mul(targets.len());
        let bytes = text.len() + targets.iter().map(|target| target.len() + 32).sum::<usize>();
        let start = self.through.get(&caller).copied().unwrap_or_default().max(self.now);
        let end = start.saturating_add(u64::try_from(cost).unwrap_or(u64::MAX));
        if self.through.len() >= self.forget_at.max(CALLERS) {
            self.through.retain(|_, through| *through > self.now);
            self.forget_at = self.through.len() * 2;
        }
        self.through.insert(caller.clone(), end);
        targets.reverse();
        self.count += 1;
        self.bytes += bytes;
        self.jobs.insert((end, self.count), Job { caller, text, targets, bytes, start, since });
        let mut lost = 0;
        while self.bytes > WAITING {
            let Some((key, job)) = self.jobs.pop_last() else { break };
            lost += self.give_up(key.0, job);
        }
        lost
    }

    /// Who is next.
    pub(super) fn next(&mut self) -> Option<Next> {
        let mut first = self.jobs.first_entry()?;
        let (end, _) = *first.key();
        self.now = self.now.max(first.get().start);
        let target = first.get_mut().targets.pop().unwrap_or_default();
        let text = first.get().text.clone();
        let done = first.get().targets.is_empty().then(|| first.remove());
        if let Some(job) = &done {
            self.bytes -= job.bytes;
            self.now = self.now.max(end);
        }
        Some(Next { target, text, done: done.map(|job| job.since) })
    }

    /// Gives up what has waited too long; how many targets that are.
    pub(super) fn expire(&mut self, now: Instant) -> u64 {
        let late = self.jobs.iter().filter(|(_, job)| now.duration_since(job.since) > LATEST);
        let late: Vec<_> = late.map(|(key, _)| *key).collect();
        let mut lost = 0;
        // the last of a caller first
        for key in late.into_iter().rev() {
            if let Some(job) = self.jobs.remove(&key) {
                lost += self.give_up(key.0, job);
            }
        }
        lost
    }

    /// What was not carried was not served, where nothing of its caller waits behind it; how many targets that are.
    fn give_up(&mut self, end: u64, job: Job) -> u64 {
        self.bytes -= job.bytes;
        if self.through.get(&job.caller) == Some(&end) {
            if job.start <= self.now {
                self.through.remove(&job.caller);
            } else {
                self.through.insert(job.caller, job.start);
            }
        }
        job.targets.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(turns: &mut Turns, caller: &str, size: usize, targets: usize) -> u64 {
        let targets = (0..targets).map(|n| format!("{caller}.{n}")).collect();
        turns.add(caller.to_owned(), Bytes::from(vec![0; size]), targets, Instant::now())
    }

    fn order(turns: &mut Turns) -> Vec<String> {
        std::iter::from_fn(|| turns.next()).map(|next| next.target).collect()
    }

    #[test]
    fn who_asks_for_much_waits_for_who_asks_for_little() {
        let mut turns = Turns::default();
        for _ in 0..3 {
            add(&mut turns, "loud", 1000, 1000);
        }
        assert_eq!(turns.next().unwrap().target, "loud.0");
        add(&mut turns, "quiet", 100, 2);
        let order = order(&mut turns);
        assert_eq!(&order[..3], ["quiet.0", "quiet.1", "loud.1"]);
        assert_eq!(order.len(), 3 * 1000 - 1 + 2);
        assert!(turns.is_empty() && turns.bytes == 0);
    }

    #[test]
    fn callers_take_turns_and_each_keeps_its_order() {
        let mut turns = Turns::default();
        for _ in 0..2 {
            add(&mut turns, "a", 10, 1);
            add(&mut turns, "a", 10, 1);
            add(&mut turns, "b", 10, 1);
        }
        assert_eq!(order(&mut turns), ["a.0", "b.0", "a.0", "b.0", "a.0", "a.0"]);
    }

    #[test]
    fn the_last_are_given_up_where_there_is_no_room() {
        let mut turns = Turns::default();
        let mut lost = 0;
        for _ in 0..40 {
            lost += add(&mut turns, "loud", 1024 * 1024, 3);
        }
        assert!(lost >= 3 * 24 && turns.bytes <= WAITING, "{lost}");
        assert_eq!(add(&mut turns, "quiet", 100, 1), 0);
        assert_eq!(turns.next().unwrap().target, "quiet.0");
        assert!(turns.expire(Instant::now()) == 0 && !turns.is_empty());
        let left = turns.expire(Instant::now() + LATEST + Duration::from_secs(1));
        assert_eq!(lost + left, 120);
        assert!(turns.is_empty() && turns.bytes == 0);
    }

    #[test]
    fn what_is_given_up_was_not_served_and_changes_no_order() {
        let mut turns = Turns::default();
        let begun = Instant::now();
        let late = begun + LATEST + Duration::from_secs(1);
        let one = |turns: &mut Turns, caller: &str, size: usize, since| {
            let target = format!("{caller}.{size}");
            turns.add(caller.to_owned(), Bytes::from(vec![0; size]), vec![target], since)
        };
        one(&mut turns, "a", 5000, begun);
        one(&mut turns, "a", 20, late);
        assert_eq!(turns.expire(late), 1);
        one(&mut turns, "a", 10, late);
        assert_eq!(order(&mut turns), ["a.20", "a.10"]);
        one(&mut turns, "b", 1_000_000, begun);
        assert_eq!(turns.expire(late), 1);
        one(&mut turns, "c", 1000, late);
        one(&mut turns, "b", 10, late);
        assert_eq!(order(&mut turns), ["b.10", "c.1000"]);
    }

    #[test]
    fn who_was_served_is_forgotten() {
        let mut turns = Turns::default();
        for n in 0..CALLERS * 2 {
            add(&mut turns, &n.to_string(), 1, 1);
            turns.next().unwrap();
        }
        assert!(turns.through.len() <= CALLERS + 1);
    }
}
