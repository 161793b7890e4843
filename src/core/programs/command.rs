//! Command lines, and the process group of whoever runs one.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

use super::Program;

/// A program that is there, and its arguments.
#[derive(Debug, Clone)]
pub struct CommandLine {
    /// Where it is.
    pub program: PathBuf,
    /// What it is given.
    pub arguments: Vec<String>,
}

/// What is wrong with a command line, as the end of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoProgram {
    /// Not what a shell reads.
    #[error("has a quote that is not closed")]
    Quote,
    /// Nothing in it.
    #[error("names no program")]
    Empty,
    /// A path that leads to nothing.
    #[error("is not there")]
    Missing,
    /// A path that leads to none.
    #[error("is no program that can be run, look at its mode")]
    NotExecutable,
    /// A name that no directory of the path has.
    #[error("is not found in PATH, write its path in full")]
    NotFound,
}

impl CommandLine {
    /// Splits as a shell does and finds the program in `path`, a list of directories.
    ///
    /// # Errors
    /// There is no such program.
    pub fn parse(line: &str, path: Option<&OsStr>) -> Result<CommandLine, NoProgram> {
        let words = shlex::split(line).ok_or(NoProgram::Quote)?;
        let (name, arguments) =
            words.split_first().filter(|(name, _)| !name.is_empty()).ok_or(NoProgram::Empty)?;
        let missing = match name.contains('/') {
            true if Path::new(name).exists() => NoProgram::NotExecutable,
            true => NoProgram::Missing,
            false => NoProgram::NotFound,
        };
        let program = find(name, path).ok_or(missing)?;
        Ok(CommandLine { program, arguments: arguments.to_vec() })
    }

    /// What is to be run by it.
    pub fn to_program(&self) -> Program {
        Program::new(&self.program).args(&self.arguments)
    }
}

/// The program of that name in `path`, or at that place when the name has a slash.
pub fn find(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|program| executable(program));
    }
    let dirs = path.map(std::env::split_paths).into_iter().flatten();
    dirs.map(|dir| dir.join(name)).find(|program| executable(program))
}

/// Whether that is a file somebody may run.
pub fn executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// The process group of a program. Dropping it kills whoever is in it, unless
/// the program has been waited for: its number may be another's then.
#[derive(Debug)]
pub struct Group(Option<Pid>);

impl Group {
    /// That of a program started in one of its own.
    pub fn of(child: &Child) -> Group {
        Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// The program has been waited for.
    pub fn ended(&mut self) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found() {
        let path = OsStr::new("/nonexistent:/usr/bin:/bin");
        let good = CommandLine::parse("sh -c 'exit 3' \"a b\"", Some(path)).unwrap();
        assert!(good.program.ends_with("sh") && good.program.is_absolute());
        assert_eq!(good.arguments, ["-c", "exit 3", "a b"]);
        for (line, problem) in [
            ("/nonexistent/helper", NoProgram::Missing),
            ("/etc/passwd x", NoProgram::NotExecutable),
            ("/usr", NoProgram::NotExecutable),
            ("no-such-helper-anywhere", NoProgram::NotFound),
            ("sh 'x", NoProgram::Quote),
            ("'' x", NoProgram::Empty),
            ("  ", NoProgram::Empty),
        ] {
            assert_eq!(CommandLine::parse(line, Some(path)).unwrap_err(), problem, "{line}");
        }
    }
}
