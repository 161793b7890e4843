//! Whether a file has changed since it was read.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What tells one state of a file from another, without reading it: a file written
/// again, or replaced by another of its name. Times alone are too coarse on some file
/// systems and can be set back; a replaced file has another inode.
///
/// To be taken before the file is read: a change in between is then seen next time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    modified: (i64, i64),
    changed: (i64, i64),
    length: u64,
    inode: (u64, u64),
}

impl Version {
    /// That of `path` now; links are followed. Costs a `stat`.
    ///
    /// # Errors
    /// That of the system, without the path.
    pub fn of(path: &Path) -> io::Result<Version> {
        std::fs::metadata(path).map(|metadata| Version::from(&metadata))
    }
}

impl From<&Metadata> for Version {
    fn from(metadata: &Metadata) -> Version {
        Version {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            length: metadata.len(),
            inode: (metadata.dev(), metadata.ino()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::core::files::{PUBLIC, write_atomic};

    #[test]
    fn every_kind_of_change_makes_another_version() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("facts.json");
        assert_eq!(Version::of(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&path, "one").unwrap();
        let first = Version::of(&path).unwrap();
        assert_eq!(Version::of(&path).unwrap(), first, "reading it is no change");
        fs::write(&path, "three").unwrap();
        let longer = Version::of(&path).unwrap();
        assert_ne!(longer, first);
        // replaced by one as long, with the time of writing of the other
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        write_atomic(&path, b"seven", PUBLIC).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
        assert_ne!(Version::of(&path).unwrap(), longer);
    }
}
