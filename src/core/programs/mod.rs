//! Programs of others, run within bounds: found once, started in a process group of
//! their own, fed and read without waiting for whoever else holds their pipes, and gone
//! with all their children when their time, or the interest in them, ends.
//!
//! [`Program::run`] is for programs that answer once. Who keeps one running
//! [starts](Program::start) it and reads its [`Pipe`]s.

mod command;
mod pipes;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};

pub use command::{CommandLine, Group, NoProgram, executable, find};
pub use pipes::{Look, Pipe, Said};

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

/// A program at work. Dropping it kills its whole process group, unless it has ended by
/// itself or outlives whoever waits for it.
struct Running {
    child: Child,
    group: Option<Group>,
    outlives: bool,
    talks: bool,
    told: Said,
    stdin: Option<ChildStdin>,
    input: Vec<u8>,
    stdout: Option<Pipe>,
    output: Vec<u8>,
    stderr: Option<Pipe>,
    said: Said,
}

impl Running {
    fn start(program: Program) -> Result<Running, ProgramError> {
        let stdin = if program.input.is_empty() { Stdio::null() } else { Stdio::piped() };
        let (mut child, group) = program.spawn(stdin)?;
        let pipe = |end: Option<io::Result<OwnedFd>>| end.map(Pipe::new).transpose();
        let stdout = child.stdout.take().map(|end| end.into_owned_fd());
        let stderr = child.stderr.take().map(|end| end.into_owned_fd());
        let mut running = Running {
            stdin: child.stdin.take(),
            child,
            group: Some(group),
            outlives: program.outlives,
            talks: program.talks,
            told: Said::default(),
            input: program.input,
            stdout: None,
            output: Vec::new(),
            stderr: None,
            said: Said::default(),
        };
        running.stdout = pipe(stdout)?;
        running.stderr = pipe(stderr)?;
        Ok(running)
    }

    /// Until the program itself has ended; none when it writes too much. A child of it that
    /// still holds the pipes is not waited for: what the program wrote is in them.
    async fn until_it_ends(
        &mut self,
        most: usize,
        hear: &mut impl FnMut(Stream, &str),
    ) -> io::Result<Option<ExitStatus>> {
        let Running { child, stdin, input, stdout, output, stderr, said, told, talks, .. } = self;
        let talks = *talks;
        let feed = async {
            if let Some(mut stdin) = stdin.take() {
                // a program that does not read its input may still know the answer
                let _ = stdin.write_all(input).await;
                let _ = stdin.shutdown().await;
            }
            std::future::pending().await
        };
        tokio::pin!(feed);
        let status = loop {
            tokio::select! {
                biased;
                status = child.wait() => break status?,
                () = readable(stdout), if talks => {
                    read(stdout, told.buffer());
                    told.heard(false, &mut |line| hear(Stream::Output, line));
                }
                () = readable(stdout), if !talks => read(stdout, output),
                () = readable(stderr) => {
                    read(stderr, said.buffer());
                    said.heard(false, &mut |line| hear(Stream::Error, line));
                }
                () = &mut feed => {}
            }
            if output.len() > most {
                return Ok(None);
            }
        };
        if let Some(group) = &mut self.group {
            group.ended();
        }
        while let Some(pipe) = &mut self.stdout
            && !self.talks
            && self.output.len() <= most
            && matches!(pipe.look(&mut self.output), Look::Read(_))
        {}
        if self.talks {
            look_once_more(&mut self.stdout, &mut self.told);
        }
        look_once_more(&mut self.stderr, &mut self.said);
        Ok(Some(status))
    }

    /// Ends it, with all its children.
    fn end(&mut self) {
        self.outlives = false;
        self.group = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.outlives
            && let Some(group) = &mut self.group
        {
            group.ended();
        }
    }
}

/// Takes what a program left in its pipe when it ended, within bounds.
fn look_once_more(pipe: &mut Option<Pipe>, said: &mut Said) {
    let mut left = 16;
    while let Some(pipe) = pipe
        && left > 0
        && matches!(pipe.look(said.buffer()), Look::Read(_))
    {
        left -= 1;
    }
}

/// Waits for a pipe; for ever when it is closed.
async fn readable(pipe: &Option<Pipe>) {
    match pipe {
        Some(pipe) => pipe.readable().await,
        None => std::future::pending().await,
    }
}

fn read(pipe: &mut Option<Pipe>, into: &mut Vec<u8>) {
    if let Some(open) = pipe
        && open.look(into) == Look::Closed
    {
        *pipe = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Program {
        Program::new("/bin/sh").args(["-c", script]).limit(Duration::from_secs(20))
    }

    #[tokio::test]
    async fn what_a_program_leaves() {
        let ended = sh("cat; echo two >&2; echo three >&2; exit 3").input("one").run().await.unwrap();
        assert_eq!((ended.output.as_slice(), ended.errors.as_str()), (&b"one"[..], "two\nthree"));
        assert_eq!(how(ended.status), "exit status 3");
        let ended = sh("kill -9 $$").run().await.unwrap();
        assert_eq!(how(ended.status), "signal 9");
        let ended = sh("pwd; env").directory("/").bare().env("A", "b").run().await.unwrap();
        let text = String::from_utf8(ended.output).unwrap();
        assert!(text.starts_with("/\n") && text.contains("A=b") && !text.contains("HOME="), "{text}");
    }

    #[tokio::test]
    async fn bounds_hold() {
        let error =
            sh("echo asking >&2; sleep 600 & sleep 600").limit(Duration::from_millis(300)).run().await;
        let error = error.unwrap_err();
        assert!(matches!(error, ProgramError::TooLong { .. }) && error.errors() == "asking", "{error}");
        let error = sh("yes").most(1000).run().await.unwrap_err();
        assert!(matches!(error, ProgramError::TooMuch { most: 1000, .. }), "{error}");
        // just as much as it may
        assert_eq!(sh("printf %1000s x").most(1000).run().await.unwrap().output.len(), 1000);
        // a child that keeps the pipes open is not waited for
        assert_eq!(sh("sleep 600 & echo done").run().await.unwrap().output, b"done\n");
        let error = Program::new("/nonexistent/program").run().await.unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/program cannot be started: "), "{error}");
    }

    #[tokio::test]
    async fn talk_is_heard_and_not_kept() {
        let mut heard = Vec::new();
        let ended = sh("echo one; echo two >&2; yes | head -n 500000; echo last")
            .talks()
            .run_heard(|stream, line| heard.push((stream, line.to_owned())))
            .await
            .unwrap();
        assert!(ended.output.is_empty() && ended.status.success());
        assert!(
            heard.contains(&(Stream::Output, "one".into())) && heard.contains(&(Stream::Error, "two".into()))
        );
        assert!(heard.len() < 70_000);
    }

    #[tokio::test]
    async fn what_outlives_is_let_run_until_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let done = dir.path().join("done");
        let script = format!("sleep 0.3; echo > {}", done.display());
        let waiting = sh(&script).outlives().run();
        assert!(tokio::time::timeout(Duration::from_millis(50), waiting).await.is_err());
        while !done.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let never = dir.path().join("never");
        let script = format!("(sleep 1; echo > {}) & sleep 600", never.display());
        let error = sh(&script).outlives().limit(Duration::from_millis(100)).run().await.unwrap_err();
        assert!(matches!(error, ProgramError::TooLong { .. }));
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert!(!never.exists(), "the whole group is gone");
    }

    #[tokio::test]
    async fn lines_are_heard_as_they_come() {
        let mut heard = Vec::new();
        sh("echo one >&2; yes >&2 & sleep 0.3; kill $!; echo last >&2")
            .run_heard(|_, line| heard.push(line.to_owned()))
            .await
            .unwrap();
        assert_eq!(heard.first().map(String::as_str), Some("one"));
        assert_eq!(heard.last().map(String::as_str), Some("(says more than is shown)"));
        assert!(heard.iter().map(String::len).sum::<usize>() < 70_000);
    }
}
