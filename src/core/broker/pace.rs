//! How fast an identity may speak while those who are to hear it are behind. Pure.
//!
//! All links of an identity share one pace: a thousand connections of one name
//! are no faster than one. Times are on the shards' clock.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::core::admission::PeerKind;

/// How long an identity is throttled when receivers of its messages are behind, to the next tick of the
/// shard's timers. Each of its links says one thing in between.
pub const THROTTLED: Duration = Duration::from_millis(100);
/// What a message counts beside its bytes.
pub const MESSAGE: usize = 1024;
/// Bytes that have to be published in that time to be throttled.
const FAST: usize = 64 * 1024;
/// The same for all connections of a waiting machine, who has little to say.
const FAST_WAITING: usize = 8 * 1024;
/// Longest time such a one is throttled for a large message.
const LONGEST: Duration = Duration::from_secs(10);

/// Bytes that messages make of all who hear them, in [`THROTTLED`], which nobody pays for.
const FREE: usize = 64 * 1024 * 1024;
/// What is said to many is sent no faster than that on average, in bytes a second: the broker has others
/// to send to.
const RATE: f64 = 1024.0 * 1024.0 * 1024.0;

/// Messages, with one more for each 4 KiB, that a receiver is meant to hear within [`THROTTLED`]: who
/// says much of what comes beyond is throttled. Programs that look at each message for longer than it
/// takes to send one would otherwise lose those of others; clients take what comes.
pub fn meant_to_hear(kind: PeerKind) -> Option<u32> {
    match kind {
        PeerKind::Node => Some(256),
        PeerKind::WaitingNode => Some(64),
        PeerKind::Service => Some(1024),
        PeerKind::Client | PeerKind::Hub => None,
    }
}

/// Bytes that a question to one waiting machine lets it answer, and one to all of them; and what it
/// may be owed at most.
const ANSWER: u32 = 256 * 1024;
const ANSWER_TO_ALL: u32 = 8 * 1024;
const ANSWERS: u32 = 4 * ANSWER;
/// How long it may take for them.
const ANSWERED: Duration = Duration::from_secs(120);

/// What a waiting machine may say because it was asked: names are free to whoever has the token, so
/// what a thousand of them say of themselves has less room than what one was asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    bytes: u32,
    until: Duration,
}

impl Asked {
    /// A question was delivered.
    pub fn ask(&mut self, subject: &[u8], now: Duration) {
        let is_to_one = memchr::memmem::find(subject, b".node.").is_some();
        let before = if now < self.until { self.bytes } else { 0 };
        self.bytes = (before + if is_to_one { ANSWER } else { ANSWER_TO_ALL }).min(ANSWERS);
        self.until = now + ANSWERED;
    }

    /// Takes this many bytes of it; false where nobody has asked for so many.
    pub fn take(&mut self, bytes: usize, now: Duration) -> bool {
        let left = if now < self.until { self.bytes } else { 0 };
        match u32::try_from(bytes).ok().and_then(|bytes| left.checked_sub(bytes)) {
            Some(left) => {
                self.bytes = left;
                true
            }
            None => false,
        }
    }
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Pace {
    /// Bytes said, and since when in milliseconds.
    said: AtomicUsize,
    since: AtomicU64,
    /// The same of all who heard it.
    many: AtomicUsize,
    many_since: AtomicU64,
    /// When it is no longer throttled, in milliseconds.
    until: AtomicU64,
}

impl Pace {
    /// Until when nothing more of it is acted on; in the past, most of the time.
    pub fn throttled_until(&self) -> Duration {
        Duration::from_millis(self.until.load(Ordering::Relaxed))
    }

    /// What one of its links said is this many bytes for all who hear it: that is paid for by being
    /// silent afterwards.
    pub fn said_to_many(&self, bytes: usize, now: Duration) {
        let now_ms = now.as_millis() as u64;
        if now_ms >= self.many_since.load(Ordering::Relaxed) + THROTTLED.as_millis() as u64 {
            self.many_since.store(now_ms, Ordering::Relaxed);
            self.many.store(0, Ordering::Relaxed);
        }
        let all = self.many.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if all > FREE {
            self.many.store(0, Ordering::Relaxed);
            let pause = Duration::from_secs_f64(all as f64 / RATE).min(LONGEST);
            self.until.fetch_max((now + pause).as_millis() as u64, Ordering::Relaxed);
        }
    }

    /// Receivers are behind of what one of its links has said: `said` bytes since it was told so last.
    /// One reply among those of thousands is not what fills anybody's queue, so it is throttled only for much.
    pub fn slow_down(&self, said: usize, kind: PeerKind, now: Duration) {
        if self.throttled_until() > now {
            return;
        }
        let now_ms = now.as_millis() as u64;
        if now_ms >= self.since.load(Ordering::Relaxed) + THROTTLED.as_millis() as u64 {
            self.since.store(now_ms, Ordering::Relaxed);
            self.said.store(0, Ordering::Relaxed);
        }
        let said = self.said.fetch_add(said, Ordering::Relaxed) + said;
        let throttled = match kind {
            PeerKind::WaitingNode if said >= FAST_WAITING => {
                let times = u32::try_from(said / FAST_WAITING).unwrap_or(u32::MAX);
                THROTTLED.saturating_mul(times).min(LONGEST)
            }
            PeerKind::WaitingNode => return,
            _ if said >= FAST => THROTTLED,
            _ => return,
        };
        self.said.store(0, Ordering::Relaxed);
        self.until.store((now + throttled).as_millis() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_much_to_many_is_silent_for_as_long_as_it_takes() {
        let (pace, at) = (Pace::default(), Duration::from_millis(1000));
        pace.said_to_many(FREE, at);
        assert!(pace.throttled_until() <= at);
        pace.said_to_many(1 << 29, at);
        let pause = Duration::from_millis(562);
        assert_eq!(pace.throttled_until(), at + pause, "with what it said before");
        pace.said_to_many(1 << 40, at);
        assert_eq!(pace.throttled_until(), at + LONGEST);
        pace.said_to_many(1 << 29, at);
        assert_eq!(pace.throttled_until(), at + LONGEST, "what is shorter ends nothing");
    }

    #[test]
    fn all_links_of_a_name_share_one_pace() {
        let pace = Pace::default();
        let at = |ms| Duration::from_millis(ms);
        // a little each, by three links
        pace.slow_down(FAST / 3 + 1, PeerKind::Client, at(1000));
        pace.slow_down(FAST / 3 + 1, PeerKind::Client, at(1010));
        assert!(pace.throttled_until() <= at(1010));
        pace.slow_down(FAST / 3 + 1, PeerKind::Client, at(1020));
        assert_eq!(pace.throttled_until(), at(1020) + THROTTLED);
        // what comes meanwhile does not make it longer
        pace.slow_down(100 * FAST, PeerKind::Client, at(1030));
        assert_eq!(pace.throttled_until(), at(1020) + THROTTLED);
        // what was said long ago does not count
        let pace = Pace::default();
        for second in 1..100 {
            pace.slow_down(FAST - 1, PeerKind::Node, at(second * 1000));
            assert!(pace.throttled_until() <= at(second * 1000));
        }
    }

    #[test]
    fn who_was_asked_may_answer_so_much_for_a_while() {
        let at = Duration::from_secs(10);
        let mut asked = Asked::default();
        assert!(!asked.take(1, at));
        asked.ask(b"provisioning.broadcast.agent.discovery", at);
        assert!(asked.take(8192, at) && !asked.take(1, at));
        asked.ask(b"provisioning.node.n1.example.net", at);
        assert!(!asked.take(ANSWER as usize + 1, at), "what is too much takes nothing");
        assert!(asked.take(ANSWER as usize, at + ANSWERED - Duration::from_millis(1)));
        (0..100).for_each(|_| asked.ask(b"provisioning.node.n1.example.net", at));
        assert!(asked.take(ANSWERS as usize, at) && !asked.take(1, at));
        asked.ask(b"provisioning.node.n1.example.net", at);
        assert!(!asked.take(1, at + ANSWERED));
    }

    #[test]
    fn a_waiting_machine_pays_for_large_messages_in_time() {
        for (said, throttled) in [(FAST_WAITING - 1, 0), (FAST_WAITING, 100), (1024 * 1024, 10_000)] {
            let pace = Pace::default();
            pace.slow_down(said, PeerKind::WaitingNode, Duration::from_secs(1));
            let until = pace.throttled_until().as_millis();
            assert_eq!(until.saturating_sub(1000), throttled, "{said}");
        }
    }
}
