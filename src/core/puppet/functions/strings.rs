//! Text.

use std::ops::Range;
use std::sync::Arc;

use super::{Builtin, Call, MANY, maybe_block, plain, sprintf};
use crate::evaluator::{Evaluator, Outcome, Raise};
use crate::types::Kind;
use crate::value::{Regexp, Text, Value};

pub(super) const FUNCTIONS: &[Builtin] = &[
    plain("upcase", 1, 1, |ev, call| mapped(ev, &call, &|text| text.to_uppercase())),
    plain("downcase", 1, 1, |ev, call| mapped(ev, &call, &|text| text.to_lowercase())),
    plain("capitalize", 1, 1, |ev, call| {
        mapped(ev, &call, &|text| {
            let mut chars = text.chars();
            let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
            first + &chars.as_str().to_lowercase()
        })
    }),
    plain("camelcase", 1, 1, |ev, call| {
        mapped(ev, &call, &|text| {
            let word = |word: &str| {
                let mut chars = word.chars();
                chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default() + chars.as_str()
            };
            text.split('_').map(word).collect()
        })
    }),
    plain("strip", 1, 1, |ev, call| mapped(ev, &call, &|text| text.trim_matches(blank).to_owned())),
    plain("lstrip", 1, 1, |ev, call| mapped(ev, &call, &|text| text.trim_start_matches(blank).to_owned())),
    plain("rstrip", 1, 1, |ev, call| mapped(ev, &call, &|text| text.trim_end_matches(blank).to_owned())),
    plain("chomp", 1, 1, |ev, call| {
        mapped(ev, &call, &|text| {
            let short = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text));
            short.or_else(|| text.strip_suffix('\r')).unwrap_or(text).to_owned()
        })
    }),
    plain("chop", 1, 1, |ev, call| {
        mapped(ev, &call, &|text| {
            let mut chars = text.strip_suffix("\r\n").map_or(text, |short| &text[..=short.len()]).chars();
            chars.next_back();
            chars.as_str().to_owned()
        })
    }),
    plain("split", 2, 2, split),
    plain("regsubst", 3, 5, regsubst),
    plain("match", 2, 2, matched),
    plain("sprintf", 1, MANY, |ev, call| {
        let format = call.text(0)?;
        sprintf::format(ev, &format, &call.arguments[1..])
    }),
    plain("start_with", 2, 2, |ev, call| ends(ev, &call, |text, end| text.starts_with(end))),
    plain("end_with", 2, 2, |ev, call| ends(ev, &call, |text, end| text.ends_with(end))),
    plain("shell_escape", 1, 1, |ev, call| {
        let text = ev.shown(call.get(0))?;
        ev.text(escaped(&text))
    }),
    maybe_block("chars", 1, 1, |ev, call| {
        let text = call.text(0)?;
        ev.work(text.len() as u64)?;
        let chars = text.chars().map(|c| Value::string(c, &ev.budget)).collect::<Result<Vec<_>, _>>()?;
        ev.list(chars)
    }),
];

fn blank(c: char) -> bool {
    c.is_whitespace() || c == '\0'
}

/// A function of text, for one or for a list of them; numbers stay.
fn mapped(ev: &mut Evaluator<'_>, call: &Call<'_>, change: &dyn Fn(&str) -> String) -> Outcome {
    match call.get(0) {
        Value::String(text) => {
            ev.work(1 + text.len() as u64 / 16)?;
            ev.text(change(text))
        }
        Value::Integer(_) | Value::Float(_) => Ok(call.get(0).clone()),
        Value::Array(items) => {
            let mut all = vec![];
            for item in items.iter() {
                all.push(match item {
                    Value::String(text) => ev.text(change(text))?,
                    Value::Integer(_) | Value::Float(_) => item.clone(),
                    _ => return Err(call.mismatch(0, "Array of Strings")),
                });
            }
            ev.list(all)
        }
        _ => Err(call.mismatch(0, "String")),
    }
}

fn ends(ev: &mut Evaluator<'_>, call: &Call<'_>, test: fn(&str, &str) -> bool) -> Outcome {
    let text = call.text(0)?;
    let wanted: Vec<Value> = match call.get(1) {
        Value::Array(wanted) => wanted.to_vec(),
        one => vec![one.clone()],
    };
    ev.work(wanted.len() as u64)?;
    let found = wanted.iter().any(|end| end.as_str().is_some_and(|end| test(&text, end)));
    Ok(Value::Boolean(found))
}

/// A regular expression, or the text of one.
fn pattern(ev: &mut Evaluator<'_>, call: &Call<'_>, at: usize) -> Outcome<Arc<Regexp>> {
    let text = match call.get(at) {
        Value::Regexp(regexp) => return Ok(regexp.clone()),
        Value::String(text) => text.clone(),
        Value::Type(of) => match of.kind() {
            Kind::Regexp(Some(text)) => text.clone(),
            _ => return Err(call.mismatch(at, "String or Regexp")),
        },
        _ => return Err(call.mismatch(at, "String or Regexp")),
    };
    ev.regexp(&text)
}

fn split(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    if let Value::Array(items) = call.get(0) {
        let mut all = vec![];
        for item in items.clone().iter() {
            let call =
                Call { name: call.name, arguments: vec![item.clone(), call.get(1).clone()], block: None };
            all.push(split(ev, call)?);
        }
        return ev.list(all);
    }
    let (text, by) = (call.text(0)?, pattern(ev, &call, 1)?);
    let mut parts: Vec<Range<usize>> = vec![];
    let (mut from, mut at) = (0, 0);
    let mut held = vec![];
    while at <= text.len() {
        ev.work(2 + (text.len() - at) as u64 / 256)?;
        let Some((range, groups)) = by.find(&text, at)? else { break };
        // groups are parts too, each time
        let more = groups.len() + 1;
        ev.work(more as u64)?;
        if parts.capacity() < parts.len() + more {
            let room = more.max(parts.len());
            held.push(ev.budget.charge(room * size_of::<Range<usize>>())?);
            parts.reserve_exact(room);
        }
        if range.is_empty() {
            // between two characters
            let Some(c) = text[range.end..].chars().next() else { break };
            at = range.end + c.len_utf8();
            if range.start > from {
                parts.push(from..range.start);
                from = range.start;
            }
            continue;
        }
        parts.push(from..range.start);
        parts.extend(groups.into_iter().skip(1).flatten());
        (from, at) = (range.end, range.end);
    }
    parts.push(from..text.len());
    while parts.last().is_some_and(Range::is_empty) {
        parts.pop();
    }
    let parts = parts.into_iter().map(|part| ev.text(&text[part])).collect::<Outcome<Vec<_>>>()?;
    ev.list(parts)
}

fn regsubst(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    if let Value::Array(items) = call.get(0) {
        let mut all = vec![];
        for item in items.clone().iter() {
            let mut arguments = call.arguments.clone();
            arguments[0] = item.clone();
            all.push(regsubst(ev, Call { name: call.name, arguments, block: None })?);
        }
        return ev.list(all);
    }
    let text = call.text(0)?;
    let flags = if call.has(3) { call.text(3)? } else { Text::literal("") };
    let by = match (call.get(1), flags.chars().any(|c| "EIM".contains(c))) {
        (Value::String(source), true) => {
            let mut letters = String::new();
            letters.extend(flags.contains('I').then_some('i'));
            letters.extend(flags.contains('M').then_some('m'));
            letters.extend(flags.contains('E').then_some('x'));
            let source = format!("(?{letters}:{source})");
            ev.regexp(&source)?
        }
        _ => pattern(ev, &call, 1)?,
    };
    let replacement = match call.get(2) {
        Value::Hash(_) => None,
        _ => Some(call.text(2)?),
    };
    let mut out = ev.budget.writer();
    let (mut from, mut at) = (0, 0);
    while at <= text.len() {
        ev.work(2 + (text.len() - at) as u64 / 256)?;
        let Some((range, groups)) = by.find(&text, at)? else { break };
        out.push(&text[from..range.start])?;
        match &replacement {
            Some(replacement) => replace(&mut out, replacement, &text, &range, &groups, &by)?,
            None => {
                let key = &text[range.clone()];
                if let Some(value) = call.hash(2)?.at(key) {
                    out.push(&ev.shown(value)?)?;
                }
            }
        }
        from = range.end;
        at = range.end;
        if range.is_empty() {
            // one character further, or the same is found for ever
            let Some(c) = text[at..].chars().next() else { break };
            at += c.len_utf8();
            out.push(&text[range.end..at])?;
            from = at;
        }
        if !flags.contains('G') {
            break;
        }
    }
    out.push(&text[from.min(text.len())..])?;
    Ok(Value::String(Text::written(out)?))
}

/// `\1`, `\0`, `\&`, `\k<name>`, and what is before and behind, are not text; a backslash before another
/// is.
fn replace(
    out: &mut crate::budget::Writer,
    with: &str,
    text: &str,
    range: &Range<usize>,
    groups: &[Option<Range<usize>>],
    by: &Regexp,
) -> Outcome<()> {
    let group = |at: usize| groups.get(at).cloned().flatten().map_or("", |group| &text[group]);
    let mut chars = with.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c.encode_utf8(&mut [0; 4]))?;
            continue;
        }
        let named = chars.as_str().strip_prefix("k<").and_then(|rest| rest.split_once('>'));
        if let Some((name, rest)) = named {
            let at = by.group(name).or_else(|| name.parse().ok().filter(|at| *at < groups.len()));
            let at =
                at.ok_or_else(|| Raise::new(format!("regsubst(): undefined group name reference: {name}")))?;
            out.push(group(at))?;
            chars = rest.chars();
            continue;
        }
        match chars.next() {
            Some(digit) if digit.is_ascii_digit() => {
                out.push(group(digit.to_digit(10).unwrap_or(0) as usize))?;
            }
            Some('&') => out.push(&text[range.clone()])?,
            Some('`') => out.push(&text[..range.start])?,
            Some('\'') => out.push(&text[range.end..])?,
            Some('\\') => out.push("\\")?,
            Some(other) => {
                out.push("\\")?;
                out.push(other.encode_utf8(&mut [0; 4]))?;
            }
            None => out.push("\\")?,
        }
    }
    Ok(())
}

fn matched(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    if let Value::Array(items) = call.get(0) {
        let mut all = vec![];
        for item in items.clone().iter() {
            let call =
                Call { name: call.name, arguments: vec![item.clone(), call.get(1).clone()], block: None };
            all.push(matched(ev, call)?);
        }
        return ev.list(all);
    }
    let (text, by) = (call.text(0)?, pattern(ev, &call, 1)?);
    ev.work(1 + text.len() as u64 / 16)?;
    let Some((_, groups)) = by.find(&text, 0)? else { return Ok(Value::Undef) };
    let mut all = vec![];
    for group in groups {
        all.push(match group {
            Some(group) => ev.text(&text[group])?,
            None => Value::Undef,
        });
    }
    ev.list(all)
}

/// Text that a shell takes for one word.
pub(super) fn escaped(text: &str) -> String {
    if text.is_empty() {
        return "''".to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("'\n'"),
            c if c.is_ascii_alphanumeric() || "_-.,:+/@".contains(c) => out.push(c),
            c if !c.is_ascii() => out.push(c),
            c => out.extend(['\\', c]),
        }
    }
    out
}
