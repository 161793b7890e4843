//! Options of tasks, node sets and stores: a hash, and what is wrong with it in one sentence.

use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::core::puppet::Value;
use crate::core::puppet::host::Trouble;
use crate::core::puppet::value::Hash;
use crate::core::tasks::outcome::HIDDEN;

/// Longest time that anything here is told to wait.
const LONGEST: u64 = 7 * 86_400;

/// A hash of options and what it is for.
pub(super) struct Options<'o> {
    what: &'o str,
    hash: &'o Hash,
}

impl<'o> Options<'o> {
    pub(super) fn new(what: &'o str, hash: &'o Hash) -> Options<'o> {
        Options { what, hash }
    }

    pub(super) fn wrong(&self, message: impl std::fmt::Display) -> Trouble {
        Trouble(format!("{}: {message}", self.what))
    }

    fn at(&self, name: &str) -> Option<&'o Value> {
        self.hash.at(name).map(unwrapped).filter(|value| **value != Value::Undef)
    }

    fn kind(&self, name: &str, expected: &str) -> Trouble {
        self.wrong(format!("the option '{name}' has to be {expected}"))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'o str>, Trouble> {
        match self.at(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.kind(name, "a String")),
        }
    }

    /// The text of an option as messages show it: what is `Sensitive` is not shown.
    pub(super) fn shown<'t>(&self, name: &str, text: &'t str) -> &'t str {
        if self.is_secret(name) { HIDDEN } else { text }
    }

    /// Whether there is something `Sensitive` in an option.
    pub(super) fn is_secret(&self, name: &str) -> bool {
        self.hash.at(name).is_some_and(Value::holds_secrets)
    }

    /// Whether there is such an option.
    pub(super) fn given(&self, name: &str) -> bool {
        self.at(name).is_some()
    }

    /// A text, or a number as one.
    pub(super) fn word(&self, name: &str) -> Result<Option<String>, Trouble> {
        match self.at(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.to_string())),
            Some(Value::Integer(n)) => Ok(Some(n.to_string())),
            Some(_) => Err(self.kind(name, "a String or an Integer")),
        }
    }

    pub(super) fn required(&self, name: &str) -> Result<&'o str, Trouble> {
        let text = self.text(name)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| self.wrong(format!("the option '{name}' is missing")))
    }

    pub(super) fn flag(&self, name: &str, otherwise: bool) -> Result<bool, Trouble> {
        match self.at(name) {
            None => Ok(otherwise),
            Some(Value::Boolean(b)) => Ok(*b),
            Some(_) => Err(self.kind(name, "true or false")),
        }
    }

    pub(super) fn count(&self, name: &str, otherwise: u64) -> Result<u64, Trouble> {
        match self.at(name) {
            None => Ok(otherwise),
            Some(Value::Integer(n)) => {
                u64::try_from(*n).map_err(|_| self.kind(name, "an Integer of 0 or more"))
            }
            Some(_) => Err(self.kind(name, "an Integer of 0 or more")),
        }
    }

    pub(super) fn seconds(&self, name: &str, otherwise: u64) -> Result<Duration, Trouble> {
        let seconds = match self.at(name) {
            Some(Value::Float(n)) if (0.0..LONGEST as f64).contains(&n.get()) => {
                return Ok(Duration::from_secs_f64(n.get()));
            }
            _ => self.count(name, otherwise)?,
        };
        match seconds <= LONGEST {
            true => Ok(Duration::from_secs(seconds)),
            false => Err(self.kind(name, "seconds, a week at most")),
        }
    }

    /// A list of texts; one text is a list of one.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, Trouble> {
        let text = |value: &Value| unwrapped(value).as_str().map(str::to_owned);
        match self.at(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(vec![text.to_string()])),
            Some(Value::Array(items)) => {
                let texts = items.iter().map(text).collect::<Option<_>>();
                texts.map(Some).ok_or_else(|| self.kind(name, "an Array of Strings"))
            }
            Some(_) => Err(self.kind(name, "an Array of Strings")),
        }
    }

    /// A hash, as JSON.
    pub(super) fn map(&self, name: &str) -> Result<Map<String, Json>, Trouble> {
        match self.at(name) {
            None => Ok(Map::new()),
            Some(value @ Value::Hash(_)) => match value.to_data() {
                Ok(Json::Object(map)) => Ok(map),
                Ok(_) => Err(self.kind(name, "a Hash")),
                Err(e) => Err(self.wrong(format!("the option '{name}': {e}"))),
            },
            Some(_) => Err(self.kind(name, "a Hash")),
        }
    }

    /// Anything, as JSON.
    pub(super) fn data(&self, name: &str) -> Result<Option<Json>, Trouble> {
        let data = self.at(name).map(Value::to_data).transpose();
        data.map_err(|e| self.wrong(format!("the option '{name}': {e}")))
    }

    /// A hash of texts, numbers among them, as environments and headers are.
    pub(super) fn words(&self, name: &str) -> Result<Vec<(String, String)>, Trouble> {
        let word = |value: Json| match value {
            Json::String(text) => text,
            other => other.to_string(),
        };
        Ok(self.map(name)?.into_iter().map(|(key, value)| (key, word(value))).collect())
    }

    /// Options that nothing reads are slips.
    pub(super) fn unknown(&self, known: &[&str]) -> Vec<String> {
        let names = self.hash.entries().keys().filter_map(Value::as_str);
        names.filter(|name| !known.contains(name) && !name.starts_with('_')).map(str::to_owned).collect()
    }
}

/// What is used is used: only what is shown is hidden.
pub(super) fn unwrapped(value: &Value) -> &Value {
    match value {
        Value::Sensitive(inner) => inner.reveal(),
        other => other,
    }
}
