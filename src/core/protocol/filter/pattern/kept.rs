//! Regular expressions of requests: paid for, bounded, and kept by their text.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use regex::Regex;

use super::{build, dialect};
use crate::core::protocol::filter::Budget;
use crate::core::protocol::filter::budget::Exhausted;

/// Longest expression in a request, in bytes.
const LONGEST: usize = 8 * 1024;

/// An expression is tried in ever larger sizes, each paid before it is tried:
/// what it costs to compile follows its size, and so does the worst a search
/// can do with a byte. (Measured in a release build, 2 cores: up to 0.4, 1 and
/// 10 ms, and up to 0.4, 1 and 4 µs a byte.)
const SIZES: [Size; 3] = [
    Size { limit: 16 * 1024, compile: 40_000, byte: 40 },
    Size { limit: 64 * 1024, compile: 100_000, byte: 120 },
    Size { limit: 256 * 1024, compile: 800_000, byte: 400 },
];
/// What making one large set of characters costs: folding its case goes
/// through each of them.
const WIDE: u64 = 30_000;
const WIDE_FOLDED: u64 = 700_000;
const WIDE_BYTES: usize = 16 * 1024;
/// What it costs to find one that is kept.
const FOUND: u64 = 50;
/// Most that is kept, as the sum of the sizes.
const KEPT: usize = 1024 * 1024;

struct Size {
    /// Bytes of the compiled form.
    limit: usize,
    compile: u64,
    /// What searching one byte costs.
    byte: u64,
}

/// A compiled expression of a request.
#[derive(Debug)]
pub struct Compiled {
    regex: Regex,
    size: usize,
    byte: u64,
}

impl Compiled {
    /// Whether it is found in `text`.
    ///
    /// # Errors
    /// The search cannot be paid.
    pub fn is_match(&self, text: &str, budget: &Budget) -> Result<bool, Exhausted> {
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        budget.pay(bytes.saturating_add(1).saturating_mul(self.byte))?;
        Ok(self.regex.is_match(text))
    }
}

/// The expressions that were used last, also those that are none.
#[derive(Default)]
struct Kept {
    by_text: HashMap<String, (u64, Option<Arc<Compiled>>)>,
    size: usize,
    uses: u64,
}

/// One for the process: policies of a fleet ask the same of all their nodes.
static KEPT_ONES: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

/// The compiled form of an expression in RE2's dialect, or nothing if it is not
/// valid or larger than an expression in a request may be.
///
/// # Errors
/// Compiling it cannot be paid.
pub fn compiled(expression: &str, budget: &Budget) -> Result<Option<Arc<Compiled>>, Exhausted> {
    budget.read(expression.len())?;
    if expression.len() > LONGEST {
        return Ok(None);
    }
    budget.pay(FOUND)?;
    let kept = || KEPT_ONES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = kept().find(expression) {
        return Ok(found);
    }
    let made = compile(expression, budget)?.map(Arc::new);
    kept().keep(expression, made.clone());
    Ok(made)
}

/// Whether nodes take the expression in a request.
pub fn acceptable(expression: &str) -> bool {
    compiled(expression, &Budget::default()).is_ok_and(|regex| regex.is_some())
}

fn compile(expression: &str, budget: &Budget) -> Result<Option<Compiled>, Exhausted> {
    let length = u64::try_from(expression.len()).unwrap_or(u64::MAX);
    budget.pay(length.saturating_mul(20))?;
    let Some((text, wide)) = dialect(expression) else { return Ok(None) };
    let folded = expression.contains("(?");
    for size in SIZES {
        budget.pay(size.compile)?;
        budget.pay(wide.saturating_mul(if folded { WIDE_FOLDED } else { WIDE }))?;
        budget.make(usize::try_from(wide).unwrap_or(usize::MAX).saturating_mul(WIDE_BYTES))?;
        if let Some(regex) = build(&text, size.limit) {
            return Ok(Some(Compiled { regex, size: size.limit, byte: size.byte }));
        }
    }
    Ok(None)
}

impl Kept {
    fn find(&mut self, text: &str) -> Option<Option<Arc<Compiled>>> {
        self.uses += 1;
        let (used, found) = self.by_text.get_mut(text)?;
        *used = self.uses;
        Some(found.clone())
    }

    fn keep(&mut self, text: &str, made: Option<Arc<Compiled>>) {
        self.uses += 1;
        self.size += cost(text, made.as_deref());
        if let Some((_, before)) = self.by_text.insert(text.to_owned(), (self.uses, made)) {
            self.size -= cost(text, before.as_deref());
        }
        while self.size > KEPT {
            // Some dozens at most: looking through them is cheaper than an order beside them.
            let oldest = self.by_text.iter().min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = oldest.map(|(text, _)| text.clone()) else { return };
            if let Some((_, gone)) = self.by_text.remove(&oldest) {
                self.size -= cost(&oldest, gone.as_deref());
            }
        }
    }
}

/// What is held for one, at least that of the smallest.
fn cost(text: &str, made: Option<&Compiled>) -> usize {
    text.len() + made.map_or(SIZES[0].limit, |made| made.size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_compiled_once() {
        let expression = "(?i)^an-expression-of-this-test[0-9]+$";
        let budget = Budget::default();
        let first = compiled(expression, &budget).unwrap().unwrap();
        assert!(first.is_match("AN-EXPRESSION-OF-THIS-TEST7", &budget).unwrap());
        let small = Budget::new(1000, 0);
        assert!(Arc::ptr_eq(&first, &compiled(expression, &small).unwrap().unwrap()));
        assert!(compiled("^never-seen-before$", &small).is_err());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut kept = Kept::default();
        for n in 0..1000 {
            kept.keep(&n.to_string(), compile("a", &Budget::default()).unwrap().map(Arc::new));
            kept.keep(&format!("({n}"), None);
        }
        assert!(kept.size <= KEPT && kept.by_text.len() <= 64, "{} of {}", kept.size, kept.by_text.len());
        assert!(kept.find("999").is_some() && kept.find("0").is_none());
        let sum: usize = kept.by_text.iter().map(|(text, (_, made))| cost(text, made.as_deref())).sum();
        assert_eq!(sum, kept.size);
    }

    #[test]
    fn what_compiles_long_is_paid_or_refused() {
        for expression in [
            r"zz(?:\pL{1,22})N".to_owned(),
            r"(?i)[\x{0}-\x{10FFFF}]".repeat(20),
            r"(?i)[\D]".repeat(100),
            r"(?i)[[:^alpha:]]".repeat(100),
            "x{1000}{1000}{1000}".into(),
            "a".repeat(LONGEST + 1),
        ] {
            assert!(!acceptable(&expression), "{expression:.40}");
        }
        let hosts: Vec<String> = (0..50).map(|n| format!("node{n}.example.net")).collect();
        assert!(acceptable(&hosts.join("|")));
        assert!(acceptable(r"(?i)^\p{L}+$"));
    }
}
