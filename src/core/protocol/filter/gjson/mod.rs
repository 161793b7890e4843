//! gjson paths: how facts and reply data are looked up (spec 01 §8).
//!
//! A path is `name.name`, with array indexes, `#` for length or every element,
//! `#(query)`, wildcards, `|`, `[a,b]` and `{a,b}` selections, and `@modifiers`.
//! Paths come from requests. The `gjson` crate differs from the original on
//! some of them and works on raw text with room for panics, so this is a walk
//! over a parsed tree instead. A short path can ask for any amount of work and
//! copies: both are paid for as they are done, and a path that cannot pay finds
//! nothing.

mod copy;
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

use super::budget::{Budget, Exhausted};
use crate::core::protocol::json::{Numbers, read_value};
use copy::owned;
pub(super) use copy::pay_for_reading;
use path::{ArrayPath, ObjectPath, parse_array_path, parse_object_path, split_possible_pipe};

/// Longest path that is followed, in bytes; a longer one finds nothing.
const MAX_PATH: usize = 4096;
/// Deepest nesting of pipes, selections and queries.
const MAX_DEPTH: u32 = 64;
/// What a look-up may cost that nobody asked for in a request.
const WORK: u64 = 10_000_000;
const BYTES: u64 = 16 * 1024 * 1024;

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
    let budget = Budget::new(WORK, BYTES);
    find(value, path, &budget).ok()?.map(Cow::into_owned)
}

/// The same on behalf of a request, which pays for it.
pub(super) fn find<'a>(
    value: &'a Value,
    path: &str,
    budget: &Budget,
) -> Result<Option<Cow<'a, Value>>, Exhausted> {
    budget.check()?;
    if path.len() > MAX_PATH {
        return Ok(None);
    }
    let search = Search { budget, depth: Cell::new(MAX_DEPTH) };
    let found = search.get(Some(value), path.as_bytes());
    budget.check().map(|()| found)
}

/// One look-up and who pays for it.
struct Search<'b> {
    budget: &'b Budget,
    depth: Cell<u32>,
}

/// Where one level of the path has got to.
#[derive(Default)]
struct Context<'a> {
    value: Found<'a>,
    pipe: Option<Vec<u8>>,
}

impl Search<'_> {
    /// Pays for looking at a value with a path; false when there is nothing
    /// left to pay. The path is taken apart anew for every value.
    fn step(&self, path: &[u8]) -> bool {
        let length = u64::try_from(path.len()).unwrap_or(u64::MAX);
        self.budget.pay(5 + length / 2).is_ok()
    }

    fn get<'a>(&self, json: Option<&'a Value>, path: &[u8]) -> Found<'a> {
        let depth = self.depth.get();
        if depth == 0 || !self.step(path) {
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
                Some(b'!') => modifier::constant(path, self.budget),
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
            Some(Cow::Owned(value)) => self.owned(self.get(Some(&value), path)?).map(Cow::Owned),
            None => self.owned(self.get(None, path)?).map(Cow::Owned),
        }
    }

    fn owned(&self, found: Cow<'_, Value>) -> Option<Value> {
        owned(found, self.budget).ok()
    }

    /// True when the value was found and the search is over.
    fn object<'a>(
        &self,
        context: &mut Context<'a>,
        map: &'a serde_json::Map<String, Value>,
        path: &[u8],
    ) -> bool {
        if !self.step(path) {
            return false;
        }
        let ObjectPath { part, rest, pipe, wild } = parse_object_path(path);
        if let (None, Some(pipe)) = (rest, pipe) {
            context.pipe = Some(pipe.to_vec());
        }
        for (key, value) in map {
            let price = if wild { glob::price(key, &part) } else { 2 };
            if self.budget.pay(price).is_err() {
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
        if !self.step(path) {
            return false;
        }
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
                let Some(value) = self.owned(value) else { return false };
                found.push(value);
            }
            if self.budget.check().is_err() {
                return false;
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
            let price = query.price(tested.as_deref());
            if self.budget.pay(price).is_err() || !self.step(rest.unwrap_or_default()) {
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
                let Some(found) = self.owned(found) else { return false };
                all.push(found);
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
