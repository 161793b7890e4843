//! What a fleet's machines and checks tell, gathered by whoever listens (spec 06 §5, §14).
//!
//! Events become [`Seen`] values, bounded and checked once. A [`Fleet`] knows how each check of
//! each node is; a [`Tally`] counts for Prometheus; [`alerts`] tells people. None of them has a clock or a socket: the time
//! comes in, and one task hands events over.

pub mod alerts;
mod fleet;
mod listener;
pub mod page;
mod seen;
mod tally;

pub use fleet::{Change, Fleet, MOST_ALL, MOST_CHECKS, MOST_NODES, Node, Track};
pub use listener::{Heard, listen};
pub use seen::{Checked, Moved, Ran, Seen};
pub use tally::Tally;
