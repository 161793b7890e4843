//! Refusals are logged with their reason, but a stranger must not fill a disk
//! with them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one kind within a window.
const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);

/// Lets so many lines of a kind through in a window and says how many it held
/// back.
#[derive(Default)]
pub struct RefusalLog {
    kinds: Mutex<HashMap<&'static str, (Instant, u32)>>,
}

impl RefusalLog {
    /// Runs `log` unless there were too many of this kind.
    pub fn note(&self, kind: &'static str, log: impl FnOnce()) {
        let (held_back, allowed) = self.count(kind, Instant::now());
        if held_back > 0 {
            tracing::warn!(kind, "{held_back} more refusals of this kind were not logged");
        }
        if allowed {
            log();
        }
    }

    /// Lines held back in a window that just ended, and whether to log now.
    fn count(&self, kind: &'static str, now: Instant) -> (u32, bool) {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, lines) = kinds.entry(kind).or_insert((now, 0));
        let mut held_back = 0;
        if now.duration_since(*since) >= WINDOW {
            held_back = lines.saturating_sub(LINES);
            (*since, *lines) = (now, 0);
        }
        *lines = lines.saturating_add(1);
        (held_back, *lines <= LINES)
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
        let logged = (0..100).filter(|_| log.count("signature", start).1).count();
        assert_eq!(logged, LINES as usize);
        assert!(log.count("expired", start).1, "kinds do not share");
        assert_eq!(log.count("signature", start + WINDOW), (80, true));
    }
}
