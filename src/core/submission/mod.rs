//! Messages that a machine's programs hand to its node to be published (spec 06 §13):
//! scripts say what they have to say, and the node sees to it that it arrives.
//!
//! A [`Submission`] is a file of a [`Spool`], one of five priorities. The node takes them
//! from there (`core::server`); what is to be stored by a stream stays until a stream has it.

mod message;
mod spool;

pub use message::{MOST_PAYLOAD, Submission, SubmissionError};
pub use spool::{PRIORITIES, Spool, Spooled};

#[cfg(test)]
mod tests;
