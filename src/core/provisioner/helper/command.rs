//! The command line of a helper.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use super::HelperError;

/// A program that is there, and its arguments.
#[derive(Debug, Clone)]
pub(super) struct CommandLine {
    program: PathBuf,
    arguments: Vec<String>,
}

impl CommandLine {
    /// Splits as a shell does and finds the program, so that a helper that is
    /// not there keeps us from starting rather than every node from its turn.
    pub(super) fn parse(line: &str, path: Option<&OsStr>) -> Result<CommandLine, HelperError> {
        let unreachable = |text: &str| Err(HelperError::Unreachable(format!("helper {line:?} {text}")));
        let Some(words) = shlex::split(line) else {
            return unreachable("has a quote that is not closed");
        };
        let Some((name, arguments)) = words.split_first().filter(|(name, _)| !name.is_empty()) else {
            return unreachable("names no program");
        };
        let found = match name.contains('/') {
            true => Some(PathBuf::from(name)).filter(|program| executable(program)),
            false => {
                let dirs = path.map(std::env::split_paths).into_iter().flatten();
                dirs.map(|dir| dir.join(name)).find(|program| executable(program))
            }
        };
        match found {
            Some(program) => Ok(CommandLine { program, arguments: arguments.to_vec() }),
            None if name.contains('/') => unreachable("is no program that can be run, look at its mode"),
            None => unreachable("is not found in PATH, write its path in full"),
        }
    }

    /// Starts it in a process group of its own.
    pub(super) fn start(&self) -> Result<Child, HelperError> {
        Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| {
                HelperError::Unreachable(format!("{} cannot be started: {e}", self.program.display()))
            })
    }
}

/// The process group of a program. Dropping it kills whoever is in it, unless
/// the program has been waited for: its number may be another's then.
#[derive(Debug)]
pub(super) struct Group(Option<Pid>);

impl Group {
    pub(super) fn of(child: &Child) -> Group {
        Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// The program has been waited for.
    pub(super) fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.take() {
            // gone already: nothing to do
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

fn executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_at_the_start() {
        let path = OsStr::new("/nonexistent:/usr/bin:/bin");
        let good = CommandLine::parse("sh -c 'exit 3' \"a b\"", Some(path)).unwrap();
        assert!(good.program.ends_with("sh") && good.program.is_absolute());
        assert_eq!(good.arguments, ["-c", "exit 3", "a b"]);
        for (line, problem) in [
            ("/nonexistent/helper", "is no program that can be run"),
            ("/etc/passwd x", "is no program that can be run"),
            ("/usr", "is no program that can be run"),
            ("no-such-helper-anywhere", "is not found in PATH"),
            ("sh 'x", "quote that is not closed"),
            ("'' x", "names no program"),
            ("  ", "names no program"),
        ] {
            let error = CommandLine::parse(line, Some(path)).unwrap_err().to_string();
            assert!(error.contains(problem), "{line}: {error}");
        }
    }
}
