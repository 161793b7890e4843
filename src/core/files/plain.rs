//! Plain files that somebody else names: never a pipe, a terminal or a device, and none that
//! waits for what never comes.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags, openat};

/// Nothing is waited for, and no terminal becomes that of this process.
const UNMOVED: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
/// Where files are that the kernel makes up while they are read.
const MADE_UP: [&str; 2] = ["/proc", "/sys"];

/// Reads at most `limit` bytes of a plain file; anything else is an error, also a longer one.
///
/// # Errors
/// It cannot be read; the path is named.
pub fn read_plain(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let read = || -> io::Result<Vec<u8>> {
        let file = File::from(openat(CWD, path, OFlags::RDONLY | UNMOVED, Mode::empty())?);
        content(file, limit).map(|(content, _)| content)
    };
    read().map_err(|e| named(path, &e))
}

/// [`read_plain`] of a file that is named by who need not have any rights here: nothing below
/// `/proc` and `/sys`. Says as well whether only root and this user can have written it: file
/// and directory are theirs, and nobody else's to write.
///
/// # Errors
/// It cannot be read; the path is named.
pub fn read_named(path: &Path, limit: u64) -> io::Result<(Vec<u8>, bool)> {
    let read = || -> io::Result<(Vec<u8>, bool)> {
        let real = path.canonicalize()?;
        if MADE_UP.iter().any(|place| real.starts_with(place)) {
            return Err(io::Error::other("it is made up by the kernel, and no file of a disk"));
        }
        let name = real.file_name().ok_or_else(|| io::Error::other("it is no plain file"))?;
        // a step at a time, none of them a link: what is refused above is not come by here
        let way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut directory = openat(CWD, "/", way, Mode::empty())?;
        for part in real.parent().into_iter().flat_map(Path::components) {
            if let Component::Normal(part) = part {
                directory = openat(&directory, part, way, Mode::empty())?;
            }
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | UNMOVED;
        let file = File::from(openat(&directory, name, flags, Mode::empty())?);
        let place = File::from(directory).metadata()?;
        let (content, about) = content(file, limit)?;
        Ok((content, only_ours(&about) && only_ours(&place)))
    };
    read().map_err(|e| named(path, &e))
}

fn content(file: File, limit: u64) -> io::Result<(Vec<u8>, Metadata)> {
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut content = Vec::new();
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    if read as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")));
    }
    Ok((content, about))
}

fn only_ours(about: &Metadata) -> bool {
    let owner = about.uid();
    (owner == 0 || owner == rustix::process::geteuid().as_raw()) && about.mode() & 0o022 == 0
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_never_ends_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        for path in [pipe.as_path(), Path::new("/dev/zero"), Path::new("/")] {
            for told in [read_plain(path, 10).unwrap_err(), read_named(path, 10).unwrap_err()] {
                assert!(told.to_string().ends_with("it is no plain file"), "{told}");
            }
        }
        // by a link, and by a way around as well
        std::os::unix::fs::symlink("/proc/version", dir.path().join("link")).unwrap();
        for path in
            [dir.path().join("link"), "/etc/../proc/version".into(), "/sys/kernel/uevent_seqnum".into()]
        {
            if path.exists() {
                let told = read_named(&path, 1 << 20).unwrap_err().to_string();
                assert!(told.contains("made up by the kernel"), "{told}");
            }
        }
        assert!(!read_plain(Path::new("/proc/version"), 1 << 20).unwrap().is_empty());
    }

    #[test]
    fn what_others_can_write_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules.yaml");
        fs::write(&file, "rules").unwrap();
        for (file_mode, dir_mode, ours) in
            [(0o644, 0o755, true), (0o664, 0o755, false), (0o646, 0o755, false), (0o644, 0o1777, false)]
        {
            fs::set_permissions(&file, Permissions::from_mode(file_mode)).unwrap();
            fs::set_permissions(dir.path(), Permissions::from_mode(dir_mode)).unwrap();
            let read = read_named(&file, 5).unwrap();
            assert_eq!(read, (b"rules".to_vec(), ours), "{file_mode:o} {dir_mode:o}");
        }
        assert!(read_named(&file, 4).unwrap_err().to_string().ends_with("larger than 4 bytes"));
    }
}
