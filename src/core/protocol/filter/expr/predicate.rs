//! Functions that run a part of the tree on every element of a list.

use super::ast::Node;
use super::eval::{Evaluated, Frame, Machine, Stop, shown};
use super::math;
use super::value::Value;

impl Machine<'_> {
    fn items(&mut self, collection: &Node) -> Result<Vec<Value>, Stop> {
        match self.eval(collection)? {
            Value::List(items) => {
                self.pay(items.len())?;
                Ok(items.to_vec())
            }
            Value::Bytes(bytes) => {
                self.pay(bytes.len())?;
                Ok(bytes.iter().map(|b| Value::Int(i64::from(*b))).collect())
            }
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
                let mut keys = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    keys.push(self.on_item(item, index, Value::Nil, predicate)?);
                }
                match name {
                    "map" => Ok(Value::list(keys)),
                    "sum" => Ok(math::sum(&keys)?),
                    "groupBy" => self.group(keys, &items),
                    _ => {
                        let order = rest.first().map(|order| self.eval(order)).transpose()?;
                        Ok(math::sort_by(keys, &items, order.as_ref())?)
                    }
                }
            }
            "reduce" => {
                let mut items = items.iter().enumerate();
                let mut accumulated = match rest.first() {
                    Some(first) => self.eval(first)?,
                    None => items.next().map(|(_, first)| first.clone()).ok_or("reduce of an empty list")?,
                };
                for (index, item) in items {
                    accumulated = self.on_item(item, index, accumulated, predicate)?;
                }
                Ok(accumulated)
            }
            _ => self.search(name, &items, predicate),
        }
    }

    fn search(&mut self, name: &str, items: &[Value], predicate: &Node) -> Evaluated {
        let mut found = Vec::new();
        let last = matches!(name, "findLast" | "findLastIndex");
        let order: Box<dyn Iterator<Item = usize>> =
            if last { Box::new((0..items.len()).rev()) } else { Box::new(0..items.len()) };
        for index in order {
            let Some(item) = items.get(index) else { break };
            let holds = self.holds(item, index, predicate)?;
            match name {
                "all" if !holds => return Ok(Value::Bool(false)),
                "any" if holds => return Ok(Value::Bool(true)),
                "none" if holds => return Ok(Value::Bool(false)),
                "find" | "findLast" if holds => return Ok(item.clone()),
                "findIndex" | "findLastIndex" if holds => return Ok(Value::Int(index as i64)),
                _ => {}
            }
            if holds {
                found.push(item.clone());
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

    fn group(&mut self, keys: Vec<Value>, items: &[Value]) -> Evaluated {
        let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
        for (key, item) in keys.into_iter().zip(items) {
            self.pay(groups.len())?;
            match groups.iter_mut().find(|(k, _)| *k == key) {
                Some((_, group)) => group.push(item.clone()),
                None => groups.push((key, vec![item.clone()])),
            }
        }
        Ok(Value::map(groups.into_iter().map(|(key, group)| (key, Value::list(group))).collect()))
    }
}
