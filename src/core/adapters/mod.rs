//! Data adapters: what nodes publish, handed on to who keeps or works on it
//! (spec 04 §5).
//!
//! `settings` says what each is to do, `document` makes of a message what is handed on,
//! `queue` keeps that until somebody has it, in memory or in a `spool` on disk that
//! outlives the process, and `outlets` are the places it goes to, a file each. `flow` is
//! one adapter at work: everything it has taken in is delivered at least once and in
//! order, or counted as lost.

mod counters;
mod document;
mod flow;
mod outlets;
mod queue;
mod settings;
mod shares;
mod spool;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

pub use settings::{AdapterError, KEYS, Kind, Settings};
pub use spool::SpoolError;

use crate::core::connection::{Session, SessionOptions};
use crate::core::metrics::Registry;
use crate::core::security::RequestVerifier;
use counters::Counters;
use flow::Flow;
use queue::Queue;

/// What adapters need of the process they run in.
pub struct Surroundings {
    /// Identity of the process, a label of its counters.
    pub identity: String,
    /// Prefix of the subjects on which streams acknowledge.
    pub inboxes: String,
    /// Who registered, for adapters that verify.
    pub verifier: Arc<RequestVerifier>,
    /// How an adapter connects where it hears, and, with addresses, where its streams are.
    pub connection: Connect,
}

/// Makes the options of a connection by name, to these brokers or the usual ones.
pub type Connect = Box<dyn Fn(&str, &[String]) -> Result<SessionOptions, AdapterError> + Send + Sync>;

/// Running adapters.
pub struct Adapters {
    flows: Mutex<JoinSet<()>>,
    stop: watch::Sender<bool>,
    kept: Vec<(String, Arc<Counters>, Arc<Queue>)>,
    sessions: Vec<Session>,
    identity: String,
}

/// How long what was taken in is still handed on when the process ends.
const DRAINED: Duration = Duration::from_secs(4);

/// Whether all of them could be started, as far as that shows before anything is connected.
///
/// # Errors
/// [`AdapterError`].
pub fn check(all: &[Settings]) -> Result<(), AdapterError> {
    all.iter().try_for_each(|settings| outlets::service(settings).map(drop))
}

impl Adapters {
    /// Starts all of them. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// [`AdapterError`]: a spool that cannot be used, addresses that are none.
    pub fn start(all: &[Settings], around: Surroundings) -> Result<Adapters, AdapterError> {
        let (stop, stopping) = watch::channel(false);
        let (mut flows, mut kept, mut sessions) = (JoinSet::new(), vec![], vec![]);
        let around = Arc::new(around);
        for settings in all {
            let name = &settings.name;
            let queue = Arc::new(Queue::of(settings)?);
            let hears = Session::start((around.connection)(&format!("choria adapter {name}"), &[])?);
            let tells = match settings.servers.as_slice() {
                [] => hears.clone(),
                servers => {
                    Session::start((around.connection)(&format!("choria adapter {name} output"), servers)?)
                }
            };
            sessions.extend([hears.clone(), tells.clone()]);
            let counters = Arc::new(Counters::default());
            kept.push((name.clone(), counters.clone(), queue.clone()));
            let outlet = outlets::of(settings, tells, &around.inboxes)?;
            let flow = Flow { settings: settings.clone(), around: around.clone(), hears, queue, counters };
            flow.spawn(&mut flows, outlet, &stopping);
        }
        let identity = around.identity.clone();
        Ok(Adapters { flows: Mutex::new(flows), stop, kept, sessions, identity })
    }

    /// Takes nothing more in, hands on what there is as long as there is time, and ends.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let mut flows = std::mem::take(&mut *self.flows.lock().unwrap_or_else(PoisonError::into_inner));
        let ended = async { while flows.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(DRAINED, ended).await;
        for session in &self.sessions {
            session.close().await;
        }
        for (name, _, queue) in &self.kept {
            match queue.waiting() {
                0 => {}
                left if queue.outlives() => {
                    tracing::info!("adapter {name}: {left} documents wait in its spool")
                }
                left => tracing::warn!("adapter {name}: {left} documents are lost, it has no spool"),
            }
        }
    }

    /// Adds their counters, by the names of the original.
    pub fn register(&self, registry: &Registry) {
        for (name, counters, queue) in &self.kept {
            counters::register(registry, name, &self.identity, counters, queue);
        }
    }

    /// How they are, in a line.
    pub fn state(&self) -> String {
        let of = |(name, counters, queue): &(String, Arc<Counters>, Arc<Queue>)| {
            format!("adapter {name}: {}, {} waiting", counters.state(), queue.waiting())
        };
        self.kept.iter().map(of).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests;
