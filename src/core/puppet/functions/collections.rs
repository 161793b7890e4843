//! Lists and hashes.

use std::collections::HashSet;

use indexmap::IndexMap;

use super::sorting::distinct;
use super::{Builtin, Call, MANY, maybe_block, plain, type_name};
use crate::evaluator::{Evaluator, Outcome, Raise};
use crate::value::{Text, Value, brief, equals, write_shown};

pub(super) const FUNCTIONS: &[Builtin] = &[
    plain("dig", 2, MANY, dig),
    plain("get", 1, 3, get),
    plain("empty", 1, 1, empty),
    plain("length", 1, 1, length),
    plain("size", 1, 1, length),
    plain("keys", 1, 1, |ev, call| {
        let keys = call.hash(0)?.entries().keys().cloned().collect();
        ev.list(keys)
    }),
    plain("values", 1, 1, |ev, call| {
        let values = call.hash(0)?.entries().values().cloned().collect();
        ev.list(values)
    }),
    plain("flatten", 0, MANY, |ev, call| {
        let mut all = vec![];
        for value in &call.arguments {
            flatten(ev, value, &mut all)?;
        }
        ev.list(all)
    }),
    plain("join", 1, 2, join),
    plain("merge", 0, MANY, merge),
    maybe_block("count", 1, 2, count),
    plain("reverse", 1, 1, reverse),
    plain("member", 2, 2, member),
    plain("intersection", 2, 2, |ev, call| sets(ev, &call, |_, b| b)),
    plain("difference", 2, 2, |ev, call| sets(ev, &call, |_, b| !b)),
    plain("union", 1, MANY, |ev, call| {
        let mut all = vec![];
        for at in 0..call.arguments.len() {
            all.extend(call.array(at)?.iter().cloned());
        }
        distinct(ev, all)
    }),
    plain("concat", 1, MANY, |ev, call| {
        let mut all = call.array(0)?.to_vec();
        for value in &call.arguments[1..] {
            match value {
                Value::Array(items) => all.extend(items.iter().cloned()),
                other => all.push(other.clone()),
            }
        }
        ev.list(all)
    }),
    plain("delete", 2, 2, delete),
    plain("pick", 1, MANY, |_, call| {
        let empty = |value: &&Value| !matches!(value, Value::Undef) && value.as_str() != Some("");
        match call.arguments.iter().find(empty) {
            Some(value) => Ok(value.clone()),
            None => {
                Err(Raise::new("pick(): must receive at least one value that is neither undef nor empty"))
            }
        }
    }),
    plain("delete_undef_values", 1, 1, |ev, call| match call.get(0) {
        Value::Hash(hash) => {
            let left = hash.iter().filter(|(_, value)| **value != Value::Undef);
            let left = left.map(|(key, value)| (key.clone(), value.clone())).collect();
            ev.map(left)
        }
        _ => {
            let left = call.array(0)?.iter().filter(|value| **value != Value::Undef).cloned().collect();
            ev.list(left)
        }
    }),
    plain("zip", 2, 2, |ev, call| {
        let (a, b) = (call.array(0)?, call.array(1)?);
        let mut pairs = vec![];
        for (at, item) in a.iter().enumerate() {
            pairs.push(ev.list(vec![item.clone(), b.get(at).cloned().unwrap_or(Value::Undef)])?);
        }
        ev.list(pairs)
    }),
    plain("has_key", 2, 2, |_, call| Ok(Value::Boolean(call.hash(0)?.get(call.get(1)).is_some()))),
];

fn dig(_: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let mut value = call.get(0).clone();
    for (at, key) in call.arguments[1..].iter().enumerate() {
        value = match &value {
            Value::Undef => return Ok(Value::Undef),
            Value::Hash(hash) => hash.get(key).cloned().unwrap_or(Value::Undef),
            Value::Array(items) => match key {
                Value::Integer(n) => {
                    let n = if *n < 0 { n + items.len() as i64 } else { *n };
                    usize::try_from(n).ok().and_then(|n| items.get(n)).cloned().unwrap_or(Value::Undef)
                }
                _ => {
                    return Err(Raise::new(format!(
                        "dig(): a list is indexed by Integers, not by '{}'",
                        brief(key)
                    )));
                }
            },
            other => {
                let way: Vec<_> = call.arguments[1..=at].iter().map(brief).collect();
                let got = crate::types::infer(other).map_or_else(|_| type_name(other), |of| of.to_string());
                return Err(Raise::new(format!(
                    "The given data does not contain a Collection at [{}], got '{got}'",
                    way.join(", ")
                )));
            }
        };
    }
    Ok(value)
}

/// `get('a.b.0', default)`
fn get(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let way = if call.has(1) { call.text(1)? } else { Text::literal("") };
    let found = along(ev, call.get(0).clone(), &way)?;
    Ok(match found {
        Value::Undef => call.get(2).clone(),
        found => found,
    })
}

/// Follows keys with dots between; numbers index lists, quotes keep dots.
pub(super) fn along(ev: &mut Evaluator<'_>, value: Value, way: &str) -> Outcome {
    let mut value = value;
    let mut rest = way;
    while !rest.is_empty() {
        ev.work(1)?;
        let (key, after) = match rest.strip_prefix(['\'', '"']) {
            Some(quoted) => {
                let quote = &rest[..1];
                let (key, after) = quoted
                    .split_once(quote)
                    .ok_or_else(|| Raise::new(format!("'{way}' has a quote that does not end")))?;
                (key, after.strip_prefix('.').unwrap_or(after))
            }
            None => rest.split_once('.').unwrap_or((rest, "")),
        };
        rest = after;
        value = match &value {
            Value::Hash(hash) => match hash.at(key) {
                Some(found) => found.clone(),
                None => match key.parse() {
                    Ok(n) => hash.get(&Value::Integer(n)).cloned().unwrap_or(Value::Undef),
                    Err(_) => Value::Undef,
                },
            },
            Value::Array(items) => {
                let n = key
                    .parse::<usize>()
                    .map_err(|_| Raise::new(format!("'{key}' of '{way}' indexes a list")))?;
                items.get(n).cloned().unwrap_or(Value::Undef)
            }
            _ => Value::Undef,
        };
    }
    Ok(value)
}

fn empty(_: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    Ok(Value::Boolean(match call.get(0) {
        Value::Undef => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Hash(hash) => hash.is_empty(),
        Value::Integer(_) | Value::Float(_) => false,
        Value::Binary(bytes) => bytes.bytes.is_empty(),
        _ => return Err(call.mismatch(0, "Collection, String, or Binary")),
    }))
}

fn length(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let n = match call.get(0) {
        Value::String(text) => {
            ev.work(1 + text.len() as u64 / 16)?;
            text.chars().count()
        }
        Value::Array(items) => items.len(),
        Value::Hash(hash) => hash.len(),
        Value::Binary(bytes) => bytes.bytes.len(),
        _ => return Err(call.mismatch(0, "Collection, String, or Binary")),
    };
    Ok(Value::Integer(n as i64))
}

fn flatten(ev: &mut Evaluator<'_>, value: &Value, all: &mut Vec<Value>) -> Outcome<()> {
    ev.work(1)?;
    match value {
        Value::Array(items) => {
            // room for what may come, before it does
            drop(ev.budget.charge(crate::value::list_bytes(all.len() + items.len()))?);
            items.iter().try_for_each(|item| flatten(ev, item, all))
        }
        Value::TaskResults(results) => {
            all.extend(results.results.iter().cloned());
            Ok(())
        }
        other => {
            all.push(other.clone());
            Ok(())
        }
    }
}

fn join(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let separator = if call.has(1) { call.text(1)? } else { Text::literal("") };
    let mut all = vec![];
    flatten(ev, &Value::Array(call.array(0)?), &mut all)?;
    let mut writer = ev.budget.writer();
    for (n, value) in all.iter().enumerate() {
        ev.work(value.work())?;
        if n > 0 {
            writer.push(&separator)?;
        }
        if write_shown(&mut writer, value).is_err() {
            break;
        }
    }
    Ok(Value::String(Text::written(writer)?))
}

fn merge(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let mut entries = IndexMap::new();
    for at in 0..call.arguments.len() {
        if matches!(call.get(at), Value::Undef) || call.get(at).as_str() == Some("") {
            continue;
        }
        let hash = call.hash(at)?;
        ev.work(hash.len() as u64)?;
        entries.extend(hash.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    ev.map(entries)
}

fn count(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let items = match call.get(0) {
        Value::Array(items) => items.to_vec(),
        Value::Hash(hash) => ev.pairs(&hash.clone())?,
        _ => return Err(call.mismatch(0, "Collection")),
    };
    let mut n = 0;
    for item in &items {
        ev.work(item.work())?;
        n += i64::from(match (&call.block, call.has(1)) {
            (Some(block), _) => ev.call(block, std::slice::from_ref(item))?.is_true(),
            (None, true) => equals(item, call.get(1)),
            (None, false) => *item != Value::Undef && item.as_str() != Some(""),
        });
    }
    Ok(Value::Integer(n))
}

fn reverse(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    match call.get(0) {
        Value::String(text) => {
            let reversed: String = text.chars().rev().collect();
            ev.text(reversed)
        }
        _ => {
            let reversed = call.array(0)?.iter().rev().cloned().collect();
            ev.list(reversed)
        }
    }
}

fn member(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let items = call.array(0)?;
    let wanted: Vec<Value> = match call.get(1) {
        Value::Array(wanted) => wanted.to_vec(),
        one => vec![one.clone()],
    };
    ev.work(Value::Array(items.clone()).work().saturating_add(wanted.len() as u64))?;
    let known: HashSet<_> = items.iter().collect();
    Ok(Value::Boolean(wanted.iter().all(|value| known.contains(value))))
}

/// Items of the first by whether the second has them.
fn sets(ev: &mut Evaluator<'_>, call: &Call<'_>, keep: fn(&Value, bool) -> bool) -> Outcome {
    let (a, b) = (call.array(0)?, call.array(1)?);
    ev.work(call.get(0).work().saturating_add(call.get(1).work()))?;
    let known: HashSet<_> = b.iter().collect();
    let kept = a.iter().filter(|item| keep(item, known.contains(item))).cloned().collect();
    match call.name.contains("intersection") {
        true => distinct(ev, kept),
        false => ev.list(kept),
    }
}

fn delete(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let gone: Vec<Value> = match call.get(1) {
        Value::Array(gone) => gone.to_vec(),
        one => vec![one.clone()],
    };
    ev.work(call.get(0).work().saturating_add(gone.len() as u64))?;
    match call.get(0) {
        Value::Array(items) => {
            let gone: HashSet<_> = gone.iter().collect();
            let left = items.iter().filter(|item| !gone.contains(item)).cloned().collect();
            ev.list(left)
        }
        Value::Hash(hash) => {
            let gone: HashSet<_> = gone.iter().collect();
            let left = hash.iter().filter(|(key, _)| !gone.contains(key));
            let left = left.map(|(key, value)| (key.clone(), value.clone())).collect();
            ev.map(left)
        }
        Value::String(text) => {
            let mut left = text.to_string();
            for gone in gone.iter().filter_map(Value::as_str).filter(|gone| !gone.is_empty()) {
                ev.work(1 + left.len() as u64 / 16)?;
                left = left.replace(gone, "");
            }
            ev.text(left)
        }
        _ => Err(call.mismatch(0, "Array, Hash, or String")),
    }
}
