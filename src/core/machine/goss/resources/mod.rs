//! Types of resources: one file each, with one line in `KINDS`, and what is common to all.

mod addr;
mod command;
mod dns;
mod file;
mod http;
mod interface;
mod kernel;
mod matching;
mod mount;
mod package;
mod port;
mod process;
mod service;
mod user;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::bounds::{Bounds, worked};
use super::matcher::{Matcher, excerpt, text_of};
use super::report::{Outcome, Verdict};
use super::rules::Resource;
use crate::core::programs::{Ended, Program, find as find_program};

/// The types there are.
const KINDS: [&Kind; 15] = [
    &addr::KIND,
    &command::KIND,
    &dns::KIND,
    &file::KIND,
    &user::GROUP,
    &http::KIND,
    &interface::KIND,
    &kernel::KIND,
    &matching::KIND,
    &mount::KIND,
    &package::KIND,
    &port::KIND,
    &process::KIND,
    &service::KIND,
    &user::KIND,
];

/// How long a program of the system is waited for.
const LIMIT: Duration = Duration::from_secs(10);

/// A type of resources.
pub(super) struct Kind {
    /// As rules call it,
    pub key: &'static str,
    /// and as results do.
    pub name: &'static str,
    /// The attribute that says what is looked at, where it is not the name.
    pub subject: &'static str,
    /// What may be expected, in order.
    pub properties: &'static [Property],
    /// Whether nothing more is looked at where the first is not as expected, or false.
    pub gated: bool,
    /// Attributes that are no expectation.
    pub options: &'static [&'static str],
    /// Looks at one property.
    pub look: for<'a> fn(&'a mut Look<'_>, &'static str) -> Looking<'a>,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// What was seen, or why nothing was, in words.
pub(super) type Seen = Result<Value, String>;
/// A look under way.
pub(super) type Looking<'a> = Pin<Box<dyn Future<Output = Seen> + Send + 'a>>;

/// What may be expected of a resource.
pub(super) struct Property {
    pub attribute: &'static str,
    /// As results name it.
    pub shown: &'static str,
    pub required: bool,
    /// A text of lines, of which a list expects patterns.
    pub text: bool,
    /// A number, which older rules write as text.
    pub number: bool,
}

impl Property {
    pub(super) const fn new(attribute: &'static str) -> Property {
        Property { attribute, shown: attribute, required: false, text: false, number: false }
    }

    pub(super) const fn required(attribute: &'static str) -> Property {
        Property { required: true, ..Property::new(attribute) }
    }

    pub(super) const fn text(attribute: &'static str) -> Property {
        Property { text: true, ..Property::new(attribute) }
    }

    pub(super) const fn number(attribute: &'static str) -> Property {
        Property { number: true, ..Property::new(attribute) }
    }

    pub(super) const fn shown(self, shown: &'static str) -> Property {
        Property { shown, ..self }
    }

    /// An expectation as it is meant.
    pub(super) fn read(&self, value: &Value) -> Value {
        match value {
            Value::String(text) if self.number => {
                text.parse::<i64>().map_or_else(|_| value.clone(), Value::from)
            }
            value => value.clone(),
        }
    }
}

/// The type of that name.
pub(super) fn find(key: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.key == key).copied()
}

/// Names of all types that are looked at.
pub fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.key)
}

/// What all looks are done on.
pub(super) struct Ground {
    directory: PathBuf,
    bounds: Arc<Bounds>,
}

/// One resource, looked at.
pub(super) struct Look<'a> {
    pub resource: &'a Resource,
    pub ground: &'a Ground,
    /// What was seen before and tells of other properties as well.
    pub kept: Option<Result<Value, String>>,
}

impl Look<'_> {
    /// An attribute that is no expectation, as text.
    pub fn option(&self, name: &str) -> Option<String> {
        self.resource.attributes.get(name).filter(|value| !value.is_null()).map(text_of)
    }

    pub fn flag(&self, name: &str) -> bool {
        self.resource.attributes.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    /// A time in milliseconds.
    pub fn timeout(&self, default: u64) -> Duration {
        let given =
            self.resource.attributes.get("timeout").and_then(Value::as_u64).filter(|given| *given > 0);
        Duration::from_millis(given.unwrap_or(default)).min(super::LIMIT)
    }
}

impl Ground {
    pub fn new(directory: PathBuf, bounds: Arc<Bounds>) -> Ground {
        Ground { directory, bounds }
    }

    /// Where commands run.
    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// Looks at all that is expected of a resource.
    pub async fn tried(&self, resource: &Resource) -> Vec<Verdict> {
        let mut look = Look { resource, ground: self, kept: None };
        let mut verdicts: Vec<Verdict> = Vec::new();
        let mut skip = resource.skip;
        for (at, (attribute, shown, matcher)) in resource.expected.iter().enumerate() {
            let (began, clock) = (SystemTime::now(), Instant::now());
            let outcome = if skip {
                Outcome::Skipped
            } else if let Some(why) = self.bounds.over() {
                // nobody is told of any of it
                Outcome::Broken(why.to_owned())
            } else {
                match (resource.kind.look)(&mut look, attribute).await {
                    Err(why) => Outcome::Broken(why),
                    Ok(actual) => self.judged(matcher, actual).await,
                }
            };
            // what is not there has no more to tell
            let gone = match &outcome {
                Outcome::Well { actual, .. } => *actual == Value::Bool(false),
                _ => true,
            };
            skip |= resource.kind.gated && at == 0 && gone;
            verdicts.push(Verdict {
                kind: resource.kind.name,
                id: resource.id.clone(),
                title: resource.title.clone(),
                meta: resource.meta.clone(),
                property: shown,
                outcome,
                began,
                took: clock.elapsed(),
            });
        }
        verdicts
    }

    /// Holds what was seen against what is expected, and keeps an excerpt of it.
    async fn judged(&self, matcher: &Arc<Matcher>, actual: Value) -> Outcome {
        let (matcher, bounds) = (matcher.clone(), self.bounds.clone());
        let judged = worked(move || match matcher.judge(&actual, &bounds.work()) {
            Err(why) => Outcome::Broken(why),
            Ok(Some(mismatch)) => Outcome::Differs(Box::new(mismatch)),
            Ok(None) => Outcome::Well { actual: excerpt(&actual), expected: matcher.expected().clone() },
        });
        judged.await.unwrap_or_else(Outcome::Broken)
    }
}

/// Work that may wait for a disk, with an end, and for one that hangs once.
async fn blocking<T: Send + 'static>(
    place: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    crate::core::files::unless_it_hangs(place, work).await.ok_or_else(|| "it does not answer".to_owned())
}

/// A program of the system that answers; none where it is not there.
async fn ask(name: &str, arguments: &[&str]) -> Option<Result<Ended, String>> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    let program = find_program(name, Some(&path))?;
    let program = Program::new(program).bare().env("PATH", path).env("LC_ALL", "C").limit(LIMIT);
    Some(program.args(arguments.iter().copied()).run().await.map_err(|e| e.to_string()))
}
