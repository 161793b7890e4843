//! What a run may use. Bytes live inside a [`Charge`], which gives them back when the
//! value that holds them goes: a loop that builds and drops may run long, one that keeps
//! may not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bounds of one run, each an error of its own when it is reached.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Expressions evaluated, and elements looked at by functions.
    pub steps: u64,
    /// Bytes that values hold at one time.
    pub memory: usize,
    /// Bytes of all log messages.
    pub output: usize,
    /// Plans, functions and blocks inside of each other.
    pub calls: u32,
    /// Bytes of stack below where the run began; a thread has two megabytes unless it was
    /// given others.
    pub stack: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { steps: 100_000_000, memory: 256 << 20, output: 64 << 20, calls: 200, stack: 768 << 10 }
    }
}

/// How deep values, types and expressions may be nested. What walks them recurses.
pub(crate) const DEPTH: u16 = 200;

/// How many parts one value may have when each is counted as often as it is seen: two
/// names for the same list, twenty times over, are a million parts in forty places.
pub(crate) const PARTS: u64 = 16_000_000;

/// A pool of bytes was empty, or a value would be too deep or have too many parts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Exhausted {
    /// See [`Limits::memory`].
    #[error("values take more than the {0} MiB they may; keep less of what the plan builds")]
    Memory(usize),
    /// Arrays in arrays.
    #[error("a value is nested deeper than {DEPTH} levels")]
    Depth,
    /// A value that repeats itself.
    #[error("a value has more than {PARTS} parts")]
    Parts,
}

#[derive(Debug)]
struct Pool {
    used: AtomicUsize,
    limit: usize,
}

/// Where bytes are charged to.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Pool>);

impl Budget {
    /// A pool of so many bytes.
    pub fn new(limit: usize) -> Budget {
        Budget(Arc::new(Pool { used: AtomicUsize::new(0), limit }))
    }

    /// Takes bytes, before they are used.
    pub fn charge(&self, bytes: usize) -> Result<Charge, Exhausted> {
        self.take(bytes)?;
        Ok(Charge { pool: Some(self.0.clone()), bytes })
    }

    fn take(&self, bytes: usize) -> Result<(), Exhausted> {
        let full = || Exhausted::Memory(self.0.limit >> 20);
        let add = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.0.limit);
        let taken = self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        taken.map(drop).map_err(|_| full())
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Text that is charged while it grows.
    pub(crate) fn writer(&self) -> Writer {
        Writer { budget: self.clone(), text: String::new(), charge: Charge::free(), failed: None }
    }
}

/// Bytes that were taken; dropping gives them back.
#[derive(Debug)]
pub struct Charge {
    pool: Option<Arc<Pool>>,
    bytes: usize,
}

impl Charge {
    /// For what is bounded already, as literals are by their source.
    pub(crate) fn free() -> Charge {
        Charge { pool: None, bytes: 0 }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.used.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// A string whose bytes are charged before they are written.
pub(crate) struct Writer {
    budget: Budget,
    text: String,
    charge: Charge,
    failed: Option<Exhausted>,
}

impl Writer {
    /// The text and its charge, or what was reached.
    pub(crate) fn finish(self) -> Result<(String, Charge), Exhausted> {
        match self.failed {
            Some(failed) => Err(failed),
            None => Ok((self.text, self.charge)),
        }
    }

    pub(crate) fn push(&mut self, text: &str) -> Result<(), Exhausted> {
        let more = text.len();
        if self.text.len() + more > self.charge.bytes {
            // room for the next ones, so that pieces of one byte do not cost a charge each
            let grow = (self.text.len() + more).saturating_mul(2).max(64) - self.charge.bytes;
            self.budget.take(grow).inspect_err(|e| self.failed = Some(e.clone()))?;
            self.charge.pool = Some(self.budget.0.clone());
            self.charge.bytes += grow;
        }
        self.text.push_str(text);
        Ok(())
    }
}

impl std::fmt::Write for Writer {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push(text).map_err(|_| std::fmt::Error)
    }
}

/// Where the stack was when work began. Frames differ between builds, so that counting
/// calls alone would either allow little or overflow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stack {
    base: usize,
    limit: usize,
}

impl Stack {
    pub(crate) fn here(limit: usize) -> Stack {
        Stack { base: Stack::pointer(), limit }
    }

    #[inline(never)]
    fn pointer() -> usize {
        let mark = 0_u8;
        std::ptr::from_ref(std::hint::black_box(&mark)).addr()
    }

    /// Whether more of it is in use than may be.
    pub(crate) fn is_used_up(&self) -> bool {
        self.base.abs_diff(Stack::pointer()) > self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_is_given_back() {
        let budget = Budget::new(100);
        let charge = budget.charge(80).expect("room");
        assert!(budget.charge(21).is_err());
        drop(charge);
        assert_eq!(budget.used(), 0);
        let mut writer = budget.writer();
        writer.push(&"x".repeat(40)).expect("room");
        assert!(budget.used() >= 40);
        assert!(writer.push(&"x".repeat(61)).is_err());
        assert!(writer.finish().is_err());
        assert_eq!(budget.used(), 0);
    }
}
