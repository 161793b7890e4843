//! Facts and data as commands find them: in files, which they share.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::{TempDir, TempPath};

use super::Surroundings;
use crate::core::files::{scratch, within_deadline};
use crate::core::protocol::filter::Facts;

/// Files of data that are kept for commands to come, and bytes of one: most machines keep nothing.
const SHARED: usize = 16;
const SHARED_BYTES: usize = 4096;
/// As long serves what was looked at: a hundred commands a second look once.
const FRESH: Duration = Duration::from_secs(1);

/// Facts and data in files, which commands share.
#[derive(Default)]
pub(super) struct Files {
    facts: Mutex<Option<Shared<Facts>>>,
    /// By what is in them, the oldest first.
    data: Mutex<VecDeque<Shared<str>>>,
    looked: tokio::sync::Mutex<Option<(Instant, Arc<Facts>)>>,
    /// Where they are, once there are some; what a node that was killed has left goes with the next.
    home: Mutex<Option<TempDir>>,
}

/// A file, what is in it, and when that was looked at last.
struct Shared<T: ?Sized> {
    of: Arc<T>,
    file: Arc<TempPath>,
    seen: Instant,
}

impl<T: ?Sized> Shared<T> {
    fn new(of: &Arc<T>, file: &Arc<TempPath>) -> Shared<T> {
        Shared { of: of.clone(), file: file.clone(), seen: Instant::now() }
    }

    /// The file, where it is still there and as long as it was.
    fn whole(&mut self, long: usize) -> Option<Arc<TempPath>> {
        if self.seen.elapsed() >= FRESH {
            std::fs::metadata(&*self.file).ok().filter(|about| about.len() == long as u64)?;
            self.seen = Instant::now();
        }
        Some(self.file.clone())
    }
}

impl Files {
    pub fn facts(&self, facts: &Arc<Facts>) -> Result<Arc<TempPath>, String> {
        let mut last = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.as_mut().filter(|known| Arc::ptr_eq(&known.of, facts));
        // one that a command has written to is nobody's; all run as the same user
        if let Some(file) = known.and_then(|known| known.whole(facts.as_json().len())) {
            return Ok(file);
        }
        let file = Arc::new(self.written("facts-", facts.as_json())?);
        *last = Some(Shared::new(facts, &file));
        Ok(file)
    }

    /// Takes them away; what is used still goes when it is not any more.
    pub fn end(&self) {
        *self.facts.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.data.lock().unwrap_or_else(PoisonError::into_inner).clear();
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn written(&self, prefix: &str, text: &str) -> Result<TempPath, String> {
        let write = || {
            let mut home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
            // whoever cleans directories of temporary files takes it away now and then
            if home.as_ref().is_none_or(|home| !home.path().is_dir()) {
                *home = Some(scratch(&std::env::temp_dir(), "choria-machines-")?);
            }
            let home = home.as_ref().map_or(Path::new("/nonexistent"), |home| home.path());
            let mut file = tempfile::Builder::new().prefix(prefix).tempfile_in(home)?;
            std::io::Write::write_all(&mut file, text.as_bytes())?;
            Ok(file.into_temp_path())
        };
        write().map_err(|e: std::io::Error| format!("facts and data cannot be written for it: {e}"))
    }

    pub fn data(&self, data: &Arc<str>) -> Result<Arc<TempPath>, String> {
        if data.len() > SHARED_BYTES {
            return Ok(Arc::new(self.written("data-", data)?));
        }
        let mut shared = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shared.iter_mut().find(|known| known.of == *data);
        if let Some(file) = known.and_then(|known| known.whole(data.len())) {
            return Ok(file);
        }
        shared.retain(|known| known.of != *data);
        let file = Arc::new(self.written("data-", data)?);
        if shared.len() == SHARED {
            shared.pop_front();
        }
        shared.push_back(Shared::new(data, &file));
        Ok(file)
    }

    /// Facts as they were a second ago at most. Who asks while somebody looks waits for what they see.
    pub async fn looked(&self, around: &dyn Surroundings) -> Arc<Facts> {
        let mut last = self.looked.lock().await;
        if let Some((at, facts)) = &*last
            && at.elapsed() < FRESH
        {
            return facts.clone();
        }
        let facts = around.facts().await;
        *last = Some((Instant::now(), facts.clone()));
        facts
    }
}

/// Facts of files that are named by hand.
///
/// # Errors
/// There are none.
pub async fn facts_of(file: PathBuf) -> Result<Arc<Facts>, String> {
    let shown = file.display().to_string();
    let read = within_deadline(move || Facts::load(&file.to_string_lossy())).await;
    let (facts, problems) = read.ok_or_else(|| format!("{shown} does not answer"))?;
    match problems.first() {
        Some(problem) if facts.are_broken() => Err(problem.to_string()),
        _ => Ok(Arc::new(facts)),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts who looks, each of whom takes a while.
    #[derive(Default)]
    struct Slow(AtomicUsize);

    impl Surroundings for Slow {
        fn facts(&self) -> Pin<Box<dyn Future<Output = Arc<Facts>> + Send + '_>> {
            Box::pin(async {
                self.0.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(50)).await;
                Arc::new(Facts::from_json("{}".to_owned()))
            })
        }

        fn publish(&self, _: String, _: String, _: Vec<(&'static str, String)>) {}
    }

    #[tokio::test]
    async fn commands_that_begin_together_look_at_facts_once() {
        let (files, slow) = (Files::default(), Slow::default());
        let (a, b, c) = tokio::join!(files.looked(&slow), files.looked(&slow), files.looked(&slow));
        assert!(Arc::ptr_eq(&a, &b) && Arc::ptr_eq(&b, &c));
        assert_eq!(slow.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_a_command_has_written_to_is_nobodys_a_second_later() {
        let files = Files::default();
        let data: Arc<str> = "{}".into();
        let file = files.data(&data).unwrap();
        assert!(Arc::ptr_eq(&file, &files.data(&data).unwrap()));
        std::fs::write(&*file, "other").unwrap();
        std::thread::sleep(FRESH);
        let another = files.data(&data).unwrap();
        assert!(!Arc::ptr_eq(&file, &another));
        assert_eq!(std::fs::read_to_string(&*another).unwrap(), "{}");
    }
}
