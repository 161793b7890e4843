//! Text to tokens. What a `(`, a `[` or a `/` means depends on what stands before it, and
//! strings hold code: so this is written by hand (spec 07 §C2).

mod heredoc;
mod strings;
mod token;

#[cfg(test)]
mod tests;

pub(crate) use token::{Keyword, Part, Sign, Tok, Token};

use crate::error::Error;
use crate::source::{LONGEST, Source, Span};
use crate::value::Text;

/// Code in strings in code: how deep.
const NESTED: u32 = 20;

/// All tokens of a source, [`Tok::End`] last.
pub(crate) fn lex(source: &Source) -> Result<Vec<Token>, Error> {
    if source.text.len() > LONGEST {
        let message = format!("the text has more than {LONGEST} bytes; split it into several plans");
        return Err(Error::syntax(message, source, Span::default()));
    }
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let skipped = (source.text.len() - text.len()) as u32;
    let mut lexer = Lexer::new(source, text, Offsets::Moved(skipped), 0);
    lexer.all()
}

/// Where the bytes of a text are in the file.
#[derive(Debug, Clone)]
enum Offsets {
    /// All moved by as many.
    Moved(u32),
    /// Lines that lost their margin: (start here, start there).
    Lines(Vec<(u32, u32)>),
}

struct Lexer<'s> {
    source: &'s Source,
    text: &'s str,
    at: usize,
    offsets: Offsets,
    /// Where reading goes on behind the bodies of heredocs that began on this line.
    after_heredocs: Option<usize>,
    depth: u32,
}

impl<'s> Lexer<'s> {
    fn new(source: &'s Source, text: &'s str, offsets: Offsets, depth: u32) -> Lexer<'s> {
        Lexer { source, text, at: 0, offsets, after_heredocs: None, depth }
    }

    fn all(&mut self) -> Result<Vec<Token>, Error> {
        let mut tokens = vec![];
        loop {
            let token = self.next(tokens.last().map(|token: &Token| &token.tok))?;
            let end = token.tok == Tok::End;
            tokens.push(token);
            if end {
                return Ok(tokens);
            }
        }
    }

    /// Tokens up to the brace that closes what is filled in; the brace is read too.
    fn until_brace(&mut self, opened: usize) -> Result<Vec<Token>, Error> {
        let (mut tokens, mut open): (Vec<Token>, u32) = (vec![], 0);
        loop {
            let mut token = self.next(tokens.last().map(|token| &token.tok))?;
            match token.tok {
                Tok::Sign(Sign::OpenBrace) => open += 1,
                Tok::Sign(Sign::CloseBrace) if open > 0 => open -= 1,
                Tok::Sign(Sign::CloseBrace) => token.tok = Tok::End,
                Tok::End => return Err(self.error("expected '}' to end this '${'", opened, opened + 2)),
                _ => {}
            }
            let end = token.tok == Tok::End;
            tokens.push(token);
            if end {
                return Ok(tokens);
            }
        }
    }

    fn place(&self, at: usize) -> u32 {
        let at = at as u32;
        match &self.offsets {
            Offsets::Moved(by) => at + by,
            Offsets::Lines(lines) => {
                let line = lines.partition_point(|(here, _)| *here <= at).saturating_sub(1);
                lines.get(line).map_or(at, |(here, there)| there + at - here)
            }
        }
    }

    fn span(&self, from: usize, to: usize) -> Span {
        Span { start: self.place(from), end: self.place(to) }
    }

    fn error(&self, message: impl Into<String>, from: usize, to: usize) -> Error {
        Error::syntax(message, self.source, self.span(from, to))
    }

    fn rest(&self) -> &'s str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Steps over white space and comments. Says whether there was any.
    fn space(&mut self) -> Result<bool, Error> {
        let from = self.at;
        loop {
            let rest = self.rest();
            match self.peek() {
                Some('\n') => {
                    self.at += 1;
                    if let Some(after) = self.after_heredocs.take() {
                        self.at = after;
                    }
                }
                Some(c) if c.is_whitespace() => self.at += c.len_utf8(),
                Some('#') => self.at += rest.find('\n').unwrap_or(rest.len()),
                Some('/') if rest.starts_with("/*") => match rest.find("*/") {
                    Some(end) => self.at += end + 2,
                    None => {
                        return Err(self.error("expected '*/' to end this comment", self.at, self.at + 2));
                    }
                },
                _ => return Ok(self.at > from || from == 0),
            }
        }
    }

    fn next(&mut self, before: Option<&Tok>) -> Result<Token, Error> {
        let end = self.at;
        let spaced = self.space()?;
        let from = self.at;
        let first = self.text.get(end..from).is_some_and(|between| between.contains('\n'));
        let tok = match self.peek() {
            None => Tok::End,
            Some('\'') => Tok::String(self.single_quoted()?),
            Some('"') => self.double_quoted()?,
            Some('$') => self.variable()?,
            Some('0'..='9') => self.number()?,
            Some('@') if self.rest().starts_with("@(") => self.heredoc()?,
            Some('/') if !before.is_some_and(Tok::ends_value) => match self.regexp() {
                Some(text) => Tok::Regexp(text),
                None => self.sign()?,
            },
            Some(c) if c.is_ascii_alphabetic() || c == '_' || c == ':' => match self.word()? {
                Some(tok) => tok,
                None => self.sign()?,
            },
            Some(_) => self.sign()?,
        };
        Ok(Token { tok, span: self.span(from, self.at), spaced, first })
    }

    fn sign(&mut self) -> Result<Tok, Error> {
        let rest = self.rest();
        let Some((sign, text)) = Sign::ALL.iter().find(|(_, text)| rest.starts_with(text)) else {
            let c = self.peek().unwrap_or_default();
            let message = format!("a {c:?} means nothing here; text stands in quotes");
            return Err(self.error(message, self.at, self.at + c.len_utf8()));
        };
        self.at += text.len();
        Ok(Tok::Sign(*sign))
    }

    /// `name`, `a::name`, `Type`, `a-word`, or a keyword; none where a colon is only that.
    fn word(&mut self) -> Result<Option<Tok>, Error> {
        let rest = self.rest();
        let begin = rest.strip_prefix("::").map_or(0, |_| 2);
        let first = rest[begin..].chars().next();
        if !first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_') {
            return Ok(None);
        }
        let capital = first.is_some_and(|c| c.is_ascii_uppercase());
        let mut end = begin;
        let bytes = rest.as_bytes();
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        loop {
            while end < bytes.len() && word(bytes[end]) {
                end += 1;
            }
            // a hyphen belongs to a word when another letter follows, somewhere behind it
            let hyphens = rest[end..].bytes().take_while(|b| *b == b'-').count();
            if hyphens > 0 && !capital && bytes.get(end + hyphens).is_some_and(|b| word(*b)) {
                end += hyphens;
                continue;
            }
            let more = bytes.get(end..end + 2) == Some(b"::")
                && bytes.get(end + 2).is_some_and(|b| match capital {
                    true => b.is_ascii_uppercase(),
                    false => b.is_ascii_lowercase() || *b == b'_',
                });
            if !more {
                break;
            }
            end += 2;
        }
        let text = &rest[..end];
        self.at += end;
        if capital {
            return Ok(Some(Tok::Type(Text::literal(text.trim_start_matches("::")))));
        }
        if let Some((word, _)) = Keyword::ALL.iter().find(|(_, word)| *word == text) {
            return Ok(Some(Tok::Keyword(*word)));
        }
        let segment = |s: &str| s.starts_with(|c: char| c.is_ascii_lowercase()) && s.bytes().all(word);
        Ok(Some(match text[begin..].split("::").all(segment) {
            true => Tok::Name(Text::literal(&text[begin..])),
            false => Tok::Word(Text::literal(text)),
        }))
    }

    fn variable(&mut self) -> Result<Tok, Error> {
        let from = self.at;
        match self.variable_name(from + 1) {
            Some(name) => {
                self.at = from + 1 + name.len();
                Ok(Tok::Variable(Text::literal(name.trim_start_matches("::"))))
            }
            None => Err(self.error("expected the name of a variable behind '$'", from, from + 1)),
        }
    }

    /// The name of a variable that begins at this byte.
    fn variable_name(&self, from: usize) -> Option<&'s str> {
        let rest = &self.text[from..];
        let bytes = rest.as_bytes();
        let mut end = if rest.starts_with("::") { 2 } else { 0 };
        let word = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        if !word(bytes.get(end)) {
            return None;
        }
        loop {
            while word(bytes.get(end)) {
                end += 1;
            }
            if bytes.get(end..end + 2) == Some(b"::") && word(bytes.get(end + 2)) {
                end += 2;
                continue;
            }
            return Some(&rest[..end]);
        }
    }

    fn number(&mut self) -> Result<Tok, Error> {
        let rest = self.rest();
        let from = self.at;
        let digits = |from: usize| rest[from..].bytes().take_while(u8::is_ascii_digit).count();
        let hexadecimal = rest.starts_with("0x") || rest.starts_with("0X");
        let mut end = match hexadecimal {
            true => 2 + rest[2..].bytes().take_while(u8::is_ascii_hexdigit).count(),
            false => digits(0),
        };
        let mut float = false;
        if !hexadecimal {
            if rest[end..].starts_with('.') && digits(end + 1) > 0 {
                end += 1 + digits(end + 1);
                float = true;
            }
            if rest[end..].starts_with(['e', 'E']) {
                let sign = usize::from(rest[end + 1..].starts_with(['-', '+']));
                let exponent = digits(end + 1 + sign);
                if exponent > 0 {
                    end += 1 + sign + exponent;
                    float = true;
                }
            }
        }
        let text = &rest[..end];
        let glued = rest[end..].chars().next().is_some_and(|c| c.is_alphanumeric() || c == '_');
        self.at += end;
        let wrong = |what: &str| self.error(what.to_owned(), from, from + end);
        if glued {
            return Err(wrong("a number ends in a letter; names begin with a letter, text stands in quotes"));
        }
        if float {
            let number: f64 = text.parse().map_err(|_| wrong("this is not a number"))?;
            return match number.is_finite() {
                true => Ok(Tok::Float(number)),
                false => Err(wrong("a number is too large for a Float")),
            };
        }
        let parsed = match text.as_bytes() {
            _ if hexadecimal => i64::from_str_radix(&text[2..], 16),
            [b'0', _, ..] => i64::from_str_radix(text, 8),
            _ => text.parse(),
        };
        match parsed {
            Ok(number) => Ok(Tok::Integer(number)),
            Err(e) if matches!(e.kind(), std::num::IntErrorKind::PosOverflow) => {
                Err(wrong("a number is larger than an Integer may be, 9223372036854775807"))
            }
            Err(_) if hexadecimal => Err(wrong("expected hexadecimal digits behind '0x'")),
            Err(_) => Err(wrong("a number that begins with 0 is octal and has digits from 0 to 7 only")),
        }
    }

    /// `/text/` on one line.
    fn regexp(&mut self) -> Option<Text> {
        let rest = &self.text[self.at + 1..];
        let mut escaped = false;
        for (at, c) in rest.char_indices() {
            match c {
                '\n' => return None,
                '/' if !escaped => {
                    self.at += at + 2;
                    return Some(Text::literal(&rest[..at].replace("\\/", "/")));
                }
                _ => escaped = c == '\\' && !escaped,
            }
        }
        None
    }
}
