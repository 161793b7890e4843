//! What is kept for a user, in places that are that user's own: whoever runs with the environment of
//! somebody else, such as by a sudo that keeps `HOME`, believes nothing that is found there.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

/// Others may write.
const OTHERS: u32 = 0o002;

/// Whether only this user, and root, can have put anything below a directory: it, or what there is above it, is
/// theirs, and not for everybody to write.
pub fn is_own(directory: &Path) -> bool {
    let existing = directory.ancestors().find(|dir| dir.symlink_metadata().is_ok());
    let about = existing.map(fs::metadata).and_then(Result::ok);
    about.is_some_and(|about| {
        about.is_dir() && about.uid() == rustix::process::geteuid().as_raw() && about.mode() & OTHERS == 0
    })
}

/// Opens a file of this user's: no link, nothing but a plain file, and nobody else's.
///
/// # Errors
/// It is none of these.
pub fn open_own(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(openat(CWD, path, flags, Mode::empty())?);
    let about = file.metadata()?;
    match about.is_file() && about.uid() == rustix::process::geteuid().as_raw() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is no file of this user's own")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_everybody_may_write_and_what_is_elsewhere_is_not_ones_own() {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_own(dir.path()) && is_own(&dir.path().join("not/there/yet")));
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(!is_own(&open) && !is_own(&open.join("below")));
        fs::write(dir.path().join("file"), "x").unwrap();
        assert!(!is_own(&dir.path().join("file")));
        symlink("/nonexistent", dir.path().join("dangling")).unwrap();
        assert!(!is_own(&dir.path().join("dangling/below")));

        assert!(open_own(&dir.path().join("file")).is_ok());
        symlink("file", dir.path().join("link")).unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
        for bad in ["link", "fifo", "open", "nosuch"] {
            assert!(open_own(&dir.path().join(bad)).is_err(), "{bad}");
        }
    }
}
