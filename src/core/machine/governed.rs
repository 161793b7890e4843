//! Work that has to wait for its turn among all machines of a network: a slot of a governor
//! (spec 06 §15.3), held while it is done.

use std::sync::Arc;
use std::time::Duration;

use super::turn::{Network, Setting};
use crate::core::connection::Backoff;
use crate::core::streams::{Governor, StreamError};

/// How long a slot is waited for where nothing else is said.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Whose slot is waited for, and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Governed {
    /// Name of the governor.
    pub name: Arc<str>,
    /// How long.
    pub limit: Duration,
}

/// A slot that is held. It is given back when this goes, however its work ended.
pub struct Slot {
    governor: Governor,
    number: u64,
    network: Arc<dyn Network>,
    machine: String,
}

impl Setting {
    /// Waits for a slot.
    ///
    /// # Errors
    /// There is none, as the end of a sentence.
    pub async fn slot(&self, governed: &Governed) -> Result<Slot, String> {
        let Governed { name, limit } = governed;
        let network = self.network.clone().ok_or("governors need a broker, which is not here")?;
        let governor = Governor::new(&network.streams(), network.collective(), name);
        let governor = governor.map_err(|e| e.to_string())?;
        // as the original writes it, with two spaces
        let holder = format!("Auto Agent  {}#{} @ {}", self.machine, self.watcher, self.identity);
        let pause = |tried| Backoff::FiveSeconds.wait(tried, fastrand::f64());
        match governor.wait(&holder, *limit, pause).await {
            Ok(Some(number)) => {
                network.governed(&self.machine, name, number, "enter");
                Ok(Slot { governor, number, network, machine: self.machine.clone() })
            }
            Ok(None) => {
                network.governed(&self.machine, name, 0, "timeouts");
                Err(format!("governor {name} has no slot within {limit:?}"))
            }
            Err(StreamError::Nobody(_)) => Err(format!("there is no governor {name}")),
            Err(e) => Err(format!("governor {name}: {e}")),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.network.governed(&self.machine, self.governor.name(), self.number, "exit");
        self.governor.drop_slot(self.number);
    }
}
