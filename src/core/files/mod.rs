//! Files that are never half-written: atomic replacement, 0600 for secrets.
//!
//! A reader sees the old content or the new one, also after a crash: content
//! goes to a temporary file in the same directory, is synced, and is renamed
//! over the target.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

mod together;
mod version;

pub use together::Together;
pub use version::Version;

/// Mode of files that hold secrets: private keys, seeds, tokens.
pub const SECRET: u32 = 0o600;
/// Mode of files anybody may read: certificates, status files.
pub const PUBLIC: u32 = 0o644;

/// Replaces `path` with `content` and permission bits `mode` in one step.
///
/// The temporary file is created with mode 0600 and widened only once it is
/// complete, so a secret is at no moment readable by others. Symbolic links
/// are resolved, the link stays. Errors name the path.
pub fn write_atomic(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    let dir = match target.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let named = |e: io::Error| io::Error::new(e.kind(), format!("cannot write {}: {e}", path.display()));
    let mut temp = tempfile::Builder::new().prefix(".choria-").tempfile_in(dir).map_err(named)?;
    temp.write_all(content).map_err(named)?;
    temp.as_file().set_permissions(fs::Permissions::from_mode(mode)).map_err(named)?;
    temp.as_file().sync_all().map_err(named)?;
    temp.persist(&target).map_err(|e| named(e.error))?;
    // The rename itself must survive a crash too.
    if let Ok(dir) = File::open(dir) {
        let _ = dir.sync_all();
    }
    Ok(())
}

/// Reads at most `limit` bytes of `path`; a longer file is an error, not a
/// silent cut.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("cannot read {}: {e}", path.display()));
    let mut content = Vec::new();
    let read = File::open(path).and_then(|f| f.take(limit + 1).read_to_end(&mut content)).map_err(named)?;
    if read as u64 > limit {
        let kind = io::ErrorKind::FileTooLarge;
        return Err(io::Error::new(kind, format!("{} is larger than {limit} bytes", path.display())));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_has_the_new_content_and_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed");
        write_atomic(&path, b"one", PUBLIC).unwrap();
        write_atomic(&path, b"two", SECRET).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, SECRET);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays behind");
    }

    #[test]
    fn a_link_keeps_pointing_at_its_target() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("real"), dir.path().join("link"));
        write_atomic(&target, b"one", PUBLIC).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        write_atomic(&link, b"two", PUBLIC).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"two");
    }

    #[test]
    fn a_file_over_the_limit_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("big");
        fs::write(&path, [0; 11]).unwrap();
        assert_eq!(read_bounded(&path, 11).unwrap().len(), 11);
        assert!(read_bounded(&path, 10).unwrap_err().to_string().contains("big"));
    }
}
