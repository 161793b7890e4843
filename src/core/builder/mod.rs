//! Applications of YAML (spec 07 D): a definition makes a command line program of its own.
//!
//! A `NAME-app.yaml` is read by `compile` into a [`Definition`], or into what is wrong with it, one
//! line a mistake. What a person types is a [`line`](mod@line) of it: a command, arguments and flags with the types
//! they were given. Texts of the definition are templates over those ([`scope`], `functions`). What
//! a command gave goes through [`transforms`] before it is shown. Each type of command is described
//! by one file in [`kinds`], with one line in its list.
//!
//! Nothing here runs a program, asks a node or reads a file: [`World`] is what the embedder lets an
//! application see, and what a command does is the embedder's.

pub mod compile;
pub mod definition;
pub mod form;
mod functions;
pub mod help;
pub mod kinds;
pub mod line;
pub mod scope;
pub mod transforms;
mod values;
pub mod words;

#[cfg(test)]
mod tests;

pub use compile::{Source, compile};
pub use definition::{Command, Definition, Finding, Input, Type};
pub use scope::{Scope, State};

use jiff::Zoned;

/// What an application sees of the machine it runs on.
pub trait World {
    /// A variable of the environment.
    fn env(&self, name: &str) -> Option<String>;
    /// Whether there is a file at a path.
    fn is_file(&self, path: &str) -> bool;
    /// Whether there is a directory at a path.
    fn is_dir(&self, path: &str) -> bool;
    /// The text of a file.
    ///
    /// # Errors
    /// Why it cannot be read, as a sentence.
    fn read(&self, path: &str) -> Result<String, String>;
    /// The time, where this machine is.
    fn now(&self) -> Zoned;
    /// A number nobody can tell beforehand; never for keys.
    fn random(&self) -> u64;
}
