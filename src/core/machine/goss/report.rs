//! What trying rules came to: one verdict a property, and the whole, in the shape of goss 0.4.9.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::matcher::Mismatch;

/// How one property of one resource is.
#[derive(Debug, Clone)]
pub struct Verdict {
    pub(super) kind: &'static str,
    pub(super) id: String,
    pub(super) title: String,
    pub(super) meta: Value,
    pub(super) property: &'static str,
    pub(super) outcome: Outcome,
    pub(super) began: SystemTime,
    pub(super) took: Duration,
}

#[derive(Debug, Clone)]
pub(super) enum Outcome {
    Well {
        actual: Value,
        expected: Value,
    },
    Differs(Box<Mismatch>),
    /// It cannot be told.
    Broken(String),
    Skipped,
}

/// The whole.
#[derive(Debug, Clone)]
pub struct Report {
    /// Each property.
    pub verdicts: Vec<Verdict>,
    /// From the first to the last of it.
    pub took: Duration,
}

impl Verdict {
    /// Whether it is not as it should be.
    pub fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Differs(_) | Outcome::Broken(_))
    }

    /// Whether it was not looked at.
    pub fn skipped(&self) -> bool {
        matches!(self.outcome, Outcome::Skipped)
    }

    /// As results have it.
    pub fn to_value(&self) -> Value {
        let time = |at: SystemTime| Timestamp::try_from(at).map(|at| at.to_string()).unwrap_or_default();
        let (result, error, matcher) = match &self.outcome {
            Outcome::Well { actual, expected } => (
                0,
                Value::Null,
                Mismatch {
                    actual: actual.clone(),
                    message: "matches expectation".to_owned(),
                    expected: expected.clone(),
                    ..Mismatch::default()
                },
            ),
            Outcome::Differs(mismatch) => (1, Value::Null, (**mismatch).clone()),
            Outcome::Broken(why) => (1, why.as_str().into(), Mismatch::default()),
            Outcome::Skipped => (2, Value::Null, Mismatch::default()),
        };
        json!({
            "successful": result == 0,
            "skipped": result == 2,
            "resource-id": self.id,
            "resource-type": self.kind,
            "property": self.property,
            "title": self.title,
            "meta": self.meta,
            "result": result,
            "err": error,
            "matcher-result": matcher.fields(),
            "start-time": time(self.began),
            "end-time": time(self.began + self.took),
            "duration": self.took.as_nanos() as u64,
            "summary-line": self.summary(false),
            "summary-line-compact": self.summary(true),
        })
    }

    /// In words; one line where it is to be `compact`.
    pub fn summary(&self, compact: bool) -> String {
        let head = format!("{}: {}: {}:", self.kind, self.id, self.property);
        let (between, indent) = if compact { (" ", "") } else { ("\n", "    ") };
        let shown = |value: &Value| format!("{indent}{value}");
        let told = match &self.outcome {
            Outcome::Well { expected, .. } => return format!("{head} matches expectation: {expected}"),
            Outcome::Skipped => return format!("{head} skipped"),
            Outcome::Broken(why) => vec!["Error".to_owned(), format!("{indent}{}", why.replace('\n', " "))],
            Outcome::Differs(mismatch) => {
                let mut told = vec![
                    "Expected".to_owned(),
                    shown(&mismatch.actual),
                    mismatch.message.clone(),
                    shown(&mismatch.expected),
                ];
                let lists = [
                    ("the missing elements were", &mismatch.missing),
                    ("the extra elements were", &mismatch.extra),
                ];
                for (words, list) in lists.into_iter().filter(|(_, list)| !list.is_null()) {
                    told.extend([words.to_owned(), shown(list)]);
                }
                if !mismatch.transforms.is_empty() {
                    told.extend([
                        "the transform chain was".to_owned(),
                        shown(&mismatch.transforms.clone().into()),
                    ]);
                    told.extend(["the raw value was".to_owned(), shown(&mismatch.raw)]);
                }
                told
            }
        };
        format!("{head}{between}{}", told.join(between))
    }
}

impl Report {
    pub(super) fn new(verdicts: Vec<Verdict>) -> Report {
        let first = verdicts.iter().map(|one| one.began).min();
        let last = verdicts.iter().map(|one| one.began + one.took).max();
        let took = first.zip(last).and_then(|(first, last)| last.duration_since(first).ok());
        Report { verdicts, took: took.unwrap_or_default() }
    }

    /// How many are not as they should be.
    pub fn failures(&self) -> usize {
        self.verdicts.iter().filter(|one| one.failed()).count()
    }

    /// How many were not looked at.
    pub fn skipped(&self) -> usize {
        self.verdicts.iter().filter(|one| one.skipped()).count()
    }

    /// A line of the whole.
    pub fn summary(&self) -> String {
        format!(
            "Count: {}, Failed: {}, Duration: {:.3}s",
            self.verdicts.len(),
            self.failures(),
            self.took.as_secs_f64()
        )
    }

    /// As agent `scout` answers (spec 06 §11.3).
    pub fn to_data(&self) -> Map<String, Value> {
        let (tests, failures, skipped) = (self.verdicts.len(), self.failures(), self.skipped());
        let Value::Object(data) = json!({
            "failures": failures,
            "results": self.verdicts.iter().map(Verdict::to_value).collect::<Vec<_>>(),
            "runtime": self.took.as_secs_f64(),
            "success": tests - failures - skipped,
            "skipped": skipped,
            "summary": self.summary(),
            "tests": tests,
        }) else {
            return Map::new();
        };
        data
    }
}
