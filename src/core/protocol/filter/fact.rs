//! One fact comparison: its text form and its meaning.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Budget, Facts, FilterError, MatchError, pattern};
use crate::core::protocol::number::{parse_bool, parse_float};

/// `fact operator value`, such as `os.family == RedHat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactFilter {
    /// Path of the fact, in gjson's language.
    pub fact: String,
    /// How to compare.
    pub operator: FactOperator,
    /// What to compare with: text, whatever the fact is. Never empty.
    pub value: String,
}

/// How a fact is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FactOperator {
    /// `==`
    #[serde(rename = "==")]
    Equal,
    /// `!=`
    #[serde(rename = "!=")]
    NotEqual,
    /// `=~`, a regular expression.
    #[serde(rename = "=~")]
    Match,
    /// `<`
    #[serde(rename = "<")]
    Less,
    /// `<=`
    #[serde(rename = "<=")]
    LessOrEqual,
    /// `>`
    #[serde(rename = ">")]
    Greater,
    /// `>=`
    #[serde(rename = ">=")]
    GreaterOrEqual,
}

impl FactOperator {
    /// The operator as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            FactOperator::Equal => "==",
            FactOperator::NotEqual => "!=",
            FactOperator::Match => "=~",
            FactOperator::Less => "<",
            FactOperator::LessOrEqual => "<=",
            FactOperator::Greater => ">",
            FactOperator::GreaterOrEqual => ">=",
        }
    }

    /// The operator of its wire form.
    pub fn from_wire(text: &str) -> Option<FactOperator> {
        Some(match text {
            "==" => FactOperator::Equal,
            "!=" => FactOperator::NotEqual,
            "=~" => FactOperator::Match,
            "<" => FactOperator::Less,
            "<=" => FactOperator::LessOrEqual,
            ">" => FactOperator::Greater,
            ">=" => FactOperator::GreaterOrEqual,
            _ => return None,
        })
    }

    /// The operator of what a person types, which has a few more spellings.
    fn from_typed(text: &str) -> Option<FactOperator> {
        match text {
            "=" => Some(FactOperator::Equal),
            "=<" => Some(FactOperator::LessOrEqual),
            "=>" => Some(FactOperator::GreaterOrEqual),
            other => FactOperator::from_wire(other),
        }
    }

    fn orders(self) -> bool {
        !matches!(self, FactOperator::Equal | FactOperator::NotEqual | FactOperator::Match)
    }

    /// For the four ordering operators.
    fn allows(self, ordering: Ordering) -> bool {
        match self {
            FactOperator::Less => ordering.is_lt(),
            FactOperator::LessOrEqual => ordering.is_le(),
            FactOperator::Greater => ordering.is_gt(),
            FactOperator::GreaterOrEqual => ordering.is_ge(),
            _ => false,
        }
    }
}

impl fmt::Display for FactFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.fact, self.operator.as_str(), self.value)
    }
}

/// Where operators can stand, longest first at each place.
const TYPED: [&str; 10] = ["<=", ">=", "=>", "=<", "<", ">", "!=", "=~", "==", "="];

impl FactFilter {
    /// Reads `-F` text. The last operator in it splits, so that paths such as
    /// `disks.#(name=="sda").size=5` work; a value between slashes makes it a
    /// regular expression whatever the operator, as in the original.
    pub fn parse(text: &str) -> Result<FactFilter, FilterError> {
        let bad = || FilterError::Fact(text.into());
        let (at, typed) = last_operator(text).ok_or_else(bad)?;
        let fact = text.get(..at).unwrap_or_default().trim();
        let value = text.get(at + typed.len()..).unwrap_or_default().trim();
        let comparison = |c: char| matches!(c, '<' | '>' | '=');
        if fact.is_empty() || value.is_empty() || fact.starts_with(comparison) || value.ends_with(comparison)
        {
            return Err(bad());
        }
        let operator = match pattern::expression(value) {
            Some(_) => FactOperator::Match,
            None => FactOperator::from_typed(typed).ok_or_else(bad)?,
        };
        Ok(FactFilter { fact: fact.into(), operator, value: value.into() })
    }

    /// Whether the facts satisfy it. A fact that is not there satisfies
    /// nothing, not even `!=`.
    pub fn matches(&self, facts: &Facts) -> Result<bool, MatchError> {
        self.matches_within(facts, &Budget::default())
    }

    /// The same for a filter of a request, which pays for it.
    pub fn matches_within(&self, facts: &Facts, budget: &Budget) -> Result<bool, MatchError> {
        match facts.find(&self.fact, budget)? {
            Some(fact) => self.matches_value(&fact, budget),
            None => Ok(false),
        }
    }

    fn error(&self, reason: &str) -> MatchError {
        MatchError::Fact { filter: self.to_string(), reason: reason.into() }
    }

    fn matches_value(&self, fact: &Value, budget: &Budget) -> Result<bool, MatchError> {
        match fact {
            Value::String(text) => self.matches_text(text, budget),
            Value::Number(number) => {
                let float = number.as_f64().unwrap_or(0.0);
                // Whole numbers are exact also where doubles are not.
                self.matches_number(float, number.as_i64().unwrap_or_else(|| go_int(float)), budget)
            }
            Value::Bool(truth) => self.matches_bool(*truth),
            _ if self.operator.orders() => Err(self.error("objects, lists and null have no order")),
            _ => Ok(false),
        }
    }

    fn matches_text(&self, text: &str, budget: &Budget) -> Result<bool, MatchError> {
        if self.operator == FactOperator::Match {
            return self.matches_regex(text, budget);
        }
        // Lower case is at most three times as long, and slower than a copy.
        let both = text.len() + self.value.len();
        budget.make(both.saturating_mul(3))?;
        Ok(match self.operator {
            FactOperator::Equal => equal_fold(text, &self.value),
            FactOperator::NotEqual => !equal_fold(text, &self.value),
            order => order.allows(text.to_lowercase().cmp(&self.value.to_lowercase())),
        })
    }

    fn matches_regex(&self, text: &str, budget: &Budget) -> Result<bool, MatchError> {
        // All slashes go, not only one at each end.
        let expression = self.value.trim_matches('/');
        match pattern::folded(expression, budget)? {
            Some(regex) => Ok(regex.is_match(text, budget)?),
            None => Err(self.error("the regular expression is not valid")),
        }
    }

    fn matches_number(&self, fact: f64, whole: i64, budget: &Budget) -> Result<bool, MatchError> {
        let dotted = self.value.contains('.');
        match self.operator {
            FactOperator::Match if dotted => return self.matches_regex(&format!("{fact:.4}"), budget),
            FactOperator::Match => return self.matches_regex(&whole.to_string(), budget),
            FactOperator::Equal if !dotted => return Ok(whole.to_string() == self.value),
            FactOperator::NotEqual if !dotted => return Ok(whole.to_string() != self.value),
            _ => {}
        }
        if !dotted {
            let wanted: i64 = self.value.parse().map_err(|_| self.error("the value is not an integer"))?;
            return Ok(self.operator.allows(whole.cmp(&wanted)));
        }
        let wanted = parse_float(&self.value).ok_or_else(|| self.error("the value is not a number"))?;
        Ok(match self.operator {
            FactOperator::Equal => fact == wanted,
            FactOperator::NotEqual => fact != wanted,
            FactOperator::Less => fact < wanted,
            FactOperator::LessOrEqual => fact <= wanted,
            // The original's slip, kept: `>` with a dotted value is `>=`.
            _ => fact >= wanted,
        })
    }

    fn matches_bool(&self, fact: bool) -> Result<bool, MatchError> {
        if self.operator.orders() {
            return Err(self.error("booleans have no order"));
        }
        let truthy = match self.operator {
            FactOperator::Equal => truthy(&self.value),
            _ => truthy(&self.value.to_lowercase()),
        };
        // The original's slip, kept: a false fact asks the same for all three.
        Ok(match (fact, self.operator) {
            (true, FactOperator::NotEqual) => !truthy,
            (true, _) => truthy,
            (false, _) => !truthy,
        })
    }
}

fn last_operator(text: &str) -> Option<(usize, &'static str)> {
    let mut last = None;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
        match TYPED.iter().find(|o| rest.starts_with(**o)) {
            Some(operator) => {
                last = Some((at, *operator));
                at += operator.len();
            }
            None => at += rest.chars().next().map_or(1, char::len_utf8),
        }
    }
    last
}

fn truthy(text: &str) -> bool {
    parse_bool(text) == Some(true)
}

/// Equal without regard to case, by simple folding.
fn equal_fold(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

/// A double as Go converts it to a 64-bit integer on amd64: truncated, and the
/// smallest integer when it does not fit.
fn go_int(float: f64) -> i64 {
    if float.is_nan() || !(-9.223_372_036_854_776e18..9.223_372_036_854_776e18).contains(&float) {
        return i64::MIN;
    }
    float as i64
}
