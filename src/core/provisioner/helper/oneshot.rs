//! A program that is started for each node: one JSON document in, one out (spec 05 §8.5).

use std::time::Duration;

use super::{Asking, Helper, HelperError, command};
use crate::core::programs::{CommandLine, ProgramError};
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
            command: command(&settings.helper, std::env::var_os("PATH").as_deref())?,
            timeout: settings.helper_timeout,
            workers: settings.workers(),
        })
    }

    async fn run(&self, question: &Question) -> Result<Answer, HelperError> {
        let node = question.identity.as_str();
        let ended = self
            .command
            .to_program()
            .input(question.encode())
            .limit(self.timeout)
            .most(MAX_ANSWER)
            .run_heard(|_, line| tracing::warn!(node, "helper: {line}"))
            .await;
        let ended = ended.map_err(|e| match e {
            ProgramError::Start { .. } | ProgramError::Pipes(_) => HelperError::Unreachable(e.to_string()),
            _ => HelperError::Failed(format!("{e}{}", last_words(e.errors()))),
        })?;
        let last_words = last_words(&ended.errors);
        if !ended.status.success() {
            return Err(HelperError::Failed(format!("it ended with {}{last_words}", ended.status)));
        }
        if ended.output.trim_ascii().is_empty() {
            return Err(HelperError::Failed(format!("it ended well and wrote nothing{last_words}")));
        }
        Answer::decode(&ended.output).map_err(HelperError::Unreadable)
    }
}

/// The last line a helper said, as the end of a sentence.
fn last_words(errors: &str) -> String {
    errors.lines().next_back().map(|line| format!("; it said: {line}")).unwrap_or_default()
}

impl Helper for Oneshot {
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a> {
        Box::pin(self.run(question))
    }

    fn at_once(&self) -> usize {
        self.workers
    }
}

#[cfg(test)]
#[path = "oneshot_tests.rs"]
mod tests;
