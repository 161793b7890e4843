//! Policy files as they were last read.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::core::ddl::is_plain_name;
use crate::core::files::{Look, Version, read_judged};

/// Largest policy or groups file, in bytes.
const MAX_BYTES: u64 = 4 << 20;
/// Most files kept parsed; a node has a few dozen agents.
pub(super) const MAX_KEPT: usize = 1_000;

/// Whether this can be an agent: the name comes from a request and becomes part of a path.
pub(super) fn check_name(agent: &str) -> Result<(), String> {
    match is_plain_name(agent) {
        true => Ok(()),
        false => Err(format!("{agent:?} cannot be the name of an agent")),
    }
}

/// Files as they were last read, parsed.
#[derive(Debug)]
pub(super) struct Kept<T>(Mutex<HashMap<PathBuf, File<T>>>);

#[derive(Debug)]
struct File<T> {
    look: Arc<Look>,
    content: Option<(Version, Arc<T>)>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept(Mutex::default())
    }
}

impl<T> Kept<T> {
    /// The content of `path`, parsed now or earlier; `None` when there is no
    /// such file. May hang with its file; whoever asks while another hangs there
    /// gets what was read last.
    pub(super) fn get(&self, path: &Path, parse: impl Fn(&str) -> T) -> Result<Option<Arc<T>>, String> {
        let (look, kept) = self.file(path);
        let Some(_looking) = look.begin(path) else {
            return match kept {
                Some((_, value)) => Ok(Some(value)),
                None => Err(format!("{} does not answer", path.display())),
            };
        };
        let read = Self::read(path, kept, parse);
        let kept = read.as_ref().ok().cloned().flatten();
        if let Some(file) = self.files().get_mut(path) {
            file.content.clone_from(&kept);
        }
        read.map(|read| read.map(|(_, value)| value))
    }

    fn read(
        path: &Path,
        kept: Option<(Version, Arc<T>)>,
        parse: impl Fn(&str) -> T,
    ) -> Result<Option<(Version, Arc<T>)>, String> {
        let version = match Version::of(path) {
            Ok(version) => version,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(format!("cannot read {}: {e}", path.display())),
        };
        if let Some(kept) = kept.filter(|(kept, _)| *kept == version) {
            return Ok(Some(kept));
        }
        // That of what is read: a file exchanged since the look above counts as what it is.
        let read = read_judged(path, MAX_BYTES, |found| Ok::<_, io::Error>(Version::from(found)));
        let (bytes, version) = read.map_err(|e| e.to_string())?;
        Ok(Some((version, Arc::new(parse(&String::from_utf8_lossy(&bytes))))))
    }

    fn file(&self, path: &Path) -> (Arc<Look>, Option<(Version, Arc<T>)>) {
        let mut files = self.files();
        if files.len() >= MAX_KEPT && !files.contains_key(path) {
            files.clear();
        }
        let file =
            files.entry(path.to_path_buf()).or_insert_with(|| File { look: Arc::default(), content: None });
        (file.look.clone(), file.content.clone())
    }

    fn files(&self) -> MutexGuard<'_, HashMap<PathBuf, File<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
