//! Autonomous agents: state machines that watch a node and act on what they see (spec 06).
//!
//! A `machine.yaml` becomes a [`definition::Definition`]: names are numbers, states are bits, and nothing
//! is left of the text. An `engine` moves all machines of a node, as a pure function of time
//! and of what work came to: no clock, file or process is in it, so that a day of a machine
//! can be tried in a moment. A `host` gives the engine time, runs the work it asks for within
//! bounds, and reads and writes the directories machines live in.
//!
//! Each type of watcher is one file in `watchers`, with one line in its list.

pub mod cron;
pub mod definition;
pub mod duration;
pub mod engine;
pub mod event;
pub mod findings;
pub mod fsm;
pub mod goss;
pub mod governed;
pub mod host;
pub mod observe;
pub mod overrides;
pub mod perfdata;
pub mod plugins;
pub(crate) mod properties;
pub mod simulation;
pub mod turn;
pub mod watchers;
pub mod words;

pub use turn::Network;

pub use crate::core::template;
pub use crate::core::text::yaml;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::vectors;
