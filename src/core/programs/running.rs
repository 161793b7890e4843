//! A program at work, fed and read until it ends.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};

use super::{Group, Look, Pipe, Program, ProgramError, Said, Stream, nothing};

/// Bytes that a pipe holds.
const LAST: usize = 64 << 10;

/// A program at work. Dropping it kills its whole process group, unless it has ended by
/// itself or outlives whoever waits for it.
pub(super) struct Running {
    child: Child,
    group: Option<Group>,
    outlives: bool,
    talks: bool,
    overheard: bool,
    cuts: bool,
    /// More came than it might write.
    pub(super) was_cut: bool,
    pub(super) told: Said,
    stdin: Option<ChildStdin>,
    input: Vec<u8>,
    stdout: Option<Pipe>,
    pub(super) output: Vec<u8>,
    stderr: Option<Pipe>,
    pub(super) said: Said,
}

impl Running {
    pub(super) fn start(program: Program) -> Result<Running, ProgramError> {
        let stdin = if program.input.is_empty() { nothing() } else { Stdio::piped() };
        let (mut child, group, reader) = program.spawn(stdin)?;
        let pipe = |end: Option<io::Result<OwnedFd>>| end.map(Pipe::new).transpose();
        let stdout = child.stdout.take().map(|end| end.into_owned_fd()).or(reader.map(Ok));
        let stderr = child.stderr.take().map(|end| end.into_owned_fd());
        let mut running = Running {
            stdin: child.stdin.take(),
            child,
            group: Some(group),
            outlives: program.outlives,
            talks: program.talks,
            overheard: program.overheard,
            cuts: program.cut,
            was_cut: false,
            told: if program.overheard { Said::as_written() } else { Said::default() },
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

    /// Until the program itself has ended; none when it writes too much and is not cut. A child of it that
    /// still holds the pipes is not waited for: what the program wrote is in them.
    pub(super) async fn until_it_ends(
        &mut self,
        most: usize,
        hear: &mut impl FnMut(Stream, &str),
    ) -> io::Result<Option<ExitStatus>> {
        let Running { child, stdin, input, stdout, output, stderr, said, told, .. } = self;
        let (talks, overheard, cuts, was_cut) = (self.talks, self.overheard, self.cuts, &mut self.was_cut);
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
                () = readable(stdout), if !talks => {
                    let known = output.len();
                    read(stdout, output);
                    if overheard {
                        told.buffer().extend_from_slice(&output[known..]);
                        told.heard(false, &mut |line| hear(Stream::Output, line));
                    }
                }
                () = readable(stderr) => {
                    read(stderr, said.buffer());
                    said.heard(false, &mut |line| hear(Stream::Error, line));
                }
                () = &mut feed => {}
            }
            if output.len() > most {
                if !cuts {
                    return Ok(None);
                }
                output.truncate(most);
                *was_cut = true;
            }
        };
        if let Some(group) = &mut self.group {
            group.ended();
        }
        let known = self.output.len();
        // of one that is cut no more than its pipe held: a child of it may write on
        let most_now = if self.cuts { most.max(known + LAST) } else { most };
        while let Some(pipe) = &mut self.stdout
            && !self.talks
            && self.output.len() <= most_now
            && matches!(pipe.look(&mut self.output), Look::Read(_))
        {}
        if self.overheard {
            self.told.buffer().extend_from_slice(&self.output[known..]);
        }
        if self.cuts && self.output.len() > most {
            self.output.truncate(most);
            self.was_cut = true;
        }
        if self.talks {
            look_once_more(&mut self.stdout, &mut self.told);
        }
        look_once_more(&mut self.stderr, &mut self.said);
        Ok(Some(status))
    }

    /// Ends it, with all its children.
    pub(super) fn end(&mut self) {
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
