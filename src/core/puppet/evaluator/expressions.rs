//! The value of each kind of expression.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{Evaluator, Outcome, Raise};
use crate::syntax::{Id, Node, Operator, Unit};
use crate::types::Type;
use crate::value::{Float, Hash, Text, Value, brief, list_bytes, write_shown};

impl Evaluator<'_> {
    /// The value of a node.
    pub(super) fn eval(&mut self, unit: &Arc<Unit>, id: Id) -> Outcome {
        self.work(1)?;
        match unit.node(id) {
            // these cannot go deeper
            Node::Undef => Ok(Value::Undef),
            Node::Default => Ok(Value::Default),
            Node::Boolean(b) => Ok(Value::Boolean(*b)),
            Node::Integer(n) => Ok(Value::Integer(*n)),
            Node::Float(n) => Ok(Float::new(*n).map_or(Value::Undef, Value::Float)),
            Node::String(text) | Node::Name(text) => Ok(Value::String(text.clone())),
            Node::Regexp(regexp) => Ok(Value::Regexp(regexp.clone())),
            Node::Variable(name) => match self.variable(name) {
                Some(value) => Ok(value),
                None => Err(Raise::new(format!("Unknown variable: '{name}'.")).at(unit, unit.span(id))),
            },
            _ => {
                self.check_stack().map_err(|raise| raise.at(unit, unit.span(id)))?;
                self.eval_deep(unit, id).map_err(|raise| raise.at(unit, unit.span(id)))
            }
        }
    }

    fn eval_deep(&mut self, unit: &Arc<Unit>, id: Id) -> Outcome {
        match unit.node(id) {
            Node::Block(statements) => {
                let mut last = Value::Undef;
                for statement in statements {
                    last = self.eval(unit, *statement)?;
                }
                Ok(last)
            }
            Node::Binary(operator, left, right) => self.eval_binary(unit, *operator, *left, *right),
            Node::And(left, right) => {
                let both = self.eval(unit, *left)?.is_true() && self.eval(unit, *right)?.is_true();
                Ok(Value::Boolean(both))
            }
            Node::Or(left, right) => {
                let either = self.eval(unit, *left)?.is_true() || self.eval(unit, *right)?.is_true();
                Ok(Value::Boolean(either))
            }
            Node::Not(inner) => Ok(Value::Boolean(!self.eval(unit, *inner)?.is_true())),
            Node::Negate(inner) => {
                let value = self.eval(unit, *inner)?;
                self.negate(&value)
            }
            Node::Call { name, arguments, lambda } => {
                self.eval_call(unit, name, arguments, lambda.as_deref())
            }
            Node::Method { of, name, arguments, lambda } => {
                self.eval_method(unit, *of, name, arguments, lambda.as_deref())
            }
            Node::New { of, arguments, .. } => {
                let of = self.type_at(unit, *of)?;
                let arguments = self.eval_all(unit, arguments)?;
                crate::functions::new(self, &of, &arguments)
            }
            Node::If { test, then, otherwise, unless } => {
                let holds = self.eval(unit, *test)?.is_true() != *unless;
                match (holds, otherwise) {
                    (true, _) => self.eval(unit, *then),
                    (false, Some(otherwise)) => self.eval(unit, *otherwise),
                    (false, None) => Ok(Value::Undef),
                }
            }
            Node::Assign(left, right) => {
                let value = self.eval(unit, *right)?;
                self.assign_to(unit, *left, &value)?;
                Ok(value)
            }
            Node::Type(name) => Ok(Value::Type(self.named_type(name)?)),
            _ => self.eval_value(unit, id),
        }
    }

    /// Values that are put together, and choices.
    fn eval_value(&mut self, unit: &Arc<Unit>, id: Id) -> Outcome {
        match unit.node(id) {
            Node::Interpolated(parts) => self.eval_interpolated(unit, parts),
            Node::Array(items) => {
                let items = self.eval_all(unit, items)?;
                self.list(items)
            }
            Node::Hash(pairs) => self.eval_hash(unit, pairs),
            Node::Index(of, keys) => {
                let of = self.eval(unit, *of)?;
                let keys = self.eval_all(unit, keys)?;
                self.index(&of, &keys)
            }
            Node::Splat(inner) => {
                let value = self.eval(unit, *inner)?;
                let items = self.unfolded(value)?;
                self.list(items)
            }
            Node::Case { of, options } => {
                let value = self.eval(unit, *of)?;
                for (values, body) in options {
                    for option in values {
                        if self.option_matches(unit, *option, &value)? {
                            return self.eval(unit, *body);
                        }
                    }
                }
                // a default stands for all others wherever it is
                let default = |(values, _): &&(Box<[Id]>, Id)| {
                    values.iter().any(|id| matches!(unit.node(*id), Node::Default))
                };
                match options.iter().find(default) {
                    Some((_, body)) => self.eval(unit, *body),
                    None => Ok(Value::Undef),
                }
            }
            Node::Selector { of, options } => {
                let value = self.eval(unit, *of)?;
                for (option, result) in options {
                    if self.option_matches(unit, *option, &value)? {
                        return self.eval(unit, *result);
                    }
                }
                if let Some((_, result)) =
                    options.iter().find(|(id, _)| matches!(unit.node(*id), Node::Default))
                {
                    return self.eval(unit, *result);
                }
                Err(Raise::new(format!(
                    "No matching entry for selector parameter with value '{}'",
                    brief(&value)
                )))
            }
            _ => Err(Raise::new("this expression has no value")),
        }
    }

    /// Values of arguments and items, with what a `*` unfolds.
    pub(super) fn eval_all(&mut self, unit: &Arc<Unit>, ids: &[Id]) -> Outcome<Vec<Value>> {
        let mut values = Vec::with_capacity(ids.len());
        for id in ids {
            match unit.node(*id) {
                Node::Splat(inner) => {
                    let value = self.eval(unit, *inner)?;
                    let items = self.unfolded(value)?;
                    self.work(items.len() as u64)?;
                    // what is unfolded into arguments is held while they are put together
                    drop(self.budget.charge(list_bytes(values.len() + items.len()))?);
                    values.extend(items);
                }
                _ => values.push(self.eval(unit, *id)?),
            }
        }
        Ok(values)
    }

    /// What `*` makes of a value.
    pub(super) fn unfolded(&mut self, value: Value) -> Outcome<Vec<Value>> {
        Ok(match &value {
            Value::Array(items) => items.to_vec(),
            Value::Hash(hash) => self.pairs(&hash.clone())?,
            _ => vec![value],
        })
    }

    /// Entries as lists of two.
    pub(crate) fn pairs(&mut self, hash: &Hash) -> Outcome<Vec<Value>> {
        let pairs = hash.iter().map(|(key, value)| self.list(vec![key.clone(), value.clone()]));
        pairs.collect()
    }

    fn eval_hash(&mut self, unit: &Arc<Unit>, pairs: &[(Id, Id)]) -> Outcome {
        let mut entries = IndexMap::with_capacity(pairs.len());
        for (key, value) in pairs {
            let at = unit.span(*key);
            let key = self.eval(unit, *key)?;
            let value = self.eval(unit, *value)?;
            if entries.contains_key(&key) {
                let message = format!("The key '{}' is declared more than once", brief(&key));
                return Err(Raise::new(message).at(unit, at));
            }
            entries.insert(key, value);
        }
        self.map(entries)
    }

    fn eval_interpolated(&mut self, unit: &Arc<Unit>, parts: &[Id]) -> Outcome {
        let mut writer = self.budget.writer();
        for part in parts {
            let value = self.eval(unit, *part)?;
            self.work(value.work())?;
            if write_shown(&mut writer, &value).is_err() {
                break;
            }
        }
        Ok(Value::String(Text::written(writer)?))
    }

    fn assign_to(&mut self, unit: &Arc<Unit>, left: Id, value: &Value) -> Outcome<()> {
        match unit.node(left) {
            Node::Variable(name) => self.assign(name, value.clone()).map_err(|e| e.at(unit, unit.span(left))),
            Node::Array(targets) => match value {
                Value::Hash(hash) => {
                    for target in targets {
                        let Node::Variable(name) = unit.node(*target) else {
                            return Err(Raise::new("a hash is assigned to variables, not to lists of them"));
                        };
                        let Some(value) = hash.at(name) else {
                            return Err(Raise::new(format!(
                                "No value for required variable '${name}' in hash"
                            )));
                        };
                        self.assign_to(unit, *target, value)?;
                    }
                    Ok(())
                }
                value => {
                    let values = self.unfolded(value.clone())?;
                    if values.len() != targets.len() {
                        return Err(Raise::new(format!(
                            "Mismatched number of assignable entries and values, expected {}, got {}",
                            targets.len(),
                            values.len()
                        )));
                    }
                    targets
                        .iter()
                        .zip(&values)
                        .try_for_each(|(target, value)| self.assign_to(unit, *target, value))
                }
            },
            _ => Err(Raise::new("Illegal attempt to assign: a variable stands left of '='")),
        }
    }

    /// The type that an expression is.
    pub(super) fn type_at(&mut self, unit: &Arc<Unit>, id: Id) -> Outcome<Type> {
        match self.eval(unit, id)? {
            Value::Type(of) => Ok(of),
            other => {
                let message = format!("expected a type, got {}", crate::functions::kind_of(&other));
                Err(Raise::new(message).at(unit, unit.span(id)))
            }
        }
    }

    fn eval_binary(&mut self, unit: &Arc<Unit>, operator: Operator, left: Id, right: Id) -> Outcome {
        let left = self.eval(unit, left)?;
        let right = self.eval(unit, right)?;
        match operator {
            Operator::Match => self.matches(&left, &right).map(Value::Boolean),
            Operator::NoMatch => self.matches(&left, &right).map(|found| Value::Boolean(!found)),
            operator => self.operate(operator, &left, &right),
        }
    }

    /// A type by its name: of the language, of a module, well known.
    pub(super) fn named_type(&mut self, name: &Text) -> Outcome<Type> {
        if let Some(of) = self.aliases.named(name) {
            return Ok(of);
        }
        match self.load_type(name)? {
            Some(of) => Ok(of),
            None => Err(Raise::new(format!(
                "Resource type or type alias '{name}' is not known; a type of a module is in its types/ directory"
            ))),
        }
    }
}
