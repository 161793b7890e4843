//! Functions that run a part of the tree on every element of a list.

use std::sync::Arc;

use super::ast::Node;
use super::eval::{Evaluated, Frame, Machine, Stop, shown};
use super::math;
use super::value::{Nested, PART, Value};

/// What is gone through, shared with where it came from.
enum Items {
    List(Arc<Nested<Value>>),
    Bytes(Arc<[u8]>),
}

impl Items {
    fn len(&self) -> usize {
        match self {
            Items::List(items) => items.len(),
            Items::Bytes(bytes) => bytes.len(),
        }
    }

    fn get(&self, at: usize) -> Option<Value> {
        match self {
            Items::List(items) => items.get(at).cloned(),
            Items::Bytes(bytes) => bytes.get(at).map(|byte| Value::Int(i64::from(*byte))),
        }
    }

    fn each(&self) -> impl Iterator<Item = (usize, Value)> + '_ {
        (0..self.len()).filter_map(|at| Some((at, self.get(at)?)))
    }
}

impl Machine<'_> {
    fn items(&mut self, collection: &Node) -> Result<Items, Stop> {
        match self.eval(collection)? {
            Value::List(items) => Ok(Items::List(items)),
            Value::Bytes(bytes) => Ok(Items::Bytes(bytes)),
            other => Err(format!("a list is needed here, not {}", shown(&other)).into()),
        }
    }

    fn on_item(&mut self, item: &Value, index: usize, accumulated: Value, predicate: &Node) -> Evaluated {
        self.frames.push(Frame { item: item.clone(), index, accumulated });
        let value = self.eval(predicate);
        self.frames.pop();
        value
    }

    fn holds(&mut self, item: &Value, index: usize, predicate: &Node) -> Result<bool, Stop> {
        match self.on_item(item, index, Value::Nil, predicate)? {
            Value::Bool(truth) => Ok(truth),
            other => Err(format!("the predicate gives {}", shown(&other)).into()),
        }
    }

    pub(super) fn with_predicate(&mut self, name: &str, arguments: &[Node]) -> Evaluated {
        let [collection, predicate, rest @ ..] = arguments else {
            return Err("a predicate is missing".into());
        };
        let items = self.items(collection)?;
        match name {
            "map" | "groupBy" | "sortBy" | "sum" => {
                self.budget.make(items.len().saturating_mul(PART))?;
                let mut keys = Vec::with_capacity(items.len());
                for (index, item) in items.each() {
                    keys.push(self.on_item(&item, index, Value::Nil, predicate)?);
                }
                match name {
                    "map" => Ok(Value::list(keys)),
                    "sum" => Ok(math::sum(&keys)?),
                    "groupBy" => self.group(keys, &items),
                    _ => {
                        let order = rest.first().map(|order| self.eval(order)).transpose()?;
                        let pairs = keys.into_iter().zip(items.each().map(|(_, item)| item)).collect();
                        Ok(math::sort_by(pairs, order.as_ref(), self.budget)?)
                    }
                }
            }
            "reduce" => {
                let mut items = items.each();
                let mut accumulated = match rest.first() {
                    Some(first) => self.eval(first)?,
                    None => items.next().map(|(_, first)| first).ok_or("reduce of an empty list")?,
                };
                for (index, item) in items {
                    accumulated = self.on_item(&item, index, accumulated, predicate)?;
                }
                Ok(accumulated)
            }
            _ => self.search(name, &items, predicate),
        }
    }

    fn search(&mut self, name: &str, items: &Items, predicate: &Node) -> Evaluated {
        let mut found = Vec::new();
        let last = matches!(name, "findLast" | "findLastIndex");
        let order: Box<dyn Iterator<Item = usize>> =
            if last { Box::new((0..items.len()).rev()) } else { Box::new(0..items.len()) };
        for index in order {
            let Some(item) = items.get(index) else { break };
            let holds = self.holds(&item, index, predicate)?;
            match name {
                "all" if !holds => return Ok(Value::Bool(false)),
                "any" if holds => return Ok(Value::Bool(true)),
                "none" if holds => return Ok(Value::Bool(false)),
                "find" | "findLast" if holds => return Ok(item),
                "findIndex" | "findLastIndex" if holds => return Ok(Value::Int(index as i64)),
                _ => {}
            }
            if holds {
                self.budget.make(PART)?;
                found.push(item);
            }
        }
        Ok(match name {
            "all" | "none" => Value::Bool(true),
            "any" => Value::Bool(false),
            "one" => Value::Bool(found.len() == 1),
            "count" => Value::Int(found.len() as i64),
            "filter" => Value::list(found),
            // Of find: nothing found.
            _ => Value::Nil,
        })
    }

    fn group(&mut self, keys: Vec<Value>, items: &Items) -> Evaluated {
        let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
        for (key, (_, item)) in keys.into_iter().zip(items.each()) {
            self.budget.make(2 * PART)?;
            let mut at = groups.len();
            for (place, (known, _)) in groups.iter().enumerate() {
                if known.same(&key, self.budget)? {
                    at = place;
                    break;
                }
            }
            match groups.get_mut(at) {
                Some((_, group)) => group.push(item),
                None => groups.push((key, vec![item])),
            }
        }
        Ok(Value::map(groups.into_iter().map(|(key, group)| (key, Value::list(group))).collect()))
    }
}
