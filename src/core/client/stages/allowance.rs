//! How many nodes may do badly before a change stops.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How many of the nodes that were asked may have done badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Allowance {
    /// So many.
    Nodes(usize),
    /// So many percent, rounded down: of a few nodes none.
    Percent(usize),
}

impl Allowance {
    /// One is too many.
    pub const NONE: Allowance = Allowance::Nodes(0);

    /// Of so many that were asked.
    pub fn of(self, asked: usize) -> usize {
        match self {
            Allowance::Nodes(number) => number,
            Allowance::Percent(percent) => asked.saturating_mul(percent) / 100,
        }
    }
}

impl FromStr for Allowance {
    type Err = String;

    fn from_str(text: &str) -> Result<Allowance, String> {
        let (digits, percent) = match text.strip_suffix('%') {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        let number = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
        match number {
            Some(number @ 0..=99) if percent => Ok(Allowance::Percent(number)),
            Some(number) if !percent => Ok(Allowance::Nodes(number)),
            _ => {
                Err(format!("'{text}' is neither a number of nodes nor a share below 100%, write 0, 5 or 2%"))
            }
        }
    }
}

impl TryFrom<String> for Allowance {
    type Error = String;

    fn try_from(text: String) -> Result<Allowance, String> {
        text.parse()
    }
}

impl From<Allowance> for String {
    fn from(allowance: Allowance) -> String {
        allowance.to_string()
    }
}

impl fmt::Display for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Allowance::Nodes(number) => write!(f, "{number}"),
            Allowance::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}
