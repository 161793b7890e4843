//! Where the program of an external agent is, and whether it may be run.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::core::programs::executable;

/// The program of the agent `name` whose interface lies in `dir`: a file of its name, or
/// one for this system in a directory of its name.
pub fn program(dir: &Path, name: &str) -> Option<PathBuf> {
    let plain = dir.join(name);
    let of_system = plain.join(format!("{name}-{}", os_arch()));
    [plain, of_system].into_iter().find(|path| path.is_file())
}

/// System and processor in the words of Go: `linux_amd64`.
pub fn os_arch() -> String {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        other => other,
    };
    format!("{os}_{arch}")
}

/// Whether a file may decide what this node runs: nobody but its owner and group can
/// write it, or replace it.
///
/// # Errors
/// What is wrong, as a sentence of its own.
pub fn trusted(file: &Path) -> Result<(), String> {
    const WORLD_WRITABLE: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    let of = |path: &Path| std::fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()));
    if of(file)?.mode() & WORLD_WRITABLE != 0 {
        return Err(format!("anybody may write {}, it is not used: chmod o-w", file.display()));
    }
    if let Some(dir) = file.parent() {
        let mode = of(dir)?.mode();
        if mode & WORLD_WRITABLE != 0 && mode & STICKY == 0 {
            return Err(format!(
                "anybody may replace {}, it is not used: chmod o-w {}",
                file.display(),
                dir.display()
            ));
        }
    }
    Ok(())
}

/// [`trusted`], and a program.
///
/// # Errors
/// As [`trusted`].
pub fn runnable(program: &Path) -> Result<(), String> {
    trusted(program)?;
    match executable(program) {
        true => Ok(()),
        false => Err(format!("{} is not executable: chmod +x", program.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn programs_stand_in_three_places() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(program(dir.path(), "demo"), None);
        fs::create_dir(dir.path().join("demo")).unwrap();
        let system = dir.path().join(format!("demo/demo-{}", os_arch()));
        fs::write(&system, "").unwrap();
        assert_eq!(program(dir.path(), "demo"), Some(system.clone()));
        fs::write(dir.path().join("demo/demo"), "").unwrap();
        assert_eq!(program(&dir.path().join("demo"), "demo"), Some(dir.path().join("demo/demo")));
        if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            assert_eq!(os_arch(), "linux_amd64");
        }
    }

    #[test]
    fn what_anybody_may_write_is_not_run() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("demo");
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        fs::write(&file, "").unwrap();
        mode(&file, 0o644);
        assert!(runnable(&file).unwrap_err().contains("not executable"));
        mode(&file, 0o775);
        assert_eq!(runnable(&file), Ok(()));
        mode(&file, 0o757);
        assert!(runnable(&file).unwrap_err().contains("anybody may write"));
        mode(&file, 0o755);
        mode(dir.path(), 0o777);
        assert!(runnable(&file).unwrap_err().contains("anybody may replace"));
        mode(dir.path(), 0o1777);
        assert_eq!(runnable(&file), Ok(()));
        assert!(trusted(&dir.path().join("none")).is_err());
    }
}
