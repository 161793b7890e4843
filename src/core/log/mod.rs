//! Logging: levels, destinations, reopening.
//!
//! A file gets one JSON object a line with the keys of today's fleets (`time`,
//! `level`, `msg`, then the fields), so existing log shippers keep working. A
//! console gets text; under systemd the lines carry the journal's priority
//! prefix and no second time stamp.

mod file;
mod format;
mod refusals;

use std::path::PathBuf;
use std::sync::OnceLock;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use refusals::{RefusalLog, log_panics};

use file::ReopenedFile;
use format::{Console, JsonLines};

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Nowhere.
    Discard,
    /// A file, created 0640, reopened by [`reopen`].
    File(PathBuf),
}

impl Destination {
    /// The destination that the `logfile` setting names.
    pub fn parse(logfile: &str) -> Destination {
        match logfile {
            "" | "stdout" => Destination::Stdout,
            "stderr" => Destination::Stderr,
            "discard" => Destination::Discard,
            path => Destination::File(path.into()),
        }
    }
}

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file does not open.
    #[error("cannot open log file {path}: {source}")]
    Open {
        /// As configured.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Set up twice.
    #[error("logging is already set up in this process")]
    Twice,
}

static FILE: OnceLock<ReopenedFile> = OnceLock::new();

/// Sets up the log of this process; `level` is one of debug, info, warn, error,
/// fatal, anything else is warn.
pub fn init(destination: Destination, level: &str) -> Result<(), LogError> {
    let level = match level {
        "debug" => LevelFilter::DEBUG,
        "info" => LevelFilter::INFO,
        "error" | "fatal" => LevelFilter::ERROR,
        _ => LevelFilter::WARN,
    };
    // Libraries speak up only in debug: their info is our debug.
    let libraries = if level == LevelFilter::DEBUG { LevelFilter::INFO } else { LevelFilter::ERROR };
    // What the NATS library calls errors we tell ourselves, with cause and broker.
    let nats = if level == LevelFilter::DEBUG { LevelFilter::INFO } else { LevelFilter::OFF };
    let targets =
        Targets::new().with_default(libraries).with_target("choria", level).with_target("async_nats", nats);
    let registry = tracing_subscriber::registry().with(targets);
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let console = |writer| {
        tracing_subscriber::fmt::layer()
            .event_format(Console { journal })
            .with_writer::<BoxMakeWriter>(writer)
    };
    let done = match destination {
        Destination::Discard => registry.try_init(),
        Destination::Stdout => registry.with(console(BoxMakeWriter::new(std::io::stdout))).try_init(),
        Destination::Stderr => registry.with(console(BoxMakeWriter::new(std::io::stderr))).try_init(),
        Destination::File(path) => {
            let file = ReopenedFile::open(&path).map_err(|source| LogError::Open { path, source })?;
            let file = FILE.get_or_init(|| file);
            let layer = tracing_subscriber::fmt::layer().event_format(JsonLines).with_writer(|| file.clone());
            registry.with(layer).try_init()
        }
    };
    done.map_err(|_| LogError::Twice)
}

/// Opens the log file anew, after a rotation. Does nothing when the log is no
/// file; when the file does not open, lines keep going to the old one.
pub fn reopen() {
    if let Some(file) = FILE.get()
        && let Err(e) = file.reopen()
    {
        tracing::error!("cannot reopen the log file: {e}");
    }
}
