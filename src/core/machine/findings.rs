//! What is wrong with a definition, one line a mistake, and where it stands.

use std::fmt;

use super::yaml::At;

/// Most findings that are kept of one definition.
const MOST: usize = 50;

/// One mistake, or one thing that is probably one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where it stands.
    pub at: At,
    /// A sentence.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.at.line, self.at.column, self.text)
    }
}

/// All of a definition.
#[derive(Debug, Default)]
pub struct Findings {
    /// What keeps it from running.
    pub errors: Vec<Finding>,
    /// What is odd, and what was made of it.
    pub warnings: Vec<Finding>,
}

impl Findings {
    /// Keeps it from running.
    pub fn error(&mut self, at: At, text: impl Into<String>) {
        push(&mut self.errors, at, text.into());
    }

    /// Is odd.
    pub fn warn(&mut self, at: At, text: impl Into<String>) {
        push(&mut self.warnings, at, text.into());
    }
}

fn push(list: &mut Vec<Finding>, at: At, text: String) {
    if list.len() < MOST {
        list.push(Finding { at, text });
    }
}
