//! Packages that have an update.

use serde_json::{Value, json};

/// A package that has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Update {
    /// Its name.
    pub package: String,
    /// The version it could have.
    pub version: String,
    /// Where that is; empty where the manager does not say.
    pub repo: String,
}

impl Update {
    /// Of these words.
    pub fn new(package: &str, version: &str, repo: &str) -> Update {
        Update { package: package.to_owned(), version: version.to_owned(), repo: repo.to_owned() }
    }

    /// As an output.
    pub fn to_value(&self) -> Value {
        json!({"package": self.package, "version": self.version, "repo": self.repo})
    }
}
