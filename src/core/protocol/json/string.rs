//! Strings: escapes, surrogates, and bytes that are no UTF-8.

use std::borrow::Cow;

use memchr::memchr2;

use super::reader::{Kind, Problem, Reader, Result};

impl<'a> Reader<'a> {
    /// Reads a string. Borrowed when it holds neither escapes nor broken UTF-8.
    pub fn string(&mut self) -> Result<Cow<'a, str>> {
        self.expect(Kind::String, "a string")?;
        self.at += 1;
        let first = self.plain_run()?;
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Ok(decode_utf8(first));
        }
        // Escapes only ever shrink, so the rest of this string fits what is
        // left of the first run doubled; grow from there.
        let mut text = Vec::with_capacity(first.len() * 2 + 64);
        text.extend_from_slice(first);
        while self.byte() == Some(b'\\') {
            self.at += 1;
            let mut buffer = [0; 4];
            text.extend_from_slice(self.escape()?.encode_utf8(&mut buffer).as_bytes());
            text.extend_from_slice(self.plain_run()?);
        }
        self.at += 1;
        Ok(match String::from_utf8(text) {
            Ok(text) => Cow::Owned(text),
            Err(e) => Cow::Owned(decode_utf8(e.as_bytes()).into_owned()),
        })
    }

    /// The bytes up to the next quote or backslash, which is left in place.
    fn plain_run(&mut self) -> Result<&'a [u8]> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let Some(length) = memchr2(b'"', b'\\', rest) else {
            self.at = self.text.len();
            return Err(self.error(Problem::Syntax));
        };
        let run = rest.get(..length).unwrap_or_default();
        // Looked at without stopping early, so that the compiler takes many bytes at once.
        if run.iter().fold(false, |bad, b| bad | (*b < 0x20)) {
            self.at += run.iter().position(|b| *b < 0x20).unwrap_or(0);
            return Err(self.error(Problem::Syntax));
        }
        self.at += length;
        Ok(run)
    }

    fn escape(&mut self) -> Result<char> {
        let Some(letter) = self.byte() else { return Err(self.error(Problem::Syntax)) };
        self.at += 1;
        Ok(match letter {
            b'"' | b'\\' | b'/' => letter as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.hex4().ok_or_else(|| self.error(Problem::Syntax))?;
                self.at += 4;
                self.unit(unit)
            }
            _ => return Err(self.error(Problem::Syntax)),
        })
    }

    /// A UTF-16 unit, joined with its partner if that follows. One without a
    /// partner reads as U+FFFD and leaves what follows alone.
    fn unit(&mut self, unit: u16) -> char {
        if let Some(c) = char::from_u32(u32::from(unit)) {
            return c;
        }
        if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(b"\\u")) {
            self.at += 2;
            if let Some(low) = self.hex4()
                && let Some(Ok(c)) = char::decode_utf16([unit, low]).next()
            {
                self.at += 4;
                return c;
            }
            self.at -= 2;
        }
        char::REPLACEMENT_CHARACTER
    }

    fn hex4(&self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at.checked_add(4)?)?;
        digits.iter().try_fold(0u16, |sum, d| Some(sum << 4 | (*d as char).to_digit(16)? as u16))
    }
}

/// UTF-8, every byte that is none read as one U+FFFD.
fn decode_utf8(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(text)
}
