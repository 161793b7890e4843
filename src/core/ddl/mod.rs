//! Interface descriptions of agents (spec 02 §2.3, 03 §5). Pure but for [`Resolver`].
//!
//! A DDL says which actions an agent has, what they take and give, and how to
//! show it. Tools build their command line from it, nodes hold inputs of
//! external agents to it, clients fill defaults and aggregate replies by it.
//!
//! `agent` are the types, `input` judges and converts inputs, `validation` are
//! the named checks, `aggregate` sums replies up, `printf` fills the formats it
//! is given, `resolver` finds DDLs in files, `builtin` holds our own.

mod agent;
mod aggregate;
mod builtin;
mod data;
#[cfg(test)]
mod fuzz;
mod input;
mod printf;
mod resolver;
mod ruby;
#[cfg(test)]
mod tests;
mod validation;

pub use agent::{Action, AgentDdl, Aggregate, DdlError, Display, Input, Metadata, Output, is_plain_name};
pub use aggregate::{Aggregator, Spelling, Summary};
pub use builtin::{REPLACEABLE, builtin, builtin_names, is_replaceable};
pub use data::{DataDdl, builtin_data};
pub use input::{InputError, Warning};
pub use resolver::{ResolveError, Resolver};
