//! What makes a configuration unusable.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::Key;
use super::values::ValueError;

/// Why there is no configuration. Everything milder is a
/// [`Warning`](super::Warning).
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A daemon was started without saying which file.
    #[error("a {0} needs a configuration file: name one with --config")]
    FileRequired(&'static str),
    /// The file is missing or cannot be read.
    #[error("{source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No file in any of the usual places.
    #[error(
        "there is no configuration, none of {0} exists: 'choria setup operator' makes one, --config FILE names another"
    )]
    NotFound(String),
    /// A `.toml` file that is not TOML.
    #[error("could not parse configuration: {} is not TOML: {reason}", path.display())]
    NotToml {
        /// Which file.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// A malformed value of a key that guards something.
    #[error("{place}: {key}: {source}; it guards something, so nothing starts until this is repaired")]
    Value {
        /// File and line, or the environment variable.
        place: String,
        /// The key.
        key: &'static str,
        /// What is wrong.
        source: ValueError,
    },
    /// A setting or variable that would switch verification off.
    #[error("{setting} is refused: {reason}")]
    Insecure {
        /// Key or variable.
        setting: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// A time limit above what the protocol peers accept.
    #[error("{key} is {seconds} seconds, at most {limit} are allowed")]
    TooLong {
        /// The key.
        key: &'static str,
        /// What is configured.
        seconds: u64,
        /// The limit.
        limit: u64,
    },
    /// No name for this node.
    #[error("this host has no name: set `identity` in {0}")]
    NoIdentity(String),
    /// A name that cannot stand in a subject.
    #[error(
        "identity {0:?} may not hold spaces, the wildcards * and >, or two dots in a row, nor begin or end with a dot: set another `identity`"
    )]
    BadIdentity(String),
}

impl ConfigError {
    /// A value of a guard that cannot be read; that of a secret is not quoted.
    pub(super) fn guard(place: String, row: &Key, source: ValueError) -> ConfigError {
        let source = if row.is_secret() { ValueError::NotAValue("is malformed".into()) } else { source };
        ConfigError::Value { place, key: row.name, source }
    }
}
