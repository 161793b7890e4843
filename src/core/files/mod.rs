//! Files that are never half-written: atomic replacement, 0600 for secrets.
//!
//! A reader sees the old content or the new one, also after a crash: content
//! goes to a temporary file in the same directory, is synced, and is renamed
//! over the target.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

mod anew;
mod directories;
mod groups;
mod hanging;
mod links;
mod open_limit;
mod own;
mod plain;
mod reach;
mod scratch;
mod together;
mod version;
mod watched;

pub use anew::Anew;
pub use directories::make_directory;
pub use groups::{group_id, user_id};
pub use hanging::{
    DEADLINE, passing_over, unless_it_hangs, unless_it_hangs_long, unless_its_start_hangs, unless_ours_hangs,
    within_deadline,
};
pub use links::resolved;
pub use open_limit::raise_open_limit;
pub use own::{is_own, open_own};
pub use plain::{read_named, read_plain};
pub use reach::Reader;
pub use scratch::{own_scratch, scratch};
pub use together::Together;
pub use version::Version;
pub use watched::{Look, Watched, no_answer};

/// Mode of files that hold secrets: private keys, seeds, tokens.
pub const SECRET: u32 = 0o600;
/// Mode of files anybody may read: certificates, status files.
pub const PUBLIC: u32 = 0o644;

/// Replaces `path` with `content` and permission bits `mode` in one step.
///
/// The temporary file is created with mode 0600 and widened only once it is
/// complete, so a secret is at no moment readable by others. Symbolic links
/// are resolved, the link stays. What is there and is no file, such as `/dev/null` or a pipe behind
/// `/dev/stdout`, stays what it is, and is written to. Errors name the path.
pub fn write_atomic(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    if let Ok(about) = fs::metadata(path)
        && !about.is_file()
        && !about.is_dir()
    {
        return write_through(path, &about, content)
            .map_err(|e| io::Error::new(e.kind(), format!("cannot write {}: {e}", path.display())));
    }
    let target = resolved(path)?;
    let dir = match target.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let named = |e: io::Error| io::Error::new(e.kind(), format!("cannot write {}: {e}", path.display()));
    let mut temp =
        tempfile::Builder::new().prefix(".choria-").tempfile_in(dir).map_err(|e| named(plain(e)))?;
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

/// Writes to a device, or to what a process has open. A pipe of somebody's is not waited for.
fn write_through(path: &Path, about: &Metadata, content: &[u8]) -> io::Result<()> {
    let made_up = path.starts_with("/dev") || path.starts_with("/proc");
    if !about.file_type().is_char_device() && !made_up {
        return Err(io::Error::other("it is there already, and is no file"));
    }
    File::options().write(true).open(path)?.write_all(content)
}

/// An error without the name of the temporary file, which nobody has heard of.
pub fn plain(error: io::Error) -> io::Error {
    match error.to_string().split_once(" at path \"") {
        Some((why, _)) => io::Error::new(error.kind(), why),
        None => error,
    }
}

/// Writes a file that must not exist, whole or not at all: a link that leads nowhere is there
/// too. Errors name the path.
pub fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    write_new_of(path, content, mode, (None, None))
}

/// [`write_new`] of a file that is somebody else's: of this user and group, where given.
pub fn write_new_of(
    path: &Path,
    content: &[u8],
    mode: u32,
    (user, group): (Option<u32>, Option<u32>),
) -> io::Result<()> {
    let named = |e: io::Error| match e.kind() {
        io::ErrorKind::AlreadyExists => {
            io::Error::new(e.kind(), format!("{} is there already, it stays as it is", path.display()))
        }
        _ => io::Error::new(e.kind(), format!("cannot write {}: {e}", path.display())),
    };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temp =
        tempfile::Builder::new().prefix(".choria-").tempfile_in(dir).map_err(|e| named(plain(e)))?;
    temp.write_all(content).map_err(named)?;
    // By its descriptor: in somebody's directory the name may be another file's by now.
    if user.or(group).is_some() {
        std::os::unix::fs::fchown(temp.as_file(), user, group).map_err(named)?;
    }
    temp.as_file().set_permissions(fs::Permissions::from_mode(mode)).map_err(named)?;
    temp.as_file().sync_all().map_err(named)?;
    temp.persist_noclobber(path).map_err(|e| named(e.error))?;
    // The rename itself must survive a crash too.
    if let Ok(dir) = File::open(dir) {
        let _ = dir.sync_all();
    }
    Ok(())
}

/// Reads at most `limit` bytes of `path`; a longer file is an error, not a
/// silent cut.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_judged(path, limit, |_| Ok::<(), io::Error>(())).map(|(content, ())| content)
}

/// [`read_bounded`] of a file that `judge` has looked at: mode, owner, times are
/// those of what is then read, because both come by one descriptor. A path
/// looked at first and opened then may be another file by then.
///
/// # Errors
/// What `judge` says, before anything is read; then as [`read_bounded`].
pub fn read_judged<T, E: From<io::Error>>(
    path: &Path,
    limit: u64,
    judge: impl FnOnce(&Metadata) -> Result<T, E>,
) -> Result<(Vec<u8>, T), E> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("cannot read {}: {e}", path.display()));
    let file = File::open(path).map_err(named)?;
    let judged = judge(&file.metadata().map_err(named)?)?;
    let mut content = Vec::new();
    let read = file.take(limit + 1).read_to_end(&mut content).map_err(named)?;
    if read as u64 > limit {
        let kind = io::ErrorKind::FileTooLarge;
        return Err(io::Error::new(kind, format!("{} is larger than {limit} bytes", path.display())).into());
    }
    Ok((content, judged))
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
    fn what_is_no_file_stays_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (null, pipe) = (dir.path().join("null"), dir.path().join("pipe"));
        std::os::unix::fs::symlink("/dev/null", &null).unwrap();
        write_atomic(&null, b"x", SECRET).unwrap();
        write_atomic(Path::new("/dev/null"), b"x", SECRET).unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
            .unwrap();
        assert!(write_atomic(&pipe, b"x", SECRET).unwrap_err().to_string().contains("is no file"));
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        // what a process has open goes by a name as well
        let out = File::create(dir.path().join("out")).unwrap();
        let name = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&out));
        write_atomic(Path::new(&name), b"two", PUBLIC).unwrap();
        assert_eq!(fs::read(dir.path().join("out")).unwrap(), b"two");
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
    fn what_is_there_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("key"), dir.path().join("link"));
        write_new(&path, b"one", SECRET).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, SECRET);
        std::os::unix::fs::symlink(dir.path().join("nowhere"), &link).unwrap();
        for there in [&path, &link] {
            let refused = write_new(there, b"two", SECRET).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists, "{refused}");
        }
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary file stays behind");
    }

    /// Whoever exchanges the file between look and reading exchanges nothing.
    #[test]
    fn what_is_judged_is_what_is_read() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        write_atomic(&path, b"mine", SECRET).unwrap();
        let (content, mode) = read_judged(&path, 100, |found| {
            write_atomic(&path, b"another's", PUBLIC)?;
            Ok::<_, io::Error>(found.mode() & 0o777)
        })
        .unwrap();
        assert_eq!((content.as_slice(), mode), (b"mine".as_slice(), SECRET));
        let refused = read_judged(&path, 100, |_| Err::<(), _>(io::Error::other("no")));
        assert_eq!(refused.unwrap_err().to_string(), "no");
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
