//! Values while an expression runs.

use std::cmp::Ordering;
use std::ops::Deref;
use std::sync::Arc;

use serde_json::Number;

use crate::core::protocol::json::float_text;

/// A value. Integers and doubles are apart, as in the original: facts are
/// doubles, literals are what they look like.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing: an absent fact, an unknown name.
    Nil,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A double.
    Float(f64),
    /// Text.
    Text(Arc<str>),
    /// Bytes: the variable `facts`.
    Bytes(Arc<[u8]>),
    /// A list.
    List(Arc<Nested<Value>>),
    /// A map, in the order it was made.
    Map(Arc<Nested<(Value, Value)>>),
    /// A point in time, in nanoseconds of Unix time.
    Time(i128),
    /// A length of time, in nanoseconds.
    Duration(i64),
}

/// What a list or map holds. Values share what they hold, so that a short
/// expression can make one that is a thousand deep, or that counts more parts
/// than there is memory; how deep and how many is kept beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Nested<T> {
    items: Vec<T>,
    depth: u32,
    size: usize,
}

impl<T> Deref for Nested<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> Nested<T> {
    fn new(items: Vec<T>, parts: impl Fn(&T) -> [Option<&Value>; 2]) -> Arc<Nested<T>> {
        let (mut depth, mut size) = (0, 1usize);
        for part in items.iter().flat_map(parts).flatten() {
            depth = depth.max(part.depth());
            size = size.saturating_add(part.size());
        }
        Arc::new(Nested { items, depth: depth + 1, size })
    }
}

/// Takes JSON over; its numbers all become doubles if wanted.
pub(super) fn from_json(value: &serde_json::Value, doubles: bool) -> Value {
    match value {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(truth) => Value::Bool(*truth),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(integer) if !doubles => Value::Int(integer),
            _ => Value::Float(number.as_f64().unwrap_or(0.0)),
        },
        serde_json::Value::String(text) => Value::Text(text.as_str().into()),
        serde_json::Value::Array(items) => {
            Value::list(items.iter().map(|item| from_json(item, doubles)).collect())
        }
        serde_json::Value::Object(map) => {
            Value::map(map.iter().map(|(key, value)| (Value::text(key), from_json(value, doubles))).collect())
        }
    }
}

impl Value {
    pub(super) fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    pub(super) fn list(items: Vec<Value>) -> Value {
        Value::List(Nested::new(items, |item| [Some(item), None]))
    }

    pub(super) fn map(pairs: Vec<(Value, Value)>) -> Value {
        Value::Map(Nested::new(pairs, |(key, value)| [Some(key), Some(value)]))
    }

    /// How deep lists and maps are nested in it.
    pub(super) fn depth(&self) -> u32 {
        match self {
            Value::List(items) => items.depth,
            Value::Map(pairs) => pairs.depth,
            _ => 0,
        }
    }

    /// How many parts it has, all levels counted: what comparing it or writing
    /// it out costs.
    pub(super) fn size(&self) -> usize {
        match self {
            Value::List(items) => items.size,
            Value::Map(pairs) => pairs.size,
            Value::Text(text) => 1 + text.len() / 64,
            Value::Bytes(bytes) => 1 + bytes.len() / 64,
            _ => 1,
        }
    }

    /// What `type()` says.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "nil",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Text(_) => "string",
            Value::Bytes(_) | Value::List(_) => "array",
            Value::Map(_) => "map",
            Value::Time(_) => "time.Time",
            Value::Duration(_) => "time.Duration",
        }
    }

    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Value::Nil)
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Value::Int(integer) => Some(*integer as f64),
            Value::Float(float) => Some(*float),
            _ => None,
        }
    }

    /// The `==` of the language: numbers by value, lists item by item, maps
    /// strictly.
    pub(super) fn equals(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::List(a), Value::List(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.equals(b))
            }
            (Value::Map(_), Value::Map(_)) => self.same(other),
            (a, b) => match (a.number(), b.number()) {
                (Some(a), Some(b)) => a == b,
                _ => a == b,
            },
        }
    }

    /// Deep equality, types included.
    pub(super) fn same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::List(a), Value::List(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.same(b))
            }
            (Value::Map(a), Value::Map(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(key, value)| other.entry(key).is_some_and(|v| value.same(v)))
            }
            (a, b) => a == b,
        }
    }

    pub(super) fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::Time(a), Value::Time(b)) => Some(a.cmp(b)),
            (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
            // NaN is neither; "greater" answers no to `<`, and so on.
            (a, b) => Some(a.number()?.partial_cmp(&b.number()?).unwrap_or(Ordering::Greater)),
        }
    }

    /// The value of a map's key.
    pub(super) fn entry(&self, key: &Value) -> Option<&Value> {
        match self {
            Value::Map(pairs) => pairs.iter().find(|(k, _)| k == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// What `string()` makes of it.
    pub(super) fn print(&self) -> String {
        match self {
            Value::Nil => "<nil>".into(),
            Value::Bool(truth) => truth.to_string(),
            Value::Int(integer) => integer.to_string(),
            Value::Float(float) => print_float(*float),
            Value::Text(text) => text.to_string(),
            Value::Bytes(bytes) => {
                let items: Vec<String> = bytes.iter().map(u8::to_string).collect();
                format!("[{}]", items.join(" "))
            }
            Value::List(items) => {
                let items: Vec<String> = items.iter().map(Value::print).collect();
                format!("[{}]", items.join(" "))
            }
            Value::Map(pairs) => {
                let mut items: Vec<String> =
                    pairs.iter().map(|(k, v)| format!("{}:{}", k.print(), v.print())).collect();
                items.sort();
                format!("map[{}]", items.join(" "))
            }
            Value::Time(nanoseconds) => nanoseconds.to_string(),
            Value::Duration(nanoseconds) => format!("{}s", *nanoseconds as f64 / 1e9),
        }
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Nil => serde_json::Value::Null,
            Value::Bool(truth) => (*truth).into(),
            Value::Int(integer) => (*integer).into(),
            Value::Float(float) => {
                let whole = float_text(*float).parse::<i64>().ok().map(Number::from);
                whole.or_else(|| Number::from_f64(*float)).map_or(serde_json::Value::Null, Into::into)
            }
            Value::Text(text) => text.to_string().into(),
            Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned().into(),
            Value::List(items) => items.iter().map(Value::to_json).collect(),
            Value::Map(pairs) => pairs.iter().map(|(key, value)| (key.print(), value.to_json())).collect(),
            Value::Time(nanoseconds) => nanoseconds.to_string().into(),
            Value::Duration(nanoseconds) => (*nanoseconds).into(),
        }
    }
}

/// A double as Go prints it: exponents below 1e-4 and from 1e21.
fn print_float(float: f64) -> String {
    if float.is_infinite() {
        return if float > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let size = float.abs();
    if size == 0.0 || (1e-4..1e21).contains(&size) || float.is_nan() {
        return float.to_string();
    }
    let text = format!("{float:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, power) = exponent.strip_prefix('-').map_or(("+", exponent), |power| ("-", power));
    format!("{digits}e{sign}{power:0>2}")
}
