//! What a request may cost before anybody has decided that it may run
//! (design decision 17).
//!
//! Facts, regular expressions, gjson paths, compound expressions and data
//! functions of one request draw from one [`Budget`], and each pays before it
//! does the work. Once something could not be paid nothing can be any more, so
//! that code in between may take the short way out, and whoever asked looks at
//! [`Budget::check`] in the end.

use std::cell::Cell;

/// Work a request may cost, in units of about ten nanoseconds of one core.
const WORK: u64 = 10_000_000;
/// Bytes a request may have made, whether or not they are still held.
const BYTES: u64 = 8 * 1024 * 1024;
/// Units between two looks at the clock.
const LOOK_EVERY: u64 = 50_000;
/// Bytes that are copied or looked through for one unit.
const BYTES_A_UNIT: u64 = 16;

/// What ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exhausted {
    /// It computes too long, wherever it runs.
    #[error("it costs more work than a request may")]
    Work,
    /// What it makes is too large.
    #[error("it makes more data than a request may")]
    Bytes,
    /// Somebody who looked at a clock said so.
    #[error("it takes longer than a request may")]
    Time,
}

impl From<Exhausted> for String {
    fn from(exhausted: Exhausted) -> String {
        exhausted.to_string()
    }
}

/// What is left of a request's allowance.
pub struct Budget {
    work: Cell<u64>,
    bytes: Cell<u64>,
    /// The amount of work left at which the clock is looked at next.
    look_at: Cell<u64>,
    spent: Cell<Option<Exhausted>>,
    late: Option<Box<dyn Fn() -> bool>>,
}

impl Default for Budget {
    /// The allowance of one request, however long it takes.
    fn default() -> Budget {
        Budget::new(WORK, BYTES)
    }
}

impl Budget {
    /// An allowance of `work` units and `bytes`.
    pub fn new(work: u64, bytes: u64) -> Budget {
        Budget {
            work: Cell::new(work),
            bytes: Cell::new(bytes),
            look_at: Cell::new(work.saturating_sub(LOOK_EVERY)),
            spent: Cell::new(None),
            late: None,
        }
    }

    /// The allowance of one request that ends when `late` says so, which is
    /// asked about every half millisecond of work.
    pub fn until(late: impl Fn() -> bool + 'static) -> Budget {
        Budget { late: Some(Box::new(late)), ..Budget::default() }
    }

    /// Pays for work that is about to be done.
    ///
    /// # Errors
    /// There is not enough left, now or before.
    pub fn pay(&self, work: u64) -> Result<(), Exhausted> {
        self.check()?;
        let Some(left) = self.work.get().checked_sub(work) else { return self.fail(Exhausted::Work) };
        self.work.set(left);
        if left < self.look_at.get() {
            self.look_at.set(left.saturating_sub(LOOK_EVERY));
            if self.late.as_ref().is_some_and(|late| late()) {
                return self.fail(Exhausted::Time);
            }
        }
        Ok(())
    }

    /// Pays for looking through `bytes`.
    ///
    /// # Errors
    /// As [`Budget::pay`].
    pub fn read(&self, bytes: usize) -> Result<(), Exhausted> {
        self.pay(1 + size(bytes) / BYTES_A_UNIT)
    }

    /// Pays for making `bytes`, and for filling them.
    ///
    /// # Errors
    /// As [`Budget::pay`].
    pub fn make(&self, bytes: usize) -> Result<(), Exhausted> {
        self.read(bytes)?;
        let Some(left) = self.bytes.get().checked_sub(size(bytes)) else {
            return self.fail(Exhausted::Bytes);
        };
        self.bytes.set(left);
        Ok(())
    }

    /// Whether everything so far could be paid.
    ///
    /// # Errors
    /// What could not.
    pub fn check(&self) -> Result<(), Exhausted> {
        self.spent.get().map_or(Ok(()), Err)
    }

    fn fail(&self, exhausted: Exhausted) -> Result<(), Exhausted> {
        self.spent.set(Some(exhausted));
        Err(exhausted)
    }
}

fn size(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn what_was_not_paid_once_is_not_paid_again() {
        let budget = Budget::new(100, 1000);
        assert_eq!(budget.pay(90), Ok(()));
        assert_eq!(budget.pay(11), Err(Exhausted::Work));
        assert_eq!(budget.pay(1), Err(Exhausted::Work));
        assert_eq!(budget.check(), Err(Exhausted::Work));
        assert_eq!(Budget::new(100, 1000).make(usize::MAX), Err(Exhausted::Work));
        let budget = Budget::new(100, 1000);
        assert_eq!((budget.make(900), budget.make(101)), (Ok(()), Err(Exhausted::Bytes)));
        assert_eq!(budget.pay(1), Err(Exhausted::Bytes));
    }

    #[test]
    fn the_clock_is_looked_at_now_and_then() {
        let looks = Rc::new(Cell::new(0));
        let seen = looks.clone();
        let budget = Budget::until(move || {
            seen.set(seen.get() + 1);
            seen.get() == 3
        });
        let paid = (0..WORK).take_while(|_| budget.pay(1).is_ok()).count() as u64;
        assert_eq!(looks.get(), 3);
        assert!((2 * LOOK_EVERY..4 * LOOK_EVERY).contains(&paid), "{paid}");
        assert_eq!(budget.check(), Err(Exhausted::Time));
    }
}
