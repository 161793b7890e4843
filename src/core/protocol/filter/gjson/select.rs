//! `[a,b]` and `{a,"name":b}`: several look-ups made into one value.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::path::string_end;
use super::{Found, Search};
use crate::core::protocol::json::{Numbers, read_value};

struct Selector<'a> {
    name: &'a [u8],
    path: &'a [u8],
}

impl Search<'_> {
    /// Runs the selection at the front of a path; with it comes what follows.
    pub(super) fn selection<'a, 'p>(
        &self,
        json: Option<&'a Value>,
        path: &'p [u8],
    ) -> Option<(Found<'a>, &'p [u8])> {
        let (selectors, rest) = parse(path)?;
        if !matches!(rest.first(), None | Some(b'|' | b'.')) {
            return None;
        }
        let mut items = Vec::new();
        let mut map = Map::new();
        for selector in &selectors {
            let Some(found) = self.get(json, selector.path) else { continue };
            let key = selector.name.len() + selector.path.len();
            let paid = self.budget.make(key).is_ok();
            let Some(found) = self.owned(found).filter(|_| paid) else { return Some((None, rest)) };
            if path.first() == Some(&b'[') {
                items.push(found);
            } else {
                map.insert(selector.key(), found);
            }
        }
        let made = if path.first() == Some(&b'[') { Value::Array(items) } else { Value::Object(map) };
        Some((Some(Cow::Owned(made)), rest))
    }
}

impl Selector<'_> {
    /// The name given, or the last component of the path if it is a plain one.
    fn key(&self) -> String {
        if let Ok(Value::String(name)) = read_value(self.name, Numbers::Exact) {
            return name;
        }
        let name = if self.name.is_empty() { self.last_component() } else { self.name };
        String::from_utf8_lossy(name).into_owned()
    }

    fn last_component(&self) -> &[u8] {
        let path = self.path;
        let breaks = |at: usize| {
            matches!(path.get(at), Some(b'|' | b'.')) && (at == 0 || path.get(at - 1) != Some(&b'\\'))
        };
        let start = (0..path.len()).rev().find(|at| breaks(*at)).map_or(0, |at| at + 1);
        let last = path.get(start..).unwrap_or_default();
        let plain = |b: &u8| *b >= b' ' && !b"[]{}()#|!".contains(b);
        if last.iter().all(plain) { last } else { b"_" }
    }
}

/// The path, or what follows a selection in front of it that nothing may follow.
pub(super) fn skip_broken(path: &[u8]) -> &[u8] {
    if path.len() < 2 || !matches!(path.first(), Some(b'[' | b'{')) {
        return path;
    }
    match parse(path) {
        Some((_, rest)) if !matches!(rest.first(), None | Some(b'|' | b'.')) => rest,
        _ => path,
    }
}

fn parse(path: &[u8]) -> Option<(Vec<Selector<'_>>, &[u8])> {
    let mut selectors = Vec::new();
    let mut depth = 1u32;
    let (mut start, mut colon, mut modifier) = (1, None, false);
    let mut at = 1;
    loop {
        let byte = *path.get(at)?;
        let ends = match byte {
            b'\\' => {
                at += 1;
                false
            }
            b'"' => {
                at = string_end(path, at);
                false
            }
            b'@' => {
                modifier |= matches!(path.get(at - 1), Some(b'.' | b'|'));
                false
            }
            b':' => {
                if !modifier && depth == 1 && colon.is_none() {
                    colon = Some(at);
                }
                false
            }
            b'[' | b'(' | b'{' => {
                depth += 1;
                false
            }
            b']' | b')' | b'}' => {
                depth -= 1;
                depth == 0
            }
            b',' => depth == 1,
            _ => false,
        };
        if ends {
            let (name, from) = match colon {
                Some(colon) => (path.get(start..colon)?, colon + 1),
                None => (&[] as &[u8], start),
            };
            selectors.push(Selector { name, path: path.get(from..at)? });
            (start, colon, modifier) = (at + 1, None, false);
        }
        at += 1;
        if depth == 0 {
            return Some((selectors, path.get(at..).unwrap_or_default()));
        }
    }
}
