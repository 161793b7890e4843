//! `#(path op value)`: elements of an array that satisfy something.

use serde_json::Value;

use super::glob;
use super::path::string_end;
use crate::core::protocol::json::{Numbers, read_value};
use crate::core::protocol::number::{parse_bool, parse_float};

#[derive(Default)]
pub(super) struct Query<'a> {
    /// What is looked up in each element; empty for the element itself.
    pub(super) path: &'a [u8],
    /// `=`, `!=`, `<`, `<=`, `>`, `>=`, `%`, `!%`, or nothing for existence.
    op: &'a [u8],
    /// What it is compared with, quotes removed.
    value: Vec<u8>,
    /// Whether all of them are wanted and not the first.
    pub(super) all: bool,
}

/// Reads `#(…)` at the front of a path; with it comes where it ends.
pub(super) fn parse_query(path: &[u8]) -> Option<(Query<'_>, usize)> {
    let mut at = 2;
    let mut start = None;
    let mut depth = 1u32;
    loop {
        match path.get(at)? {
            b'!' | b'=' | b'<' | b'>' | b'%' if depth == 1 && start.is_none() => start = Some(at),
            b'\\' => at += 1,
            b'[' | b'(' => depth += 1,
            b']' | b')' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            b'"' => at = string_end(path, at),
            _ => {}
        }
        at += 1;
    }
    let mut query = Query { path: trim(path.get(2..start.unwrap_or(at))?), ..Query::default() };
    if let Some(start) = start {
        let text = trim(path.get(start..at)?);
        let (op, value) = split_op(text)?;
        query.op = op;
        query.value = unquote(trim(value));
    }
    Some((query, at + 1))
}

fn split_op(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = match text {
        [_] => 1,
        [b'=', b'=', ..] => return Some((b"=", text.get(2..)?)),
        [b'!', b'=' | b'%', ..] | [b'<' | b'>', b'=', ..] => 2,
        [b'<' | b'>' | b'=' | b'%', ..] => 1,
        _ => 0,
    };
    text.split_at_checked(length)
}

fn unquote(value: &[u8]) -> Vec<u8> {
    match value {
        [b'"', inner @ .., b'"'] => match read_value(value, Numbers::Exact) {
            Ok(Value::String(text)) if inner.contains(&b'\\') => text.into_bytes(),
            _ => inner.to_vec(),
        },
        value => value.to_vec(),
    }
}

fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|b| *b > b' ').unwrap_or(text.len());
    let end = text.iter().rposition(|b| *b > b' ').map_or(start, |end| end + 1);
    text.get(start..end).unwrap_or_default()
}

impl Query<'_> {
    /// What testing a value costs at the worst.
    pub(super) fn price(&self, value: Option<&Value>) -> u64 {
        let text = match value {
            Some(Value::String(text)) => text.as_str(),
            _ => "",
        };
        match self.op {
            b"%" | b"!%" => glob::price(text, &self.value),
            _ => 5 + (text.len() as u64 + self.value.len() as u64) / 4,
        }
    }

    pub(super) fn matches(&self, value: Option<&Value>) -> bool {
        if let Some(word) = self.value.strip_prefix(b"~") {
            let truth = match word {
                b"*" => value.is_some(),
                b"null" => value.is_none_or(Value::is_null),
                b"true" => truth(value) == Some(true),
                b"false" => value.is_none_or(Value::is_null) || truth(value) == Some(false),
                _ => return false,
            };
            return self.matches_word(b"true", &Value::Bool(truth));
        }
        value.is_some_and(|value| self.matches_word(&self.value, value))
    }

    fn matches_word(&self, wanted: &[u8], value: &Value) -> bool {
        if self.op.is_empty() {
            return true;
        }
        match value {
            Value::String(text) => match self.op {
                b"%" => glob::matches(text, wanted),
                b"!%" => !glob::matches(text, wanted),
                op => compare(op, text.as_bytes().partial_cmp(wanted)),
            },
            Value::Number(number) => {
                let wanted = std::str::from_utf8(wanted).ok().and_then(parse_float).unwrap_or(0.0);
                let number = number.as_f64().unwrap_or(0.0);
                match self.op {
                    b"!=" => number != wanted,
                    op => compare(op, number.partial_cmp(&wanted)),
                }
            }
            Value::Bool(truth) => {
                let word = |truth: bool| if truth { b"true".as_slice() } else { b"false".as_slice() };
                let (same, other) = (word(*truth), word(!*truth));
                match (self.op, truth) {
                    (b"=", _) => wanted == same,
                    (b"!=", _) => wanted != same,
                    (b">", true) | (b"<", false) => wanted == other,
                    (b">=", true) | (b"<=", false) => true,
                    _ => false,
                }
            }
            _ => false,
        }
    }
}

fn compare(op: &[u8], ordering: Option<std::cmp::Ordering>) -> bool {
    let Some(ordering) = ordering else { return false };
    match op {
        b"=" => ordering.is_eq(),
        b"!=" => ordering.is_ne(),
        b"<" => ordering.is_lt(),
        b"<=" => ordering.is_le(),
        b">" => ordering.is_gt(),
        b">=" => ordering.is_ge(),
        _ => false,
    }
}

/// What a value means as a boolean, if anything.
fn truth(value: Option<&Value>) -> Option<bool> {
    match value? {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => parse_bool(&text.to_lowercase()),
        Value::Number(number) => number.as_f64().map(|n| n != 0.0),
        _ => None,
    }
}
