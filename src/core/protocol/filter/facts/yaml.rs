//! YAML fact files, in the dialect the original reads (spec 01 §8).
//!
//! Scalars are resolved here rather than by a general YAML deserializer: what
//! counts as a number or a boolean decides whether a node matches, and the
//! original's rules are its own (`010` is eight, `1e3` and `yes` are text).

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Number, Value};

use crate::core::protocol::json::float_text;

/// Deepest nesting that is followed.
const MAX_DEPTH: usize = 128;
/// Most values a document may grow to, aliases written out.
const MAX_VALUES: usize = 1_000_000;

/// Reads the first document of a file.
///
/// # Errors
/// It is not YAML, or too much of it; as the end of a sentence.
pub fn read(text: &str) -> Result<Value, String> {
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#'));
    if first.is_some_and(|line| line.starts_with('\t')) {
        return Err("a tab indents its first line".into());
    }
    let mut composer = Composer { parser: Parser::new_from_str(text), anchors: HashMap::new(), values: 0 };
    loop {
        match composer.next()? {
            Event::StreamStart | Event::DocumentStart(..) => {}
            Event::StreamEnd => return Ok(Value::Null),
            event => {
                let value = composer.value(event, 0)?;
                // Later documents mean nothing, but a broken one breaks the file.
                while composer.next()? != Event::StreamEnd {}
                return Ok(value);
            }
        }
    }
}

struct Composer<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, Value>,
    values: usize,
}

impl<'a> Composer<'a> {
    fn next(&mut self) -> Result<Event<'a>, String> {
        loop {
            match self.parser.next_event() {
                None => return Ok(Event::StreamEnd),
                Some(Err(e)) => return Err(e.to_string()),
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok((event, _))) => return Ok(event),
            }
        }
    }

    fn count(&mut self, more: usize) -> Result<(), String> {
        self.values += more;
        if self.values > MAX_VALUES { Err("it grows too large".into()) } else { Ok(()) }
    }

    fn value(&mut self, event: Event<'a>, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err("it is nested too deep".into());
        }
        self.count(1)?;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => (anchor, scalar(&text, style, tag.as_deref())?),
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned().ok_or("an alias has no anchor")?;
                self.count(size(&value))?;
                return Ok(value);
            }
            Event::SequenceStart(_, anchor, _) => (anchor, self.sequence(depth)?),
            Event::MappingStart(_, anchor, _) => (anchor, self.mapping(depth)?),
            _ => return Err("it is not well formed".into()),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Value::Array(items)),
                event => items.push(self.value(event, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, String> {
        let mut map = Map::new();
        let mut seen = HashSet::new();
        loop {
            let event = self.next()?;
            let merge = matches!(&event, Event::Scalar(t, ScalarStyle::Plain, ..) if t == "<<");
            let key = match event {
                Event::MappingEnd => return Ok(Value::Object(map)),
                event => key(self.value(event, depth + 1)?)?,
            };
            let event = self.next()?;
            let value = self.value(event, depth + 1)?;
            if merge {
                inherit(&mut map, value)?;
            } else if !seen.insert(key.clone()) {
                return Err(format!("the key {key} is there twice"));
            } else {
                map.insert(key, value);
            }
        }
    }
}

/// What a key is called: numbers and words by what they mean, so that `1.0`
/// is `1`.
fn key(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(float_text(number.as_f64().unwrap_or(0.0))),
        Value::Array(_) | Value::Object(_) => Err("a key is no scalar".into()),
        word => Ok(word.to_string()),
    }
}

/// `<<`: takes a mapping's keys over, also over those that came before; of
/// several mappings the first counts.
fn inherit(into: &mut Map<String, Value>, value: Value) -> Result<(), String> {
    match value {
        Value::Object(map) => {
            into.extend(map);
            Ok(())
        }
        Value::Array(maps) => maps.into_iter().rev().try_for_each(|map| inherit(into, map)),
        _ => Err("a merge key needs a mapping".into()),
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(size).sum::<usize>() + 1,
        Value::Object(map) => map.values().map(size).sum::<usize>() + 1,
        _ => 1,
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let plain = matches!(style, ScalarStyle::Plain);
    let core = tag.filter(|t| t.is_yaml_core_schema()).map(Tag::suffix);
    match (tag.is_some(), core) {
        (false, _) if !plain => return Ok(Value::String(text.into())),
        (true, None | Some("str" | "binary")) => return Ok(Value::String(text.into())),
        (true, Some("null")) => return Ok(Value::Null),
        _ => {}
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" if plain => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    let word = text.trim_start_matches(['+', '-']);
    if [".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"].contains(&word) {
        return Err(format!("{text} cannot be a fact, JSON has no such number"));
    }
    Ok(match number(text).and_then(Number::from_f64) {
        Some(number) => Value::Number(number),
        None => Value::String(text.into()),
    })
}

/// A number: integers in four bases, underscores allowed, and decimal
/// fractions. An exponent needs a fraction before it.
fn number(text: &str) -> Option<f64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let plain = digits.replace('_', "");
    let radix = |digits: &str, radix| {
        let clean = !digits.is_empty() && !digits.starts_with(['+', '-']);
        clean.then(|| u64::from_str_radix(digits, radix).ok()).flatten().map(|n| n as f64)
    };
    let size = if let Some(hex) = plain.strip_prefix("0x") {
        radix(hex, 16)
    } else if let Some(octal) = plain.strip_prefix("0o") {
        radix(octal, 8)
    } else if let Some(binary) = plain.strip_prefix("0b") {
        radix(binary, 2)
    } else if plain.contains('.') {
        let ok = plain.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
        ok.then(|| plain.parse().ok()).flatten().filter(|f: &f64| f.is_finite())
    } else if plain.len() > 1 && plain.starts_with('0') {
        radix(&plain, 8)
    } else {
        // Beyond 64 bits it is text.
        let integer = plain.bytes().all(|b| b.is_ascii_digit()).then(|| plain.parse::<u64>().ok()).flatten();
        integer.filter(|n| !negative || *n <= 1 << 63).map(|n| n as f64)
    };
    size.map(|size| if negative && (size != 0.0 || plain.contains('.')) { -size } else { size })
}
