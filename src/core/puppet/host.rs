//! What the language asks of the world around it.

use serde_json::{Map, Value as Json};

use crate::source::Source;
use crate::value::{Hash, Value};

/// How much a log message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Level {
    Debug,
    Info,
    Notice,
    Warning,
    Err,
    Alert,
    Emerg,
    Crit,
}

/// What a file of a module defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `plans/`
    Plan,
    /// `functions/`
    Function,
    /// `types/`
    Type,
}

/// What a task did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// In words.
    pub message: String,
    /// Whether it worked, by the rules of its type.
    pub success: bool,
    /// Whether failures are allowed.
    pub fail_ok: bool,
    /// Each host and its result: `value`, `type`, `fail_ok`, maybe `error`.
    pub results: Vec<(String, Map<String, Json>)>,
}

/// Something did not work; in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Trouble(pub String);

/// The world around a plan. What has no method here a plan cannot do.
pub trait Host {
    /// Whether what went wrong ends the run, so that nothing in a plan catches it.
    fn is_over(&self) -> bool {
        false
    }

    /// A message of a plan.
    fn log(&mut self, level: Level, message: &str);

    /// Something is `Sensitive` from now on, or has something in it that is: nothing shows it.
    fn hides(&mut self, _secret: &Value) {}

    /// The file that should define a name, if there is one.
    fn source(&mut self, kind: Kind, name: &str) -> Result<Option<Source>, Trouble>;

    /// Whether a Ruby file would define this function, and where it is.
    fn ruby(&mut self, _function: &str) -> Option<String> {
        None
    }

    /// Nanoseconds since 1970.
    fn now(&mut self) -> i64;

    /// The content of a file, by path or by `module/name`; none when there is no such file.
    fn file(&mut self, _name: &str) -> Result<Option<Vec<u8>>, Trouble> {
        Ok(None)
    }

    /// The path of a file, by path or by `module/name`.
    fn find_file(&mut self, _name: &str) -> Option<String> {
        None
    }

    /// `choria::task`. Retries and pauses are the host's.
    fn task(&mut self, kind: &str, _options: &Hash) -> Result<Outcome, Trouble> {
        Err(Trouble(format!("there are no tasks of type '{kind}' here")))
    }

    /// `choria::discover`
    fn discover(&mut self, kind: &str, _options: &Hash) -> Result<Vec<String>, Trouble> {
        Err(Trouble(format!("there is no discovery of type '{kind}' here")))
    }

    /// `choria::data` that reads.
    fn read(&mut self, _key: &str, _store: &Hash) -> Result<Json, Trouble> {
        Err(Trouble("there are no data stores here".to_owned()))
    }

    /// `choria::data` that writes.
    fn write(&mut self, _key: &str, _value: &str, _store: &Hash) -> Result<(), Trouble> {
        Err(Trouble("there are no data stores here".to_owned()))
    }

    /// Waits for a lock. [`Host::unlock`] follows whatever happens between.
    fn lock(&mut self, _key: &str, _store: &Hash) -> Result<(), Trouble> {
        Err(Trouble("there are no locks here".to_owned()))
    }

    /// Gives a lock back.
    fn unlock(&mut self, _key: &str, _store: &Hash) -> Result<(), Trouble> {
        Ok(())
    }

    /// `choria::sleep`
    fn sleep(&mut self, _seconds: u64) -> Result<(), Trouble> {
        Err(Trouble("nothing sleeps here".to_owned()))
    }

    /// `choria::tasks::metadata`
    fn task_metadata(&mut self, task: &str, _environment: &str) -> Result<Json, Trouble> {
        Err(Trouble(format!("there is no source of tasks to ask for '{task}'")))
    }
}
