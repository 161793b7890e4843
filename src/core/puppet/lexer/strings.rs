//! Strings in quotes, and what is filled into them.

use super::{Lexer, NESTED, Part, Tok};
use crate::error::Error;
use crate::value::Text;

/// Which escapes mean something: the letters behind a backslash. `\n` is a line's end.
#[derive(Clone, Copy)]
pub(super) struct Escapes<'e>(pub &'e str);

/// All that double quotes know.
const DOUBLE: Escapes<'static> = Escapes("\\\"'$nrtsu\n");

impl Lexer<'_> {
    pub(super) fn single_quoted(&mut self) -> Result<Text, Error> {
        let from = self.at;
        let mut text = String::new();
        let mut chars = self.text[from + 1..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\'' => {
                    self.at = from + 1 + at + 1;
                    return Ok(Text::literal(&text));
                }
                '\\' => match chars.next() {
                    Some((_, c @ ('\\' | '\''))) => text.push(c),
                    Some((_, c)) => text.extend(['\\', c]),
                    None => break,
                },
                c => text.push(c),
            }
        }
        Err(self.error("expected a ' to end this string", from, from + 1))
    }

    pub(super) fn double_quoted(&mut self) -> Result<Tok, Error> {
        let from = self.at;
        self.at += 1;
        let parts = self.parts(DOUBLE, Some('"'), from)?;
        Ok(put_together(parts))
    }

    /// Text and what is filled in, up to a sign, or to the end.
    pub(super) fn parts(
        &mut self,
        escapes: Escapes<'_>,
        end: Option<char>,
        opened: usize,
    ) -> Result<Vec<Part>, Error> {
        let (mut parts, mut text) = (vec![], String::new());
        loop {
            let at = self.at;
            let Some(c) = self.peek() else {
                if end.is_some() {
                    return Err(self.error("expected a \" to end this string", opened, opened + 1));
                }
                break;
            };
            self.at += c.len_utf8();
            match c {
                c if Some(c) == end => break,
                '\\' if !escapes.0.is_empty() => self.escape(escapes, &mut text)?,
                '$' if self.rest().starts_with('{') => {
                    if self.depth >= NESTED {
                        let message = format!("code in strings is nested deeper than {NESTED} levels");
                        return Err(self.error(message, at, at + 2));
                    }
                    self.at += 1;
                    flush(&mut text, &mut parts);
                    self.depth += 1;
                    let outer = self.after_heredocs.take();
                    let code = self.until_brace(at);
                    self.after_heredocs = outer;
                    self.depth -= 1;
                    parts.push(Part::Code(code?));
                }
                '$' => match self.variable_name(self.at) {
                    Some(name) => {
                        self.at += name.len();
                        flush(&mut text, &mut parts);
                        let name = Text::literal(name.trim_start_matches("::"));
                        parts.push(Part::Variable(name, self.span(at, self.at)));
                    }
                    None => text.push('$'),
                },
                c => text.push(c),
            }
        }
        flush(&mut text, &mut parts);
        Ok(parts)
    }

    /// What stands for itself behind a backslash, which is read already.
    pub(super) fn escape(&mut self, escapes: Escapes<'_>, text: &mut String) -> Result<(), Error> {
        let from = self.at - 1;
        let rest = self.rest();
        if rest.starts_with("\r\n") && escapes.0.contains('\n') {
            self.at += 2;
            return Ok(());
        }
        let Some(c) = self.peek().filter(|c| escapes.0.contains(*c)) else {
            text.push('\\');
            // an escape that is none stays as it is, the second of two backslashes with it
            if let Some('\\') = self.peek() {
                text.push('\\');
                self.at += 1;
            }
            return Ok(());
        };
        self.at += c.len_utf8();
        match c {
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            's' => text.push(' '),
            '\n' => {}
            'u' => {
                let rest = &rest[1..];
                let (digits, length) = match rest.strip_prefix('{') {
                    Some(inner) => {
                        let digits = inner.split('}').next().filter(|digits| (1..=6).contains(&digits.len()));
                        (digits, digits.map_or(0, |digits| digits.len() + 2))
                    }
                    None => (rest.get(..4), 4),
                };
                let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
                let c =
                    digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
                let Some(c) = c else {
                    let message = "expected four hexadecimal digits behind \\u, or up to six in braces";
                    return Err(self.error(message, from, from + 2));
                };
                self.at += length;
                text.push(c);
            }
            c => text.push(c),
        }
        Ok(())
    }
}

fn flush(text: &mut String, parts: &mut Vec<Part>) {
    if !text.is_empty() {
        parts.push(Part::Text(Text::literal(text)));
        text.clear();
    }
}

/// A plain string where nothing is filled in.
pub(super) fn put_together(mut parts: Vec<Part>) -> Tok {
    match parts.as_slice() {
        [] => Tok::String(Text::literal("")),
        [Part::Text(_)] => match parts.pop() {
            Some(Part::Text(text)) => Tok::String(text),
            _ => Tok::String(Text::literal("")),
        },
        _ => Tok::Interpolated(parts),
    }
}
