//! Directories of a process that go with it, and at the latest with the next of its kind:
//! who is killed tidies nothing up.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use tempfile::{Builder, TempDir};

/// Makes `PREFIXpid.namespace-…` in `parent`, for nobody else to look into, and removes what processes that are gone
/// have left of this prefix there. Processes of other containers, which may share the directory, are not ours to judge.
///
/// # Errors
/// No directory can be made there.
pub fn scratch(parent: &Path, prefix: &str) -> io::Result<TempDir> {
    sweep(parent, prefix);
    own_scratch(parent, prefix)
}

/// The same without a look at what others have left.
///
/// # Errors
/// No directory can be made there.
pub fn own_scratch(parent: &Path, prefix: &str) -> io::Result<TempDir> {
    let prefix = format!("{prefix}{}.{}-", std::process::id(), namespace());
    Builder::new().prefix(&prefix).permissions(Permissions::from_mode(0o700)).tempdir_in(parent)
}

/// The namespace that numbers of processes are of here; 0 where that is not told.
fn namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |found| found.ino())
}

/// The process and its namespace in what follows the prefix of a name.
fn owner(rest: &str) -> Option<(u32, u64)> {
    let (pid, namespace) = rest.split_once('-')?.0.split_once('.')?;
    Some((pid.parse().ok()?, namespace.parse().ok()?))
}

fn sweep(parent: &Path, prefix: &str) {
    let (me, here) = (rustix::process::geteuid().as_raw(), namespace());
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| owner(name.strip_prefix(prefix)?));
        let gone = owner.is_some_and(|(pid, namespace)| {
            namespace == here && here != 0 && !Path::new(&format!("/proc/{pid}")).exists()
        });
        // The entry itself is looked at: a link somebody laid out there is not followed.
        let ours = entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == me);
        if gone && ours {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dead_left_goes_and_what_the_living_have_stays() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let here = namespace();
        let dead = format!("choria-x-{}.{here}-abc", u32::MAX);
        let living = format!("choria-x-{}.{here}-abc", std::process::id());
        let elsewhere = format!("choria-x-{}.{}-abc", u32::MAX, here + 1);
        for name in [&dead, &living, &elsewhere, "choria-x-abc", "other"] {
            fs::create_dir(at(name)).unwrap();
        }
        let link = format!("choria-x-{}.{here}-link", u32::MAX - 1);
        std::os::unix::fs::symlink(at("other"), at(&link)).unwrap();
        let own = scratch(dir.path(), "choria-x-").unwrap();
        assert_eq!(own.path().metadata().unwrap().mode() & 0o777, 0o700);
        assert!(!at(&dead).exists());
        assert!(
            at(&living).exists()
                && at(&elsewhere).exists()
                && at("choria-x-abc").exists()
                && at("other").exists()
        );
        let path = own.path().to_owned();
        drop(own);
        assert!(!path.exists());
    }
}
