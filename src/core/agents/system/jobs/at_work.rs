//! Which jobs are at work, and of whom.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Jobs at work at once, and of one caller.
const AT_ONCE: usize = 16;
const OF_CALLER: usize = 4;

/// Jobs at work by their directories, each with its caller.
#[derive(Clone, Default)]
pub(super) struct AtWork(Arc<Mutex<BTreeMap<PathBuf, String>>>);

/// A place among those at work.
pub(super) struct Place {
    dir: PathBuf,
    at_work: AtWork,
}

impl AtWork {
    /// A place for one of this caller's, if there is room.
    pub fn ask(&self, dir: &Path, caller: &str) -> Result<Place, String> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.contains_key(dir) {
            return Err("this request was begun before".to_owned());
        }
        let own = all.values().filter(|of| *of == caller).count();
        let (most, whose) = match () {
            () if own >= OF_CALLER => (OF_CALLER, " of yours"),
            () if all.len() >= AT_ONCE => (AT_ONCE, ""),
            () => return Ok(self.add(dir, caller, &mut all)),
        };
        Err(format!("{most} pieces of work{whose} are under way on this node, ask again when one has ended"))
    }

    /// One for what is at work already; none when it has one.
    pub fn take(&self, dir: &Path, caller: &str) -> Option<Place> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!all.contains_key(dir)).then(|| self.add(dir, caller, &mut all))
    }

    fn add(&self, dir: &Path, caller: &str, all: &mut BTreeMap<PathBuf, String>) -> Place {
        all.insert(dir.to_owned(), caller.to_owned());
        Place { dir: dir.to_owned(), at_work: self.clone() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.at_work.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.dir);
    }
}
