//! What can be gone through, one after the other, and what is gathered on the way.

use std::sync::Arc;

use super::kind_of;
use crate::evaluator::{Evaluator, Outcome, Raise};
use crate::types::Kind;
use crate::value::{Hash, List, Value};

/// What is gone through, one at a time.
pub(super) enum Items {
    List(Arc<List>, usize),
    Hash(Arc<Hash>, usize),
    /// The next one, the last one, how far apart.
    Integers(i64, i64, i64),
    Text(std::vec::IntoIter<char>),
    Results(std::vec::IntoIter<Value>),
}

/// One of them: its index or key, and it.
pub(super) struct Item {
    pub(super) key: Value,
    pub(super) value: Value,
    pub(super) pair: bool,
}

impl Items {
    pub(super) fn of(ev: &mut Evaluator<'_>, value: &Value, name: &str) -> Outcome<Items> {
        Ok(match value {
            Value::Array(items) => Items::List(items.clone(), 0),
            Value::Hash(hash) => Items::Hash(hash.clone(), 0),
            Value::Integer(n) if *n >= 0 => Items::Integers(0, n - 1, 1),
            Value::String(text) => {
                ev.work(text.len() as u64)?;
                Items::Text(text.chars().collect::<Vec<_>>().into_iter())
            }
            Value::TaskResults(results) => Items::Results(results.results.clone().into_iter()),
            Value::Type(of) => match of.kind() {
                Kind::Integer(span) if span.least > i64::MIN && span.most < i64::MAX => {
                    Items::Integers(span.least, span.most, 1)
                }
                Kind::Enum(words, _) => {
                    let words = words.iter().map(|word| Value::String(word.clone())).collect::<Vec<_>>();
                    Items::Results(words.into_iter())
                }
                _ => {
                    return Err(Raise::new(format!(
                        "'{name}' parameter 1 expects an Iterable value, got {of}"
                    )));
                }
            },
            other => {
                let got = kind_of(other);
                return Err(Raise::new(format!("'{name}' parameter 1 expects an Iterable value, got {got}")));
            }
        })
    }

    pub(super) fn next(&mut self, ev: &mut Evaluator<'_>, at: i64) -> Outcome<Option<Item>> {
        let plain = |value| Some(Item { key: Value::Integer(at), value, pair: false });
        ev.work(1)?;
        Ok(match self {
            Items::List(items, next) => {
                let item = items.get(*next).cloned();
                *next += 1;
                item.and_then(plain)
            }
            Items::Hash(hash, next) => {
                let entry = hash.entries().get_index(*next);
                *next += 1;
                entry.map(|(key, value)| Item { key: key.clone(), value: value.clone(), pair: true })
            }
            Items::Integers(next, last, by) => {
                if next > last {
                    return Ok(None);
                }
                let item = *next;
                match next.checked_add(*by) {
                    Some(following) => *next = following,
                    // nothing follows the largest
                    None => *last = item - 1,
                }
                plain(Value::Integer(item))
            }
            Items::Text(chars) => match chars.next() {
                Some(c) => plain(Value::string(c, &ev.budget)?),
                None => None,
            },
            Items::Results(values) => values.next().and_then(plain),
        })
    }

    /// How many are left, where that is known without going through them.
    pub(super) fn left(&self) -> usize {
        match self {
            Items::List(items, at) => items.len().saturating_sub(*at),
            Items::Hash(hash, at) => hash.len().saturating_sub(*at),
            Items::Integers(..) => 0,
            Items::Text(chars) => chars.len(),
            Items::Results(values) => values.len(),
        }
    }
}

/// Values that are gathered, charged while they are.
pub(super) struct Gathered {
    pub(super) values: Vec<Value>,
    pub(super) charges: Vec<crate::budget::Charge>,
}

impl Gathered {
    pub(super) fn new() -> Gathered {
        Gathered { values: vec![], charges: vec![] }
    }

    pub(super) fn push(&mut self, ev: &Evaluator<'_>, value: Value) -> Outcome<()> {
        if self.values.len() == self.values.capacity() {
            let more = self.values.capacity().max(4);
            self.charges.push(ev.budget.charge(more * size_of::<Value>())?);
            self.values.reserve_exact(more);
        }
        self.values.push(value);
        Ok(())
    }

    pub(super) fn list(self, ev: &mut Evaluator<'_>) -> Outcome {
        drop(self.charges);
        ev.list(self.values)
    }
}

/// The whole of an item.
pub(super) fn whole(ev: &mut Evaluator<'_>, item: Item) -> Outcome {
    match item.pair {
        true => ev.list(vec![item.key, item.value]),
        false => Ok(item.value),
    }
}

/// All of it, as a list.
pub(super) fn gathered(ev: &mut Evaluator<'_>, mut items: Items) -> Outcome<Gathered> {
    let mut all = Gathered::new();
    all.charges.push(ev.budget.charge(items.left() * size_of::<Value>())?);
    while let Some(item) = items.next(ev, 0)? {
        let item = whole(ev, item)?;
        all.push(ev, item)?;
    }
    Ok(all)
}
