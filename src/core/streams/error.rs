//! What can go wrong between whoever uses streams and whoever keeps them.

use serde::Deserialize;

use crate::core::connection::PublishError;

/// Unknown stream.
pub const NO_STREAM: u64 = 10_059;
/// No message of that number, or of that subject.
pub const NO_MESSAGE: u64 = 10_037;
/// A stream that keeps so many messages has as many.
pub const FULL: u64 = 10_077;
/// Somebody else has stored something since.
const WRONG_LAST: [u64; 2] = [10_071, 10_164];

/// Why a request was refused, by the one who keeps the stream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{} ({err_code})", if description.is_empty() { "refused without a reason" } else { description })]
pub struct Refusal {
    /// As an HTTP status.
    #[serde(default)]
    pub code: u64,
    /// What exactly.
    #[serde(default)]
    pub err_code: u64,
    /// For people.
    #[serde(default)]
    pub description: String,
}

/// Something about a stream did not work.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The broker knows nobody who would answer.
    #[error(
        "nobody keeps streams here that would answer {0}: does the broker have a plugin.choria.network.stream.store, and may this caller use it (for nodes: node_buckets)?"
    )]
    Nobody(String),
    /// No answer in time.
    #[error("no answer to {subject} within {seconds} s: it may or may not have been done")]
    Silent {
        /// What was asked.
        subject: String,
        /// How long.
        seconds: u64,
    },
    /// The broker does not let this caller.
    #[error("the broker does not let this caller publish to {subject}: {}", why_denied(subject))]
    Denied {
        /// What was asked.
        subject: String,
    },
    /// The one who keeps the stream says no.
    #[error("{what}: {refusal}")]
    Refused {
        /// What was asked.
        what: String,
        /// The answer.
        refusal: Refusal,
    },
    /// An answer of another shape.
    #[error("the answer to {0} is not understood: {1}")]
    Odd(String, String),
    /// The connection broke.
    #[error("asking {0}: {1}")]
    Broken(String, String),
    /// It was not even sent.
    #[error("asking {0}: {1}")]
    Publish(String, #[source] PublishError),
}

/// What an operator may look at who may not.
fn why_denied(subject: &str) -> &'static str {
    let is = |verbs: &[&str]| verbs.iter().any(|verb| subject.contains(verb));
    if is(&[".CONSUMER.CREATE.", ".CONSUMER.DURABLE."]) {
        return "it keeps no streams (plugin.choria.network.stream.store), this certificate may not use them, or has \
                looked at them too often for now (plugin.choria.network.limits.client): its log says which";
    }
    match is(&[
        ".STREAM.CREATE.",
        ".STREAM.UPDATE.",
        ".STREAM.DELETE.",
        ".STREAM.PURGE.",
        ".STREAM.SNAPSHOT.",
        ".STREAM.RESTORE.",
    ]) {
        true => "making, changing, removing and backing up streams needs a privileged certificate",
        false => {
            "it keeps no streams (plugin.choria.network.stream.store), or this certificate may not use them"
        }
    }
}

impl StreamError {
    /// The code of a refusal.
    pub fn code(&self) -> Option<u64> {
        match self {
            StreamError::Refused { refusal, .. } => Some(refusal.err_code),
            _ => None,
        }
    }

    /// It may have been done all the same, or be done yet: nobody has answered.
    pub fn may_be_done(&self) -> bool {
        matches!(self, StreamError::Silent { .. } | StreamError::Broken(..))
    }

    /// There is no such stream.
    pub fn is_no_stream(&self) -> bool {
        self.code() == Some(NO_STREAM)
    }

    /// Somebody else was faster.
    pub fn is_conflict(&self) -> bool {
        self.code().is_some_and(|code| WRONG_LAST.contains(&code))
    }
}
