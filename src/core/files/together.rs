//! Several files that change together: all of them, or none.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use super::resolved;

/// Prefix of everything that stands beside a file while it changes.
const PREFIX: &str = ".choria-";

/// Changes that are prepared beside their targets, made in one go, and taken
/// back when this is dropped before [`keep`](Together::keep).
///
/// What it cannot do is survive the end of the process half-way: whoever uses
/// it lets one file last, written by itself, say that all others count.
#[derive(Debug, Default)]
pub struct Together {
    changes: Vec<Change>,
    /// Directories that were made, outer ones first.
    made: Vec<PathBuf>,
}

#[derive(Debug)]
struct Change {
    target: PathBuf,
    /// The new content; none removes the file.
    new: Option<NamedTempFile>,
    state: State,
}

#[derive(Debug)]
enum State {
    Prepared,
    /// With what was there before.
    Made(Option<TempPath>),
}

impl Together {
    /// Prepares a file; its directory has to exist. Symbolic links are resolved.
    ///
    /// # Errors
    /// A directory that cannot be written.
    pub fn write(&mut self, path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
        let target = resolved(path)?;
        let named = |e: io::Error| io::Error::new(e.kind(), format!("cannot write {}: {e}", path.display()));
        let mut new = tempfile::Builder::new().prefix(PREFIX).tempfile_in(parent(&target)).map_err(named)?;
        new.write_all(content).map_err(named)?;
        new.as_file().set_permissions(Permissions::from_mode(mode)).map_err(named)?;
        new.as_file().sync_all().map_err(named)?;
        self.changes.push(Change { target, new: Some(new), state: State::Prepared });
        Ok(())
    }

    /// Prepares that a file goes; one that is not there is fine.
    pub fn remove(&mut self, path: &Path) {
        self.changes.push(Change { target: path.to_owned(), new: None, state: State::Prepared });
    }

    /// Makes a directory, and those above it, where there is none; `mode` is for it alone.
    ///
    /// # Errors
    /// A place where none can be made.
    pub fn directory(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
            self.directory(above, 0o755)?;
        }
        DirBuilder::new()
            .mode(mode)
            .create(path)
            .map_err(|e| io::Error::new(e.kind(), format!("cannot make {}: {e}", path.display())))?;
        self.made.push(path.to_owned());
        Ok(())
    }

    /// Makes all changes.
    ///
    /// # Errors
    /// The first that could not be made; those before it are taken back when this is dropped.
    pub fn make(&mut self) -> io::Result<()> {
        for change in &mut self.changes {
            change.make()?;
        }
        Ok(())
    }

    /// The changes stay.
    pub fn keep(mut self) {
        // what was there before goes with the changes
        self.changes.clear();
        self.made.clear();
    }
}

impl Change {
    fn make(&mut self) -> io::Result<()> {
        let target = &self.target;
        let named =
            |e: io::Error| io::Error::new(e.kind(), format!("cannot change {}: {e}", target.display()));
        let before = match fs::symlink_metadata(target) {
            Err(_) => None,
            Ok(_) => {
                let place =
                    tempfile::Builder::new().prefix(PREFIX).tempfile_in(parent(target)).map_err(named)?;
                let place = place.into_temp_path();
                match &self.new {
                    // no moment without the file
                    Some(_) => {
                        fs::remove_file(&place).map_err(named)?;
                        let linked = fs::hard_link(target, &place);
                        linked.or_else(|_| fs::copy(target, &place).map(|_| ())).map_err(named)?;
                    }
                    None => fs::rename(target, &place).map_err(named)?,
                }
                Some(place)
            }
        };
        if let Some(new) = self.new.take()
            && let Err(e) = new.persist(target)
        {
            return Err(named(e.error));
        }
        self.state = State::Made(before);
        Ok(())
    }

    fn undo(self) {
        let State::Made(before) = self.state else { return };
        let undone = match before {
            Some(before) => before.persist(&self.target).map_err(|e| e.error),
            None => match fs::remove_file(&self.target) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            },
        };
        if let Err(e) = undone {
            tracing::error!("{} could not be put back as it was: {e}", self.target.display());
        }
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        while let Some(change) = self.changes.pop() {
            change.undo();
        }
        while let Some(made) = self.made.pop() {
            // not empty: somebody else has come to use it
            let _ = fs::remove_dir(made);
        }
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(dir: &Path) -> Vec<(String, String)> {
        let mut found = vec![];
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            found.push((name, fs::read_to_string(&path).unwrap_or_default()));
        }
        found.sort();
        found
    }

    #[test]
    fn all_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("a"), "old").unwrap();
        fs::write(at("gone"), "x").unwrap();
        let before = listing(dir.path());
        let prepare = |change: &mut Together| {
            change.write(&at("a"), b"new", 0o644).unwrap();
            change.write(&at("b"), b"new", 0o600).unwrap();
            change.remove(&at("gone"));
            change.remove(&at("never there"));
            change.directory(&at("deep/er"), 0o700).unwrap();
            change.write(&at("deep/er/c"), b"new", 0o400).unwrap();
        };
        let mut change = Together::default();
        prepare(&mut change);
        drop(change);
        assert_eq!(listing(dir.path()), before, "prepared only");
        let mut change = Together::default();
        prepare(&mut change);
        change.make().unwrap();
        assert_eq!(fs::read_to_string(at("a")).unwrap(), "new");
        assert!(!at("gone").exists());
        drop(change);
        assert_eq!(listing(dir.path()), before, "made and taken back");
        let mut change = Together::default();
        prepare(&mut change);
        change.make().unwrap();
        change.keep();
        let names: Vec<String> = listing(dir.path()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b", "deep"]);
        assert_eq!(fs::metadata(at("deep/er/c")).unwrap().permissions().mode() & 0o777, 0o400);
        assert_eq!(fs::metadata(at("deep/er")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_fails_half_way_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("a"), "old").unwrap();
        fs::create_dir_all(at("c/full")).unwrap();
        let before = listing(dir.path());
        let mut change = Together::default();
        change.write(&at("a"), b"new", 0o644).unwrap();
        change.write(&at("b"), b"new", 0o644).unwrap();
        // a directory is no file
        change.changes.push(Change {
            target: at("c"),
            new: Some(NamedTempFile::new_in(dir.path()).unwrap()),
            state: State::Prepared,
        });
        assert!(change.make().is_err());
        drop(change);
        assert_eq!(listing(dir.path()), before);
    }
}
