//! Programs of others, run within bounds: found once, started in a process group of
//! their own, fed and read without waiting for whoever else holds their pipes, and gone
//! with all their children when their time, or the interest in them, ends.
//!
//! [`Program::run`] is for programs that answer once. Who keeps one running
//! [starts](Program::start) it and reads its [`Pipe`]s.

mod command;
mod pipes;
mod running;

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, ChildStdin, Command};

pub use command::{CommandLine, Group, NoProgram, executable, find};
pub use pipes::{Look, Pipe, Said};
use running::Running;

/// Bytes of standard output that are kept unless told otherwise.
const MOST: usize = 1024 * 1024;

/// A program to be run.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    inherits: bool,
    directory: Option<PathBuf>,
    input: Vec<u8>,
    limit: Duration,
    most: usize,
    talks: bool,
    outlives: bool,
}

/// A program that was started, for whoever keeps it.
#[derive(Debug)]
pub struct Started {
    /// The program. It is killed when this is dropped.
    pub child: Child,
    /// All that it starts.
    pub group: Group,
    /// What it reads.
    pub stdin: ChildStdin,
    /// What it writes,
    pub stdout: Pipe,
    /// and what it complains of.
    pub stderr: Pipe,
}

/// What a program that ended by itself left.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output, whole.
    pub output: Vec<u8>,
    /// The last of what it wrote to its standard error, by lines, control characters
    /// taken out; at most [`Said::KEPT`] bytes.
    pub errors: String,
}

/// Why there is no answer of a program.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It could not be started.
    #[error("{} cannot be started: {problem}", program.display())]
    Start {
        /// Which.
        program: PathBuf,
        /// What the system says.
        problem: io::Error,
    },
    /// Its pipes or its end could not be had.
    #[error("{0}")]
    Pipes(#[from] io::Error),
    /// It had its time.
    #[error("it took longer than {limit:?} and was killed")]
    TooLong {
        /// What it had.
        limit: Duration,
        /// As of [`Ended::errors`].
        errors: String,
    },
    /// It wrote more than anybody wants to read.
    #[error("it wrote more than {most} bytes and was killed")]
    TooMuch {
        /// What it might have written.
        most: usize,
        /// As of [`Ended::errors`].
        errors: String,
    },
}

impl ProgramError {
    /// As of [`Ended::errors`].
    pub fn errors(&self) -> &str {
        match self {
            Self::TooLong { errors, .. } | Self::TooMuch { errors, .. } => errors,
            Self::Start { .. } | Self::Pipes(_) => "",
        }
    }
}

/// How a program ended, as people say it: `exit status 3`, `signal 9`.
pub fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit status".to_owned(),
    }
}

impl Program {
    /// The program at `path`, without arguments and input, with our environment and
    /// working directory, 60 s and a megabyte.
    pub fn new(path: impl Into<PathBuf>) -> Program {
        Program {
            path: path.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            inherits: true,
            directory: None,
            input: Vec::new(),
            limit: Duration::from_secs(60),
            most: MOST,
            talks: false,
            outlives: false,
        }
    }

    /// Arguments, after those that are there.
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Program {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Program {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Nothing of our own environment.
    pub fn bare(mut self) -> Program {
        self.inherits = false;
        self
    }

    /// Where it starts.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Program {
        self.directory = Some(directory.into());
        self
    }

    /// What it reads; without, its standard input is empty.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Program {
        self.input = input.into();
        self
    }

    /// How long it may take.
    pub fn limit(mut self, limit: Duration) -> Program {
        self.limit = limit;
        self
    }

    /// How many bytes it may write to its standard output.
    pub fn most(mut self, most: usize) -> Program {
        self.most = most;
        self
    }

    /// Its standard output is talk, too: it is heard as its standard error is, and not kept.
    /// However much it says is no error then.
    pub fn talks(mut self) -> Program {
        self.talks = true;
        self
    }

    /// It is let run to its end when nobody waits for it any more; at its time limit it is
    /// killed all the same, for as long as somebody does.
    pub fn outlives(mut self) -> Program {
        self.outlives = true;
        self
    }

    /// Which program.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts it, to be kept: limits and input are its keeper's business.
    ///
    /// # Errors
    /// It did not start.
    pub fn start(self) -> Result<Started, ProgramError> {
        let (mut child, group) = self.spawn(Stdio::piped())?;
        let gone = || io::Error::other("the pipes of a program are not there");
        let stdin = child.stdin.take().ok_or_else(gone)?;
        let stdout = Pipe::new(child.stdout.take().ok_or_else(gone)?.into_owned_fd())?;
        let stderr = Pipe::new(child.stderr.take().ok_or_else(gone)?.into_owned_fd())?;
        Ok(Started { child, group, stdin, stdout, stderr })
    }

    fn spawn(&self, stdin: Stdio) -> Result<(Child, Group), ProgramError> {
        let mut command = Command::new(&self.path);
        if !self.inherits {
            command.env_clear();
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(!self.outlives);
        let child =
            command.spawn().map_err(|problem| ProgramError::Start { program: self.path.clone(), problem })?;
        let group = Group::of(&child);
        Ok((child, group))
    }

    /// Runs it to its end. Dropping the future kills its whole process group.
    ///
    /// # Errors
    /// It did not start, took longer or wrote more than it may. However it ends is no error.
    pub async fn run(self) -> Result<Ended, ProgramError> {
        self.run_heard(|_, _| ()).await
    }

    /// [`Program::run`], with each line of its standard error for `hear` as it comes, up to
    /// 64 KiB; then one line that says that more is not shown. The same of its standard
    /// output when it [talks](Program::talks).
    ///
    /// # Errors
    /// As [`Program::run`].
    pub async fn run_heard(self, mut hear: impl FnMut(Stream, &str)) -> Result<Ended, ProgramError> {
        let (limit, most) = (self.limit, self.most);
        let mut running = Running::start(self)?;
        let ended = tokio::time::timeout(limit, running.until_it_ends(most, &mut hear)).await;
        running.told.heard(true, &mut |line| hear(Stream::Output, line));
        running.said.heard(true, &mut |line| hear(Stream::Error, line));
        if !matches!(ended, Ok(Ok(Some(_)))) {
            running.end();
        }
        let errors = running.said.kept();
        match ended {
            Ok(Ok(Some(_))) if running.output.len() > most => Err(ProgramError::TooMuch { most, errors }),
            Ok(Ok(Some(status))) => Ok(Ended { status, output: std::mem::take(&mut running.output), errors }),
            Ok(Ok(None)) => Err(ProgramError::TooMuch { most, errors }),
            Ok(Err(e)) => Err(ProgramError::Pipes(e)),
            Err(_) => Err(ProgramError::TooLong { limit, errors }),
        }
    }
}

/// What a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

#[cfg(test)]
mod tests;
