//! Reading what nodes have written: who called what, and who was not let.
//!
//! Two kinds of files tell that: audit logs hold every call that ran, server
//! logs hold every request that was denied by policy or refused before. Both
//! are read here line by line, plain or compressed, in memory bounded by the
//! longest line that is taken; [`Entry`] is what they have in common.

mod files;
mod line;

pub use files::{Outcome as FileOutcome, configured, scan, with_rotated};

use regex::Regex;
use serde::Serialize;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It ran: a line of an audit log.
    Ran,
    /// It ran and its audit record was lost.
    Unaudited,
    /// It took too long, and its caller got no reply.
    Timeout,
    /// The node's policy, or its wish to audit, did not let it run.
    Denied,
    /// The node did not believe it, or it came too late or twice.
    Refused,
}

impl Verdict {
    /// The word people read.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Ran => "ran",
            Verdict::Unaudited => "unaudited",
            Verdict::Timeout => "timeout",
            Verdict::Denied => "denied",
            Verdict::Refused => "refused",
        }
    }
}

/// One request on one node. What a line does not hold is empty.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)] // as in the files
pub struct Entry {
    /// When it was written; lines of a journal without a time have none.
    pub time: Option<jiff::Timestamp>,
    pub verdict: Verdict,
    /// Verified where it ran or was denied; what the request claims where it
    /// was refused.
    pub caller: String,
    pub agent: String,
    pub action: String,
    pub sender: String,
    pub request: String,
    /// Why it did not run.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Inputs of the action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<serde_json::value::RawValue>>,
}

/// A word, or `/regex/`.
#[derive(Debug, Clone)]
pub struct Wanted {
    text: String,
    regex: Option<Regex>,
}

impl Wanted {
    /// Parses a word or `/regex/`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Wanted, String> {
        if text.is_empty() {
            return Err("is empty, which would match nothing".to_owned());
        }
        let regex = text.strip_prefix('/').and_then(|t| t.strip_suffix('/')).map(Regex::new);
        let regex = regex.transpose().map_err(|_| format!("{text} is no regular expression"))?;
        Ok(Wanted { text: text.to_owned(), regex })
    }

    fn matches(&self, value: &str) -> bool {
        match &self.regex {
            Some(regex) => regex.is_match(value),
            None => self.text == value,
        }
    }

    /// A caller may be given with or without its kind: `choria=bob` or `bob`.
    fn matches_caller(&self, caller: &str) -> bool {
        self.matches(caller) || caller.split_once('=').is_some_and(|(_, name)| self.text == name)
    }
}

/// Which entries are wanted; `None` takes all.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)] // as in `Entry`
pub struct Query {
    pub caller: Option<Wanted>,
    pub agent: Option<Wanted>,
    pub action: Option<Wanted>,
    pub since: Option<jiff::Timestamp>,
    pub until: Option<jiff::Timestamp>,
}

impl Query {
    /// Whether `entry` is wanted. One without a time is outside of any span.
    pub fn matches(&self, entry: &Entry) -> bool {
        let is = |wanted: &Option<Wanted>, value: &str| wanted.as_ref().is_none_or(|w| w.matches(value));
        self.caller.as_ref().is_none_or(|wanted| wanted.matches_caller(&entry.caller))
            && is(&self.agent, &entry.agent)
            && is(&self.action, &entry.action)
            && self.since.is_none_or(|since| entry.time.is_some_and(|time| time >= since))
            && self.until.is_none_or(|until| entry.time.is_some_and(|time| time < until))
    }
}

#[cfg(test)]
mod tests;
