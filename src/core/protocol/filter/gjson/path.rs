//! Taking one component off the front of a path.

use std::borrow::Cow;

use super::modifier::is_modifier;
use super::query::{Query, parse_query};

/// The next component when the value is an object.
pub(super) struct ObjectPath<'a> {
    /// The key, escapes removed.
    pub(super) part: Cow<'a, [u8]>,
    /// What follows a dot, to be looked up in the value.
    pub(super) rest: Option<&'a [u8]>,
    /// What follows a pipe, to be applied to the final result.
    pub(super) pipe: Option<&'a [u8]>,
    /// Whether the key holds wildcards.
    pub(super) wild: bool,
}

/// The next component when the value is an array.
#[derive(Default)]
pub(super) struct ArrayPath<'a> {
    pub(super) part: &'a [u8],
    pub(super) rest: Option<&'a [u8]>,
    pub(super) pipe: Option<&'a [u8]>,
    /// Whether the component holds a `#`.
    pub(super) hash: bool,
    /// What follows `#.`, to be looked up in every element.
    pub(super) every: Option<&'a [u8]>,
    /// `#(…)`.
    pub(super) query: Option<Query<'a>>,
}

fn from(path: &[u8], at: usize) -> &[u8] {
    path.get(at..).unwrap_or_default()
}

fn to(path: &[u8], at: usize) -> &[u8] {
    path.get(..at).unwrap_or_default()
}

/// Whether what follows a dot works on the result, as if after a pipe.
fn pipes(rest: &[u8]) -> bool {
    match rest.first() {
        Some(b'@') => {
            let name = from(rest, 1);
            let end = name.iter().position(|b| matches!(b, b'.' | b'|' | b':')).unwrap_or(name.len());
            is_modifier(to(name, end))
        }
        Some(b'[' | b'{') => true,
        _ => false,
    }
}

pub(super) fn parse_object_path(path: &[u8]) -> ObjectPath<'_> {
    let mut part = Cow::Borrowed(path);
    let (mut rest, mut pipe, mut wild) = (None, None, false);
    let mut plain: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(byte) = path.get(at) {
        match byte {
            b'|' | b'.' => {
                if plain.is_none() {
                    part = Cow::Borrowed(to(path, at));
                }
                let tail = from(path, at + 1);
                if *byte == b'|' || pipes(tail) {
                    pipe = Some(tail);
                } else {
                    rest = Some(tail);
                }
                break;
            }
            b'\\' => {
                let plain = plain.get_or_insert_with(|| to(path, at).to_vec());
                at += 1;
                plain.extend(path.get(at));
            }
            byte => {
                wild |= matches!(byte, b'*' | b'?');
                if let Some(plain) = &mut plain {
                    plain.push(*byte);
                }
            }
        }
        at += 1;
    }
    if let Some(plain) = plain {
        part = Cow::Owned(plain);
    }
    ObjectPath { part, rest, pipe, wild }
}

pub(super) fn parse_array_path(path: &[u8]) -> ArrayPath<'_> {
    let mut parsed = ArrayPath::default();
    let mut at = 0;
    while let Some(byte) = path.get(at) {
        match byte {
            b'|' => {
                parsed.part = to(path, at);
                parsed.pipe = Some(from(path, at + 1));
                return parsed;
            }
            b'.' => {
                parsed.part = to(path, at);
                let tail = from(path, at + 1);
                if !parsed.hash && pipes(tail) {
                    parsed.pipe = Some(tail);
                } else {
                    parsed.rest = Some(tail);
                }
                return parsed;
            }
            b'#' => {
                parsed.hash = true;
                match path.get(1) {
                    Some(b'.') if at == 0 => parsed.every = Some(from(path, 2)),
                    Some(b'[' | b'(') if at == 0 => {
                        // A query that never ends is none, and nothing is found.
                        parsed.query = Some(Query::default());
                        let Some((mut query, end)) = parse_query(path) else { break };
                        at = end - 1;
                        query.all = path.get(end) == Some(&b'#');
                        parsed.query = Some(query);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        at += 1;
    }
    parsed.part = path;
    parsed
}

/// Splits a path at its first pipe outside of queries and selections.
pub(super) fn split_possible_pipe(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if !path.contains(&b'|') {
        return None;
    }
    if path.first() == Some(&b'{') {
        let end = squashed(path);
        return match path.get(end) {
            Some(b'|') => Some((to(path, end), from(path, end + 1))),
            _ => None,
        };
    }
    let mut at = 0;
    while let Some(byte) = path.get(at) {
        match byte {
            b'\\' => at += 1,
            b'|' => return Some((to(path, at), from(path, at + 1))),
            b'.' if path.get(at + 1) == Some(&b'#') && matches!(path.get(at + 2), Some(b'[' | b'(')) => {
                let tail = from(path, at + 2);
                at += 1 + squashed(tail);
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Length of the bracketed or quoted text at the front, or of everything if it
/// does not end.
pub(super) fn squashed(text: &[u8]) -> usize {
    let mut depth = 0u32;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at = string_end(text, at);
                if depth == 0 {
                    return (at + 1).min(text.len());
                }
            }
            b'[' | b'{' | b'(' => depth += 1,
            b']' | b'}' | b')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// Place of the quote that ends the string starting at `at`, or the end.
pub(super) fn string_end(text: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}
