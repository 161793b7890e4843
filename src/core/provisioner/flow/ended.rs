//! How a walk ends.

use std::time::Duration;

use crate::core::provisioner::calls::CallError;
use crate::core::provisioner::population::End;
use crate::core::text::shortened;

/// Characters of a reason, in logs and pages.
const MAX_REASON: usize = 1000;
/// What a node says when another provisioner has it.
const LOCKED: &str = "Could not obtain provisioning lock";

/// How a walk ended, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// How.
    pub end: End,
    /// Kind of reason, one of [`REASONS`](crate::core::provisioner::metrics::REASONS); empty after success.
    pub kind: &'static str,
    /// The cause, in words.
    pub reason: String,
    /// How long a helper asked to be left alone about the node, where it did.
    pub pause: Option<Duration>,
}

impl Ended {
    /// By no fault.
    pub(in crate::core::provisioner) fn well(end: End) -> Ended {
        Ended::by(end, "", "")
    }

    pub(in crate::core::provisioner) fn failed(kind: &'static str, reason: impl ToString) -> Ended {
        Ended::by(End::Failed, kind, reason)
    }

    pub(super) fn by(end: End, kind: &'static str, reason: impl ToString) -> Ended {
        // nodes and helpers have a word in it
        Ended { end, kind, reason: shortened(&reason.to_string(), MAX_REASON), pause: None }
    }

    /// The same of a node that was given an answer: where nobody listens, somebody did.
    pub(super) fn after_its_answer(mut self) -> Ended {
        if self.end == End::Absent {
            self.end = End::Silent;
            self.reason.push_str("; it left in the middle of it");
        }
        self
    }
}

impl From<CallError> for Ended {
    fn from(error: CallError) -> Ended {
        let (end, kind) = match &error {
            CallError::Absent { .. } if error.is_of_first_contact() => (End::Absent, "silent"),
            CallError::Silent { .. } | CallError::Absent { .. } => (End::Silent, "silent"),
            CallError::Another { .. } => (End::Doubled, "doubled"),
            // which is no fault of the node's: it keeps its place until the broker is back
            CallError::NoBroker => (End::Stopped, ""),
            CallError::NotSent(_) => (End::Failed, "silent"),
            CallError::Refused { text, .. } if text == LOCKED => (End::Locked, "locked"),
            CallError::Refused { .. } | CallError::Unreadable { .. } | CallError::TooLarge { .. } => {
                (End::Failed, "refused")
            }
        };
        Ended::by(end, kind, error)
    }
}
