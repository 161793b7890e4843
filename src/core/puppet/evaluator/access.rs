//! `value[key]`

use super::operators::not_applicable;
use super::{Evaluator, Outcome, Raise};
use crate::types::{BuildError, built};
use crate::value::{Value, brief};

impl Evaluator<'_> {
    pub(super) fn index(&mut self, of: &Value, keys: &[Value]) -> Outcome {
        match of {
            Value::Hash(hash) => match keys {
                [key] => {
                    self.work(key.work())?;
                    Ok(hash.get(key).cloned().unwrap_or(Value::Undef))
                }
                keys => {
                    let found = keys.iter().filter_map(|key| hash.get(key).cloned());
                    let found = found.filter(|value| *value != Value::Undef).collect();
                    self.list(found)
                }
            },
            Value::Array(items) => match keys {
                [key] => {
                    let at = position(key, items.len())?;
                    Ok(at.and_then(|at| items.get(at)).cloned().unwrap_or(Value::Undef))
                }
                [from, count] => {
                    let (from, count) = slice(from, count, items.len())?;
                    self.list(items.iter().skip(from).take(count).cloned().collect())
                }
                _ => Err(Raise::new("an Array is indexed by one number, or by a first one and a count")),
            },
            Value::String(text) => {
                self.work(1 + text.len() as u64 / 16)?;
                let length = text.chars().count();
                let (from, count) = match keys {
                    [key] => (position(key, length)?.unwrap_or(length), 1),
                    [from, count] => slice(from, count, length)?,
                    _ => {
                        return Err(Raise::new(
                            "a String is indexed by one number, or by a first one and a count",
                        ));
                    }
                };
                let part: String = text.chars().skip(from).take(count).collect();
                self.text(part)
            }
            Value::Type(of) => {
                let steps = keys.iter().map(Value::work).fold(1, u64::saturating_add);
                self.work(steps)?;
                match built(of, keys) {
                    Ok(of) => Ok(Value::Type(of)),
                    Err(BuildError::Exhausted(e)) => Err(e.into()),
                    Err(e) => Err(Raise::new(e.to_string())),
                }
            }
            Value::TaskResult(result) => match (keys, result.value()) {
                ([key], Value::Hash(value)) => Ok(value.get(key).cloned().unwrap_or(Value::Undef)),
                ([_], whole) => Ok(whole),
                _ => Err(Raise::new("a result is indexed by one key")),
            },
            other => Err(not_applicable("[]", other)),
        }
    }
}

/// Where a number points to; negative ones count from the end.
fn position(key: &Value, length: usize) -> Outcome<Option<usize>> {
    let Value::Integer(n) = key else {
        return Err(Raise::new(format!("an index is an Integer, and '{}' is none", brief(key))));
    };
    let at = if *n < 0 { i128::from(*n) + length as i128 } else { i128::from(*n) };
    Ok(usize::try_from(at).ok().filter(|at| *at < length))
}

/// The first one and how many; a negative count is the last one, counted from the end.
fn slice(from: &Value, count: &Value, length: usize) -> Outcome<(usize, usize)> {
    let (Value::Integer(from), Value::Integer(count)) = (from, count) else {
        return Err(Raise::new("a first one and a count are Integers"));
    };
    let length = length as i128;
    let first = if *from < 0 { i128::from(*from) + length } else { i128::from(*from) };
    let end = if *count < 0 { length + i128::from(*count) + 1 } else { first + i128::from(*count) };
    let (first, end) = (first.clamp(0, length), end.clamp(0, length));
    Ok((first as usize, (end - first).max(0) as usize))
}
