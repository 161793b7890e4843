//! Monitoring of a running broker over HTTP (spec 04 §§1.11, 7.1).
//!
//! `pages` are nats-server's, in its shapes, so that its tools and exporters
//! can read them; `metrics` is Prometheus text with the names the original
//! has and some of ours; `choria` is the original's own page. `service`
//! says which there are, all of them or, of a process without network broker, those
//! about the process; [`crate::core::web`] serves them.
//!
//! User names, certificate subjects, subscriptions and the path of the
//! configuration are shown to loopback and to those with a token ([`access`](crate::core::web::access));
//! everybody else sees pages without. No page may be read by scripts of other
//! sites (nats-server allows it).

mod choria;
mod connz;
mod metrics;
mod pages;
mod query;
mod service;
mod subsz;
mod time;

pub use crate::core::web::access::{LocalNames, TokenError, TokenFile};
pub use service::{Monitoring, MonitoringError};

use std::sync::Arc;

use super::View;
use crate::core::metrics::Registry;

/// What the pages say beside what the broker itself knows.
#[derive(Clone, Default)]
pub struct MonitoringOptions {
    /// Identity, the label of all metrics.
    pub identity: String,
    /// Configuration file, shown with names only.
    pub config_file: String,
    /// When the broker's certificate expires, unix seconds, asked anew each time.
    pub certificate_expiry: Option<Expiry>,
    /// Who sees names from other machines; nobody without.
    pub tokens: Option<TokenFile>,
    /// Who sees names here.
    pub local: LocalNames,
    /// Counters of what else the process does.
    pub more: Option<Arc<Registry>>,
}

/// Answers with unix seconds.
pub type Expiry = Arc<dyn Fn() -> Option<i64> + Send + Sync>;

impl MonitoringOptions {
    fn expiry(&self) -> Option<i64> {
        self.certificate_expiry.as_ref().and_then(|ask| ask())
    }
}

/// A process with pages, whatever it does.
struct Process {
    about: MonitoringOptions,
    /// When it started.
    started: jiff::Timestamp,
    denied: service::Denied,
}

impl Process {
    fn uptime(&self) -> std::time::Duration {
        jiff::Timestamp::now().duration_since(self.started).try_into().unwrap_or_default()
    }
}

/// What a page about a network broker is made of.
struct Monitored {
    view: View,
    process: Arc<Process>,
    address: std::net::SocketAddr,
    requests: service::Requests,
    /// For lists.
    places: Arc<tokio::sync::Semaphore>,
}

#[cfg(test)]
mod tests;
