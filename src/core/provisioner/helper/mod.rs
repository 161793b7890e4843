//! Whoever knows what a node is to become (spec 05 §8.5, 15.2).

use std::pin::Pin;

use super::answer::Answer;
use super::question::Question;
use super::settings::Settings;

/// What asking is.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<Answer, HelperError>> + Send + 'a>>;

/// Says what a node is to become.
pub trait Helper: Send + Sync {
    /// Asks about one node. Calls run at the same time; the helper bounds them.
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a>;

    /// Nodes it can take at once; more wait in the population and not in the helper.
    fn at_once(&self) -> usize;
}

/// A helper gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// It could not be started or reached: nothing of the node's doing.
    #[error("the helper cannot be asked: {0}")]
    Unreachable(String),
    /// It ended without an answer, or took too long.
    #[error("the helper gave no answer: {0}")]
    Failed(String),
    /// What it said is no answer.
    #[error("the helper's answer cannot be read: {0}")]
    Unreadable(String),
    /// It asks to be left alone for a while.
    #[error("the helper is busy: {0}")]
    Busy(String),
}

/// The helper the settings ask for.
///
/// # Errors
/// What keeps it from being asked at all, found at the start.
pub fn of_settings(settings: &Settings) -> Result<std::sync::Arc<dyn Helper>, HelperError> {
    Err(HelperError::Unreachable(format!("mode {:?} is not there yet", settings.mode())))
}
