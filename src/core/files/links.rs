//! Where a path leads that is written to.
//!
//! Files are replaced by renaming, so links are resolved first, and the kernel, which follows no
//! link of a stranger's in a directory like `/tmp`, is not asked to. Its rule holds here as well
//! (`fs.protected_symlinks`): in a directory that everybody may write to and that is sticky, a
//! link counts only if it is this user's or the directory's owner's.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Links of one path, as the kernel has it.
const MOST: usize = 40;
/// Sticky, and for everybody to write.
const SHARED: u32 = 0o1002;

/// The path without links; what is not there stays as it is named.
///
/// # Errors
/// A link of somebody else's in a directory of everybody's, or too many of them; the path is named.
pub fn resolved(path: &Path) -> io::Result<PathBuf> {
    let named = |why: &str| {
        io::Error::new(io::ErrorKind::PermissionDenied, format!("cannot write {}: {why}", path.display()))
    };
    let mut done = PathBuf::from("/");
    let mut rest: VecDeque<OsString> = VecDeque::new();
    if path.is_relative() {
        done = std::env::current_dir()?;
    }
    prepend(&mut rest, path);
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            done.pop();
            continue;
        }
        let next = done.join(&part);
        let about = match fs::symlink_metadata(&next) {
            Ok(about) if about.is_symlink() => about,
            _ => {
                done = next;
                continue;
            }
        };
        links += 1;
        if links > MOST {
            return Err(named("it goes by too many links"));
        }
        if !counts(&about, fs::metadata(&done).ok().as_ref()) {
            return Err(named("it is a link of another user in a directory of everybody's"));
        }
        let target = fs::read_link(&next)?;
        // what a process has open has a name of the kernel's, and may have no other
        if done.starts_with("/proc") && !target.exists() {
            done = next;
            continue;
        }
        if target.is_absolute() {
            done = PathBuf::from("/");
        }
        prepend(&mut rest, &target);
    }
    Ok(done)
}

/// Whether a link is followed, by what it is and the directory it is in.
fn counts(link: &Metadata, directory: Option<&Metadata>) -> bool {
    directory.is_some_and(|directory| {
        directory.mode() & SHARED != SHARED
            || link.uid() == rustix::process::geteuid().as_raw()
            || link.uid() == directory.uid()
    })
}

fn prepend(rest: &mut VecDeque<OsString>, path: &Path) {
    for part in path.components().rev() {
        match part {
            Component::Normal(name) => rest.push_front(name.to_owned()),
            Component::ParentDir => rest.push_front("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};

    use super::*;

    #[test]
    fn links_are_resolved_as_the_system_does() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "").unwrap();
        symlink("b", root.join("a/link")).unwrap();
        symlink(root.join("a/link/file"), root.join("whole")).unwrap();
        symlink("../a/./link/none", root.join("a/gone")).unwrap();
        for path in ["a/b/file", "a/link/file", "whole", "a/../whole"] {
            assert_eq!(resolved(&root.join(path)).unwrap(), root.join("a/b/file"), "{path}");
        }
        assert_eq!(resolved(&root.join("a/gone")).unwrap(), root.join("a/b/none"));
        assert_eq!(resolved(Path::new("x/y")).unwrap(), std::env::current_dir().unwrap().join("x/y"));
        symlink("round", root.join("round")).unwrap();
        assert!(resolved(&root.join("round")).unwrap_err().to_string().contains("too many links"));
    }

    #[test]
    fn a_strangers_link_in_a_directory_of_everybodys_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let shared = root.join("shared");
        fs::create_dir(&shared).unwrap();
        symlink(root.join("victim"), shared.join("out.json")).unwrap();
        symlink(&root, shared.join("down")).unwrap();
        let victim = root.join("victim");
        assert_eq!(resolved(&shared.join("out.json")).unwrap(), victim);
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(resolved(&shared.join("out.json")).unwrap(), victim, "one's own");
        if !rustix::process::geteuid().is_root() {
            return println!("not tried: links of others take root to make");
        }
        for name in ["out.json", "down"] {
            lchown(shared.join(name), Some(65534), None).unwrap();
        }
        for path in ["out.json", "down/victim"] {
            let error = resolved(&shared.join(path)).unwrap_err().to_string();
            assert!(error.contains("a link of another user"), "{error}");
        }
        assert!(crate::core::files::write_atomic(&shared.join("out.json"), b"x", 0o600).is_err());
        assert!(!victim.exists());
        // nothing of a stranger's lies where only root may write
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(resolved(&shared.join("out.json")).unwrap(), victim);
    }
}
