//! What a node remembers, on its disk, of requests that may wait for it: off the threads that serve, and not
//! waited for longer than a disk may take.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::core::config::Config;
use crate::core::deferred::ledger::{Entry, Known, Ledger, LedgerError};
use crate::core::files::{Look, within_deadline};
use crate::core::protocol::deferred::LONGEST;

/// See the module documentation.
pub struct Remembering {
    path: Option<PathBuf>,
    ledger: Arc<Mutex<Option<Ledger>>>,
    /// One after the other: who is at it while another one comes would be taken for one that hangs.
    turn: tokio::sync::Mutex<()>,
    look: Arc<Look>,
}

/// Why nothing was remembered.
#[derive(Debug, thiserror::Error)]
pub enum Forgetful {
    /// There is no file for it.
    #[error("this node has neither plugin.choria.requests.file nor plugin.choria.status_file_path")]
    Nowhere,
    /// The file hangs.
    #[error("{} does not answer", .0.display())]
    Hangs(PathBuf),
    /// It could not be written, or is full.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Remembering {
    /// By the configuration of a member of a network; others remember nothing.
    pub fn of(config: &Config, member: bool) -> Remembering {
        let path = config.beside_status(&config.choria_requests_file, ".requests").filter(|_| member);
        Remembering {
            path,
            ledger: Arc::default(),
            turn: tokio::sync::Mutex::default(),
            look: Arc::default(),
        }
    }

    /// Whether there is a file for it.
    pub fn is_possible(&self) -> bool {
        self.path.is_some()
    }

    /// Does something with what is remembered; the file is made where there is none.
    ///
    /// # Errors
    /// [`Forgetful`]: it may have been done all the same where the file hangs.
    pub async fn with<T: Send + 'static>(
        &self,
        now: i64,
        work: impl FnOnce(&mut Ledger) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, Forgetful> {
        let Some(path) = self.path.clone() else { return Err(Forgetful::Nowhere) };
        let (ledger, look, file) = (self.ledger.clone(), self.look.clone(), path.clone());
        let _turn = self.turn.lock().await;
        let done = within_deadline(move || {
            // who comes while the file hangs is told so, and waits with no thread for who looks
            let _looking = look.begin(&file)?;
            let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
            let opened = match ledger.take() {
                Some(opened) => Ok(opened),
                None => Ledger::open(&file, now),
            };
            Some(opened.and_then(|opened| work(ledger.insert(opened))))
        });
        match done.await.flatten() {
            Some(done) => Ok(done?),
            None => Err(Forgetful::Hangs(path)),
        }
    }

    /// Notes that a request is about to run that came in the ordinary way and may wait for this node, too. Where there
    /// is no file none that waits is ever run, and nothing has to be remembered.
    ///
    /// # Errors
    /// Why it must not run, for its caller.
    pub async fn asked(&self, caller: &str, id: &str, until: i64, now: i64) -> Result<(), String> {
        if !self.is_possible() || until <= now {
            return Ok(());
        }
        if until.saturating_sub(now) > LONGEST + 60 {
            return Err("It would wait for longer than 30 days".to_owned());
        }
        let (known, id) = (Known::Ran, id.to_owned());
        let entry = Entry { caller: caller.to_owned(), id, until, known };
        let noted = self.with(now, move |ledger| match ledger.known(&entry.caller, &entry.id) {
            Some(_) => Ok(false),
            None => ledger.note(entry, now).map(|()| true),
        });
        match noted.await {
            Ok(true) => Ok(()),
            Ok(false) => Err("It ran here already".to_owned()),
            Err(e) => Err(format!("It cannot be remembered here that it ran, so it does not run: {e}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::Role;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn requests_that_come_together_are_all_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("requests");
        let lines = format!("identity = n1\nplugin.choria.requests.file = {}\n", file.display());
        let config = Config::from_text(Role::Server, &lines).unwrap();
        let remembering = Arc::new(Remembering::of(&config, true));
        let asked = (0..64).map(|number| {
            let remembering = remembering.clone();
            tokio::spawn(async move { remembering.asked("up=a", &format!("r{number}"), 2_000, 1_000).await })
        });
        for asked in asked.collect::<Vec<_>>() {
            assert_eq!(asked.await.unwrap(), Ok(()));
        }
        assert!(remembering.asked("up=a", "r7", 2_000, 1_000).await.unwrap_err().contains("already"));
    }
}
