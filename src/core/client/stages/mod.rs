//! A change that goes through a fleet in stages, each only when the one before did well.
//!
//! [`Stages`] says how far each goes, [`Allowance`] how many nodes may do badly. A
//! [`Rollout`] is where a change stands: who was asked, who did badly, whether it may go on.
//! Both are pure. A [`Journal`] keeps that in a file, line by line and before anybody is
//! asked, so that a change whose client was killed goes on where it was and asks nobody
//! twice. A [`Change`] drives them, for whoever asks, and has a [`Check`] look at nodes when a
//! stage is over.

mod allowance;
mod change;
mod check;
mod ends;
mod journal;
mod rollout;
#[cfg(test)]
mod tests;

use std::str::FromStr;

pub use allowance::Allowance;
pub use change::{Change, ChangeError, Notice};
pub use check::{Check, Look};
pub use ends::{goes_on, never_begun};
pub use journal::{Journal, JournalError, Plan};
pub use rollout::{Rollout, TooMany};

/// Stages of one change.
const MOST: usize = 32;

/// How far the stages of a change go, in the order they are gone through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stages(Vec<Bound>);

/// How many nodes have been asked when a stage is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Nodes(usize),
    Percent(usize),
}

/// Stages that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StagesError {
    /// One is no number and no share.
    #[error("'{0}' is neither a number of nodes nor a share of them, write 1,1%,10%,100%")]
    Malformed(String),
    /// What comes after the last is not said.
    #[error("they end with {0} and not with 100%: add 100%, or take a part of the nodes by --limit")]
    Short(String),
    /// More than anybody goes through.
    #[error("these are more than {MOST}")]
    Many,
}

impl FromStr for Stages {
    type Err = StagesError;

    fn from_str(text: &str) -> Result<Stages, StagesError> {
        let words: Vec<&str> = text.split(',').map(str::trim).collect();
        if words.len() > MOST {
            return Err(StagesError::Many);
        }
        let bounds: Vec<Bound> = words.iter().map(|word| Bound::parse(word)).collect::<Result<_, _>>()?;
        match bounds.last() {
            Some(Bound::Percent(100)) => Ok(Stages(bounds)),
            _ => Err(StagesError::Short(words.last().copied().unwrap_or_default().to_owned())),
        }
    }
}

impl Bound {
    fn parse(word: &str) -> Result<Bound, StagesError> {
        let (digits, percent) = match word.strip_suffix('%') {
            Some(digits) => (digits, true),
            None => (word, false),
        };
        let number = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
        match number {
            Some(number @ 1..=100) if percent => Ok(Bound::Percent(number)),
            Some(number @ 1..) if !percent => Ok(Bound::Nodes(number)),
            _ => Err(StagesError::Malformed(word.to_owned())),
        }
    }
}

impl Stages {
    /// How many of so many nodes have been asked after each stage. A share is rounded up; a
    /// stage that would ask nobody more is left out.
    pub fn bounds(&self, nodes: usize) -> Vec<usize> {
        let mut bounds: Vec<usize> = vec![];
        for bound in &self.0 {
            let so_many = match *bound {
                Bound::Nodes(number) => number.min(nodes),
                Bound::Percent(percent) => nodes.saturating_mul(percent).div_ceil(100),
            };
            if so_many > bounds.last().copied().unwrap_or(0) {
                bounds.push(so_many);
            }
        }
        bounds
    }
}
