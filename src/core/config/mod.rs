//! Configuration: keys, files, environment, defaults; one typed value for
//! every role (spec 03 §1, appendices A to C).
//!
//! A [`Config`] is read once, in one order: the main file, the files of
//! `plugin.d` beside it, for people's commands the project files
//! `choria.conf` from the root down to the working directory, then
//! environment variables, then what can be worked out (identity,
//! collectives). Later wins; path lists add up.
//!
//! [`lines`] turns text into entries and knows no key; `table` is the one list
//! of keys, from which [`Settings`], [`keys`] and documentation come; `values`
//! holds the conversions; `known` tells mistakes from keys of others; `load`
//! finds and reads files; `normalise` finishes. What the original swallows is
//! kept as a [`Warning`] with file and line; what would switch verification
//! off is a [`ConfigError`].

mod environment;
mod error;
mod explain;
mod known;
pub mod lines;
mod load;
mod normalise;
mod settings;
mod table;
mod unused;
mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

pub use environment::{Environment, Fixed, System};
pub use error::ConfigError;
pub use explain::Explained;
pub use known::MANAGING_AGENTS;
pub use settings::{Flag, Key, Kind, Roles};
pub use table::Settings;
pub use values::{
    Raw, ValueError, parse_bool, parse_configured_duration, parse_duration, parse_nanoseconds, split_list,
};

/// As what a process runs; decides which files are read and what is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A command a person typed.
    Client,
    /// The node daemon.
    Server,
    /// Broker, federation broker, adapters.
    Broker,
}

impl Role {
    /// The word for messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Client => "client",
            Role::Server => "server",
            Role::Broker => "broker",
        }
    }
}

/// Where a value is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The table.
    Default,
    /// A line of a file; line numbers start at 1.
    File {
        /// Which file.
        path: PathBuf,
        /// Which line.
        line: usize,
    },
    /// An environment variable.
    Environment(&'static str),
    /// Worked out; says from what.
    Derived(&'static str),
    /// Set by the program itself, such as a command line option.
    Program,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => write!(f, "env {name}"),
            Origin::Derived(from) => write!(f, "from {from}"),
            Origin::Program => f.write_str("command line"),
        }
    }
}

/// Something in a file that does not do what its author may think.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file, or the environment variable as a path of one word.
    pub file: PathBuf,
    /// Line from 1; 0 when it concerns no single line.
    pub line: usize,
    /// What is wrong and what happens instead.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.text),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.text),
        }
    }
}

/// A complete configuration. Typed keys are its fields (through [`Settings`]),
/// everything written anywhere is also kept raw, see [`Config::option`].
#[derive(Clone)]
pub struct Config {
    settings: Settings,
    role: Role,
    file: Option<PathBuf>,
    files: Vec<PathBuf>,
    raw: BTreeMap<String, (String, Origin)>,
    warnings: Vec<Warning>,
}

impl Deref for Config {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
    }
}

impl Config {
    /// As what the process runs.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The main file; `None` for built-in defaults and [`Config::from_text`].
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Directory of the main file: policies, `plugin.d` and token files live
    /// there. The working directory when there is no file.
    pub fn dir(&self) -> PathBuf {
        match self.file.as_deref().and_then(Path::parent) {
            Some(dir) if !dir.as_os_str().is_empty() => dir.to_path_buf(),
            _ => PathBuf::from("."),
        }
    }

    /// Every file that was read, in order.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The text a file gave for `key`, typed or not; `None` when no file (or
    /// environment variable) mentions it.
    pub fn option(&self, key: &str) -> Option<&str> {
        match self.raw.get(key) {
            None | Some((_, Origin::Derived(_))) => None,
            Some((value, _)) => Some(value),
        }
    }

    /// Whether any file mentions `key`; a default does not count.
    pub fn has(&self, key: &str) -> bool {
        self.option(key).is_some()
    }

    /// A path as configured, or else that of the status file with `ending` added.
    pub fn beside_status(&self, configured: &str, ending: &str) -> Option<PathBuf> {
        let status = &self.choria_status_file_path;
        match (configured.is_empty(), status.is_empty()) {
            (false, _) => Some(configured.into()),
            (true, false) => Some(format!("{status}{ending}").into()),
            (true, true) => None,
        }
    }

    /// All raw options in order of their names, such as those of one agent.
    pub fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.raw.iter().map(|(key, (value, _))| (key.as_str(), value.as_str()))
    }

    /// Where the value of `key` is from.
    pub fn origin(&self, key: &str) -> Origin {
        self.raw.get(key).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// Everything in the files that does not do what it seems to.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The typed value of `key` as text, as `rpcutil#get_config_item` shows it.
    pub fn typed_text(&self, key: &str) -> Option<String> {
        self.settings.peek(key).map(|slot| slot.show())
    }

    /// Certificate names that are clients of a broker under `by-name`
    /// permissions: `plugin.choria.network.client_certnames`, or else the
    /// callers servers accept.
    pub fn client_certnames(&self) -> &[String] {
        match self.choria_network_client_certnames.as_slice() {
            [] => &self.choria_security_certname_whitelist,
            names => names,
        }
    }

    /// Sets `key` as a line of a file would, for command line options.
    ///
    /// # Errors
    /// [`ValueError`] when the text is malformed; the value stays as it was.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ValueError> {
        if let (Some(row), Some(slot)) = (keys().iter().find(|k| k.name == key), self.settings.slot(key)) {
            row.assign(slot, &Raw::Text(value.into()), None)?;
        }
        self.raw.insert(key.into(), (value.into(), Origin::Program));
        Ok(())
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Raw options are left out: agents keep passwords in them.
        f.debug_struct("Config")
            .field("role", &self.role)
            .field("files", &self.files)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Every typed key, in the order of the documentation.
pub fn keys() -> &'static [Key] {
    table::KEYS
}
