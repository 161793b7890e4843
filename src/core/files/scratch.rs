//! Directories of a process that go with it, and at the latest with the next of its kind:
//! who is killed tidies nothing up.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use tempfile::{Builder, TempDir};

/// Makes `PREFIXpid-…` in `parent`, for nobody else to look into, and removes what processes that are gone have left of
/// this prefix there.
///
/// # Errors
/// No directory can be made there.
pub fn scratch(parent: &Path, prefix: &str) -> io::Result<TempDir> {
    sweep(parent, prefix);
    let prefix = format!("{prefix}{}-", std::process::id());
    Builder::new().prefix(&prefix).permissions(Permissions::from_mode(0o700)).tempdir_in(parent)
}

fn sweep(parent: &Path, prefix: &str) {
    let me = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid =
            name.to_str().and_then(|name| name.strip_prefix(prefix)?.split_once('-')?.0.parse::<u32>().ok());
        let gone = pid.is_some_and(|pid| {
            Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{pid}")).exists()
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
        let dead = format!("choria-x-{}-abc", u32::MAX);
        let living = format!("choria-x-{}-abc", std::process::id());
        for name in [&dead, &living, "choria-x-abc", "other"] {
            fs::create_dir(at(name)).unwrap();
        }
        std::os::unix::fs::symlink(at("other"), at(&format!("choria-x-{}-link", u32::MAX - 1))).unwrap();
        let own = scratch(dir.path(), "choria-x-").unwrap();
        assert_eq!(own.path().metadata().unwrap().mode() & 0o777, 0o700);
        assert!(!at(&dead).exists());
        assert!(at(&living).exists() && at("choria-x-abc").exists() && at("other").exists());
        let path = own.path().to_owned();
        drop(own);
        assert!(!path.exists());
    }
}
