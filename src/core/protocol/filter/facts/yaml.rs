//! YAML fact files, in the dialect the original reads (spec 01 §8).
//!
//! Scalars are resolved here rather than by a general YAML deserializer: what
//! counts as a number or a boolean decides whether a node matches, and the
//! original's rules are its own (`010` is eight, `1e3` and `yes` are text).

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Number, Value};

/// Deepest nesting that is followed.
const MAX_DEPTH: usize = 128;
/// Most values a document may grow to, aliases written out.
const MAX_VALUES: usize = 1_000_000;

/// Reads the first document of a file.
pub(super) fn read(content: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(content).map_err(|_| "it is not UTF-8")?;
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#'));
    if first.is_some_and(|line| line.starts_with('\t')) {
        return Err("a tab indents its first line".into());
    }
    let mut composer = Composer { parser: Parser::new_from_str(text), anchors: HashMap::new(), values: 0 };
    loop {
        match composer.next()? {
            Event::StreamStart | Event::DocumentStart(..) => {}
            Event::StreamEnd => return Ok(Value::Null),
            event => return composer.value(event, 0),
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
            Event::Scalar(text, style, anchor, tag) => (anchor, scalar(&text, style, tag.as_deref())),
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
        let mut inherited = Map::new();
        loop {
            let event = self.next()?;
            let merge = matches!(&event, Event::Scalar(t, ScalarStyle::Plain, ..) if t == "<<");
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = match event {
                // A key is its text, whatever it would mean as a value.
                Event::Scalar(text, ..) => text.into_owned(),
                event => match self.value(event, depth + 1)? {
                    Value::String(text) => text,
                    Value::Array(_) | Value::Object(_) => return Err("a key is no scalar".into()),
                    other => other.to_string(),
                },
            };
            let event = self.next()?;
            let value = self.value(event, depth + 1)?;
            if merge {
                inherit(&mut inherited, value)?;
            } else if map.insert(key.clone(), value).is_some() {
                return Err(format!("the key {key} is there twice"));
            }
        }
        for (key, value) in inherited {
            map.entry(key).or_insert(value);
        }
        Ok(Value::Object(map))
    }
}

fn inherit(into: &mut Map<String, Value>, value: Value) -> Result<(), String> {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                into.entry(key).or_insert(value);
            }
            Ok(())
        }
        Value::Array(maps) => maps.into_iter().try_for_each(|map| inherit(into, map)),
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

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let core = tag.filter(|t| t.is_yaml_core_schema()).map(|t| t.suffix().to_owned());
    if !matches!(style, ScalarStyle::Plain) || core.as_deref() == Some("str") {
        return Value::String(text.into());
    }
    if tag.is_some() && core.is_none() {
        return Value::String(text.into());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    match number(text).and_then(Number::from_f64) {
        Some(number) => Value::Number(number),
        None => Value::String(text.into()),
    }
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
        plain.bytes().all(|b| b.is_ascii_digit()).then(|| plain.parse().ok()).flatten()
    };
    size.map(|size| if negative { -size } else { size })
}
