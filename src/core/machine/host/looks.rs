//! Looks at the store, which may hang, and what comes of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio::task::JoinSet;

use super::Round;
use super::store::{Change, DEFINITION, Store};

/// Looks at it that are left behind at a time.
const MOST_LEFT: usize = 32;

/// A look at the store.
pub(super) struct Look {
    number: u64,
    store: Store,
    changes: Vec<Change>,
}

/// All looks at it.
pub(super) struct Looks {
    /// None where nothing is looked at.
    store: Option<Store>,
    at_work: JoinSet<Look>,
    /// The look under way.
    looking: Option<(u64, PathBuf)>,
    /// Looks that were left behind, and where.
    left: BTreeMap<u64, PathBuf>,
    number: u64,
    /// Places that answered while a look was under way.
    answered: Vec<PathBuf>,
    /// Whether one has come back.
    seen: bool,
}

impl Looks {
    /// At the store of that directory.
    pub fn of(directory: Option<PathBuf>) -> Looks {
        Looks {
            store: directory.map(Store::new),
            at_work: JoinSet::new(),
            looking: None,
            left: BTreeMap::new(),
            number: 0,
            answered: Vec::new(),
            seen: false,
        }
    }

    /// The next one that comes back; none where none is under way.
    pub async fn next(&mut self) -> Option<Result<Look, tokio::task::JoinError>> {
        self.at_work.join_next().await
    }

    /// Nobody waits for them any more.
    pub fn end(&mut self) {
        self.at_work.abort_all();
    }
}

impl Round {
    /// Has the store looked at, off the threads that serve. A look that does not come back is left behind, and
    /// the next one passes over the place it is at.
    pub(super) fn look(&mut self) {
        let Some(store) = &mut self.looks.store else { return };
        if let Some((number, before)) = &mut self.looks.looking {
            // one that gets on takes its time
            let place = store.at();
            if *before != place || self.looks.left.len() >= MOST_LEFT {
                *before = place;
                return;
            }
            let number = *number;
            store.leave(&place);
            tracing::error!(
                "{} does not answer, as on a network file system that hangs: its machine stays as it was, others \
                 are looked at without it",
                place.display()
            );
            self.looks.left.insert(number, place);
        }
        self.looks.number += 1;
        let (number, mut store) = (self.looks.number, store.clone());
        self.looks.looking = Some((number, PathBuf::new()));
        self.looks.at_work.spawn_blocking(move || {
            let changes = store.look();
            Look { number, store, changes }
        });
    }

    pub(super) fn looked(&mut self, look: Option<Look>) {
        let Some(Look { number, store, changes }) = look else {
            // a fault of ours: machines run on, and the next look is a new one
            tracing::error!("a look at the machines met a fault");
            self.looks.looking = None;
            return;
        };
        if let Some(place) = self.looks.left.remove(&number) {
            tracing::info!("{} answers again", place.display());
            self.looks.store.iter_mut().for_each(|store| store.answers(&place));
            // so that one that is under way does not bring it back as it was
            if self.looks.looking.is_some() {
                self.looks.answered.push(place);
            }
            return;
        }
        self.looks.looking = None;
        self.looks.store = Some(store);
        if !std::mem::replace(&mut self.looks.seen, true) {
            // what was exported before this life may be of machines that are gone
            self.writes.export_anew();
        }
        for place in std::mem::take(&mut self.looks.answered) {
            self.looks.store.iter_mut().for_each(|store| store.answers(&place));
        }
        for change in changes {
            self.change(change);
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Unwritten(id) => self.host.engine().unwritten(id),
            Change::Gone(path, id) => {
                tracing::info!("the machine of {} is gone", path.display());
                self.writes.forget(&path);
                self.drop_machine(id);
            }
            Change::Loaded { path, before, mut definition, data } => {
                for warning in std::mem::take(&mut definition.warnings) {
                    tracing::warn!("{}: {warning}", path.join(DEFINITION).display());
                }
                // what it kept may not be written yet
                let kept = before.and_then(|before| self.host.engine().data(before));
                if let Some(before) = before {
                    self.drop_machine(before);
                }
                let other = self.host.engine().place_of(&definition.name).map(Path::to_owned);
                if let Some(other) = other {
                    tracing::warn!(
                        "{}: another machine is called {}, in {}: nobody tells them apart, give one another name",
                        path.join(DEFINITION).display(),
                        definition.name,
                        other.display()
                    );
                }
                let how = if before.is_some() { "loaded anew" } else { "loaded" };
                tracing::info!(
                    "machine {} {} {how} from {}",
                    definition.name,
                    definition.version,
                    path.display()
                );
                // who replaced its directory took away what was kept in it
                let lost = kept.as_ref().is_some_and(|kept| *kept != data || self.writes.writes_to(&path));
                let id = self.host.add(*definition, path.clone(), kept.unwrap_or(data));
                if lost {
                    self.host.engine().write_again(id);
                }
                if let Some(store) = &mut self.looks.store {
                    store.is_now(&path, id);
                }
            }
            Change::Broken(problem) => tracing::error!("{problem}"),
        }
    }
}
