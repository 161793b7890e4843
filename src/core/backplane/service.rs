//! What a service can do when asked from afar. Calls come from many threads and must not block.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

/// Says what a service is.
pub trait InfoSource: Send + Sync {
    /// Facts, for filters and for `info`. They are shown to everybody with the
    /// right to read: leave secrets out.
    fn facts(&self) -> Map<String, Value>;
    /// Version of the service.
    fn version(&self) -> String;
}

/// Can stop working for a while without ending.
pub trait Pausable: Send + Sync {
    /// Stops.
    fn pause(&self);
    /// Goes on.
    fn resume(&self);
    /// Whether it is stopped.
    fn paused(&self) -> bool;
    /// Stops, or goes on.
    fn flip(&self) {
        if self.paused() { self.resume() } else { self.pause() }
    }
}

/// Knows how it is doing.
pub trait HealthCheckable: Send + Sync {
    /// What to show, and whether that is well.
    fn health(&self) -> (Value, bool);
}

/// Can be ended.
pub trait Stopable: Send + Sync {
    /// Ends; called once the answer has been sent.
    fn shutdown(&self);
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What happens.
    Info,
    /// What is odd.
    Warning,
    /// What is broken.
    Critical,
}

impl LogLevel {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warning => "warning",
            LogLevel::Critical => "critical",
        }
    }
}

/// Can log more or less.
pub trait LogLevelSetable: Send + Sync {
    /// Logs this much from now on.
    fn set_log_level(&self, level: LogLevel);
    /// How much it logs; none where it does not know.
    fn log_level(&self) -> Option<LogLevel>;
}

/// What a service offers; all but what it is may be missing.
#[derive(Clone)]
pub struct Service {
    /// What it is.
    pub info: Arc<dyn InfoSource>,
    /// Its pause.
    pub pausable: Option<Arc<dyn Pausable>>,
    /// Its health.
    pub health: Option<Arc<dyn HealthCheckable>>,
    /// Its end.
    pub stopable: Option<Arc<dyn Stopable>>,
    /// Its log.
    pub log_level: Option<Arc<dyn LogLevelSetable>>,
    /// How often facts are written anew.
    pub facts_interval: Duration,
    /// Longest delay of a shutdown.
    pub max_stop_delay: Duration,
}

impl Service {
    /// A service that only says what it is; facts every ten minutes, shutdowns within ten seconds.
    pub fn new(info: Arc<dyn InfoSource>) -> Service {
        Service {
            info,
            pausable: None,
            health: None,
            stopable: None,
            log_level: None,
            facts_interval: Duration::from_secs(600),
            max_stop_delay: Duration::from_secs(10),
        }
    }
}
