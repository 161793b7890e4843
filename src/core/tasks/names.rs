//! Names of tasks: `module` or `module::task`, where `module` is `module::init`.

use std::fmt;

/// Longest name, as interfaces have it.
const LONGEST: usize = 100;

/// The name of a task, checked to be one. Shown, it is short: `demo`, not `demo::init`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskName {
    module: String,
    task: String,
}

/// A text is no name of a task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no name of a task: it is MODULE or MODULE::TASK, of a-z, 0-9 and _, a letter first")]
pub struct NoName(String);

/// Letters, digits and `_`, a letter first: nothing that leads out of a directory.
pub fn is_segment(text: &str) -> bool {
    text.len() <= LONGEST
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

impl TaskName {
    /// Of a text.
    ///
    /// # Errors
    /// It is none. The original takes the empty text, a newline at the end, and ignores a third part.
    pub fn parse(text: &str) -> Result<TaskName, NoName> {
        let no = || NoName(text.chars().take(LONGEST).flat_map(char::escape_debug).collect());
        let (module, task) = text.split_once("::").unwrap_or((text, "init"));
        match text.len() <= LONGEST && is_segment(module) && is_segment(task) {
            true => Ok(TaskName { module: module.to_owned(), task: task.to_owned() }),
            false => Err(no()),
        }
    }

    /// The module it is of.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// What it is called there.
    pub fn task(&self) -> &str {
        &self.task
    }

    /// All ways to write it, the short one first.
    pub fn spellings(&self) -> Vec<String> {
        match self.task.as_str() {
            "init" => vec![self.module.clone(), format!("{}::init", self.module)],
            _ => vec![self.to_string()],
        }
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task.as_str() {
            "init" => f.write_str(&self.module),
            task => write!(f, "{}::{task}", self.module),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_or_two_words() {
        for (text, shown, spellings) in
            [("demo", "demo", 2), ("demo::init", "demo", 2), ("demo::restart_2", "demo::restart_2", 1)]
        {
            let name = TaskName::parse(text).unwrap();
            assert_eq!((name.to_string().as_str(), name.spellings().len()), (shown, spellings), "{text}");
        }
        for text in
            ["", "demo\n", "demo::", "::x", "a::b::c", "Demo", "demo::../x", "demo-x", "1x", "_x", "demo::x "]
        {
            assert!(TaskName::parse(text).is_err(), "{text:?}");
        }
        assert!(TaskName::parse(&"a".repeat(101)).is_err());
    }
}
