//! Flags that are parameters of what a command runs.
//!
//! Which parameters there are is known later, when the task or the plan has been read. Until then they go on as one
//! word, `--name=value`, so that the command can tell them from words such as `name=value`: a flag may be a typing
//! error, and then nothing is to be run.

use std::slice::Iter;

use argh::FlagInfoKind;

use super::{ArgvError, Personality, Walk};

/// Commands whose flags beside their own are parameters of what they run: `--count 3` is
/// handed on as `--count=3`, `--quick` as `--quick=true`, `--no-quick` as `--quick=false`.
const PARAMETERS: [[&str; 2]; 2] = [["playbook", "run"], TASKS];

/// The one whose flags of `mco` the original looked for before parameters; plans had none of them.
const TASKS: [&str; 2] = ["tasks", "run"];

impl Walk<'_> {
    pub(super) fn takes_parameters(&self) -> bool {
        PARAMETERS.iter().any(|words| self.words == words)
    }

    /// A flag that is a parameter. Its value is the word behind it, unless that is a flag.
    pub(super) fn parameter(
        &mut self,
        name: &str,
        value: Option<String>,
        rest: &mut Iter<'_, String>,
    ) -> Result<(), ArgvError> {
        if self.personality == Personality::Mco
            && self.words == TASKS
            && let Some(meaning) = self.other_word(name)
        {
            return self.meant(meaning, &format!("--{name}"), value, rest);
        }
        let switch = |name: &str| {
            self.find_long(name)
                .is_some_and(|(global, flag)| !global && matches!(flag.kind, FlagInfoKind::Switch))
        };
        if value.is_none() && name.strip_prefix("no-").is_some_and(switch) {
            return self.negated(name, false);
        }
        // the next flag is no value, a number below zero is one
        let is_value = |word: &String| !word.starts_with('-') || word.parse::<f64>().is_ok();
        let follows = rest.as_slice().first().is_some_and(is_value);
        let word = match (value, name.strip_prefix("no-")) {
            (Some(value), _) => format!("--{name}={value}"),
            (None, Some(name)) => format!("--{name}=false"),
            (None, None) if follows => format!("--{name}={}", rest.next().map_or("", String::as_str)),
            (None, None) => format!("--{name}=true"),
        };
        self.positionals.push(word);
        Ok(())
    }
}
