//! Types of `choria::task` (spec 07 §B4): a file each, and a line in the list.

mod assertion;
mod graphite_event;
mod mcollective;
mod shell;
mod slack;
mod webhook;

use super::options::Options;
use super::world::World;
use crate::core::puppet::host::{Outcome, Trouble};

/// A type of task: its name, the options that it reads beside those of all, and what it does.
pub(super) struct TaskType {
    pub(super) name: &'static str,
    pub(super) options: &'static [&'static str],
    pub(super) run: fn(&mut World, &Options<'_>) -> Result<Outcome, Trouble>,
}

/// Options of every task.
pub(super) const COMMON: &[&str] = &["tries", "try_sleep", "pre_sleep", "fail_ok", "description"];

const TYPES: [&TaskType; 5] =
    [&mcollective::TYPE, &shell::TYPE, &webhook::TYPE, &slack::TYPE, &graphite_event::TYPE];

pub(super) fn find(name: &str) -> Option<&'static TaskType> {
    TYPES.into_iter().find(|kind| kind.name == name)
}

pub(super) fn names() -> String {
    TYPES.map(|kind| kind.name).join(", ")
}
