//! Refusals are logged with their reason, but a stranger must not fill a disk
//! with them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one kind within a window: of one who causes them whatever else he causes, of one at
/// most, and of all.
const FEW: u32 = 2;
const LINES: u32 = 20;
const OF_ALL: u32 = 200;
/// Lines of one who causes them beyond the few of each kind, of all kinds together.
const SPARE: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);

/// Lets so many lines of a kind through in a window, says when it holds the first back, and
/// in the next window how many there were. Who causes many hides nobody else's, and who causes
/// many kinds has no more lines for it than a few of each.
#[derive(Default)]
pub struct RefusalLog {
    counts: Mutex<Counts>,
    hashes: RandomState,
}

#[derive(Default)]
struct Counts {
    kinds: HashMap<&'static str, Window>,
    /// Lines taken from what each who causes them has to spare, by a hash, since when.
    spare: Option<(Instant, HashMap<u64, u32>)>,
}

/// What was said of a kind, and since when.
struct Window {
    since: Instant,
    let_through: u32,
    held_back: u32,
    /// That there are more than all may have is said.
    told: bool,
    /// Of each who causes them, by a hash; no more of them than lines.
    causes: HashMap<u64, Cause>,
}

/// Lines of a kind of one who causes them, and whether it is said that there are more.
#[derive(Default)]
struct Cause {
    lines: u32,
    told: bool,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Logged,
    /// The first that is not.
    HeldBack,
    /// Another.
    Silent,
}

impl RefusalLog {
    /// Runs `log` unless there were too many of this kind.
    pub fn note(&self, kind: &'static str, log: impl FnOnce()) {
        self.note_of(kind, "", log);
    }

    /// Runs `log` unless `who` caused too many of this kind, or all together did.
    pub fn note_of(&self, kind: &'static str, who: &str, log: impl FnOnce()) {
        let (held_back, verdict) = self.count(kind, who, Instant::now());
        if held_back > 0 {
            tracing::warn!(kind, "{held_back} more refusals of this kind were not logged");
        }
        match verdict {
            Verdict::Logged => log(),
            Verdict::HeldBack => {
                let seconds = WINDOW.as_secs();
                tracing::warn!(
                    kind,
                    who,
                    "more refusals of this kind are not logged within these {seconds} s"
                );
            }
            Verdict::Silent => {}
        }
    }

    /// Lines held back in a window that just ended, and what becomes of this one.
    fn count(&self, kind: &'static str, who: &str, now: Instant) -> (u32, Verdict) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts { kinds, spare } = &mut *counts;
        let fresh =
            || Window { since: now, let_through: 0, held_back: 0, told: false, causes: HashMap::new() };
        let window = kinds.entry(kind).or_insert_with(fresh);
        let mut held_back = 0;
        if now.duration_since(window.since) >= WINDOW {
            held_back = window.held_back;
            *window = fresh();
        }
        let (since, spent) = spare.get_or_insert_with(|| (now, HashMap::new()));
        if now.duration_since(*since) >= WINDOW {
            (*since, *spent) = (now, HashMap::new());
        }
        let who = self.hashes.hash_one(who);
        let is_full = window.let_through >= OF_ALL;
        if !is_full {
            let cause = window.causes.entry(who).or_default();
            let has_some = cause.lines < FEW
                || cause.lines < LINES && {
                    let spent = spent.entry(who).or_default();
                    *spent += 1;
                    *spent <= SPARE
                };
            if has_some {
                cause.lines += 1;
                window.let_through += 1;
                return (held_back, Verdict::Logged);
            }
        }
        window.held_back = window.held_back.saturating_add(1);
        let told = match window.causes.get_mut(&who) {
            Some(cause) if !is_full => &mut cause.told,
            _ => &mut window.told,
        };
        let first = !std::mem::replace(told, true);
        (held_back, if first { Verdict::HeldBack } else { Verdict::Silent })
    }
}

/// Has panics logged as lines like any other, bounded as refusals are: one that
/// somebody can cause again and again must not fill a disk either.
pub fn log_panics() {
    let log = RefusalLog::default();
    std::panic::set_hook(Box::new(move |panic| log.note("panic", || tracing::error!("{panic}"))));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_summed_up() {
        let log = RefusalLog::default();
        let start = Instant::now();
        let verdicts: Vec<Verdict> = (0..100).map(|_| log.count("signature", "", start).1).collect();
        let of = |verdict: Verdict| verdicts.iter().filter(|v| **v == verdict).count();
        assert_eq!(of(Verdict::Logged), LINES as usize);
        assert_eq!(of(Verdict::HeldBack), 1, "that there is more is said at once");
        assert_eq!(log.count("expired", "", start).1, Verdict::Logged, "kinds do not share");
        assert_eq!(log.count("signature", "", start + WINDOW), (80, Verdict::Logged));
    }

    #[test]
    fn who_floods_hides_nobody() {
        let log = RefusalLog::default();
        let start = Instant::now();
        for _ in 0..10_000 {
            log.count("denied", "choria=eve", start);
        }
        assert_eq!(log.count("denied", "choria=bob", start).1, Verdict::Logged);
        let all =
            (0..10_000).filter(|n| log.count("denied", &n.to_string(), start).1 != Verdict::Silent).count();
        assert_eq!(all, (OF_ALL - LINES) as usize, "the others, and one line that there are more");
        let counts = log.counts.lock().unwrap();
        assert!(counts.kinds["denied"].causes.len() <= OF_ALL as usize);
    }

    #[test]
    fn who_floods_in_many_ways_has_few_lines_of_each() {
        const KINDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let log = RefusalLog::default();
        let start = Instant::now();
        let mut lines = 0;
        for round in 0..100 {
            for kind in KINDS {
                let logged = log.count(kind, "choria=eve", start).1 == Verdict::Logged;
                assert!(logged || round >= FEW, "a few of each kind are seen");
                lines += u32::from(logged);
            }
        }
        assert_eq!(lines, FEW * KINDS.len() as u32 + SPARE);
        assert_eq!(log.count("a", "choria=bob", start).1, Verdict::Logged);
        let later = (0..100).filter(|_| log.count("a", "choria=eve", start + WINDOW).1 == Verdict::Logged);
        assert_eq!(later.count(), LINES as usize);
    }
}
