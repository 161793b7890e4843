//! Text of four kinds: bytes as hex, words of others cut short, [`Secret`]s, and documents
//! that people write, YAML that knows its lines among them. Pure.

use std::borrow::Cow;

pub mod documents;
mod nearest;
mod secret;
pub mod yaml;

pub use nearest::{meant, nearest, slip};
pub use secret::Secret;

/// Bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0xf));
    }
    text
}

/// Bytes that are written in hex of either case; `None` for anything else.
pub fn unhex_any(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// [`unhex_any`] of exactly `N` bytes, of which nothing is left elsewhere in memory: for keys.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (place, pair) in bytes.iter_mut().zip(pairs) {
        *place = byte(pair)?;
    }
    Some(bytes)
}

fn byte(pair: &[u8; 2]) -> Option<u8> {
    let half = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(half(pair[0])? << 4 | half(pair[1])?)
}

/// A number of bytes with three digits and a unit that fits, as `process` agents have
/// always written it: `0 B`, `1.500 KB`.
pub fn byte_size(bytes: f64) -> String {
    if bytes.is_nan() || bytes < 1.0 {
        return "0 B".to_owned();
    }
    let (mut size, mut unit) = (bytes, "B");
    for larger in ["KB", "MB", "GB", "TB"] {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    format!("{size:.3} {unit}")
}

/// Whether a character does something to a terminal instead of being shown by it: control
/// characters, those that turn the direction of text, and those that end lines.
pub fn drives_a_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A JSON document that cannot drive a terminal: what JSON lets through raw is written as its escape, so that
/// programs read the same value. Line ends and tabs are the document's own; within texts JSON escapes them.
pub fn escaped(json: &str) -> Cow<'_, str> {
    let harmful = |c: char| drives_a_terminal(c) && c != '\n' && c != '\t';
    if !json.contains(harmful) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        match harmful(c) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Words that somebody else chose, for one line: what drives a terminal is a space.
pub fn on_one_line(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(|c| if drives_a_terminal(c) { ' ' } else { c })
}

/// Words that somebody else chose, for a log, a page or an error: on one line,
/// without what drives a terminal, `max` characters at most, with `…` after them where
/// something was left out.
pub fn shortened(text: &str, max: usize) -> String {
    let printable = text.chars().map(|c| match c {
        '\n' | '\r' | '\t' => ' ',
        c if drives_a_terminal(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    });
    let mut out: String = printable.take(max).collect();
    if text.chars().nth(max).is_some() {
        out.push('…');
    }
    out
}

/// Widest column that others are lined up with: a longer word stands out, and widens nobody
/// else's line.
const WIDEST: usize = 256;

/// How wide a column of words of these widths is.
pub fn column(widths: impl IntoIterator<Item = usize>) -> usize {
    widths.into_iter().max().unwrap_or(0).min(WIDEST)
}

/// Cuts a text of several lines to `max` bytes, in place; `…` follows what is left of it.
pub fn shorten(text: &mut String, max: usize) {
    if text.len() > max {
        let end = (0..=max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_both_ways() {
        assert_eq!(hex(&[0, 1, 0x9a, 0xff]), "00019aff");
        assert_eq!(unhex_any("00019aFF"), Some(vec![0, 1, 0x9a, 0xff]));
        assert_eq!(unhex("9aff"), Some([0x9a, 0xff]));
        assert_eq!(unhex_any(""), Some(vec![]));
        for text in ["0", "0g", "+1", " 1", "é", "000"] {
            assert_eq!(unhex_any(text), None, "{text}");
            assert_eq!(unhex::<1>(text), None, "{text}");
        }
        assert_eq!(unhex::<1>("0000"), None);
    }

    #[test]
    fn words_of_others_are_short_and_on_one_line() {
        for (text, max, short) in [
            ("", 3, ""),
            ("abc", 3, "abc"),
            ("abcd", 3, "abc…"),
            ("äöü", 3, "äöü"),
            ("äöüß", 3, "äöü…"),
            ("a\nb\u{1b}[2J", 9, "a b\u{fffd}[2J"),
        ] {
            assert_eq!(shortened(text, max), short, "{text:?}");
        }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        for (text, max, short) in [("aä", 3, "aä"), ("aä", 2, "a…"), ("a\nb", 2, "a\n…"), ("ä", 1, "…")]
        {
            let mut cut = text.to_owned();
            shorten(&mut cut, max);
            assert_eq!(cut, short, "{text:?}");
        }
    }
}
