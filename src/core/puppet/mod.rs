//! The Puppet language of tasks and playbooks, without Puppet (spec 07 §C). Pure: what a
//! plan asks of the world goes through [`Host`]. A crate of its own at its place, so that
//! its tests take seconds.
//!
//! What it promises: no text and no value makes it panic, overflow the stack, run without
//! end or grow without bound. Depth, steps, bytes and output are [`Limits`], each an error
//! when it is reached, and a run can be interrupted between two steps.
//!
//! A text goes `lexer` → `parser` → `evaluator`, with `functions` behind the last. `value`
//! and `types` are what it works on; task metadata uses [`types`] alone.
#![forbid(unsafe_code)]
// values count what they were charged, which neither their equality nor their hash looks at
#![allow(clippy::mutable_key_type)]

pub mod budget;
pub mod error;
pub mod host;
pub mod results;
pub mod source;
pub mod types;
pub mod value;
pub mod versions;

mod evaluator;
mod functions;
mod lexer;
mod parser;
mod syntax;

#[cfg(test)]
mod tests;

pub use budget::{Budget, Limits};
pub use error::{Called, Error, Fault};
pub use evaluator::{Evaluator, Parameter, Signature};
pub use host::{Host, Trouble};
pub use source::Source;
pub use value::Value;

/// What keeps the order of entries, here and for whoever makes arguments.
pub use indexmap::IndexMap;
