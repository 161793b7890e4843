//! gjson paths: how facts and reply data are looked up (spec 01 §8).
//!
//! A path is `name.name`, with array indexes, `#` for length or every element,
//! `#(query)`, wildcards, `|`, `[a,b]` and `{a,b}` selections, and `@modifiers`.
//! Paths come from requests. The `gjson` crate differs from the original on
//! some of them and works on raw text with room for panics, so this is a walk
//! over a parsed tree instead, with every loop bounded.

mod glob;
mod modifier;
mod path;
mod query;
mod select;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cell::Cell;

use serde_json::Value;

use crate::core::protocol::json::{Numbers, read_value};
use path::{ArrayPath, ObjectPath, parse_array_path, parse_object_path, split_possible_pipe};

/// Longest path that is followed, in bytes; a longer one finds nothing.
const MAX_PATH: usize = 4096;
/// Deepest nesting of pipes, selections and queries.
const MAX_DEPTH: u32 = 64;
/// Values looked at in one look-up; selections of selections can ask for any
/// number.
const MAX_STEPS: u32 = 2_000_000;

/// What a look-up gave: a part of the document, something made from it, or
/// nothing.
type Found<'a> = Option<Cow<'a, Value>>;

/// Looks `path` up in JSON text. Text that is no JSON holds nothing.
pub fn lookup(json: &str, path: &str) -> Option<Value> {
    let value = read_value(json.as_bytes(), Numbers::Exact).ok()?;
    lookup_value(&value, path)
}

/// Looks `path` up in a value.
pub fn lookup_value(value: &Value, path: &str) -> Option<Value> {
    lookup_at_cost(value, path).0
}

/// The same, with the number of values it took to look at.
pub(super) fn lookup_at_cost(value: &Value, path: &str) -> (Option<Value>, usize) {
    if path.len() > MAX_PATH {
        return (None, 0);
    }
    let search = Search { steps: Cell::new(MAX_STEPS), depth: Cell::new(MAX_DEPTH) };
    let found = search.get(Some(value), path.as_bytes()).map(Cow::into_owned);
    (found, (MAX_STEPS - search.steps.get()) as usize)
}

/// One look-up and what it may still cost.
struct Search {
    steps: Cell<u32>,
    depth: Cell<u32>,
}

/// Where one level of the path has got to.
#[derive(Default)]
struct Context<'a> {
    value: Found<'a>,
    pipe: Option<Vec<u8>>,
}

impl Search {
    /// Pays for looking at a value; false when there is nothing left to pay.
    fn step(&self) -> bool {
        let left = self.steps.get();
        self.steps.set(left.saturating_sub(1));
        left > 0
    }

    /// Pays for making a value of this size.
    fn pay(&self, cost: usize) -> bool {
        let left = self.steps.get();
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        self.steps.set(left.saturating_sub(cost));
        left > cost
    }

    fn get<'a>(&self, json: Option<&'a Value>, path: &[u8]) -> Found<'a> {
        let depth = self.depth.get();
        if depth == 0 || !self.step() {
            return None;
        }
        self.depth.set(depth - 1);
        let found = self.get_here(json, path);
        self.depth.set(depth);
        found
    }

    fn get_here<'a>(&self, json: Option<&'a Value>, path: &[u8]) -> Found<'a> {
        // What is left behind a selection that is none is the path, as in the original.
        let path = select::skip_broken(path);
        if path.len() > 1 {
            let special = match path.first() {
                Some(b'@') => self.modifier(json, path),
                Some(b'!') => modifier::constant(path),
                Some(b'[' | b'{') => self.selection(json, path),
                _ => None,
            };
            if let Some((found, rest)) = special {
                return match rest.first() {
                    Some(b'|' | b'.') => self.get_in(found, rest.get(1..).unwrap_or_default()),
                    _ => found,
                };
            }
        }
        let mut context = Context::default();
        if path.starts_with(b"..") {
            // JSON lines; a document of one line.
            let lines = json.map(std::slice::from_ref).unwrap_or_default();
            self.array(&mut context, lines, path.get(2..).unwrap_or_default());
        } else {
            match json {
                Some(Value::Object(map)) => {
                    self.object(&mut context, map, path);
                }
                Some(Value::Array(items)) => {
                    self.array(&mut context, items, path);
                }
                _ => {}
            }
        }
        match context.pipe {
            Some(pipe) => self.get_in(context.value, &pipe),
            None => context.value,
        }
    }

    /// The same on what an earlier step found.
    fn get_in<'a>(&self, json: Found<'a>, path: &[u8]) -> Found<'a> {
        match json {
            Some(Cow::Borrowed(value)) => self.get(Some(value), path),
            Some(Cow::Owned(value)) => {
                self.get(Some(&value), path).map(|found| Cow::Owned(found.into_owned()))
            }
            None => self.get(None, path).map(|found| Cow::Owned(found.into_owned())),
        }
    }

    /// True when the value was found and the search is over.
    fn object<'a>(
        &self,
        context: &mut Context<'a>,
        map: &'a serde_json::Map<String, Value>,
        path: &[u8],
    ) -> bool {
        let ObjectPath { part, rest, pipe, wild } = parse_object_path(path);
        if let (None, Some(pipe)) = (rest, pipe) {
            context.pipe = Some(pipe.to_vec());
        }
        for (key, value) in map {
            if !self.step() {
                return false;
            }
            let matched = if wild { glob::matches(key, &part) } else { key.as_bytes() == &*part };
            if !matched {
                continue;
            }
            match rest {
                None => {
                    context.value = Some(Cow::Borrowed(value));
                    return true;
                }
                Some(rest) if self.deeper(context, value, rest) => return true,
                Some(_) => {}
            }
        }
        false
    }

    fn deeper<'a>(&self, context: &mut Context<'a>, value: &'a Value, rest: &[u8]) -> bool {
        match value {
            Value::Object(map) => self.object(context, map, rest),
            Value::Array(items) => self.array(context, items, rest),
            _ => false,
        }
    }

    fn array<'a>(&self, context: &mut Context<'a>, items: &'a [Value], path: &[u8]) -> bool {
        let parsed = parse_array_path(path);
        if let (None, Some(pipe)) = (parsed.rest, parsed.pipe) {
            context.pipe = Some(pipe.to_vec());
        }
        if !parsed.hash {
            let Some(value) = index(parsed.part).and_then(|i| items.get(i)) else { return false };
            return match parsed.rest {
                None => {
                    context.value = Some(Cow::Borrowed(value));
                    true
                }
                Some(rest) => self.deeper(context, value, rest),
            };
        }
        if parsed.query.is_some() {
            return self.queried(context, items, parsed);
        }
        if parsed.part != b"#" {
            return false;
        }
        let Some(every) = parsed.every else {
            context.value = Some(Cow::Owned(Value::from(items.len())));
            return true;
        };
        let every = match split_possible_pipe(every) {
            Some((left, right)) => {
                context.pipe = Some(right.to_vec());
                left
            }
            None => every,
        };
        let mut found = Vec::new();
        for item in items {
            if let Some(value) = self.get(Some(item), every) {
                if !self.pay(size(&value)) {
                    return false;
                }
                found.push(value.into_owned());
            }
        }
        context.value = Some(Cow::Owned(Value::Array(found)));
        true
    }

    fn queried<'a>(&self, context: &mut Context<'a>, items: &'a [Value], parsed: ArrayPath<'_>) -> bool {
        let Some(query) = parsed.query else { return false };
        let mut rest = parsed.rest;
        let mut all = Vec::new();
        for item in items {
            let tested = match item {
                Value::Object(_) | Value::Array(_) => self.get(Some(item), query.path),
                _ if query.path.is_empty() => Some(Cow::Borrowed(item)),
                _ => continue,
            };
            if !self.step() {
                return false;
            }
            if !query.matches(tested.as_deref()) {
                continue;
            }
            let found = match rest {
                None => Some(Cow::Borrowed(item)),
                Some(path) => {
                    let path = match split_possible_pipe(path) {
                        Some((left, right)) => {
                            context.pipe = Some(right.to_vec());
                            left
                        }
                        None => path,
                    };
                    rest = Some(path);
                    self.get(Some(item), path)
                }
            };
            if !query.all {
                context.value = found;
                return true;
            }
            if let Some(found) = found {
                if !self.pay(size(&found)) {
                    return false;
                }
                all.push(found.into_owned());
            }
        }
        if query.all && context.value.is_none() {
            context.value = Some(Cow::Owned(Value::Array(all)));
        }
        false
    }
}

fn index(part: &[u8]) -> Option<usize> {
    if part.is_empty() || !part.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(part).ok()?.parse().ok()
}

/// How many values a value is made of; what copying it costs.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(size).sum::<usize>(),
        // Long text costs more than a number.
        Value::String(text) => 1 + text.len() / 64,
        _ => 1,
    }
}
