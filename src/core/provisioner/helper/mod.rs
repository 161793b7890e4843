//! Whoever knows what a node is to become (spec 05 §8.5, 15.2).
//!
//! Four kinds: a program a node ([`oneshot`]), programs that stay
//! ([`stream`]), a web service ([`http`]), and none of them: our own CA and a
//! template ([`builtin`]). What they say is read here and checked elsewhere
//! ([`answer`](super::answer)), whoever said it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::answer::Answer;
use super::question::Question;
use super::settings::{HelperMode, Settings};
use crate::core::config::{Config, Environment};
use crate::core::connection::srv_domain;
use crate::core::programs::CommandLine;

pub mod builtin;
#[cfg(test)]
mod fixtures;
pub mod http;
pub mod oneshot;
pub mod stream;
pub mod template;

/// What asking is.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<Answer, HelperError>> + Send + 'a>>;

/// Says what a node is to become.
pub trait Helper: Send + Sync {
    /// Asks about one node. Calls run at the same time; the helper bounds them.
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a>;

    /// Nodes it can take at once; more wait in the population and not in the helper.
    fn at_once(&self) -> usize;

    /// When the CA it signs by expires, unix seconds, where it has one.
    fn ca_expiry(&self) -> Option<i64> {
        None
    }

    /// Lets go of programs that stay. Nobody is asked about after it.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

/// A helper gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// It could not be started or reached: nothing of the node's doing.
    #[error("the helper cannot be asked: {0}")]
    Unreachable(String),
    /// It ended without an answer, or took too long.
    #[error("the helper gave no answer: {0}")]
    Failed(String),
    /// What it said is no answer.
    #[error("the helper's answer cannot be read: {0}")]
    Unreadable(String),
    /// It asks to be left alone for a while.
    #[error("the helper is busy: {reason}")]
    Busy {
        /// In its words.
        reason: String,
        /// For how long, where it says so.
        pause: Option<Duration>,
    },
}

/// What the built-in helper learns from the provisioner's own configuration.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Brokers, `host:port` or URLs; empty: found by DNS.
    pub brokers: Vec<String>,
    /// Domain whose SRV records name brokers.
    pub srv_domain: Option<String>,
    /// Names of certificates that are believed to be callers, as regular expressions.
    pub callers: Vec<String>,
    /// CA certificates the provisioner trusts.
    pub ca: Option<PathBuf>,
    /// Nothing is going to be signed: make no CA, write no log.
    pub rehearsal: bool,
}

impl Surroundings {
    /// What a client configuration, and the CA file its security provider reads, say.
    pub fn of(config: &Config, env: &dyn Environment, ca: Option<PathBuf>) -> Surroundings {
        let brokers = config.choria_middleware_hosts.clone();
        let ask = brokers.is_empty() && config.choria_use_srv;
        let srv_domain = ask.then(|| srv_domain(config, env)).flatten();
        let callers = config.choria_security_certname_whitelist.clone();
        Surroundings { brokers, srv_domain, callers, ca, rehearsal: false }
    }
}

/// The helper the settings ask for. Call it inside a tokio runtime.
///
/// # Errors
/// What keeps it from being asked at all, found at the start.
pub fn of_settings(settings: &Settings, around: &Surroundings) -> Result<Arc<dyn Helper>, HelperError> {
    Ok(match settings.mode() {
        HelperMode::Oneshot => Arc::new(oneshot::Oneshot::new(settings)?),
        HelperMode::Builtin => Arc::new(builtin::Builtin::new(settings, around)?),
        HelperMode::Stream => Arc::new(stream::Stream::new(settings)?),
        HelperMode::Http => Arc::new(http::Http::new(settings)?),
    })
}

/// The command line of a helper, so that one that is not there keeps us from starting
/// rather than every node from its turn.
fn command(line: &str, path: Option<&OsStr>) -> Result<CommandLine, HelperError> {
    CommandLine::parse(line, path).map_err(|e| HelperError::Unreachable(format!("helper {line:?} {e}")))
}
