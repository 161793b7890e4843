//! Ways to files in directories that others may write to. A link is followed where root or
//! this node's own user laid it (`/var/run`, a disk somewhere else); one that anybody else
//! laid would have us read, or remove, what they may not.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, linkat, openat, readlinkat, unlinkat};
use rustix::io::Errno;

/// Links on the way that are followed.
const MOST_LINKS: usize = 40;
const NOWHERE_ELSE: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

/// The directory a path leads to, and the name there, which may be a link.
pub fn to(path: &Path) -> io::Result<(OwnedFd, OsString)> {
    walk(path, false)
}

/// The same of what a link of that name leads to.
pub fn through(path: &Path) -> io::Result<(OwnedFd, OsString)> {
    walk(path, true)
}

/// A regular file, to be read; opening it does not wait.
pub fn open(path: &Path) -> io::Result<File> {
    let (dir, name) = through(path)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | NOWHERE_ELSE;
    let file = File::from(openat(dir, name, flags, Mode::empty())?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other(format!("{} is no regular file", path.display()))),
    }
}

/// All of a regular file, which has at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let read = open(path)?.take(limit + 1).read_to_end(&mut content)?;
    match read as u64 > limit {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(content),
    }
}

/// Writes a file that must not be there, whole or not at all.
pub fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let (dir, name) = to(path)?;
    let new = format!(".choria-{}", uuid::Uuid::new_v4());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | NOWHERE_ELSE;
    let mut file = File::from(openat(&dir, &new, flags, Mode::RUSR | Mode::WUSR)?);
    let written = file
        .write_all(content)
        .and_then(|()| file.set_permissions(Permissions::from_mode(mode)))
        .and_then(|()| file.sync_all())
        .and_then(|()| Ok(linkat(&dir, &new, &dir, name, AtFlags::empty())?));
    unlinkat(&dir, &new, AtFlags::empty())?;
    written
}

/// Removes what is there and no directory.
pub fn remove(path: &Path) -> io::Result<()> {
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let (dir, name) = to(path)?;
    Ok(unlinkat(dir, name, AtFlags::empty())?)
}

/// The directory and the name a path ends with; the last part is looked at only to go
/// `through` it, and may be missing.
fn walk(path: &Path, through: bool) -> io::Result<(OwnedFd, OsString)> {
    let (mut dir, mut left, mut links) = (root()?, parts(path), 0);
    while let Some(part) = left.pop_front() {
        if left.is_empty() && !through {
            return Ok((dir, part));
        }
        let found = match openat(&dir, &part, OFlags::PATH | NOWHERE_ELSE, Mode::empty()) {
            Err(Errno::NOENT) if left.is_empty() => return Ok((dir, part)),
            found => found?,
        };
        let about = fstat(&found)?;
        match FileType::from_raw_mode(about.st_mode) {
            FileType::Symlink => {
                let ours = about.st_uid == 0 || about.st_uid == rustix::process::geteuid().as_raw();
                if !ours {
                    return Err(laid_by_others(&part));
                }
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::LOOP.into());
                }
                let target =
                    PathBuf::from(OsString::from_vec(readlinkat(&found, "", Vec::new())?.into_bytes()));
                if target.is_absolute() {
                    dir = root()?;
                }
                parts(&target).into_iter().rev().for_each(|part| left.push_front(part));
            }
            _ if left.is_empty() => return Ok((dir, part)),
            FileType::Directory => dir = found,
            _ => return Err(Errno::NOTDIR.into()),
        }
    }
    Err(io::ErrorKind::IsADirectory.into())
}

fn root() -> io::Result<OwnedFd> {
    Ok(openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let named = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    named.map(|part| part.as_os_str().to_owned()).collect()
}

fn laid_by_others(link: &OsStr) -> io::Error {
    let problem = format!("the link {} was laid by somebody else and is not followed", link.display());
    io::Error::new(io::ErrorKind::PermissionDenied, problem)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{lchown, symlink};

    use super::*;

    #[test]
    fn links_of_others_are_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().canonicalize().unwrap();
        let at = |name: &str| dir.join(name);
        fs::create_dir(at("real")).unwrap();
        fs::write(at("real/file"), "content").unwrap();
        symlink("real", at("ours")).unwrap();
        symlink(at("ours/../ours/file"), at("real/more")).unwrap();
        assert_eq!(read(&at("ours/more"), 7).unwrap(), b"content");
        assert_eq!(read(&at("ours/file"), 6).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(&at("ours/missing"), 6).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(read(&at("none/missing"), 6).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(read(&at("ours"), 6).unwrap_err().to_string().contains("no regular file"));
        symlink("loop", at("loop")).unwrap();
        assert!(read(&at("loop/file"), 6).is_err() && read(Path::new("/"), 6).is_err());
        // nobody writes to it, and nobody waits for that
        assert!(std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
        assert!(read(&at("fifo"), 6).is_err());
        write_new(&at("ours/new"), b"new", 0o644).unwrap();
        assert_eq!(fs::metadata(at("real/new")).unwrap().permissions().mode() & 0o777, 0o644);
        symlink("nowhere", at("real/dangling")).unwrap();
        for there in ["ours/new", "ours/dangling"] {
            let refused = write_new(&at(there), b"other", 0o644).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        }
        remove(&at("ours/dangling")).unwrap();
        remove(&at("ours/more")).unwrap();
        assert!(remove(&at("real")).is_err() && remove(&at("ours/")).is_err());
        assert_eq!(fs::read_dir(at("real")).unwrap().count(), 2, "nothing else is left or gone");
        if !rustix::process::geteuid().is_root() {
            return eprintln!("not root: links of others were NOT tried");
        }
        symlink("real", at("theirs")).unwrap();
        symlink("real/file", at("lock")).unwrap();
        for link in ["theirs", "lock"] {
            lchown(at(link), Some(65534), Some(65534)).unwrap();
        }
        for path in ["theirs/file", "lock"] {
            let refused = read(&at(path), 7).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{refused}");
        }
        assert!(remove(&at("theirs/file")).is_err() && write_new(&at("theirs/x"), b"", 0o600).is_err());
        assert_eq!(fs::read(at("real/file")).unwrap(), b"content");
        // a link itself may go, whoever laid it
        remove(&at("lock")).unwrap();
    }
}
