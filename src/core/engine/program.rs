//! Which nats-server, and whether it is one we can work with.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::core::programs::{self, Program};

/// The oldest release that does what is asked of it here.
const OLDEST: (u32, u32) = (2, 10);
/// Where packages put it beside the directories of a path.
const PACKAGED: [&str; 3] =
    ["/usr/libexec/choria/nats-server", "/usr/sbin/nats-server", "/usr/local/bin/nats-server"];
/// Time to say its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no program to run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// Not where the configuration says.
    #[error("plugin.choria.network.nats_server: {0} is no program that can be run")]
    Configured(PathBuf),
    /// Nowhere.
    #[error(
        "brokers that are more than one, and streams, need nats-server 2.10 or newer, and there is none in PATH; install \
         it, or say where it is by plugin.choria.network.nats_server"
    )]
    Missing,
    /// It does not say.
    #[error("{} does not say its version as nats-server does: {reason}", .program.display())]
    Unknown {
        /// Which.
        program: PathBuf,
        /// What it did.
        reason: String,
    },
    /// Too old.
    #[error("{} is version {version}; 2.10 or newer is needed", .program.display())]
    Old {
        /// Which.
        program: PathBuf,
        /// What it says.
        version: String,
    },
}

/// Finds it: what is configured, else in `path`, else where packages put it.
///
/// # Errors
/// [`ProgramError::Configured`] or [`ProgramError::Missing`].
pub fn find(configured: &str, path: Option<&OsStr>) -> Result<PathBuf, ProgramError> {
    if !configured.is_empty() {
        let program = PathBuf::from(configured);
        return match programs::executable(&program) {
            true => Ok(program),
            false => Err(ProgramError::Configured(program)),
        };
    }
    let packaged = || PACKAGED.iter().map(PathBuf::from).find(|program| programs::executable(program));
    programs::find("nats-server", path).or_else(packaged).ok_or(ProgramError::Missing)
}

/// Asks it for its version, and refuses one that is too old.
///
/// # Errors
/// [`ProgramError::Unknown`] or [`ProgramError::Old`].
pub async fn check(program: &Path) -> Result<String, ProgramError> {
    let unknown = |reason: String| ProgramError::Unknown { program: program.to_owned(), reason };
    let asked = Program::new(program).args(["--version"]).limit(PATIENCE).most(4096).run().await;
    let ended = asked.map_err(|error| unknown(error.to_string()))?;
    let said = String::from_utf8_lossy(&ended.output).into_owned();
    let version =
        version(&said).ok_or_else(|| unknown(format!("it says '{}' ({})", said.trim(), ended.status)))?;
    match version.1 >= OLDEST {
        true => Ok(version.0),
        false => Err(ProgramError::Old { program: program.to_owned(), version: version.0 }),
    }
}

/// `nats-server: v2.10.26`, and newer forms of it.
fn version(said: &str) -> Option<(String, (u32, u32))> {
    let text = said.trim().strip_prefix("nats-server:")?.trim().trim_start_matches('v');
    let mut numbers = text.split(['.', '-']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if text.len() < 64 => Some((text.to_owned(), (major, minor))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn versions_are_read() {
        for (said, expected) in [
            ("nats-server: v2.10.26\n", Some((2, 10))),
            ("nats-server: v2.15.0-RC.1", Some((2, 15))),
            ("nats-server: 3.0.1", Some((3, 0))),
            ("nats-server: v2", None),
            ("nats-streaming: v2.10.1", None),
            ("", None),
        ] {
            assert_eq!(version(said).map(|(_, numbers)| numbers), expected, "{said}");
        }
    }

    /// A program that says this.
    fn saying(dir: &Path, words: &str) -> PathBuf {
        let program = dir.join("nats-server");
        std::fs::write(&program, format!("#!/bin/sh\necho '{words}'\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        program
    }

    #[tokio::test]
    async fn programs_are_found_and_judged() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = dir.path().join("nothing");
        let missing = find(nowhere.to_str().unwrap(), None).unwrap_err();
        assert_eq!(missing, ProgramError::Configured(nowhere));
        let program = saying(dir.path(), "nats-server: v2.9.25");
        assert_eq!(find("", Some(dir.path().as_os_str())), Ok(program.clone()));
        let old = check(&program).await.unwrap_err();
        assert!(old.to_string().ends_with("is version 2.9.25; 2.10 or newer is needed"), "{old}");
        saying(dir.path(), "nats-server: v2.10.0");
        assert_eq!(check(&program).await, Ok("2.10.0".to_owned()));
        saying(dir.path(), "hello");
        let unknown = check(&program).await.unwrap_err();
        assert!(unknown.to_string().contains("it says 'hello' (exit status: 0)"), "{unknown}");
    }
}
