//! `@modifiers` and `!constants`.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::copy::{copy, copy_text, pay_for_reading, pay_for_writing};
use super::path::{squashed, string_end};
use super::{Found, Search};
use crate::core::protocol::filter::budget::{Budget, Exhausted};
use crate::core::protocol::json::{Numbers, float_text, push_value, read_value};
use crate::core::protocol::number::parse_float;

const NAMES: [&str; 13] = [
    "pretty", "ugly", "reverse", "this", "flatten", "join", "valid", "keys", "values", "tostr", "fromstr",
    "group", "dig",
];

pub(super) fn is_modifier(name: &[u8]) -> bool {
    NAMES.iter().any(|known| known.as_bytes() == name)
}

/// `!"text"`, `!5`, `!true`: a value that is in the path itself. Text and
/// numbers swallow what follows them, as in the original.
pub(super) fn constant<'a, 'p>(path: &'p [u8], budget: &Budget) -> Option<(Found<'a>, &'p [u8])> {
    let text = path.get(1..)?;
    let json = |word: &[u8]| {
        pay_for_reading(word, budget).ok()?;
        read_value(word, Numbers::Exact).ok()
    };
    let (value, rest): (Value, &[u8]) = match text.first()? {
        b'"' => (json(text.get(..=string_end(text, 0))?)?, &[]),
        b'{' | b'[' => {
            let (word, rest) = text.split_at_checked(squashed(text))?;
            (json(word)?, rest)
        }
        b'+' | b'-' | b'0'..=b'9' => {
            let number = std::str::from_utf8(text).ok().and_then(parse_float).unwrap_or(0.0);
            (json(float_text(number).as_bytes())?, &[])
        }
        _ => {
            let end = text.iter().position(|b| matches!(b, b'|' | b'.')).unwrap_or(text.len());
            let (word, rest) = text.split_at_checked(end)?;
            (json(&word.to_ascii_lowercase()).filter(|v| v.is_boolean() || v.is_null())?, rest)
        }
    };
    Some((Some(Cow::Owned(value)), rest))
}

impl Search<'_> {
    /// Runs the modifier at the front of a path; with it comes what follows.
    pub(super) fn modifier<'a, 'p>(
        &self,
        json: Option<&'a Value>,
        path: &'p [u8],
    ) -> Option<(Found<'a>, &'p [u8])> {
        let text = path.get(1..)?;
        let end = text.iter().position(|b| matches!(b, b':' | b'|' | b'.')).unwrap_or(text.len());
        let (name, mut rest) = text.split_at_checked(end)?;
        if !is_modifier(name) {
            return None;
        }
        let mut argument: &[u8] = &[];
        if let Some(tail) = rest.strip_prefix(b":") {
            (argument, rest) = tail.split_at_checked(argument_end(tail))?;
        }
        let found = self.modified(name, argument, json).ok().flatten();
        Some((found, rest))
    }

    fn modified<'a>(
        &self,
        name: &[u8],
        argument: &[u8],
        json: Option<&'a Value>,
    ) -> Result<Found<'a>, Exhausted> {
        let budget = self.budget;
        let copied = |item: &Value| copy(item, budget);
        let made = match (name, json) {
            (b"keys" | b"values", None) => Value::Array(Vec::new()),
            (b"tostr", json) => {
                json.map_or(Ok(()), |json| pay_for_writing(json, budget))?;
                Value::String(json.map(text).unwrap_or_default())
            }
            (b"dig", json) => {
                let mut found = Vec::new();
                if let Some(json) = json {
                    self.dig(json, argument, &mut found, 0);
                }
                budget.check()?;
                Value::Array(found)
            }
            (_, None) => return Ok(None),
            (b"keys", Some(Value::Object(map))) => {
                let key = |key: &String| copied(&Value::Null).and(copy_text(key, budget)).map(Value::String);
                map.keys().map(key).collect::<Result<_, _>>()?
            }
            (b"keys", Some(Value::Array(items))) => {
                items.iter().map(|_| copied(&Value::Null)).collect::<Result<_, _>>()?
            }
            (b"keys", Some(_)) => Value::Array(vec![Value::Null]),
            (b"values", Some(Value::Object(map))) => map.values().map(copied).collect::<Result<_, _>>()?,
            (b"values", Some(scalar)) if !scalar.is_array() => Value::Array(vec![copied(scalar)?]),
            (b"reverse", Some(Value::Array(items))) => {
                items.iter().rev().map(copied).collect::<Result<_, _>>()?
            }
            (b"reverse", Some(Value::Object(map))) => {
                let pair = |(key, value): (&String, &Value)| Ok((copy_text(key, budget)?, copied(value)?));
                Value::Object(map.iter().rev().map(pair).collect::<Result<_, Exhausted>>()?)
            }
            (b"flatten", Some(Value::Array(items))) => {
                pay_for_reading(argument, budget)?;
                let mut flat = Vec::new();
                flatten(items, option(argument, "deep"), &mut flat, budget)?;
                Value::Array(flat)
            }
            (b"join", Some(Value::Array(items))) => {
                let mut joined = Map::new();
                for map in items.iter() {
                    budget.pay(1)?;
                    for (key, value) in map.as_object().into_iter().flatten() {
                        joined.insert(copy_text(key, budget)?, copied(value)?);
                    }
                }
                Value::Object(joined)
            }
            (b"fromstr", Some(Value::String(json))) => {
                pay_for_reading(json.as_bytes(), budget)?;
                match read_value(json.as_bytes(), Numbers::Exact) {
                    Ok(value) => value,
                    Err(_) => return Ok(None),
                }
            }
            (b"group", Some(Value::Object(map))) => group(map, budget)?,
            (b"group", Some(_)) => return Ok(None),
            // The others change the form of the text only, which is not ours to keep.
            (_, Some(value)) => return Ok(Some(Cow::Borrowed(value))),
        };
        Ok(Some(Cow::Owned(made)))
    }

    /// Looks a path up in every value there is, from the outside in.
    fn dig(&self, value: &Value, path: &[u8], found: &mut Vec<Value>, depth: u32) {
        if depth > 128 || !self.step(path) {
            return;
        }
        if let Some(hit) = self.get(Some(value), path) {
            let Some(hit) = self.owned(hit) else { return };
            found.push(hit);
        }
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.dig(item, path, found, depth + 1)),
            Value::Object(map) => map.values().for_each(|item| self.dig(item, path, found, depth + 1)),
            _ => {}
        }
    }
}

fn argument_end(tail: &[u8]) -> usize {
    if let Some(b'{' | b'[' | b'"') = tail.first() {
        return squashed(tail);
    }
    let mut at = 0;
    while let Some(byte) = tail.get(at) {
        match byte {
            b'|' => return at,
            b'{' | b'[' | b'"' | b'(' => at += squashed(tail.get(at..).unwrap_or_default()),
            _ => at += 1,
        }
    }
    tail.len()
}

/// A true member of a JSON argument.
fn option(argument: &[u8], name: &str) -> bool {
    let argument = read_value(argument, Numbers::Exact).unwrap_or_default();
    argument.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn flatten(items: &[Value], deep: bool, flat: &mut Vec<Value>, budget: &Budget) -> Result<(), Exhausted> {
    for item in items {
        match item {
            Value::Array(inner) if deep => flatten(inner, deep, flat, budget)?,
            Value::Array(inner) => {
                for item in inner {
                    flat.push(copy(item, budget)?);
                }
            }
            item => flat.push(copy(item, budget)?),
        }
        budget.pay(1)?;
    }
    Ok(())
}

/// `{"a":[1,2],"b":[3]}` to `[{"a":1,"b":3},{"a":2}]`.
fn group(map: &Map<String, Value>, budget: &Budget) -> Result<Value, Exhausted> {
    let mut groups: Vec<Map<String, Value>> = Vec::new();
    for (key, value) in map {
        for (at, item) in value.as_array().into_iter().flatten().enumerate() {
            if at == groups.len() {
                copy(&Value::Null, budget)?;
                groups.push(Map::new());
            }
            if let Some(group) = groups.get_mut(at) {
                group.insert(copy_text(key, budget)?, copy(item, budget)?);
            }
        }
        budget.pay(1)?;
    }
    Ok(groups.into_iter().map(Value::Object).collect())
}

fn text(value: &Value) -> String {
    let mut out = String::new();
    push_value(&mut out, value);
    out
}
