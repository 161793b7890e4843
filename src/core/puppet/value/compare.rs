//! Equality, order and `in` (spec 07 §C4).

use std::cmp::Ordering;

use super::{Hash, OutOfWork, Value};
use crate::types::{Matching, instance};

/// `==`: text regardless of its case, numbers by value, lists and hashes by theirs.
pub(crate) fn equals(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a == b || same_ignoring_case(a, b),
        (Value::Integer(a), Value::Float(b)) | (Value::Float(b), Value::Integer(a)) => *a as f64 == b.get(),
        (Value::Float(a), Value::Float(b)) => a.get() == b.get(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| equals(a, b))
        }
        (Value::Hash(a), Value::Hash(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equals(a, b)))
        }
        (a, b) => a == b,
    }
}

pub(crate) fn same_ignoring_case(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    a.chars().flat_map(char::to_lowercase).eq(b.chars().flat_map(char::to_lowercase))
}

/// `<` and its like; the error says why there is no order.
pub(crate) fn order(a: &Value, b: &Value) -> Result<Ordering, &'static str> {
    let number = |value: &Value| match value {
        Value::Integer(n) => Some(*n as f64),
        Value::Float(n) => Some(n.get()),
        _ => None,
    };
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => Ok(a.cmp(b)),
        (Value::String(a), Value::String(b)) => {
            let fold = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<String>();
            Ok(fold(a).cmp(&fold(b)))
        }
        (Value::Timestamp(a), Value::Timestamp(b)) | (Value::Timespan(a), Value::Timespan(b)) => Ok(a.cmp(b)),
        (Value::SemVer(a), Value::SemVer(b)) => Ok(a.cmp(b)),
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => Ok(a.total_cmp(&b)),
            (Some(_), None) => Err("A Numeric is not comparable to non Numeric"),
            _ if matches!(a, Value::String(_)) => Err("A String is not comparable to a non String"),
            _ => Err("Only Strings, Numbers, Timespans, Timestamps, and Semvers are comparable"),
        },
    }
}

/// `in`: a part of a text, an element, a key. A type or a regular expression on the left
/// tests elements. The work of looking at both was charged before.
pub(crate) fn includes(needle: &Value, hay: &Value, matching: &mut Matching) -> Result<bool, OutOfWork> {
    let element = |value: &Value, matching: &mut Matching| match (needle, value) {
        (Value::Regexp(regexp), Value::String(text)) => regexp.is_match(text),
        (Value::Type(of), value) => Ok(instance(of, value, matching)),
        (needle, value) => Ok(equals(needle, value)),
    };
    Ok(match hay {
        Value::String(hay) => match needle {
            Value::String(needle) => fold(hay).contains(&fold(needle)),
            Value::Regexp(regexp) => regexp.is_match(hay)?,
            Value::Integer(n) => hay.contains(&n.to_string()),
            _ => false,
        },
        Value::Array(items) => any(items.iter(), |item| element(item, matching))?,
        Value::Hash(hash) => match needle {
            Value::String(_) | Value::Type(_) | Value::Regexp(_) => {
                any(hash.entries().keys(), |key| element(key, matching))?
            }
            _ => key(hash, needle),
        },
        _ => false,
    })
}

fn key(hash: &Hash, needle: &Value) -> bool {
    hash.entries().keys().any(|key| equals(key, needle))
}

fn any<'v>(
    mut items: impl Iterator<Item = &'v Value>,
    mut test: impl FnMut(&Value) -> Result<bool, OutOfWork>,
) -> Result<bool, OutOfWork> {
    items.try_fold(false, |found, item| Ok(found || test(item)?))
}

fn fold(text: &str) -> String {
    text.to_lowercase()
}
