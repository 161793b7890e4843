//! What can go wrong with a plan, in one sentence with its place.

use super::budget::Exhausted;
use super::source::{Place, Source, Span};

/// What went wrong. [`Error`] has the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The text is not the language.
    #[error("{0}")]
    Syntax(String),
    /// The text says what cannot be done.
    #[error("{0}")]
    Evaluation(String),
    /// The plan ended itself with `fail`.
    #[error("{0}")]
    Failed(String),
    /// Something outside of the language, as a task, did not work.
    #[error("{0}")]
    Host(String),
    /// A bound of the run; nothing in a plan catches it.
    #[error("{0}")]
    Limit(String),
    /// Somebody asked the run to end; nothing in a plan catches it.
    #[error("interrupted")]
    Cancelled,
}

/// A fault and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What.
    pub fault: Fault,
    /// Where; absent for what concerns no text.
    pub place: Option<Place>,
    /// The plans and functions that it came through, the innermost first; at most [`Error::MOST_CALLS`].
    pub calls: Vec<Called>,
}

/// A plan or a function that something went wrong in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// `plan` or `function`, and its name.
    pub what: String,
    /// Where it was called; absent where that was in no text.
    pub place: Option<Place>,
}

impl std::fmt::Display for Called {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)?;
        match &self.place {
            Some(place) => write!(f, ", called at {place}"),
            None => Ok(()),
        }
    }
}

impl Error {
    /// Calls that an error tells of; of more, the outermost are left away.
    pub const MOST_CALLS: usize = 50;

    /// Without a place.
    pub fn new(fault: Fault) -> Error {
        Error { fault, place: None, calls: vec![] }
    }

    pub(crate) fn syntax(message: impl Into<String>, source: &Source, span: Span) -> Error {
        Error { place: Some(source.place(span.start)), ..Error::new(Fault::Syntax(message.into())) }
    }

    /// What went wrong, without where.
    pub fn message(&self) -> String {
        self.fault.to_string()
    }

    /// Whether `_catch_errors` of a plan leaves it alone.
    pub fn is_final(&self) -> bool {
        matches!(self.fault, Fault::Limit(_) | Fault::Cancelled)
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        self.fault.fmt(f)
    }
}

impl std::error::Error for Error {}

impl From<Exhausted> for Fault {
    fn from(e: Exhausted) -> Fault {
        Fault::Limit(e.to_string())
    }
}
