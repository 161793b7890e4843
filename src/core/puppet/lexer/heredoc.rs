//! Heredocs: `@("TAG":syntax/flags)`, whose text is on the lines below.

use super::strings::{Escapes, put_together};
use super::{Lexer, NESTED, Offsets, Part, Tok};
use crate::error::Error;
use crate::value::Text;

/// What stands between the parentheses.
struct Opening<'t> {
    tag: &'t str,
    interpolates: bool,
    /// The letters of its escapes.
    escapes: String,
}

fn opening(inner: &str) -> Option<Opening<'_>> {
    let (head, flags) = match inner.rsplit_once('/') {
        Some((head, flags)) => (head, Some(flags.trim())),
        None => (inner, None),
    };
    let head = head.trim();
    let quoted = head.strip_prefix('"').and_then(|rest| rest.split_once('"'));
    let (tag, rest) = match quoted {
        Some((tag, rest)) => (tag.trim(), rest.trim()),
        None => head.split_once(':').map_or((head, ""), |(tag, syntax)| (tag.trim(), syntax)),
    };
    let _syntax = rest;
    let odd = |c: char| "/:()\n\"".contains(c);
    if tag.is_empty()
        || tag.contains(odd)
        || flags.is_some_and(|flags| flags.contains(|c| !"nrtsuL$".contains(c)))
    {
        return None;
    }
    let escapes = match flags {
        None => String::new(),
        Some("") => "\\nrtsu$\n".to_owned(),
        Some(flags) => format!("\\{}", flags.replace('L', "\n")),
    };
    Some(Opening { tag, interpolates: quoted.is_some(), escapes })
}

/// The line that ends a body: a margin, whether the last line's end goes, and the tag.
fn ending(line: &str, tag: &str) -> Option<(Option<usize>, bool)> {
    let trimmed = line.trim_end();
    let rest = trimmed.trim_start();
    let indent = trimmed.len() - rest.len();
    let (margin, rest) = match rest.strip_prefix('|') {
        Some(rest) => (Some(indent), rest.trim_start()),
        None => (None, rest),
    };
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, rest),
    };
    (rest == tag).then_some((margin, chomp))
}

impl Lexer<'_> {
    pub(super) fn heredoc(&mut self) -> Result<Tok, Error> {
        let (from, text) = (self.at, self.text);
        let close = text[from..].find([')', '\n']).filter(|at| text[from + at..].starts_with(')'));
        let opening = close.and_then(|close| opening(&text[from + 2..from + close]));
        let (Some(close), Some(opening)) = (close, opening) else {
            let message = "expected a tag, and after a slash flags of nrtsuL$, in this heredoc: @(\"END\"/n)";
            return Err(self.error(message, from, from + 2));
        };
        self.at = from + close + 1;
        if self.depth > 0 {
            let message = "a heredoc cannot begin inside of a string; put it in a variable first";
            return Err(self.error(message, from, self.at));
        }
        let body = match self.after_heredocs {
            Some(after) => after,
            None => text[self.at..].find('\n').map_or(text.len(), |end| self.at + end + 1),
        };
        // lines: (start in the text, line with its end)
        let (mut lines, mut at) = (vec![], body);
        let (margin, chomp) = loop {
            if at >= text.len() {
                let message = format!("expected a line '| {}' that ends this heredoc", opening.tag);
                return Err(self.error(message, from, self.at));
            }
            let end = text[at..].find('\n').map_or(text.len(), |end| at + end + 1);
            let line = &text[at..end];
            if let Some(found) = ending(line, opening.tag) {
                self.after_heredocs = Some(end);
                break found;
            }
            lines.push((at, line));
            at = end;
        };
        // Joined with what each lost in front.
        let (mut joined, mut offsets) = (String::new(), vec![]);
        for (start, line) in lines {
            let blank = line.len() - line.trim_start_matches([' ', '\t']).len();
            let cut = margin.unwrap_or(0).min(blank);
            offsets.push((joined.len() as u32, self.place(start + cut)));
            joined.push_str(&line[cut..]);
        }
        if chomp {
            let chomped = joined.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text).len());
            joined.truncate(chomped.unwrap_or(joined.len()));
        }
        let mut inner = Lexer::new(self.source, &joined, Offsets::Lines(offsets), self.depth + 1);
        debug_assert!(inner.depth <= NESTED);
        let parts = match opening.interpolates {
            true => inner.parts(Escapes(&opening.escapes), None, 0)?,
            false => vec![Part::Text(inner.escaped(&opening.escapes)?)],
        };
        Ok(put_together(parts))
    }

    /// Text in which nothing is filled in, with escapes.
    fn escaped(&mut self, escapes: &str) -> Result<Text, Error> {
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.at += c.len_utf8();
            match c {
                '\\' if !escapes.is_empty() => self.escape(Escapes(escapes), &mut text)?,
                c => text.push(c),
            }
        }
        Ok(Text::literal(&text))
    }
}
