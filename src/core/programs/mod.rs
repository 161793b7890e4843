//! Programs of others, run within bounds: found once, started in a process group of
//! their own, fed and read without waiting for whoever else holds their pipes, and gone
//! with all their children when their time, or the interest in them, ends.
//!
//! [`Program::run`] is for programs that answer once. Who keeps one running
//! [starts](Program::start) it and reads its [`Pipe`]s.

mod begun;
mod command;
mod pipes;
mod running;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setpriority_process};
use tokio::process::{Child, ChildStdin, Command};

pub use command::{CommandLine, Group, NoProgram, executable, find};
pub use pipes::{Look, Pipe, Said};

/// Bytes of standard output that are kept unless told otherwise.
const MOST: usize = 1024 * 1024;
/// Niceness of who stands back.
const BACK: i32 = 10;

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
    overheard: bool,
    cut: bool,
    silent: bool,
    together: bool,
    outlives: bool,
    stands_back: bool,
    memory: Option<u64>,
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
    /// What it wrote to its standard output, whole unless it is [cut](Ended::cut).
    pub output: Vec<u8>,
    /// The last of what it wrote to its standard error, by lines, control characters
    /// taken out; at most [`Said::KEPT`] bytes.
    pub errors: String,
    /// Whether it wrote more than it may, and what is here is the first of it.
    pub cut: bool,
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
        /// What it wrote until then.
        output: Vec<u8>,
        /// As of [`Ended::errors`].
        errors: String,
    },
    /// It wrote more than anybody wants to read.
    #[error("it wrote more than {most} bytes and was killed")]
    TooMuch {
        /// What it might have written.
        most: usize,
        /// The first of it.
        output: Vec<u8>,
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
            overheard: false,
            cut: false,
            silent: false,
            together: false,
            outlives: false,
            stands_back: false,
            memory: None,
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

    /// Whatever it writes is nobody's business: there is no pipe.
    pub fn silent(mut self) -> Program {
        self.silent = true;
        self
    }

    /// Its standard output is talk, too: it is heard as its standard error is, and not kept.
    /// However much it says is no error then.
    pub fn talks(mut self) -> Program {
        self.talks = true;
        self
    }

    /// Its standard output is heard as its standard error is, and kept all the same.
    pub fn overheard(mut self) -> Program {
        self.overheard = true;
        self
    }

    /// What it writes beyond what it may is thrown away, and it goes on.
    pub fn cut(mut self) -> Program {
        self.cut = true;
        self
    }

    /// Its standard error is the same pipe as its standard output, and kept with it in the
    /// order it was written.
    pub fn together(mut self) -> Program {
        self.together = true;
        self
    }

    /// It is let run to its end when nobody waits for it any more; at its time limit it is
    /// killed all the same, for as long as somebody does.
    pub fn outlives(mut self) -> Program {
        self.outlives = true;
        self
    }

    /// Others of this machine come first when processors are busy (niceness 10).
    pub fn stands_back(mut self) -> Program {
        self.stands_back = true;
        self
    }

    /// Bytes of data that it may have, and each process that it starts: what is asked for beyond
    /// is not given, which most programs do not survive. Address space that nothing is kept in,
    /// which some runtimes reserve, does not count.
    pub fn memory(mut self, bytes: Option<u64>) -> Program {
        self.memory = bytes;
        self
    }

    /// Which program.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn started(self) -> Result<Started, ProgramError> {
        let (mut child, group, _) = self.spawn(Stdio::piped())?;
        let gone = || io::Error::other("the pipes of a program are not there");
        let stdin = child.stdin.take().ok_or_else(gone)?;
        let stdout = Pipe::new(child.stdout.take().ok_or_else(gone)?.into_owned_fd())?;
        let stderr = Pipe::new(child.stderr.take().ok_or_else(gone)?.into_owned_fd())?;
        Ok(Started { child, group, stdin, stdout, stderr })
    }

    /// Its command line. A bound of memory is set by a shell that becomes the program: what is set
    /// on a program that runs already, its first children may be without, and nothing of ours may
    /// run between fork and exec.
    fn command(&self) -> Result<Command, ProgramError> {
        let Some(bytes) = self.memory else {
            let mut command = Command::new(&self.path);
            command.args(&self.arguments);
            return Ok(command);
        };
        // The shell would say so in words of its own.
        let start = |problem: io::Error| ProgramError::Start { program: self.path.clone(), problem };
        std::fs::metadata(&self.path).map_err(start)?;
        if !executable(&self.path) {
            return Err(start(io::Error::from_raw_os_error(rustix::io::Errno::ACCESS.raw_os_error())));
        }
        let mut command = Command::new("/bin/sh");
        // the program and its arguments are words of its own, and no part of what the shell reads
        command.args(["-c", BOUNDED]).arg((bytes / 1024).to_string()).arg(&self.path).args(&self.arguments);
        Ok(command)
    }

    /// With the end to read from, where both its outputs are one pipe.
    fn spawn(&self, stdin: Stdio) -> Result<(Child, Group, Option<OwnedFd>), ProgramError> {
        let mut command = self.command()?;
        if !self.inherits {
            command.env_clear();
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(stdin)
            .process_group(0)
            .kill_on_drop(!self.outlives);
        let reader = if self.silent {
            command.stdout(nothing()).stderr(nothing());
            None
        } else if self.together {
            let (reader, writer) = std::io::pipe()?;
            command.stdout(writer.try_clone()?).stderr(writer);
            Some(reader.into())
        } else {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            None
        };
        let child =
            command.spawn().map_err(|problem| ProgramError::Start { program: self.path.clone(), problem })?;
        let group = Group::of(&child);
        if self.stands_back {
            // Who has ended needs it no more.
            let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
            let _ = pid.map(|pid| setpriority_process(Some(pid), BACK));
        }
        if let Some(bytes) = self.memory {
            bound_memory(&child, bytes)?;
        }
        Ok((child, group, reader))
    }
}

/// Nothing to be read, and nobody who reads: one file for all programs, each of which has it up to three times.
fn nothing() -> Stdio {
    static NOTHING: OnceLock<Option<File>> = OnceLock::new();
    let open = || File::options().read(true).write(true).open("/dev/null").ok();
    let ours = NOTHING.get_or_init(open).as_ref().and_then(|file| file.try_clone().ok());
    ours.map_or_else(Stdio::null, Stdio::from)
}

/// What a shell does that becomes a program: its first word is kilobytes of data.
const BOUNDED: &str = r#"ulimit -d "$0" 2>/dev/null; exec "$@""#;

/// Bounds the memory of a program that has just begun, where its shell knows no such bound. Where
/// it is gone already there is nothing to bound.
fn bound_memory(child: &Child, bytes: u64) -> io::Result<()> {
    let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else {
        return Ok(());
    };
    // A limit of our own that is lower stays.
    let most = getrlimit(Resource::Data).maximum.map_or(bytes, |most| most.min(bytes));
    match prlimit(Some(pid), Resource::Data, Rlimit { current: Some(most), maximum: Some(most) }) {
        Err(e) if e != rustix::io::Errno::SRCH => Err(e.into()),
        _ => Ok(()),
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
