//! Command lines as definitions write them, split by the rules of the original's library
//! (spec 06 §6): a backslash escapes everything, in double quotes too, and `#` at the begin
//! of a word is the begin of a comment. A POSIX shell differs in both.

/// Why a command line is none, as the end of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// A quote without its end.
    #[error("has a quote that is not closed")]
    Quote,
    /// A backslash at the end.
    #[error("ends with a backslash")]
    Escape,
}

/// The words of a command line.
///
/// # Errors
/// It ends too early.
pub fn split(line: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '#' if word.is_none() => while chars.next().is_some_and(|c| c != '\n') {},
            '\\' => word.get_or_insert_default().push(chars.next().ok_or(WordsError::Escape)?),
            '\'' => loop {
                match chars.next().ok_or(WordsError::Quote)? {
                    '\'' => break word.get_or_insert_default().push_str(""),
                    c => word.get_or_insert_default().push(c),
                }
            },
            '"' => loop {
                match chars.next().ok_or(WordsError::Quote)? {
                    '"' => break word.get_or_insert_default().push_str(""),
                    '\\' => word.get_or_insert_default().push(chars.next().ok_or(WordsError::Quote)?),
                    c => word.get_or_insert_default().push(c),
                }
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::machine::tests::vectors;

    #[test]
    fn captured_lines_are_split_alike() {
        let mut seen = 0;
        for case in vectors("machine-parse-tables.json")["command_split"].as_array().unwrap() {
            let line = case["command"].as_str().unwrap();
            let words = split(line);
            if case["error"].is_string() {
                assert!(words.is_err(), "{line:?}");
            } else {
                let theirs: Vec<&str> =
                    case["words"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
                assert_eq!(words.unwrap(), theirs, "{line:?}");
            }
            seen += 1;
        }
        assert_eq!(seen, 26);
    }
}
