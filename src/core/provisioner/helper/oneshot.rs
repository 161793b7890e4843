//! A program that is started for each node: one JSON document in, one out (spec 05 §8.5).

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};

use super::command::{CommandLine, Group};
use super::pipes::{Look, Pipe, Said};
use super::{Asking, Helper, HelperError};
use crate::core::provisioner::answer::{Answer, MAX_ANSWER};
use crate::core::provisioner::question::Question;
use crate::core::provisioner::settings::Settings;

/// Starts a program a node.
#[derive(Debug)]
pub struct Oneshot {
    command: CommandLine,
    timeout: Duration,
    workers: usize,
}

impl Oneshot {
    /// The program of the settings.
    ///
    /// # Errors
    /// There is no such program.
    pub fn new(settings: &Settings) -> Result<Oneshot, HelperError> {
        Ok(Oneshot {
            command: CommandLine::parse(&settings.helper, std::env::var_os("PATH").as_deref())?,
            timeout: settings.helper_timeout,
            workers: settings.workers(),
        })
    }

    async fn run(&self, question: &Question) -> Result<Answer, HelperError> {
        let mut program = Program::start(&self.command, question)?;
        let ended = tokio::time::timeout(self.timeout, program.run()).await;
        program.said.log(&question.identity, true);
        let last_words = program.said.last_words();
        let status = match ended {
            Ok(status) => status.map_err(|e| HelperError::Failed(format!("{e}{last_words}")))?,
            Err(_) => {
                let text = format!("it took longer than {:?} and was killed{last_words}", self.timeout);
                return Err(HelperError::Failed(text));
            }
        };
        if program.answer.len() > MAX_ANSWER {
            return Err(HelperError::Unreadable(format!("it wrote more than {MAX_ANSWER} bytes")));
        }
        if !status.success() {
            return Err(HelperError::Failed(format!("it ended with {status}{last_words}")));
        }
        if program.answer.trim_ascii().is_empty() {
            return Err(HelperError::Failed(format!("it ended well and wrote nothing{last_words}")));
        }
        Answer::decode(&program.answer).map_err(HelperError::Unreadable)
    }
}

impl Helper for Oneshot {
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a> {
        Box::pin(self.run(question))
    }

    fn at_once(&self) -> usize {
        self.workers
    }
}

/// A helper at work on one node. Dropping it kills its whole process group,
/// unless it has ended by itself.
struct Program<'a> {
    node: &'a str,
    child: Child,
    group: Group,
    input: Option<ChildStdin>,
    question: String,
    output: Option<Pipe>,
    answer: Vec<u8>,
    errors: Option<Pipe>,
    said: Said,
}

impl<'a> Program<'a> {
    fn start(command: &CommandLine, question: &'a Question) -> Result<Program<'a>, HelperError> {
        let mut child = command.start()?;
        let group = Group::of(&child);
        let pipe = |end: Option<io::Result<std::os::fd::OwnedFd>>| {
            let failed = |e: io::Error| HelperError::Unreachable(format!("its pipes: {e}"));
            end.map(Pipe::new).transpose().map_err(failed)
        };
        let output = child.stdout.take().map(|end| end.into_owned_fd());
        let errors = child.stderr.take().map(|end| end.into_owned_fd());
        let input = child.stdin.take();
        let mut program = Program {
            node: &question.identity,
            child,
            group,
            input,
            question: question.encode(),
            output: None,
            answer: Vec::new(),
            errors: None,
            said: Said::default(),
        };
        program.output = pipe(output)?;
        program.errors = pipe(errors)?;
        Ok(program)
    }

    /// Until the program itself has ended. A child of it that still holds the
    /// pipes is not waited for: what the program wrote is in them.
    async fn run(&mut self) -> io::Result<ExitStatus> {
        let Program { node, child, input, question, output, answer, errors, said, .. } = self;
        let ask = async {
            if let Some(mut input) = input.take() {
                // a program that does not read its input may still know the answer
                let _ = input.write_all(question.as_bytes()).await;
                let _ = input.shutdown().await;
            }
            std::future::pending().await
        };
        tokio::pin!(ask);
        let status = loop {
            tokio::select! {
                biased;
                status = child.wait() => break status?,
                () = readable(output) => read(output, answer),
                () = readable(errors) => {
                    read(errors, said.buffer());
                    said.log(node, false);
                }
                () = &mut ask => {}
            }
            if answer.len() > MAX_ANSWER {
                // whatever else it says, this is no answer
                return Err(io::Error::other(format!(
                    "it wrote more than {MAX_ANSWER} bytes and was killed"
                )));
            }
        };
        self.group.ended();
        while let Some(pipe) = &mut self.output
            && self.answer.len() <= MAX_ANSWER
            && matches!(pipe.look(&mut self.answer), Look::Read(_))
        {}
        let mut left = 16;
        while let Some(pipe) = &mut self.errors
            && left > 0
            && matches!(pipe.look(self.said.buffer()), Look::Read(_))
        {
            left -= 1;
        }
        Ok(status)
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
#[path = "oneshot_tests.rs"]
mod tests;
