//! Lists in order, without repetition, and made of two ends.

use std::cmp::Ordering;
use std::collections::HashSet;

use indexmap::IndexMap;

use super::{Builtin, Call, maybe_block, plain};
use crate::evaluator::{Evaluator, Outcome, Raise};
use crate::value::{Value, brief, order};

pub(super) const FUNCTIONS: &[Builtin] =
    &[maybe_block("sort", 1, 1, sort), maybe_block("unique", 1, 1, unique), plain("range", 2, 3, range)];

fn sort(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let mut items: Vec<Value> = match call.get(0) {
        Value::String(text) => {
            let mut chars: Vec<_> = text.chars().collect();
            ev.work(chars.len() as u64 * 2)?;
            chars.sort_unstable();
            return ev.text(chars.into_iter().collect::<String>());
        }
        _ => call.array(0)?.to_vec(),
    };
    let _held = ev.budget.charge(crate::value::list_bytes(items.len() * 2))?;
    let mut failed = None;
    let compare = |ev: &mut Evaluator<'_>, a: &Value, b: &Value| -> Outcome<Ordering> {
        ev.work(1)?;
        if let Some(block) = &call.block {
            return match ev.call(block, &[a.clone(), b.clone()])? {
                Value::Integer(n) => Ok(n.cmp(&0)),
                other => Err(Raise::new(format!("'sort' block gives an Integer, not {}", brief(&other)))),
            };
        }
        match (a, b) {
            // capital letters first, as Ruby has them
            (Value::String(a), Value::String(b)) => Ok(a.as_str().cmp(b)),
            (a, b) => order(a, b).map_err(|why| Raise::new(format!("sort(): {why}"))),
        }
    };
    // A merge sort of our own: what a block says may be no order at all, and it may fail.
    let mut width = 1;
    while width < items.len() {
        let mut merged = Vec::with_capacity(items.len());
        for part in items.chunks(width * 2) {
            let (mut left, mut right) = part.split_at(width.min(part.len()));
            while let (Some(a), Some(b)) = (left.first(), right.first()) {
                let order = match failed {
                    None => compare(ev, a, b),
                    Some(_) => Ok(Ordering::Equal),
                };
                let first = match order {
                    Ok(Ordering::Greater) => &mut right,
                    Ok(_) => &mut left,
                    Err(e) => {
                        failed = Some(e);
                        &mut left
                    }
                };
                if let Some((item, rest)) = first.split_first() {
                    merged.push(item.clone());
                    *first = rest;
                }
            }
            merged.extend(left.iter().chain(right).cloned());
        }
        if let Some(failed) = failed {
            return Err(failed);
        }
        items = merged;
        width *= 2;
    }
    ev.list(items)
}

/// The first of each.
pub(super) fn distinct(ev: &mut Evaluator<'_>, items: Vec<Value>) -> Outcome {
    let steps = items.iter().map(Value::work).fold(1, u64::saturating_add);
    ev.work(steps)?;
    let mut seen = HashSet::new();
    let first = items.iter().filter(|item| seen.insert(*item)).cloned().collect();
    ev.list(first)
}

fn unique(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    if let (Value::String(text), None) = (call.get(0), &call.block) {
        ev.work(text.len() as u64)?;
        let mut seen = HashSet::new();
        let first: String = text.chars().filter(|c| seen.insert(*c)).collect();
        return ev.text(first);
    }
    let items = match call.get(0) {
        Value::Hash(hash) => {
            let mut groups: IndexMap<Value, Vec<Value>> = IndexMap::new();
            for (key, value) in hash.iter() {
                let by = match &call.block {
                    Some(block) => ev.call(block, std::slice::from_ref(value))?,
                    None => value.clone(),
                };
                ev.work(by.work())?;
                groups.entry(by).or_default().push(key.clone());
            }
            let mut entries = IndexMap::new();
            for (by, keys) in groups {
                let first = hash.get(&keys[0]).cloned().unwrap_or(by);
                let keys = ev.list(keys)?;
                let firsts = ev.list(vec![first])?;
                entries.insert(keys, firsts);
            }
            return ev.map(entries);
        }
        Value::TaskResults(results) => results.results.clone(),
        _ => call.array(0)?.to_vec(),
    };
    let Some(block) = &call.block else { return distinct(ev, items) };
    let (mut seen, mut first) = (HashSet::new(), vec![]);
    for item in items {
        let by = ev.call(block, std::slice::from_ref(&item))?;
        ev.work(by.work())?;
        if seen.insert(by) {
            first.push(item);
        }
    }
    ev.list(first)
}

fn range(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let by = if call.has(2) { call.integer(2)? } else { 1 };
    if by == 0 {
        return Err(Raise::new("range(): a step of 0 leads nowhere"));
    }
    let by = by.unsigned_abs();
    let ends = match (call.get(0), call.get(1)) {
        (Value::Integer(a), Value::Integer(b)) => Some((*a, *b)),
        (Value::String(a), Value::String(b)) => a.parse().ok().zip(b.parse().ok()),
        _ => return Err(call.mismatch(0, "Integer or String")),
    };
    if let Some((from, to)) = ends {
        let count = u64::try_from((i128::from(to) - i128::from(from)).unsigned_abs() / u128::from(by))
            .unwrap_or(u64::MAX);
        ev.work(count)?;
        let count = usize::try_from(count.saturating_add(1)).unwrap_or(usize::MAX);
        drop(ev.budget.charge(crate::value::list_bytes(count))?);
        let signed = if from <= to { i128::from(by) } else { -i128::from(by) };
        let all = (0..count).map(|n| i128::from(from) + signed * n as i128);
        return ev.list(all.filter_map(|n| i64::try_from(n).ok()).map(Value::Integer).collect());
    }
    let (from, to) = (call.text(0)?, call.text(1)?);
    if let Some(words) = numbered(ev, &from, &to, by)? {
        return ev.list(words);
    }
    let mut words = vec![];
    let mut word = from.to_string();
    let mut at = 0_u64;
    loop {
        ev.work(1)?;
        if at.is_multiple_of(by) {
            words.push(ev.text(word.clone())?);
        }
        at += 1;
        if word == to.as_str() || word.len() > to.len() {
            break;
        }
        word = successor(&word);
        if word.len() > to.len() {
            break;
        }
    }
    ev.list(words)
}

/// `host08` to `host11`: the same letters, then numbers with as many digits at least.
fn numbered(ev: &mut Evaluator<'_>, from: &str, to: &str, by: u64) -> Outcome<Option<Vec<Value>>> {
    let split = |text: &str| text.len() - text.bytes().rev().take_while(u8::is_ascii_digit).count();
    let ((letters, first), (others, last)) = (from.split_at(split(from)), to.split_at(split(to)));
    let (Ok(from), Ok(to)) = (first.parse::<u32>(), last.parse::<u32>()) else { return Ok(None) };
    if letters != others || from > to {
        return Ok(None);
    }
    let mut words = vec![];
    for n in (from..=to).step_by(usize::try_from(by).unwrap_or(usize::MAX)) {
        words.push(ev.text(format!("{letters}{n:0>width$}", width = first.len()))?);
    }
    Ok(Some(words))
}

/// The word that follows: `a` → `b`, `az` → `ba`, `z9` → `aa0`.
fn successor(word: &str) -> String {
    let mut chars: Vec<char> = word.chars().collect();
    let mut at = chars.len();
    while at > 0 {
        let c = chars[at - 1];
        let (next, carry) = match c {
            'z' => ('a', true),
            'Z' => ('A', true),
            '9' => ('0', true),
            c if c.is_ascii_alphanumeric() => (char::from(c as u8 + 1), false),
            _ => break,
        };
        chars[at - 1] = next;
        if !carry {
            return chars.into_iter().collect();
        }
        at -= 1;
    }
    let first = match chars.get(at) {
        Some('a') => 'a',
        Some('A') => 'A',
        Some('0') => '1',
        _ => '1',
    };
    chars.insert(at, first);
    chars.into_iter().collect()
}
