//! Copies of what was found, paid for part by part as they are made.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::core::protocol::filter::budget::{Budget, Exhausted};

/// What a value takes beside its text, as an element or a member.
const PART: usize = 112;
/// And an object beside its members: its table, and room it keeps for more.
const OBJECT: usize = 400;

/// A copy of a value.
pub(super) fn copy(value: &Value, budget: &Budget) -> Result<Value, Exhausted> {
    budget.make(PART)?;
    Ok(match value {
        Value::String(text) => {
            budget.make(text.len())?;
            Value::String(text.clone())
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| copy(item, budget)).collect::<Result<_, _>>()?)
        }
        Value::Object(map) => {
            budget.make(OBJECT)?;
            let mut copied = Map::new();
            for (key, value) in map {
                copied.insert(copy_text(key, budget)?, copy(value, budget)?);
            }
            Value::Object(copied)
        }
        scalar => scalar.clone(),
    })
}

pub(super) fn copy_text(text: &str, budget: &Budget) -> Result<String, Exhausted> {
    budget.make(text.len())?;
    Ok(text.to_owned())
}

/// What was found, as a value of its own.
pub(super) fn owned(found: Cow<'_, Value>, budget: &Budget) -> Result<Value, Exhausted> {
    match found {
        Cow::Owned(value) => Ok(value),
        Cow::Borrowed(value) => copy(value, budget),
    }
}

/// Pays for reading JSON text into a value, which can be many times as large.
pub(in crate::core::protocol::filter) fn pay_for_reading(
    json: &[u8],
    budget: &Budget,
) -> Result<(), Exhausted> {
    budget.make(json.len())?;
    let parts = json.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count() + 1;
    let objects = json.iter().filter(|byte| **byte == b'{').count();
    budget.make(parts.saturating_mul(PART).saturating_add(objects.saturating_mul(OBJECT)))?;
    // Text is read a byte at a time.
    budget.pay(u64::try_from(json.len()).unwrap_or(u64::MAX))
}

/// Pays for writing a value as JSON text, part by part.
pub(super) fn pay_for_writing(value: &Value, budget: &Budget) -> Result<(), Exhausted> {
    let text = |text: &str| {
        budget.read(text.len())?;
        let plain = text.bytes().all(|b| b >= b' ' && !matches!(b, b'"' | b'\\' | b'<' | b'>' | b'&'));
        budget.make(8 + text.len().saturating_mul(if plain { 2 } else { 12 }))
    };
    match value {
        Value::String(string) => text(string),
        Value::Array(items) => {
            budget.make(4)?;
            items.iter().try_for_each(|item| pay_for_writing(item, budget))
        }
        Value::Object(map) => {
            budget.make(4)?;
            map.iter().try_for_each(|(key, value)| {
                text(key)?;
                pay_for_writing(value, budget)
            })
        }
        _ => budget.make(64),
    }
}
