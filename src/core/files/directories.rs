//! Directories with the modes that are meant, whatever the umask of who makes them.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

/// Makes a directory and those above it that are missing, with these permission bits: under `sudo`
/// the umask is that of a person, who may keep more to themselves than what others have to read.
/// What is there stays as it is. Errors name the directory.
///
/// # Errors
/// It cannot be made.
pub fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    let missing = |dir: &&Path| !dir.as_os_str().is_empty() && fs::metadata(dir).is_err();
    let mut missing: Vec<PathBuf> = path.ancestors().take_while(missing).map(Path::to_owned).collect();
    while let Some(dir) = missing.pop() {
        make(&dir, mode)
            .map_err(|e| io::Error::new(e.kind(), format!("cannot make {}: {e}", dir.display())))?;
    }
    match path.as_os_str().is_empty() || path.is_dir() {
        true => Ok(()),
        false => {
            let text = format!("{} is there already, and is no directory", path.display());
            Err(io::Error::new(io::ErrorKind::NotADirectory, text))
        }
    }
}

fn make(dir: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(dir) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => return Ok(()),
        made => made?,
    }
    // By its descriptor: in somebody's directory the name may be a link by now.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    File::from(openat(CWD, dir, flags, Mode::empty())?).set_permissions(Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let at = |name: &str| dir.path().join(name);
        make_directory(&at("a/b/c"), 0o755).unwrap();
        assert_eq!(["a", "a/b", "a/b/c"].map(|name| mode(&at(name))), [0o755; 3]);
        fs::set_permissions(at("a"), Permissions::from_mode(0o711)).unwrap();
        make_directory(&at("a/b"), 0o700).unwrap();
        make_directory(&at("a/d"), 0o770).unwrap();
        assert_eq!(["a", "a/b", "a/d"].map(|name| mode(&at(name))), [0o711, 0o755, 0o770]);
        fs::write(at("file"), "").unwrap();
        let refused = make_directory(&at("file"), 0o755).unwrap_err().to_string();
        assert!(refused.ends_with("file is there already, and is no directory"), "{refused}");
        assert!(make_directory(&at("file/x"), 0o755).unwrap_err().to_string().contains("cannot make"));
    }
}
