//! `--output-file`: results in a file that is replaced when there are some.
//!
//! A request that is refused, or finds nobody, leaves the file of the last one
//! as it is; whoever reads it meanwhile sees the old results or the new ones.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use choria::core::files::{plain, resolved};
use tempfile::NamedTempFile;

/// The file results go to; clones write to the same.
#[derive(Clone)]
pub struct ResultFile(Rc<RefCell<Open>>);

struct Open {
    name: String,
    to: To,
}

enum To {
    /// Becomes the file when all is written.
    Beside {
        temporary: NamedTempFile,
        target: PathBuf,
    },
    /// A device, a pipe, or a file in a directory where nothing can be made;
    /// false until the first result, which empties a file.
    Straight(File, bool),
    Kept,
}

impl ResultFile {
    /// Opens `name` so that results can be written, and changes nothing yet.
    ///
    /// # Errors
    /// The file cannot be written; it is named.
    pub fn open(name: &str) -> io::Result<ResultFile> {
        let to = open(Path::new(name)).map_err(|e| named(name, &e))?;
        Ok(ResultFile(Rc::new(RefCell::new(Open { name: name.to_owned(), to }))))
    }

    /// All is written: the file is what was written.
    ///
    /// # Errors
    /// The file could not be replaced; it is named.
    pub fn keep(&self) -> io::Result<()> {
        let mut open = self.0.borrow_mut();
        match std::mem::replace(&mut open.to, To::Kept) {
            To::Beside { mut temporary, target } => temporary
                .flush()
                .and_then(|()| temporary.persist(target).map(drop).map_err(|e| e.error))
                .map_err(|e| named(&open.name, &e)),
            To::Straight(..) | To::Kept => Ok(()),
        }
    }
}

fn open(name: &Path) -> io::Result<To> {
    let target = resolved(name)?;
    let existing = match fs::metadata(&target) {
        Ok(existing) => Some(existing),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    // What may not be written is not replaced either.
    let straight = match &existing {
        Some(_) => Some(OpenOptions::new().write(true).open(&target)?),
        None => None,
    };
    if let (Some(existing), Some(file)) = (&existing, straight) {
        if !existing.is_file() {
            return Ok(To::Straight(file, true));
        }
        return Ok(beside(&target, Permissions::from_mode(existing.permissions().mode() & 0o777), true)
            .unwrap_or(To::Straight(file, false)));
    }
    beside(&target, Permissions::from_mode(0o666), false)
}

fn beside(target: &Path, mode: Permissions, exactly: bool) -> io::Result<To> {
    let dir = match target.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let temporary = tempfile::Builder::new()
        .prefix(".choria-")
        .permissions(mode.clone())
        .tempfile_in(dir)
        .map_err(plain)?;
    if exactly {
        temporary.as_file().set_permissions(mode)?;
    }
    Ok(To::Beside { temporary, target: target.to_owned() })
}

fn named(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write {name}: {error}"))
}

impl Write for ResultFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let open = &mut *self.0.borrow_mut();
        let written = match &mut open.to {
            To::Beside { temporary, .. } => temporary.write(bytes),
            To::Straight(file, true) => file.write(bytes),
            To::Straight(file, begun) => file.set_len(0).and_then(|()| {
                *begun = true;
                file.write(bytes)
            }),
            To::Kept => return Err(named(&open.name, &io::Error::other("it was finished"))),
        };
        written.map_err(|e| if e.kind() == io::ErrorKind::Interrupted { e } else { named(&open.name, &e) })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_when_all_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let name = path.to_str().unwrap();
        let mut file = ResultFile::open(name).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        let mut file = ResultFile::open(name).unwrap();
        file.write_all(b"new").unwrap();
        file.keep().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays behind");
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for bad in [dir.path().to_str().unwrap(), "/nonexistent/out"] {
            let Err(e) = ResultFile::open(bad) else { panic!("{bad}") };
            assert!(e.to_string().contains(bad), "{e}");
        }
        let mut full = ResultFile::open("/dev/full").unwrap();
        let e = full.write_all(b"x").unwrap_err();
        assert!(e.to_string().contains("cannot write /dev/full"), "{e}");
    }
}
