//! Builtins on text, conversions, and the shape of lists and maps. Each pays
//! for what it will look through and make before it does.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::eval::fetch;
use super::value::{PART, Value, from_json};
use crate::core::protocol::filter::budget::{Budget, Exhausted};
use crate::core::protocol::filter::gjson::pay_for_reading;
use crate::core::protocol::json::{Numbers, read_value};

/// Longest text a builtin makes, in bytes.
const MAX_TEXT: usize = 1 << 20;
/// Longest text that is read as a number.
const LONGEST_NUMBER: usize = 512;

/// Part of a text or list; bounds beyond the ends are the ends.
pub(super) fn slice(base: &Value, from: i64, to: i64, budget: &Budget) -> Result<Value, String> {
    let bounds = |length: usize| {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        let place = |at: i64| if at < 0 { at.saturating_add(length) } else { at }.clamp(0, length);
        let (from, to) = (place(from), place(to));
        (usize::try_from(from.min(to)).unwrap_or(0), usize::try_from(to).unwrap_or(0))
    };
    match base {
        Value::List(items) => {
            let (from, to) = bounds(items.len());
            pay_for_items(to.saturating_sub(from), budget)?;
            Ok(Value::list(items.get(from..to).unwrap_or_default().to_vec()))
        }
        Value::Text(text) => {
            let (from, to) = bounds(text.len());
            budget.make(to.saturating_sub(from).saturating_mul(4))?;
            // Bytes, as in the original; a cut character is no text any more.
            let part = text.as_bytes().get(from..to).unwrap_or_default();
            Ok(Value::text(&String::from_utf8_lossy(part)))
        }
        Value::Bytes(bytes) => {
            let (from, to) = bounds(bytes.len());
            budget.make(to.saturating_sub(from))?;
            Ok(Value::Bytes(bytes.get(from..to).unwrap_or_default().into()))
        }
        other => Err(format!("{} cannot be sliced", other.type_name())),
    }
}

fn position(at: Option<usize>) -> Value {
    Value::Int(at.map_or(-1, |at| i64::try_from(at).unwrap_or(i64::MAX)))
}

fn strings<'a>(parts: impl Iterator<Item = &'a str>, budget: &Budget) -> Result<Value, Exhausted> {
    let part = |part: &str| budget.make(PART + part.len()).map(|()| Value::text(part));
    Ok(Value::list(parts.map(part).collect::<Result<_, _>>()?))
}

/// Text that was paid for, made.
fn copied(text: &str, budget: &Budget) -> Result<Value, Exhausted> {
    budget.make(text.len())?;
    Ok(Value::text(text))
}

fn pay_for_items(count: usize, budget: &Budget) -> Result<(), Exhausted> {
    budget.make(count.saturating_mul(PART))
}

/// Pays for looking at every character of a text.
fn pay_by_letter(text: &str, budget: &Budget) -> Result<(), Exhausted> {
    budget.read(text.len().saturating_mul(8))
}

fn limited(text: String) -> Result<Value, String> {
    if text.len() > MAX_TEXT { Err("a text grows too long".into()) } else { Ok(Value::Text(text.into())) }
}

/// Runs a builtin of this file; nothing if the name or types are not its own.
pub(super) fn builtin(name: &str, values: &[Value], budget: &Budget) -> Result<Option<Value>, String> {
    use Value::{Bytes, Float, Int, List, Map, Nil, Text};
    Ok(Some(match (name, values) {
        ("len", [Text(text)]) => {
            budget.read(text.len())?;
            Int(text.chars().count() as i64)
        }
        ("len", [Bytes(bytes)]) => Int(bytes.len() as i64),
        ("len", [List(items)]) => Int(items.len() as i64),
        ("len", [Map(pairs)]) => Int(pairs.len() as i64),
        ("type", [value]) => Value::text(value.type_name()),
        ("string", [value]) => {
            // A byte of facts prints as a number.
            value.pay_for_writing(32, 4 * (1 + value.depth() as usize), budget)?;
            limited(value.print())?
        }
        ("int", [Int(integer)]) => Int(*integer),
        ("int", [Float(float)]) => Int(*float as i64),
        ("int" | "float", [Text(text)]) if text.len() > LONGEST_NUMBER => {
            return Err(format!("a text of {} bytes is not a number", text.len()));
        }
        ("int", [Text(text)]) => Int(text.parse().map_err(|_| format!("{text} is not an integer"))?),
        ("float", [Text(text)]) => {
            budget.pay(2 * text.len() as u64)?;
            let number = crate::core::protocol::number::parse_float(text);
            Float(number.ok_or_else(|| format!("{text} is not a number"))?)
        }
        ("float", [value]) => Float(value.number().ok_or("this is not a number")?),
        ("trim", [Text(text)]) => {
            pay_by_letter(text, budget)?;
            copied(text.trim(), budget)?
        }
        ("trim", [Text(text), Text(set)]) => trim(text, set, budget)?,
        ("trimPrefix" | "trimSuffix", [Text(text), rest @ ..]) => {
            let part = match rest {
                [] => " ",
                [Text(part)] => part,
                _ => return Ok(None),
            };
            budget.read(part.len())?;
            let cut = if name == "trimPrefix" { text.strip_prefix(part) } else { text.strip_suffix(part) };
            copied(cut.unwrap_or(text), budget)?
        }
        ("upper" | "lower", [Text(text)]) => {
            pay_by_letter(text, budget)?;
            // A letter of two bytes may become three letters.
            budget.make(text.len().saturating_mul(3))?;
            limited(if name == "upper" { text.to_uppercase() } else { text.to_lowercase() })?
        }
        ("split", [Text(text), Text(by)]) => split(text, by, None, budget)?,
        ("split", [Text(text), Text(by), Int(n)]) => split(text, by, Some(*n), budget)?,
        ("splitAfter", [Text(text), Text(by), ..]) => {
            pay_by_letter(text, budget)?;
            budget.read(by.len().saturating_mul(8))?;
            strings(text.split_inclusive(&**by), budget)?
        }
        ("replace", [Text(text), Text(old), Text(new)]) => replace(text, old, new, -1, budget)?,
        ("replace", [Text(text), Text(old), Text(new), Int(n)]) => replace(text, old, new, *n, budget)?,
        ("repeat", [Text(text), Int(times)]) => {
            let times = usize::try_from(*times).map_err(|_| "a text cannot repeat less than never")?;
            if text.len().saturating_mul(times) > MAX_TEXT {
                return Err("a text grows too long".into());
            }
            budget.make(text.len().saturating_mul(times).saturating_mul(2))?;
            Text(text.repeat(times).into())
        }
        ("join", [List(items), rest @ ..]) => join(items, rest, budget)?,
        ("indexOf" | "lastIndexOf", [Text(text), Text(part)]) => {
            budget.read(text.len().saturating_add(part.len()).saturating_mul(4))?;
            position(if name == "indexOf" { text.find(&**part) } else { text.rfind(&**part) })
        }
        ("hasPrefix" | "hasSuffix", [Text(text), Text(part)]) => {
            budget.read(part.len())?;
            Value::Bool(if name == "hasPrefix" { text.starts_with(&**part) } else { text.ends_with(&**part) })
        }
        ("toJSON", [value]) => to_json(value, budget)?,
        ("fromJSON", [Text(text)]) => {
            pay_for_reading(text.as_bytes(), budget)?;
            let json = read_value(text.as_bytes(), Numbers::Doubles).map_err(|e| e.to_string())?;
            from_json(&json, true, budget)?
        }
        ("toBase64", [Text(text)]) => {
            budget.make(text.len().saturating_mul(3))?;
            limited(STANDARD.encode(text.as_bytes()))?
        }
        ("fromBase64", [Text(text)]) => {
            budget.make(text.len().saturating_mul(4))?;
            let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| "this is not base64")?;
            Value::text(&String::from_utf8_lossy(&bytes))
        }
        ("first", [List(items)]) => items.first().cloned().unwrap_or(Nil),
        ("last", [List(items)]) => items.last().cloned().unwrap_or(Nil),
        ("first" | "last", [Nil]) => Nil,
        ("sort", [Nil, ..]) => Value::list(Vec::new()),
        ("get", [base, key]) => fetch(base, key, budget).unwrap_or(Nil),
        ("take", [List(items), Int(n)]) => {
            let n = usize::try_from(*n).map_err(|_| "fewer than none cannot be taken")?;
            pay_for_items(n.min(items.len()), budget)?;
            Value::list(items.iter().take(n).cloned().collect())
        }
        ("keys", [Map(pairs)]) => {
            pay_for_items(pairs.len(), budget)?;
            Value::list(pairs.iter().map(|(key, _)| key.clone()).collect())
        }
        ("values", [Map(pairs)]) => {
            pay_for_items(pairs.len(), budget)?;
            Value::list(pairs.iter().map(|(_, value)| value.clone()).collect())
        }
        ("toPairs", [Map(pairs)]) => {
            pay_for_items(pairs.len().saturating_mul(4), budget)?;
            Value::list(pairs.iter().map(|(k, v)| Value::list(vec![k.clone(), v.clone()])).collect())
        }
        ("fromPairs", [List(items)]) => {
            pay_for_items(items.len().saturating_mul(2), budget)?;
            from_pairs(items)?
        }
        ("reverse", [List(items)]) => {
            pay_for_items(items.len(), budget)?;
            Value::list(items.iter().rev().cloned().collect())
        }
        ("uniq", [List(items)]) => Value::list(uniq(items, budget)?),
        ("concat", lists) => {
            let mut all = Vec::new();
            for list in lists {
                let List(items) = list else { return Err("only lists can be joined".into()) };
                pay_for_items(items.len(), budget)?;
                all.extend(items.iter().cloned());
            }
            Value::list(all)
        }
        ("flatten", [List(items)]) => {
            let mut flat = Vec::new();
            flatten(items, &mut flat, 0, budget)?;
            Value::list(flat)
        }
        _ => return Ok(None),
    }))
}

/// Text without the letters of `set` at its ends.
fn trim(text: &str, set: &str, budget: &Budget) -> Result<Value, Exhausted> {
    pay_by_letter(set, budget)?;
    budget.make(set.len().saturating_mul(8))?;
    budget.pay(2 * text.len() as u64)?;
    let set: HashSet<char> = set.chars().collect();
    copied(text.trim_matches(|c| set.contains(&c)), budget)
}

fn split(text: &str, by: &str, n: Option<i64>, budget: &Budget) -> Result<Value, Exhausted> {
    pay_by_letter(text, budget)?;
    budget.read(by.len().saturating_mul(8))?;
    let parts: Box<dyn Iterator<Item = &str>> = match (by.is_empty(), n.and_then(|n| usize::try_from(n).ok()))
    {
        (_, Some(0)) => Box::new(std::iter::empty()),
        // Between all characters, but not before the first and after the last.
        (true, _) => Box::new(text.split("").filter(|part| !part.is_empty())),
        (false, Some(n)) => Box::new(text.splitn(n, by)),
        (false, None) => Box::new(text.split(by)),
    };
    strings(parts, budget)
}

fn replace(text: &str, old: &str, new: &str, times: i64, budget: &Budget) -> Result<Value, String> {
    pay_by_letter(text, budget)?;
    budget.read(old.len().saturating_mul(8))?;
    let times = usize::try_from(times).unwrap_or(usize::MAX);
    let found = text.matches(old).take(times).count();
    let grows = found.saturating_mul(new.len());
    if text.len().saturating_add(grows) > MAX_TEXT * 4 {
        return Err("a text grows too long".into());
    }
    // Made once as it grows, and once as it stays.
    budget.make(text.len().saturating_add(grows).saturating_mul(2))?;
    budget.pay(found as u64)?;
    limited(text.replacen(old, new, times))
}

fn join(items: &[Value], rest: &[Value], budget: &Budget) -> Result<Value, String> {
    let by = match rest {
        [] => "",
        [Value::Text(by)] => by,
        _ => return Err("join takes a text between".into()),
    };
    let mut joined = String::new();
    for (i, item) in items.iter().enumerate() {
        let Value::Text(text) = item else { return Err(format!("{} cannot be joined", item.type_name())) };
        budget.make(text.len().saturating_add(by.len()).saturating_mul(3))?;
        if i > 0 {
            joined.push_str(by);
        }
        joined.push_str(text);
        if joined.len() > MAX_TEXT {
            return Err("a text grows too long".into());
        }
    }
    Ok(Value::Text(joined.into()))
}

/// Indented JSON in the original's spelling.
fn to_json(value: &Value, budget: &Budget) -> Result<Value, String> {
    // The value, the text, and the text again with each of three letters spelt
    // out; every part stands on a line as far in as it is deep.
    value.pay_for_writing(64, 24, budget)?;
    let text = serde_json::to_string_pretty(&value.to_json()).map_err(|e| e.to_string())?;
    // These stand in strings only.
    limited(text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"))
}

fn from_pairs(items: &[Value]) -> Result<Value, String> {
    let pair = |item: &Value| match item {
        Value::List(pair) => match &pair[..] {
            [key, value] => Ok((key.clone(), value.clone())),
            _ => Err("a pair has two elements".to_owned()),
        },
        _ => Err("a pair is a list".to_owned()),
    };
    Ok(Value::map(items.iter().map(pair).collect::<Result<_, _>>()?))
}

/// The first of each that are equal.
fn uniq(items: &[Value], budget: &Budget) -> Result<Vec<Value>, Exhausted> {
    let mut unique: Vec<Value> = Vec::new();
    let mut places: HashMap<u64, Vec<usize>> = HashMap::new();
    'items: for item in items {
        budget.pay(10)?;
        budget.make(2 * PART)?;
        let alike = places.entry(likeness(item, budget)?).or_default();
        for place in alike.iter() {
            if let Some(seen) = unique.get(*place)
                && seen.equals(item, budget)?
            {
                continue 'items;
            }
        }
        alike.push(unique.len());
        unique.push(item.clone());
    }
    Ok(unique)
}

/// A number that equal values share, integers and doubles among them.
fn likeness(value: &Value, budget: &Budget) -> Result<u64, Exhausted> {
    budget.read(value.text_length().saturating_mul(4))?;
    let mut hasher = DefaultHasher::new();
    match value {
        Value::Text(text) => text.hash(&mut hasher),
        Value::List(items) => {
            items.len().hash(&mut hasher);
            // The first ones tell most lists apart; comparing tells the others.
            items.iter().take(4).try_for_each(|item| {
                likeness(item, budget)?.hash(&mut hasher);
                Ok::<(), Exhausted>(())
            })?;
        }
        Value::Map(pairs) => pairs.len().hash(&mut hasher),
        value => match value.number() {
            // Both zeros are one.
            Some(number) => (number + 0.0).to_bits().hash(&mut hasher),
            None => value.type_name().hash(&mut hasher),
        },
    }
    Ok(hasher.finish())
}

fn flatten(items: &[Value], flat: &mut Vec<Value>, depth: usize, budget: &Budget) -> Result<(), Exhausted> {
    for item in items {
        budget.make(PART)?;
        match item {
            Value::List(inner) if depth < 100 => flatten(inner, flat, depth + 1, budget)?,
            item => flat.push(item.clone()),
        }
    }
    Ok(())
}
