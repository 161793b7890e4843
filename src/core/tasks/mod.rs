//! Puppet Tasks without Puppet (spec 07 §A): programs of modules that nodes fetch by their
//! hash and run for a caller.
//!
//! On a node a run walks from [`records`], what a caller says the files of a task are, over
//! the [`cache`], where each is once, to the [`spool`], a directory of its own for every run,
//! and the [`runner`], a process that outlives the daemon. [`outcome`] reads what came of it.
//! The files come from a Puppet Server or from [`serve`], by the same addresses ([`source`]);
//! [`library`] is how they stand on a disk there.

pub mod cache;
pub mod input;
pub mod library;
pub mod metadata;
pub mod names;
pub mod outcome;
#[cfg(feature = "puppet")]
pub mod parameters;
pub mod places;
pub mod process;
pub mod records;
pub mod runner;
pub mod secrets;
pub mod serve;
pub mod signing;
pub mod source;
pub mod spool;

pub use names::TaskName;
pub use places::Places;
pub use records::FileRecord;
