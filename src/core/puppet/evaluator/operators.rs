//! Arithmetic, order, and what `+`, `-` and `<<` do with lists and hashes (spec 07 §C4).

use std::cmp::Ordering;

use indexmap::IndexMap;

use super::{Evaluator, Outcome, Raise};
use crate::functions::kind_of;
use crate::syntax::Operator;
use crate::types::{Matching, Type};
use crate::value::{Float, Hash, Value, brief, equals, includes, order};

/// A number of either kind.
#[derive(Clone, Copy)]
pub(crate) enum Number {
    Integer(i64),
    Float(f64),
}

impl Number {
    pub(crate) fn float(self) -> f64 {
        match self {
            Number::Integer(n) => n as f64,
            Number::Float(n) => n,
        }
    }
}

impl Evaluator<'_> {
    pub(super) fn negate(&mut self, value: &Value) -> Outcome {
        match value {
            Value::Timespan(nanos) => Ok(Value::Timespan(nanos.saturating_neg())),
            value => match number(value)? {
                Number::Integer(n) => integer("-", -i128::from(n)),
                Number::Float(n) => float(-n),
            },
        }
    }

    pub(super) fn operate(&mut self, operator: Operator, left: &Value, right: &Value) -> Outcome {
        match operator {
            Operator::Equal | Operator::NotEqual => {
                self.work(left.work().min(right.work()))?;
                Ok(Value::Boolean(equals(left, right) == (operator == Operator::Equal)))
            }
            Operator::Less | Operator::AtMost | Operator::Greater | Operator::AtLeast => {
                self.work(left.work().min(right.work()))?;
                self.ordered(operator, left, right).map(Value::Boolean)
            }
            Operator::In => {
                self.work(right.work().saturating_add(left.work()))?;
                let mut matching = Matching::new();
                let found = includes(left, right, &mut matching)?;
                self.matched(&matching, &Type::any())?;
                Ok(Value::Boolean(found))
            }
            Operator::Add | Operator::Subtract | Operator::ShiftLeft => match (left, right) {
                (Value::Array(_) | Value::Hash(_), _) => self.combine(operator, left, right),
                (Value::Timestamp(_) | Value::Timespan(_), _) => times(operator, left, right),
                _ => calculate(operator, left, right),
            },
            _ => match left {
                Value::Timespan(_) => times(operator, left, right),
                Value::Array(_) | Value::Hash(_) => Err(not_applicable(operator.text(), left)),
                _ => calculate(operator, left, right),
            },
        }
    }

    fn ordered(&mut self, operator: Operator, left: &Value, right: &Value) -> Outcome<bool> {
        // types are ordered by what they take
        if let (Value::Type(a), Value::Type(b)) = (left, right) {
            let (wide, narrow) = match operator {
                Operator::Less | Operator::AtMost => (b, a),
                _ => (a, b),
            };
            let mut matching = Matching::new();
            let takes = crate::types::assignable(wide, narrow, &mut matching);
            self.matched(&matching, wide)?;
            let or_same = matches!(operator, Operator::AtMost | Operator::AtLeast) || a != b;
            return Ok(takes && or_same);
        }
        let ordering = order(left, right).map_err(|why| {
            let name = |value: &Value| crate::functions::type_name(value);
            Raise::new(format!(
                "Comparison of: {} {} {}, is not possible. Caused by '{why}'.",
                name(left),
                operator.text(),
                name(right)
            ))
        })?;
        Ok(match operator {
            Operator::Less => ordering == Ordering::Less,
            Operator::AtMost => ordering != Ordering::Greater,
            Operator::Greater => ordering == Ordering::Greater,
            _ => ordering != Ordering::Less,
        })
    }

    /// New lists and hashes of old ones.
    fn combine(&mut self, operator: Operator, left: &Value, right: &Value) -> Outcome {
        match (left, operator) {
            (Value::Array(items), Operator::ShiftLeft) => {
                let mut all = Vec::with_capacity(items.len() + 1);
                all.extend_from_slice(items);
                all.push(right.clone());
                self.list(all)
            }
            (Value::Array(items), Operator::Add) => {
                let more = self.unfolded(right.clone())?;
                let mut all = Vec::with_capacity(items.len() + more.len());
                all.extend_from_slice(items);
                all.extend(more);
                self.list(all)
            }
            (Value::Array(items), _) => {
                let gone = self.unfolded(right.clone())?;
                let gone: std::collections::HashSet<_> = gone.iter().collect();
                let left = items.iter().filter(|item| !gone.contains(item)).cloned().collect();
                self.work(items.len() as u64)?;
                self.list(left)
            }
            (Value::Hash(hash), Operator::Add) => {
                let entries = self.merged(hash, right)?;
                self.map(entries)
            }
            (Value::Hash(hash), Operator::Subtract) => {
                let gone: Vec<Value> = match right {
                    Value::Hash(other) => other.entries().keys().cloned().collect(),
                    Value::Array(keys) => keys.to_vec(),
                    key => vec![key.clone()],
                };
                let gone: std::collections::HashSet<_> = gone.iter().collect();
                let left = hash.iter().filter(|(key, _)| !gone.contains(key));
                let left = left.map(|(key, value)| (key.clone(), value.clone())).collect();
                self.map(left)
            }
            _ => Err(not_applicable(operator.text(), left)),
        }
    }

    /// The entries of a hash and of another, of which the second wins.
    pub(crate) fn merged(&mut self, hash: &Hash, other: &Value) -> Outcome<IndexMap<Value, Value>> {
        self.work(hash.len() as u64 / 8)?;
        let mut entries = hash.entries().clone();
        match other {
            Value::Hash(other) => {
                entries.extend(other.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            Value::Array(items) => {
                let pairs = crate::functions::pairs_of(items).ok_or_else(|| {
                    Raise::new("a list that becomes a hash has pairs, or keys and values by turns")
                })?;
                entries.extend(pairs);
            }
            other => return Err(Raise::new(format!("{} cannot be added to a Hash", kind_of(other)))),
        }
        Ok(entries)
    }
}

/// A number; text is none, even of digits: Puppet 8 calls that an error too.
pub(crate) fn number(value: &Value) -> Outcome<Number> {
    match value {
        Value::Integer(n) => Ok(Number::Integer(*n)),
        Value::Float(n) => Ok(Number::Float(n.get())),
        Value::String(text) => Err(match crate::functions::number_of_text(text) {
            Some(number) => {
                let number = match number {
                    Number::Integer(n) => n.to_string(),
                    Number::Float(n) => crate::value::float(n),
                };
                Raise::new(format!(
                    "The string '{text}' was automatically coerced to the numerical value {number}, which is an \
                     error: write Numeric('{text}')"
                ))
            }
            None => Raise::new(format!("The value '{}' cannot be converted to Numeric.", brief(value))),
        }),
        other => Err(Raise::new(format!("The value '{}' cannot be converted to Numeric.", brief(other)))),
    }
}

pub(crate) fn integer(operator: &str, n: i128) -> Outcome {
    match i64::try_from(n) {
        Ok(n) => Ok(Value::Integer(n)),
        Err(_) => {
            let which = if n > 0 { "max" } else { "min" };
            let sign = if n > 0 { "+" } else { "-" };
            Err(Raise::new(format!(
                "A '{operator}' expression resulted in a value outside of Puppet Integer {which} range, got \
                 '{sign}{:#x}'",
                n.unsigned_abs()
            )))
        }
    }
}

pub(crate) fn float(n: f64) -> Outcome {
    match Float::new(n) {
        Some(n) => Ok(Value::Float(n)),
        None => Err(Raise::new("a calculation has no finite number as its result")),
    }
}

fn calculate(operator: Operator, left: &Value, right: &Value) -> Outcome {
    let sign = operator.text();
    let (left, right) = (number(left)?, number(right)?);
    let (Number::Integer(a), Number::Integer(b)) = (left, right) else {
        let (a, b) = (left.float(), right.float());
        return match operator {
            Operator::Add => float(a + b),
            Operator::Subtract => float(a - b),
            Operator::Multiply => float(a * b),
            Operator::Divide if b == 0.0 => Err(Raise::new("Division by 0")),
            Operator::Divide => float(a / b),
            Operator::Modulo if b == 0.0 => Err(Raise::new("Division by 0")),
            Operator::Modulo => float(a - b * (a / b).floor()),
            _ => Err(Raise::new(format!("Operator '{sign}' is not applicable to a Float."))),
        };
    };
    let (a, b) = (i128::from(a), i128::from(b));
    match operator {
        Operator::Add => integer(sign, a + b),
        Operator::Subtract => integer(sign, a - b),
        Operator::Multiply => integer(sign, a * b),
        Operator::Divide | Operator::Modulo if b == 0 => Err(Raise::new("Division by 0")),
        // towards minus infinity, as Ruby does
        Operator::Divide => integer(sign, (a - (a % b + b) % b) / b),
        Operator::Modulo => integer(sign, (a % b + b) % b),
        Operator::ShiftLeft | Operator::ShiftRight => {
            let left = (operator == Operator::ShiftLeft) == (b >= 0);
            let by = u32::try_from(b.unsigned_abs()).unwrap_or(u32::MAX);
            match left {
                true if by < 64 => integer(sign, a << by),
                true if a == 0 => Ok(Value::Integer(0)),
                true => {
                    Err(Raise::new("A '<<' expression resulted in a value outside of Puppet Integer range"))
                }
                false => integer(sign, a >> by.min(100)),
            }
        }
        _ => Err(Raise::new(format!("Operator '{sign}' is not applicable to an Integer."))),
    }
}

/// Points and lengths of time.
fn times(operator: Operator, left: &Value, right: &Value) -> Outcome {
    let seconds = |value: &Value| match value {
        Value::Timespan(nanos) => Some(*nanos),
        Value::Integer(n) => n.checked_mul(1_000_000_000),
        Value::Float(n) => Some((n.get() * 1e9) as i64),
        _ => None,
    };
    let range = || Raise::new(format!("A '{}' expression resulted in a time out of range", operator.text()));
    match (operator, left, right) {
        (Operator::Subtract, Value::Timestamp(a), Value::Timestamp(b)) => {
            a.checked_sub(*b).map(Value::Timespan).ok_or_else(range)
        }
        (Operator::Add, Value::Timespan(a), Value::Timestamp(b)) => {
            a.checked_add(*b).map(Value::Timestamp).ok_or_else(range)
        }
        (Operator::Add | Operator::Subtract, Value::Timestamp(a) | Value::Timespan(a), other) => {
            let Some(by) = seconds(other) else { return Err(not_applicable(operator.text(), other)) };
            let sum = if operator == Operator::Add { a.checked_add(by) } else { a.checked_sub(by) };
            let sum = sum.ok_or_else(range)?;
            Ok(if matches!(left, Value::Timestamp(_)) { Value::Timestamp(sum) } else { Value::Timespan(sum) })
        }
        (Operator::Multiply, Value::Timespan(a), Value::Integer(n)) => {
            a.checked_mul(*n).map(Value::Timespan).ok_or_else(range)
        }
        (Operator::Divide, Value::Timespan(a), Value::Integer(n)) => {
            a.checked_div(*n).map(Value::Timespan).ok_or_else(|| Raise::new("Division by 0"))
        }
        _ => Err(not_applicable(operator.text(), left)),
    }
}

/// There is no such operation for this.
pub(super) fn not_applicable(operator: &str, value: &Value) -> Raise {
    Raise::new(format!("Operator '{operator}' is not applicable to {}.", kind_of(value)))
}
