//! Builtins on text, conversions, and the shape of lists and maps.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::eval::fetch;
use super::value::{Value, from_json};
use crate::core::protocol::json::{Numbers, read_value};

/// Longest text a builtin makes, in bytes.
const MAX_TEXT: usize = 1 << 20;

/// Part of a text or list; bounds beyond the ends are the ends.
pub(super) fn slice(base: &Value, from: i64, to: i64) -> Result<Value, String> {
    let bounds = |length: usize| {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        let place = |at: i64| if at < 0 { at.saturating_add(length) } else { at }.clamp(0, length);
        let (from, to) = (place(from), place(to));
        (usize::try_from(from.min(to)).unwrap_or(0), usize::try_from(to).unwrap_or(0))
    };
    match base {
        Value::List(items) => {
            let (from, to) = bounds(items.len());
            Ok(Value::list(items.get(from..to).unwrap_or_default().to_vec()))
        }
        Value::Text(text) => {
            let (from, to) = bounds(text.len());
            // Bytes, as in the original; a cut character is no text any more.
            let part = text.as_bytes().get(from..to).unwrap_or_default();
            Ok(Value::text(&String::from_utf8_lossy(part)))
        }
        Value::Bytes(bytes) => {
            let (from, to) = bounds(bytes.len());
            Ok(Value::Bytes(bytes.get(from..to).unwrap_or_default().into()))
        }
        other => Err(format!("{} cannot be sliced", other.type_name())),
    }
}

fn position(at: Option<usize>) -> Value {
    Value::Int(at.map_or(-1, |at| i64::try_from(at).unwrap_or(i64::MAX)))
}

fn strings<'a>(parts: impl Iterator<Item = &'a str>) -> Value {
    Value::list(parts.map(Value::text).collect())
}

fn limited(text: String) -> Result<Value, String> {
    if text.len() > MAX_TEXT { Err("a text grows too long".into()) } else { Ok(Value::Text(text.into())) }
}

/// Runs a builtin of this file; nothing if the name or types are not its own.
pub(super) fn builtin(name: &str, values: &[Value]) -> Result<Option<Value>, String> {
    use Value::{Bytes, Float, Int, List, Map, Nil, Text};
    Ok(Some(match (name, values) {
        ("len", [Text(text)]) => Int(text.chars().count() as i64),
        ("len", [Bytes(bytes)]) => Int(bytes.len() as i64),
        ("len", [List(items)]) => Int(items.len() as i64),
        ("len", [Map(pairs)]) => Int(pairs.len() as i64),
        ("type", [value]) => Value::text(value.type_name()),
        ("string", [value]) => limited(value.print())?,
        ("int", [Int(integer)]) => Int(*integer),
        ("int", [Float(float)]) => Int(*float as i64),
        ("int", [Text(text)]) => Int(text.parse().map_err(|_| format!("{text} is not an integer"))?),
        ("float", [Text(text)]) => Float(
            crate::core::protocol::number::parse_float(text)
                .ok_or_else(|| format!("{text} is not a number"))?,
        ),
        ("float", [value]) => Float(value.number().ok_or("this is not a number")?),
        ("trim", [Text(text)]) => Value::text(text.trim()),
        ("trim", [Text(text), Text(set)]) => Value::text(text.trim_matches(|c| set.contains(c))),
        ("trimPrefix", [Text(text)]) => Value::text(text.strip_prefix(' ').unwrap_or(text)),
        ("trimPrefix", [Text(text), Text(p)]) => Value::text(text.strip_prefix(&**p).unwrap_or(text)),
        ("trimSuffix", [Text(text)]) => Value::text(text.strip_suffix(' ').unwrap_or(text)),
        ("trimSuffix", [Text(text), Text(s)]) => Value::text(text.strip_suffix(&**s).unwrap_or(text)),
        ("upper", [Text(text)]) => limited(text.to_uppercase())?,
        ("lower", [Text(text)]) => limited(text.to_lowercase())?,
        ("split", [Text(text), Text(by)]) => split(text, by, None),
        ("split", [Text(text), Text(by), Int(n)]) => split(text, by, Some(*n)),
        ("splitAfter", [Text(text), Text(by), ..]) => strings(text.split_inclusive(&**by)),
        ("replace", [Text(text), Text(old), Text(new)]) => replace(text, old, new, -1)?,
        ("replace", [Text(text), Text(old), Text(new), Int(n)]) => replace(text, old, new, *n)?,
        ("repeat", [Text(text), Int(times)]) => {
            let times = usize::try_from(*times).map_err(|_| "a text cannot repeat less than never")?;
            if text.len().saturating_mul(times) > MAX_TEXT {
                return Err("a text grows too long".into());
            }
            Text(text.repeat(times).into())
        }
        ("join", [List(items), rest @ ..]) => join(items, rest)?,
        ("indexOf", [Text(text), Text(part)]) => position(text.find(&**part)),
        ("lastIndexOf", [Text(text), Text(part)]) => position(text.rfind(&**part)),
        ("hasPrefix", [Text(text), Text(part)]) => Value::Bool(text.starts_with(&**part)),
        ("hasSuffix", [Text(text), Text(part)]) => Value::Bool(text.ends_with(&**part)),
        ("toJSON", [value]) => to_json(value)?,
        ("fromJSON", [Text(text)]) => {
            from_json(&read_value(text.as_bytes(), Numbers::Doubles).map_err(|e| e.to_string())?, true)
        }
        ("toBase64", [Text(text)]) => limited(STANDARD.encode(text.as_bytes()))?,
        ("fromBase64", [Text(text)]) => {
            let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| format!("{text} is not base64"))?;
            Value::text(&String::from_utf8_lossy(&bytes))
        }
        ("first", [List(items)]) => items.first().cloned().unwrap_or(Nil),
        ("last", [List(items)]) => items.last().cloned().unwrap_or(Nil),
        ("first" | "last", [Nil]) => Nil,
        ("sort", [Nil, ..]) => Value::list(Vec::new()),
        ("get", [base, key]) => fetch(base, key).unwrap_or(Nil),
        ("take", [List(items), Int(n)]) => {
            let n = usize::try_from(*n).map_err(|_| "fewer than none cannot be taken")?;
            Value::list(items.iter().take(n).cloned().collect())
        }
        ("keys", [Map(pairs)]) => Value::list(pairs.iter().map(|(key, _)| key.clone()).collect()),
        ("values", [Map(pairs)]) => Value::list(pairs.iter().map(|(_, value)| value.clone()).collect()),
        ("toPairs", [Map(pairs)]) => {
            Value::list(pairs.iter().map(|(k, v)| Value::list(vec![k.clone(), v.clone()])).collect())
        }
        ("fromPairs", [List(items)]) => from_pairs(items)?,
        ("reverse", [List(items)]) => Value::list(items.iter().rev().cloned().collect()),
        ("uniq", [List(items)]) => uniq(items)?,
        ("concat", lists) => {
            let mut all = Vec::new();
            for list in lists {
                let List(items) = list else { return Err("only lists can be joined".into()) };
                all.extend(items.iter().cloned());
            }
            Value::list(all)
        }
        ("flatten", [List(items)]) => {
            let mut flat = Vec::new();
            flatten(items, &mut flat, 0);
            Value::list(flat)
        }
        _ => return Ok(None),
    }))
}

fn split(text: &str, by: &str, n: Option<i64>) -> Value {
    let parts: Box<dyn Iterator<Item = &str>> = match (by.is_empty(), n.and_then(|n| usize::try_from(n).ok()))
    {
        (_, Some(0)) => Box::new(std::iter::empty()),
        // Between all characters, but not before the first and after the last.
        (true, _) => Box::new(text.split("").filter(|part| !part.is_empty())),
        (false, Some(n)) => Box::new(text.splitn(n, by)),
        (false, None) => Box::new(text.split(by)),
    };
    strings(parts)
}

fn replace(text: &str, old: &str, new: &str, times: i64) -> Result<Value, String> {
    let most = (text.len() + 1).saturating_mul(new.len()).saturating_add(text.len());
    if most > MAX_TEXT * 4 {
        return Err("a text grows too long".into());
    }
    limited(match usize::try_from(times) {
        Ok(times) => text.replacen(old, new, times),
        Err(_) => text.replace(old, new),
    })
}

fn join(items: &[Value], rest: &[Value]) -> Result<Value, String> {
    let by = match rest {
        [] => "",
        [Value::Text(by)] => by,
        _ => return Err("join takes a text between".into()),
    };
    let mut joined = String::new();
    for (i, item) in items.iter().enumerate() {
        let Value::Text(text) = item else { return Err(format!("{} cannot be joined", item.type_name())) };
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
fn to_json(value: &Value) -> Result<Value, String> {
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

fn uniq(items: &[Value]) -> Result<Value, String> {
    // Every value is compared with every other.
    if items.len() > 2000 {
        return Err("the list is too long for uniq".into());
    }
    let mut unique: Vec<Value> = Vec::new();
    for item in items {
        if !unique.iter().any(|seen| seen.equals(item)) {
            unique.push(item.clone());
        }
    }
    Ok(Value::list(unique))
}

fn flatten(items: &[Value], flat: &mut Vec<Value>, depth: usize) {
    for item in items {
        match item {
            Value::List(inner) if depth < 100 => flatten(inner, flat, depth + 1),
            item => flat.push(item.clone()),
        }
    }
}
