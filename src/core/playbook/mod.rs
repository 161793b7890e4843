//! Playbooks: plans in the Puppet language over the whole fleet (spec 07 §B).
//!
//! [`Modules`] finds plans, [`World`] is what they see of everything else: tasks, discovery,
//! data stores, each a file of its own with a line in its list. A run has a thread of its
//! own, whose stack is known; what it waits for it waits for on the caller's runtime.

mod bundled;
mod discover;
mod hidden;
mod http;
mod journal;
mod modules;
mod options;
mod report;
mod run;
mod stores;
mod tasks;
#[cfg(test)]
mod testing;
mod world;

pub use journal::Journal;
pub use modules::{Listed, Modules};
pub use report::{Logged, Report, TaskRecord};
pub use run::{Outcome, check, run, signature};
pub use world::{AfterStep, Connect, Said, World};
