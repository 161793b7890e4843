//! One provisioner at a time (spec 05 §4).

/// Seconds without a call after which another provisioner may begin.
const HELD: i64 = 120;

/// Who provisions this node just now.
#[derive(Debug, Default)]
pub struct Lock {
    holder: String,
    until: i64,
}

impl Lock {
    /// Takes or keeps the lock at `now` (unix seconds).
    pub fn take(&mut self, holder: &str, now: i64) -> bool {
        if self.holder != holder && now < self.until {
            return false;
        }
        if self.holder != holder {
            self.holder = holder.to_owned();
        }
        self.until = now.saturating_add(HELD);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_minutes_after_the_last_call_another_may_begin() {
        let mut lock = Lock::default();
        assert!(lock.take("a", 100));
        assert!(!lock.take("b", 100));
        assert!(lock.take("a", 219));
        assert!(!lock.take("b", 338));
        assert!(lock.take("b", 339));
        assert!(!lock.take("a", 340));
    }
}
