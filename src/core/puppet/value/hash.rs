//! Hashes: any value to any value, in the order of insertion.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{Size, Text, Value};
use crate::budget::{Budget, Charge, Exhausted};

/// Keys and values in order. Keys are the same when they are exactly alike: `1` and `1.0`
/// are two, as `a` and `A` are.
#[derive(Debug)]
pub struct Hash {
    entries: IndexMap<Value, Value>,
    size: Size,
    _charge: Charge,
}

impl PartialEq for Hash {
    fn eq(&self, other: &Hash) -> bool {
        self.entries == other.entries
    }
}

impl Eq for Hash {}

impl std::hash::Hash for Hash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        // the order of entries makes no difference
        self.entries.len().hash(state);
    }
}

/// Bytes that a hash of so many entries takes.
pub(crate) fn hash_bytes(entries: usize) -> usize {
    entries.saturating_mul(2 * size_of::<Value>() + 3 * size_of::<usize>()).saturating_add(96)
}

impl Hash {
    /// A hash of these entries.
    pub fn new(entries: IndexMap<Value, Value>, budget: &Budget) -> Result<Hash, Exhausted> {
        let charge = budget.charge(hash_bytes(entries.len()))?;
        let size = Size::around(entries.iter().flat_map(|(key, value)| [key.size(), value.size()]))?;
        Ok(Hash { entries, size, _charge: charge })
    }

    /// Without entries.
    pub fn empty() -> Hash {
        Hash { entries: IndexMap::new(), size: Size { depth: 1, parts: 1 }, _charge: Charge::free() }
    }

    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// The value of a key.
    pub fn get(&self, key: &Value) -> Option<&Value> {
        self.entries.get(key)
    }

    /// The value of a key that is text.
    pub fn at(&self, key: &str) -> Option<&Value> {
        self.entries.get(&Value::String(Text::literal(key)))
    }

    /// All of it.
    pub fn entries(&self) -> &IndexMap<Value, Value> {
        &self.entries
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// In order.
    pub fn iter(&self) -> indexmap::map::Iter<'_, Value, Value> {
        self.entries.iter()
    }
}

impl Value {
    /// A hash of these entries.
    pub fn hash(entries: IndexMap<Value, Value>, budget: &Budget) -> Result<Value, Exhausted> {
        Ok(Value::Hash(Arc::new(Hash::new(entries, budget)?)))
    }
}
