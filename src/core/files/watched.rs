//! Files that others own: looked at for every use, on a thread that may be [left behind](super::within_deadline);
//! until it comes back nobody looks at the same file again, and its last good content serves.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Version;

/// Marks a file as being looked at, for as long as the look lasts.
#[derive(Debug, Default)]
pub struct Look {
    out: AtomicBool,
    told: AtomicBool,
}

impl Look {
    /// Whether nobody is at it. Otherwise whoever is has been left behind, which is told once.
    pub fn begin(&self, file: &Path) -> Option<Looking<'_>> {
        if self.out.swap(true, Ordering::AcqRel) {
            if !self.told.swap(true, Ordering::AcqRel) {
                tracing::warn!("{}", no_answer(file));
            }
            return None;
        }
        Some(Looking { look: self, file: file.to_owned() })
    }

    /// Whether it is known to hang.
    pub fn hangs(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }
}

/// What is told of a file that hangs.
pub fn no_answer(file: &Path) -> String {
    format!(
        "{} does not answer, as on a network file system that hangs or a pipe nobody writes to: \
         what was read of it last serves",
        file.display()
    )
}

/// A look under way.
#[derive(Debug)]
pub struct Looking<'a> {
    look: &'a Look,
    file: PathBuf,
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        if self.look.told.swap(false, Ordering::AcqRel) {
            tracing::info!("{} answers again", self.file.display());
        }
        self.look.out.store(false, Ordering::Release);
    }
}

/// A value read from files, read again when one of them changed: name, size,
/// inode and time of change are looked at for every use, so a request never
/// sees data older than its own arrival, and an unchanged file costs a `stat`.
pub struct Watched<T> {
    files: Vec<PathBuf>,
    last: Mutex<Option<(Versions, Arc<T>)>>,
    look: Look,
}

/// Those of files that can be looked at.
type Versions = Vec<Option<Version>>;

impl<T> Watched<T> {
    /// Of these files.
    pub fn new(files: Vec<PathBuf>) -> Watched<T> {
        Watched { files, last: Mutex::default(), look: Look::default() }
    }

    /// Reads the files anew where one has changed. May never come back: see the module.
    pub fn refresh(&self, read: impl FnOnce() -> Arc<T>) {
        let Some(_looking) = self.look.begin(&self.named()) else { return };
        let versions: Versions = self.files.iter().map(|path| Version::of(path).ok()).collect();
        if self.last().as_ref().is_some_and(|(seen, _)| *seen == versions) {
            return;
        }
        let value = read();
        *self.last() = Some((versions, value));
    }

    /// What was read last, nothing before the first time. Touches no file.
    pub fn latest(&self) -> Option<Arc<T>> {
        self.last().as_ref().map(|(_, value)| value.clone())
    }

    /// What to tell of files that do not answer.
    pub fn trouble(&self) -> Option<String> {
        self.look.hangs().then(|| no_answer(&self.named()))
    }

    fn named(&self) -> PathBuf {
        std::env::join_paths(&self.files).map(PathBuf::from).unwrap_or_default()
    }

    fn last(&self) -> MutexGuard<'_, Option<(Versions, Arc<T>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::core::files::passing_over;

    fn read(watched: &Watched<String>) -> Arc<String> {
        let file = watched.files[0].clone();
        watched.refresh(|| Arc::new(fs::read_to_string(file).unwrap_or_default()));
        watched.latest().unwrap()
    }

    #[test]
    fn a_changed_file_is_read_again_and_an_unchanged_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("classes.txt");
        fs::write(&file, "a").unwrap();
        let watched = Watched::new(vec![file.clone()]);
        assert!(watched.latest().is_none());
        let first = read(&watched);
        assert!(Arc::ptr_eq(&first, &read(&watched)));
        fs::write(&file, "a b").unwrap();
        assert_eq!(*read(&watched), "a b");
        fs::remove_file(&file).unwrap();
        assert!(read(&watched).is_empty());
    }

    #[tokio::test]
    async fn what_hangs_costs_one_thread_and_serves_what_it_had() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("facts");
        fs::write(&file, "one").unwrap();
        let watched = Arc::new(Watched::new(vec![file.clone()]));
        read(&watched);
        fs::write(&file, "another").unwrap();
        let (free, blocked) = std::sync::mpsc::channel::<()>();
        let blocked = Arc::new(Mutex::new(blocked));
        let reads = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (of, waits, counted) = (watched.clone(), blocked, reads.clone());
        let look = move || {
            of.refresh(|| {
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = waits.lock().map(|w| w.recv());
                Arc::new("late".to_owned())
            });
            of.latest().unwrap()
        };
        assert_eq!(*passing_over(look).await.unwrap(), "one");
        assert!(watched.trouble().unwrap().contains("facts does not answer"));
        assert_eq!(*read(&watched), "one", "nobody else looks");
        assert_eq!(reads.load(Ordering::SeqCst), 1);
        drop(free);
        while watched.trouble().is_some() {
            tokio::task::yield_now().await;
        }
        assert_eq!(*watched.latest().unwrap(), "late");
    }
}
