//! Values. They never change: what a function makes of one is another. Each list and text
//! knows what it was charged, how deep it is and how many parts it has, so that whatever
//! walks a value is bounded before it begins.

mod compare;
mod display;
mod hash;
mod json;
mod regexp;
mod secret;
mod text;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use hash::Hash;
pub use json::NotJson;
pub use regexp::Regexp;
pub use text::Text;

pub(crate) use compare::{equals, includes, order};
pub(crate) use display::{brief, float, quoted, write_inspected, write_shown};
pub(crate) use json::write_json;
pub(crate) use regexp::OutOfWork;

use crate::budget::{Budget, Charge, DEPTH, Exhausted, PARTS};
use crate::results::{TaskResult, TaskResults};
use crate::types::Type;

/// A value of the language.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// Nothing.
    Undef,
    /// The word `default`.
    Default,
    /// `true` or `false`
    Boolean(bool),
    /// 64 bits; what does not fit is an error.
    Integer(i64),
    /// Never infinite, never not a number.
    Float(Float),
    /// Text.
    String(Text),
    /// `/text/`
    Regexp(Arc<Regexp>),
    /// In order.
    Array(Arc<List>),
    /// In the order of insertion; any value is a key.
    Hash(Arc<Hash>),
    /// A type is a value.
    Type(Type),
    /// Never shown.
    Sensitive(Arc<Sensitive>),
    /// Nanoseconds since 1970.
    Timestamp(i64),
    /// Nanoseconds.
    Timespan(i64),
    /// A version.
    SemVer(Arc<crate::versions::Version>),
    /// A set of versions.
    SemVerRange(Arc<crate::versions::Range>),
    /// Bytes.
    Binary(Arc<Bytes>),
    /// What went wrong with a task.
    Error(Arc<crate::results::TaskError>),
    /// Of one host.
    TaskResult(Arc<TaskResult>),
    /// Of a task.
    TaskResults(Arc<TaskResults>),
}

/// A number with a point: equal when its bits are.
#[derive(Debug, Clone, Copy)]
pub struct Float(f64);

impl Float {
    /// Only finite ones are.
    pub fn new(number: f64) -> Option<Float> {
        number.is_finite().then_some(Float(number))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl PartialEq for Float {
    fn eq(&self, other: &Float) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Float {}

impl std::hash::Hash for Float {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// A value that is never shown, and how deep it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sensitive {
    value: Value,
    size: Size,
}

impl Sensitive {
    /// What is hidden.
    pub fn reveal(&self) -> &Value {
        &self.value
    }
}

/// Bytes and their charge.
#[derive(Debug)]
pub struct Bytes {
    pub(crate) bytes: Vec<u8>,
    _charge: Charge,
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Bytes) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Bytes {}

impl std::hash::Hash for Bytes {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

/// How deep a value is and how many parts it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Size {
    pub depth: u16,
    pub parts: u64,
}

impl Size {
    /// Of something that holds these.
    pub(crate) fn around(sizes: impl Iterator<Item = Size>) -> Result<Size, Exhausted> {
        let mut all = Size { depth: 0, parts: 1 };
        for size in sizes {
            all.depth = all.depth.max(size.depth);
            all.parts = all.parts.saturating_add(size.parts);
        }
        all.depth += 1;
        if all.depth > DEPTH {
            return Err(Exhausted::Depth);
        }
        if all.parts > PARTS {
            return Err(Exhausted::Parts);
        }
        Ok(all)
    }
}

/// Values in order.
#[derive(Debug)]
pub struct List {
    items: Vec<Value>,
    size: Size,
    _charge: Charge,
}

impl std::ops::Deref for List {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.items
    }
}

impl PartialEq for List {
    fn eq(&self, other: &List) -> bool {
        self.items == other.items
    }
}

impl Eq for List {}

impl std::hash::Hash for List {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.items.hash(state);
    }
}

/// Bytes that so many items of a list take.
pub(crate) fn list_bytes(items: usize) -> usize {
    items.saturating_mul(size_of::<Value>()).saturating_add(64)
}

impl Value {
    /// A list of these.
    pub fn array(items: Vec<Value>, budget: &Budget) -> Result<Value, Exhausted> {
        let charge = budget.charge(list_bytes(items.capacity()))?;
        let size = Size::around(items.iter().map(Value::size))?;
        Ok(Value::Array(Arc::new(List { items, size, _charge: charge })))
    }

    /// Text that is charged.
    pub fn string(text: impl Into<String>, budget: &Budget) -> Result<Value, Exhausted> {
        Ok(Value::String(Text::new(text.into(), budget)?))
    }

    /// Text that belongs to the program, and costs nothing.
    pub(crate) fn word(text: &str) -> Value {
        Value::String(Text::literal(text))
    }

    /// A value that is never shown.
    pub fn sensitive(value: Value) -> Result<Value, Exhausted> {
        let size = Size::around(std::iter::once(value.size()))?;
        Ok(Value::Sensitive(Arc::new(Sensitive { value, size })))
    }

    /// Bytes that are charged.
    pub(crate) fn binary(bytes: Vec<u8>, budget: &Budget) -> Result<Value, Exhausted> {
        let charge = budget.charge(bytes.len() + 64)?;
        Ok(Value::Binary(Arc::new(Bytes { bytes, _charge: charge })))
    }

    /// Only undef and false are not true.
    pub fn is_true(&self) -> bool {
        !matches!(self, Value::Undef | Value::Boolean(false))
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn size(&self) -> Size {
        match self {
            Value::Array(list) => list.size,
            Value::Hash(hash) => hash.size(),
            Value::Sensitive(inner) => inner.size,
            Value::Type(of) => of.size(),
            Value::TaskResult(result) => result.size(),
            Value::TaskResults(results) => results.size(),
            Value::Error(error) => error.size(),
            // as often as it is seen, text is written
            Value::String(text) => Size { depth: 0, parts: 1 + text.len() as u64 / 32 },
            Value::Binary(bytes) => Size { depth: 0, parts: 1 + bytes.bytes.len() as u64 / 32 },
            _ => Size { depth: 0, parts: 1 },
        }
    }

    /// Steps that looking at all of it takes.
    pub(crate) fn work(&self) -> u64 {
        self.size().parts
    }
}
