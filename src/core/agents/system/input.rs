//! Inputs that become arguments of programs: what could be read as an option, a path, a
//! pattern or a second word is refused here, whatever the interface let through.

use super::Outputs;
use crate::core::agents::Outcome;
use crate::core::rpc::StatusCode;

/// Why an input is refused, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{input} '{value}' {problem}")]
pub struct Refused {
    input: &'static str,
    value: String,
    problem: &'static str,
}

impl Refused {
    /// Of an input, and what is wrong with its value as the end of a sentence.
    pub fn new(input: &'static str, value: &str, problem: &'static str) -> Refused {
        let value = value.chars().take(90).flat_map(char::escape_debug).collect();
        Refused { input, value, problem }
    }

    /// As an answer.
    pub fn answer(&self, outputs: Outputs) -> Outcome {
        outputs.failed(StatusCode::InvalidData, self.to_string())
    }
}

/// A word of these characters that begins with a letter or a digit.
pub fn word(input: &'static str, value: &str, others: &str) -> Result<(), Refused> {
    let first = value.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let plain = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    match () {
        () if value.is_empty() => Err(Refused::new(input, value, "is empty")),
        () if value.starts_with('-') => Err(Refused::new(input, value, "could be read as an option")),
        () if !first || !value.chars().all(plain) => {
            Err(Refused::new(input, value, "has a character that no such name has"))
        }
        () => Ok(()),
    }
}

/// A path from the root, as it stands: without `..`, and below the root.
pub fn path(input: &'static str, value: &str) -> Result<(), Refused> {
    let parts: Vec<&str> = value.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    match () {
        () if value.is_empty() => Err(Refused::new(input, value, "is empty")),
        () if !value.starts_with('/') => {
            Err(Refused::new(input, value, "does not begin at the root, write /…"))
        }
        () if value.chars().any(char::is_control) => {
            Err(Refused::new(input, value, "has a control character"))
        }
        () if parts.contains(&"..") => {
            Err(Refused::new(input, value, "goes upwards by .., write where it is"))
        }
        () if parts.is_empty() => Err(Refused::new(input, value, "is the root of all files")),
        () => Ok(()),
    }
}
