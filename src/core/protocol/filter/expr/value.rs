//! Values while an expression runs.

use std::cmp::Ordering;
use std::ops::Deref;
use std::sync::Arc;

use serde_json::Number;

use crate::core::protocol::filter::budget::{Budget, Exhausted};
use crate::core::protocol::json::float_text;

/// What a value takes in a list, with what belongs to its text.
pub(super) const PART: usize = 48;

/// A value. Integers and doubles are apart, as in the original: facts are
/// doubles, literals are what they look like.
///
/// It has no `==`: comparing two is work that is paid for.
#[derive(Debug, Clone)]
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
/// than there is memory; how deep, how many parts and how much text is kept
/// beside it.
#[derive(Debug, Clone)]
pub struct Nested<T> {
    items: Vec<T>,
    depth: u32,
    parts: usize,
    text: usize,
}

impl<T> Deref for Nested<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> Nested<T> {
    fn new(items: Vec<T>, parts: impl Fn(&T) -> [Option<&Value>; 2]) -> Arc<Nested<T>> {
        let (mut depth, mut count, mut text) = (0, 1usize, 0usize);
        for part in items.iter().flat_map(parts).flatten() {
            depth = depth.max(part.depth());
            count = count.saturating_add(part.parts());
            text = text.saturating_add(part.text_length());
        }
        Arc::new(Nested { items, depth: depth + 1, parts: count, text })
    }
}

/// Takes JSON over; its numbers all become doubles if wanted.
pub(super) fn from_json(
    value: &serde_json::Value,
    doubles: bool,
    budget: &Budget,
) -> Result<Value, Exhausted> {
    budget.make(PART)?;
    let text = |text: &str| budget.make(text.len()).map(|()| Value::text(text));
    Ok(match value {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(truth) => Value::Bool(*truth),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(integer) if !doubles => Value::Int(integer),
            _ => Value::Float(number.as_f64().unwrap_or(0.0)),
        },
        serde_json::Value::String(string) => text(string)?,
        serde_json::Value::Array(items) => {
            let item = |item| from_json(item, doubles, budget);
            Value::list(items.iter().map(item).collect::<Result<_, _>>()?)
        }
        serde_json::Value::Object(map) => {
            let pair = |(key, value): (&String, _)| {
                budget.make(PART)?;
                Ok((text(key)?, from_json(value, doubles, budget)?))
            };
            Value::map(map.iter().map(pair).collect::<Result<_, Exhausted>>()?)
        }
    })
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

    /// How many parts it has, all levels counted.
    pub(super) fn parts(&self) -> usize {
        match self {
            Value::List(items) => items.parts,
            Value::Map(pairs) => pairs.parts,
            _ => 1,
        }
    }

    /// How many bytes of text there are in it, all levels counted.
    pub(super) fn text_length(&self) -> usize {
        match self {
            Value::List(items) => items.text,
            Value::Map(pairs) => pairs.text,
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
    }

    /// Pays for writing it out: `each` bytes for a part beside its text, which
    /// may grow `times` as long, at every level anew.
    pub(super) fn pay_for_writing(
        &self,
        each: usize,
        times: usize,
        budget: &Budget,
    ) -> Result<(), Exhausted> {
        let parts = self.parts().saturating_mul(each.saturating_mul(1 + self.depth() as usize));
        budget.make(parts.saturating_add(self.text_length().saturating_mul(times)))
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
    pub(super) fn equals(&self, other: &Value, budget: &Budget) -> Result<bool, Exhausted> {
        match (self, other) {
            (Value::List(a), Value::List(b)) => all_pairs(a, b, |a, b| a.equals(b, budget)),
            (a, b) => match (a.number(), b.number()) {
                (Some(x), Some(y)) if !matches!((a, b), (Value::Int(_), Value::Int(_))) => {
                    budget.pay(1)?;
                    Ok(x == y)
                }
                _ => a.same(b, budget),
            },
        }
    }

    /// Deep equality, types included.
    pub(super) fn same(&self, other: &Value, budget: &Budget) -> Result<bool, Exhausted> {
        budget.pay(1)?;
        Ok(match (self, other) {
            (Value::Nil, Value::Nil) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Time(a), Value::Time(b)) => a == b,
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => {
                budget.read(a.len().min(b.len()))?;
                a == b
            }
            (Value::Bytes(a), Value::Bytes(b)) => {
                budget.read(a.len().min(b.len()))?;
                a == b
            }
            (Value::List(a), Value::List(b)) => return all_pairs(a, b, |a, b| a.same(b, budget)),
            (Value::Map(a), Value::Map(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (key, value) in a.iter() {
                    match other.entry(key, budget)? {
                        Some(there) if value.same(there, budget)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            _ => false,
        })
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
    pub(super) fn entry(&self, key: &Value, budget: &Budget) -> Result<Option<&Value>, Exhausted> {
        let Value::Map(pairs) = self else { return Ok(None) };
        for (there, value) in pairs.iter() {
            if there.same(key, budget)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// What `string()` makes of it; [`Value::pay_for_writing`] comes before.
    pub(super) fn print(&self) -> String {
        let mut out = String::new();
        self.push_printed(&mut out);
        out
    }

    fn push_printed(&self, out: &mut String) {
        let spaced = |at: usize, out: &mut String| {
            if at > 0 {
                out.push(' ');
            }
        };
        match self {
            Value::Nil => out.push_str("<nil>"),
            Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Value::Int(integer) => out.push_str(&integer.to_string()),
            Value::Float(float) => out.push_str(&print_float(*float)),
            Value::Text(text) => out.push_str(text),
            Value::Bytes(bytes) => {
                out.push('[');
                for (at, byte) in bytes.iter().enumerate() {
                    spaced(at, out);
                    out.push_str(&byte.to_string());
                }
                out.push(']');
            }
            Value::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    spaced(at, out);
                    item.push_printed(out);
                }
                out.push(']');
            }
            Value::Map(pairs) => {
                let mut items: Vec<String> =
                    pairs.iter().map(|(k, v)| format!("{}:{}", k.print(), v.print())).collect();
                items.sort();
                out.push_str("map[");
                for (at, item) in items.iter().enumerate() {
                    spaced(at, out);
                    out.push_str(item);
                }
                out.push(']');
            }
            Value::Time(nanoseconds) => out.push_str(&nanoseconds.to_string()),
            Value::Duration(nanoseconds) => out.push_str(&format!("{}s", *nanoseconds as f64 / 1e9)),
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

fn all_pairs(
    a: &[Value],
    b: &[Value],
    same: impl Fn(&Value, &Value) -> Result<bool, Exhausted>,
) -> Result<bool, Exhausted> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (a, b) in a.iter().zip(b) {
        if !same(a, b)? {
            return Ok(false);
        }
    }
    Ok(true)
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
