//! Words as shells take them apart, without a shell.

/// A line that ends within quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a quote is not closed, or a \\ stands at the end")]
pub struct Unclosed;

/// The words of a line: quotes keep words together, `\` takes the next character as it is.
///
/// # Errors
/// A quote is not closed.
pub fn split(line: &str) -> Result<Vec<String>, Unclosed> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\\' => match chars.next().ok_or(Unclosed)? {
                // a line goes on
                '\n' => {}
                c => word.get_or_insert_default().push(c),
            },
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(Unclosed)? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => double(&mut chars, word.get_or_insert_default())?,
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn double(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), Unclosed> {
    loop {
        match chars.next().ok_or(Unclosed)? {
            '"' => return Ok(()),
            '\\' => match chars.next().ok_or(Unclosed)? {
                '\n' => {}
                c @ ('"' | '\\' | '$' | '`') => word.push(c),
                c => word.extend(['\\', c]),
            },
            c => word.push(c),
        }
    }
}

/// A text as one word of a shell.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%_-+=:,./".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\"'\"'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_shells() {
        for (line, words) in [
            ("", &[][..]),
            ("  a  b\n c ", &["a", "b", "c"]),
            ("echo \"Hello 'x'\" '' 'a\"b'c", &["echo", "Hello 'x'", "", "a\"bc"]),
            (r#"a\ b "c\"d\n" '\'"#, &["a b", "c\"d\\n", "\\"]),
            ("a # b", &["a", "#", "b"]),
            ("a \\\n b", &["a", "b"]),
            ("$HOME `x` *", &["$HOME", "`x`", "*"]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
        for line in ["'", "\"", "\\", "a 'b", "\"a\\"] {
            assert_eq!(split(line), Err(Unclosed), "{line}");
        }
    }

    #[test]
    fn what_is_quoted_is_one_word() {
        assert_eq!(quoted("a.b/c"), "a.b/c");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a'b"), r#"'a'"'"'b'"#);
        bolero::check!().with_iterations(2000).with_type::<String>().for_each(|text: &String| {
            let _ = split(text);
            assert_eq!(split(&quoted(text)), Ok(vec![text.clone()]));
        });
    }
}
