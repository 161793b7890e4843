//! What tasks give back: `Choria::TaskResults` and what it is made of (spec 07 §B7).

use std::sync::Arc;

use crate::budget::{Budget, Exhausted};
use crate::value::{Hash, Size, Text, Value};

/// What went wrong on a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TaskError {
    /// In words.
    pub message: Text,
    /// `choria.playbook/taskerror`
    pub kind: Text,
    /// More of it, a hash.
    pub details: Value,
}

impl TaskError {
    pub(crate) fn size(&self) -> Size {
        self.details.size()
    }
}

/// The result of one host: a hash with `value`, `type`, `fail_ok`, and maybe `error`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TaskResult {
    /// Who.
    pub host: Text,
    /// What.
    pub result: Arc<Hash>,
}

impl TaskResult {
    pub(crate) fn size(&self) -> Size {
        let inner = self.result.size();
        Size { depth: inner.depth.saturating_add(1), parts: inner.parts + 1 }
    }

    /// The value a task gave.
    pub fn value(&self) -> Value {
        self.result.at("value").cloned().unwrap_or(Value::Undef)
    }

    /// Whether failures were allowed.
    pub fn fail_ok(&self) -> bool {
        self.result.at("fail_ok").is_some_and(Value::is_true)
    }

    /// What went wrong, if something did.
    pub fn error(&self) -> Option<TaskError> {
        let Value::Hash(error) = self.result.at("error")? else { return None };
        let text = |key: &str, otherwise: &str| match error.at(key) {
            Some(Value::String(text)) => text.clone(),
            _ => Text::literal(otherwise),
        };
        Some(TaskError {
            message: text("msg", "unknown error"),
            kind: text("kind", "choria.playbook/taskerror"),
            details: error.at("details").cloned().unwrap_or(Value::Undef),
        })
    }

    /// No error, or one that was allowed.
    pub fn ok(&self) -> bool {
        self.fail_ok() || self.error().is_none()
    }
}

/// The results of all hosts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TaskResults {
    /// Each a [`Value::TaskResult`].
    pub results: Vec<Value>,
    /// What ended a plan before there were any.
    pub exception: Option<Text>,
    /// In words.
    pub message: Text,
    /// Whether failures were allowed.
    pub fail_ok: bool,
    size: Size,
}

impl TaskResults {
    /// Of these hosts.
    pub fn new(
        results: Vec<TaskResult>,
        exception: Option<Text>,
        message: Text,
        fail_ok: bool,
    ) -> Result<TaskResults, Exhausted> {
        let results: Vec<_> = results.into_iter().map(|result| Value::TaskResult(Arc::new(result))).collect();
        let size = Size::around(results.iter().map(Value::size))?;
        Ok(TaskResults { results, exception, message, fail_ok, size })
    }

    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// Host by host.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<TaskResult>> {
        self.results.iter().filter_map(|result| match result {
            Value::TaskResult(result) => Some(result),
            _ => None,
        })
    }

    /// All are ok. The original calls a set that an exception left empty ok too.
    pub fn ok(&self) -> bool {
        self.exception.is_none() && self.hosts().all(|result| result.ok())
    }

    /// Those with or without an error, whether it was allowed or not.
    pub(crate) fn with_error(&self, error: bool) -> Result<TaskResults, Exhausted> {
        let some = self.hosts().filter(|result| result.error().is_some() == error);
        let some = some.map(|result| (**result).clone()).collect();
        TaskResults::new(some, None, self.message.clone(), self.fail_ok)
    }

    /// What a task of a host said.
    pub(crate) fn from_outcome(
        outcome: crate::host::Outcome,
        budget: &Budget,
    ) -> Result<TaskResults, Exhausted> {
        let mut results = vec![];
        for (host, result) in outcome.results {
            let Value::Hash(result) = Value::from_json(&serde_json::Value::Object(result), budget)? else {
                continue;
            };
            results.push(TaskResult { host: Text::new(host, budget)?, result });
        }
        TaskResults::new(results, None, Text::new(outcome.message, budget)?, outcome.fail_ok)
    }
}
