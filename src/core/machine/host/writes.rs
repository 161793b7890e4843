//! What is written beside the work of watchers: what machines keep, and what is exported.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::JoinSet;

use super::{Round, exports, store};
use crate::core::machine::engine::{Engine, Id};
use crate::core::machine::turn::Moment;

/// Between two writes of what is exported.
const EXPORT: Duration = Duration::from_secs(1);
/// Until what could not be written is written once more.
const AGAIN: Duration = Duration::from_secs(10);
/// How long files that were being written may take when a node ends, and those that are written then.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// A piece of it that is done.
pub(super) enum Chore {
    /// Data of a machine was written, or not.
    Data(Id, PathBuf, io::Result<()>),
    /// Exports were written, all of them or not.
    Exports(bool),
}

/// What is under way, and what is to come.
#[derive(Default)]
pub(super) struct Writes {
    writing: Vec<PathBuf>,
    /// Directories whose data could not be written, which was told, and when that is tried again.
    unkept: BTreeMap<PathBuf, Duration>,
    exported: Option<Instant>,
    exporting: bool,
    to_export: bool,
    /// When something that is shown is too old to be.
    shown_until: Option<Timestamp>,
}

impl Writes {
    /// Whether data is being written to a directory.
    pub fn writes_to(&self, directory: &Path) -> bool {
        self.writing.iter().any(|path| path == directory)
    }

    /// Has what is exported written, whether it has changed or not.
    pub fn export_anew(&mut self) {
        self.to_export = true;
    }

    /// The machine of a directory is gone.
    pub fn forget(&mut self, directory: &Path) {
        self.unkept.remove(directory);
    }

    /// Whether data may be written there: one write of a place at a time, so that the later data is the later file.
    fn may_write(&self, directory: &Path, now: Duration) -> bool {
        !self.writes_to(directory) && self.unkept.get(directory).is_none_or(|again| *again <= now)
    }
}

impl Round {
    /// Begins what is to be written; says when there is more, as far as that is known.
    pub(super) fn write(&mut self, engine: &mut Engine, now: Moment) -> Option<Duration> {
        while let Some((id, directory, data)) = engine.take_data(|path| self.writes.may_write(path, now.at)) {
            self.writes.writing.push(directory.clone());
            self.chores.spawn_blocking(move || {
                let kept = store::write_data(&directory, &data);
                Chore::Data(id, directory, kept)
            });
        }
        let again = self.writes.unkept.values().copied().filter(|again| *again > now.at).min();
        let export = self.export(engine, now);
        again.into_iter().chain(export).min()
    }

    /// Begins to write what is exported, where it has changed; says when there is more.
    fn export(&mut self, engine: &mut Engine, now: Moment) -> Option<Duration> {
        let changed = engine.take_exports();
        let directory = self.host.inner.settings.prometheus.as_ref()?;
        let writes = &mut self.writes;
        writes.to_export |= changed || writes.shown_until.is_some_and(|until| until < now.wall);
        if writes.to_export && !writes.exporting {
            let wait = writes.exported.map_or(Duration::ZERO, |at| EXPORT.saturating_sub(at.elapsed()));
            if !wait.is_zero() {
                return Some(now.at + wait);
            }
            (writes.to_export, writes.exporting, writes.exported) = (false, true, Some(Instant::now()));
            writes.shown_until = exports::shown_until(engine, now.wall);
            let texts = exports::texts(engine, self.host.inner.started, now.wall);
            let directory = directory.clone();
            self.chores.spawn_blocking(move || Chore::Exports(exports::write(&directory, texts)));
        }
        let old = self.writes.shown_until.filter(|_| !self.writes.to_export)?;
        let until = Duration::try_from(old.duration_since(now.wall)).unwrap_or_default();
        Some(now.at.saturating_add(until).saturating_add(Duration::from_millis(1)))
    }

    pub(super) fn chore(&mut self, chore: Option<Chore>) {
        match chore {
            Some(Chore::Data(id, directory, kept)) => {
                self.writes.writing.retain(|other| *other != directory);
                self.kept(id, directory, kept);
            }
            Some(Chore::Exports(whole)) => {
                self.writes.exporting = false;
                // what could not be written is no news for whoever reads it yet
                self.writes.to_export |= !whole;
            }
            None => {
                // A fault of ours: nothing is known of what it did.
                tracing::error!("a piece of work beside machines met a fault");
                self.writes.exporting = false;
                self.writes.writing.clear();
            }
        }
    }

    fn kept(&mut self, id: Id, directory: PathBuf, kept: io::Result<()>) {
        let shown = directory.display();
        match kept {
            Ok(()) => {
                if self.writes.unkept.remove(&directory).is_some() {
                    tracing::info!("data of the machine in {shown} is kept again");
                }
            }
            Err(e) => {
                self.host.engine().write_again(id);
                let again = self.host.now().at + AGAIN;
                if !self.writes.unkept.contains_key(&directory) {
                    tracing::error!("data of the machine in {shown} was not kept, which is tried again: {e}");
                }
                self.writes.unkept.insert(directory, again);
            }
        }
    }

    /// Waits for what is being written.
    pub(super) async fn chores_end(&mut self) {
        let done = async {
            while let Some(done) = self.chores.join_next().await {
                self.chore(done.ok());
            }
        };
        if tokio::time::timeout(LAST_WRITES, done).await.is_err() {
            tracing::error!("a file of a machine does not answer, what is kept in it may be of before");
        }
    }

    /// Writes what is not written yet, also what could not be.
    pub(super) async fn last_writes(self) {
        let mut writes = JoinSet::new();
        // each by itself: one that hangs keeps none of the others from being written
        while let Some((_, directory, data)) = self.host.engine().take_data(|_| true) {
            writes.spawn_blocking(move || {
                if let Err(e) = store::write_data(&directory, &data) {
                    tracing::error!("data of the machine in {} was not kept: {e}", directory.display());
                }
            });
        }
        let done = async { while writes.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_WRITES, done).await;
    }
}
