//! Regular expressions as Ruby reads them, by a library that goes back only so often.

use std::ops::Range;

use super::Text;

/// How often one match may go back.
const BACKTRACKS: usize = 200_000;

/// Longest regular expression.
const LONGEST: usize = 4_096;

/// A compiled regular expression; the same as another when the text is.
pub struct Regexp {
    text: Text,
    program: fancy_regex::Regex,
}

/// Where the whole matched, then each group: a group of a long text is not copied before
/// somebody pays for it.
pub(crate) type Found = Vec<Option<Range<usize>>>;

/// A match went back too often.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the regular expression /{0}/ takes too long for this text; make it simpler")]
pub(crate) struct OutOfWork(String);

impl Regexp {
    /// Compiles it. The error says what is wrong.
    pub fn new(text: &str) -> Result<Regexp, String> {
        if text.len() > LONGEST {
            return Err(format!("it has more than {LONGEST} bytes"));
        }
        let translated = translated(text);
        let builder = fancy_regex::RegexBuilder::new(&translated)
            .backtrack_limit(BACKTRACKS)
            .delegate_size_limit(4 << 20)
            .delegate_dfa_size_limit(4 << 20)
            .build();
        let program = builder.map_err(|e| e.to_string().lines().last().unwrap_or_default().to_owned())?;
        Ok(Regexp { text: Text::literal(text), program })
    }

    /// What stands between the slashes.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_match(&self, text: &str) -> Result<bool, OutOfWork> {
        self.program.is_match(text).map_err(|_| self.out_of_work())
    }

    /// The number of a group with a name.
    pub(crate) fn group(&self, name: &str) -> Option<usize> {
        self.program.capture_names().position(|known| known == Some(name))
    }

    fn out_of_work(&self) -> OutOfWork {
        OutOfWork(self.text.to_string())
    }

    /// The first match at or behind a byte, with its place.
    pub(crate) fn find(&self, text: &str, from: usize) -> Result<Option<(Range<usize>, Found)>, OutOfWork> {
        let found = self.program.captures_from_pos(text, from).map_err(|_| self.out_of_work())?;
        let Some(captures) = found else { return Ok(None) };
        let Some(whole) = captures.get(0) else { return Ok(None) };
        let groups = captures.iter().map(|group| group.map(|group| group.range())).collect();
        Ok(Some((whole.range(), groups)))
    }
}

/// Ruby's `^` and `$` are those of lines, its `m` is what others call `s`, and its `\Z`
/// and `\h` are known to the library already.
fn translated(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    out.push_str("(?m:");
    let mut chars = text.chars().peekable();
    // the two signs before, forgotten behind an escape and inside of brackets
    let (mut before, mut bracket) = (['\0'; 2], false);
    while let Some(c) = chars.next() {
        if before == ['(', '?'] && (c.is_ascii_lowercase() || c == '-') {
            let mut flags = String::from(c);
            while let Some(next) = chars.next_if(|c| c.is_ascii_lowercase() || *c == '-') {
                flags.push(next);
            }
            out.push_str(&flags.replace('m', "s"));
            before = ['\0'; 2];
            continue;
        }
        out.push(c);
        before = if bracket { ['\0'; 2] } else { [before[1], c] };
        match c {
            '\\' => {
                match chars.next() {
                    // a zero byte, and no group: those count from one
                    Some('0') => out.push_str("x00"),
                    next => out.extend(next),
                }
                before = ['\0'; 2];
            }
            '[' => bracket = true,
            ']' => bracket = false,
            _ => {}
        }
    }
    out.push(')');
    out
}

impl std::fmt::Debug for Regexp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "/{}/", self.text)
    }
}

impl PartialEq for Regexp {
    fn eq(&self, other: &Regexp) -> bool {
        self.text == other.text
    }
}

impl Eq for Regexp {}

impl std::hash::Hash for Regexp {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}
