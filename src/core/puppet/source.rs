//! Texts of plans and where in them something is.

use std::fmt;
use std::sync::Arc;

/// Longest text that is parsed. The longest public plan has 9 KiB.
pub const LONGEST: usize = 1 << 20;

/// Bytes of a source, from and to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    /// From the start of one to the end of another.
    pub(crate) fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// A file, or what stands for one.
#[derive(Debug)]
pub struct Source {
    /// What errors call it.
    pub file: Arc<str>,
    /// What it says.
    pub text: String,
}

impl Source {
    /// A text under a name.
    pub fn new(file: &str, text: impl Into<String>) -> Source {
        Source { file: file.into(), text: text.into() }
    }

    /// Line and column, both from one, of a byte.
    pub fn place(&self, at: u32) -> Place {
        let mut at = (at as usize).min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &self.text[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Place { file: self.file.clone(), line, column }
    }

    /// The comment that ends on the line before a byte, without its signs.
    pub fn comment_before(&self, at: u32) -> Vec<&str> {
        let before = self.text.get(..at as usize).unwrap_or_default();
        let mut lines: Vec<_> = before
            .rsplit_once('\n')
            .map_or("", |(before, _)| before)
            .rsplit('\n')
            .map_while(|line| line.trim().strip_prefix('#'))
            .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
            .collect();
        lines.reverse();
        lines
    }
}

/// Where something is, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Of its source.
    pub file: Arc<str>,
    /// From one.
    pub line: usize,
    /// In characters, from one.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_characters() {
        let source = Source::new("x.pp", "a\n  é$b\n");
        assert_eq!(source.place(6).to_string(), "x.pp:2:4");
        assert_eq!(source.place(99).to_string(), "x.pp:3:1");
        assert_eq!(source.place(5).to_string(), "x.pp:2:3", "inside of a character");
    }

    #[test]
    fn comments_stand_before() {
        let source = Source::new("x.pp", "# old\n\n# Restarts it.\n#\n# @param n how many\nplan x () {}\n");
        let at = source.text.find("plan").expect("a plan") as u32;
        assert_eq!(source.comment_before(at), ["Restarts it.", "", "@param n how many"]);
        assert!(source.comment_before(0).is_empty());
    }
}
