//! The audit log of a node that serves: written off the threads that serve, and
//! not waited for longer than a disk may take.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

use super::stages::Authorized;
use crate::core::audit::{AuditError, AuditLog};
use crate::core::files::{Look, within_deadline};

/// See the module documentation.
pub struct Auditing {
    log: Arc<AuditLog>,
    /// Records are written one by one; a second is not begun while the first hangs.
    turn: Semaphore,
    look: Arc<Look>,
}

/// Why a record is not in the log.
#[derive(Debug, thiserror::Error)]
pub enum Unrecorded {
    /// It could not be written.
    #[error(transparent)]
    Failed(#[from] AuditError),
    /// The file hangs; the record may still come to be written.
    #[error("{} does not answer", .0.display())]
    Hangs(PathBuf),
}

impl Auditing {
    pub fn new(log: AuditLog) -> Auditing {
        Auditing { log: Arc::new(log), turn: Semaphore::new(1), look: Arc::default() }
    }

    /// Whether a call without a record must not run.
    pub fn is_mandatory(&self) -> bool {
        self.log.is_mandatory()
    }

    /// Signs what has waited its time for a checkpoint; what goes wrong is told, and tried again.
    pub async fn rest(&self) {
        let (log, look, now) = (self.log.clone(), self.look.clone(), jiff::Timestamp::now());
        let _turn = self.turn.acquire().await;
        let rested = within_deadline(move || {
            let _looking = look.begin(log.path())?;
            Some(log.rest(now))
        });
        if let Some(Err(e)) = rested.await.flatten() {
            tracing::error!("the audit chain was not signed: {e}");
        }
    }

    /// Appends the record of a call about to run; of the action, or of what else it does.
    ///
    /// # Errors
    /// [`Unrecorded`]: the caller says so in its own log.
    pub async fn record(&self, authorized: &Authorized, deed: Option<&str>) -> Result<(), Unrecorded> {
        let mut call = authorized.call.clone();
        let interface = authorized.agent.ddl().action(&call.action);
        let inputs = interface.into_iter().flat_map(|action| &action.input);
        let by_interface = inputs.filter(|(_, input)| input.secret).map(|(name, _)| name.as_str());
        for name in authorized.agent.secrets().iter().copied().chain(by_interface) {
            call.data.get_mut(name).into_iter().for_each(|value| *value = Value::from("*****"));
        }
        authorized.agent.hide(&mut call.data);
        if let Some(deed) = deed {
            call.action = deed.to_owned();
        }
        let (log, look, now) = (self.log.clone(), self.look.clone(), jiff::Timestamp::now());
        let _turn = self.turn.acquire().await;
        let written = within_deadline(move || {
            let _looking = look.begin(log.path())?;
            let data = Value::Object(std::mem::take(&mut call.data));
            Some(log.record(&Authorized::audit_record(&call, &data), now))
        });
        match written.await.flatten() {
            Some(written) => Ok(written?),
            None => Err(Unrecorded::Hangs(self.log.path().to_owned())),
        }
    }
}
