//! What operators do with values.

use super::ast::{Node, Operator};
use super::eval::{Evaluated, Machine, Stop, shown};
use super::math;
use super::value::{PART, Value};
use crate::core::protocol::filter::budget::{Budget, Exhausted};
use crate::core::protocol::filter::pattern;

impl Machine<'_> {
    /// `and`, `or`: the value that decides, or the last one, whatever it is.
    ///
    /// A literal that decides does so wherever it stands, and one that does
    /// not is left out, as the original's optimizer has it: `x or false` is
    /// `x`, and nil for a name that is not known.
    pub(super) fn logic(&mut self, all: &[Node], decides: bool) -> Evaluated {
        let mut open: Vec<&Node> = Vec::new();
        for operand in all {
            match literal(operand, self.budget)? {
                Some(truth) if truth == decides => return Ok(Value::Bool(decides)),
                Some(_) => {}
                None => open.push(operand),
            }
        }
        let Some((last, before)) = open.split_last() else { return Ok(Value::Bool(!decides)) };
        for operand in before {
            if self.condition(operand)? == decides {
                return Ok(Value::Bool(decides));
            }
        }
        self.eval(last)
    }

    pub(super) fn binary(&mut self, operator: Operator, left: &Node, right: &Node) -> Evaluated {
        if operator == Operator::Coalesce {
            return match self.eval(left) {
                Ok(Value::Nil) | Err(Stop::Nil) => self.eval(right),
                other => other,
            };
        }
        let (l, r) = (self.eval(left)?, self.eval(right)?);
        let refused = || format!("{operator:?} cannot be applied to {} and {}", shown(&l), shown(&r));
        if operator.compares() {
            self.budget.read(l.text_length().min(r.text_length()))?;
        }
        let ordered = |test: fn(std::cmp::Ordering) -> bool| l.compare(&r).map(|o| Value::Bool(test(o)));
        let value = match operator {
            Operator::Equal => Some(Value::Bool(l.equals(&r, self.budget)?)),
            Operator::NotEqual => Some(Value::Bool(!l.equals(&r, self.budget)?)),
            Operator::Less => ordered(std::cmp::Ordering::is_lt),
            Operator::LessOrEqual => ordered(std::cmp::Ordering::is_le),
            Operator::Greater => ordered(std::cmp::Ordering::is_gt),
            Operator::GreaterOrEqual => ordered(std::cmp::Ordering::is_ge),
            // The original makes a set of a list of text literals; only text is looked up in it.
            Operator::In if is_text_list(right) && !matches!(l, Value::Text(_)) => match l {
                Value::Nil => self.within(&Value::text(""), &r)?,
                _ => None,
            },
            Operator::In => self.within(&l, &r)?,
            Operator::Matches | Operator::Contains | Operator::StartsWith | Operator::EndsWith => {
                if l.is_nil() || r.is_nil() {
                    return Ok(Value::Bool(false));
                }
                match (&l, &r) {
                    (Value::Text(l), Value::Text(r)) => Some(Value::Bool(self.text_test(operator, l, r)?)),
                    _ => None,
                }
            }
            Operator::Range => {
                let (Some(from), Some(to)) = (math::integer(&l), math::integer(&r)) else {
                    return Err(refused().into());
                };
                let length = usize::try_from(i128::from(to) - i128::from(from) + 1).unwrap_or(0);
                self.budget.make(length.saturating_mul(PART))?;
                Some(Value::list((from..=to).map(Value::Int).collect()))
            }
            other => {
                if let (Value::Text(l), Value::Text(r)) = (&l, &r) {
                    self.budget.make(l.len().saturating_add(r.len()).saturating_mul(2))?;
                }
                math::arithmetic(other, &l, &r)?
            }
        };
        Ok(value.ok_or_else(refused)?)
    }

    fn text_test(&mut self, operator: Operator, left: &str, right: &str) -> Result<bool, Stop> {
        self.budget.read(left.len().saturating_add(right.len()).saturating_mul(4))?;
        Ok(match operator {
            Operator::Contains => left.contains(right),
            Operator::StartsWith => left.starts_with(right),
            Operator::EndsWith => left.ends_with(right),
            _ => match pattern::compiled(right, self.budget)? {
                Some(regex) => regex.is_match(left, self.budget)?,
                None => return Err(format!("{right} is not a valid regular expression").into()),
            },
        })
    }

    fn within(&mut self, needle: &Value, hay: &Value) -> Result<Option<Value>, Stop> {
        let budget = self.budget;
        Ok(match hay {
            Value::Nil => Some(Value::Bool(false)),
            Value::List(items) => {
                for item in items.iter() {
                    if item.equals(needle, budget)? {
                        return Ok(Some(Value::Bool(true)));
                    }
                }
                Some(Value::Bool(false))
            }
            Value::Bytes(bytes) => {
                budget.read(bytes.len().saturating_mul(8))?;
                let wanted = needle.number();
                Some(Value::Bool(bytes.iter().any(|byte| Some(f64::from(*byte)) == wanted)))
            }
            Value::Map(_) if matches!(needle, Value::Text(_)) => {
                Some(Value::Bool(hay.entry(needle, budget)?.is_some()))
            }
            // Nil stands for the empty key.
            Value::Map(_) if needle.is_nil() => {
                Some(Value::Bool(hay.entry(&Value::text(""), budget)?.is_some()))
            }
            _ => None,
        })
    }
}

fn is_text_list(node: &Node) -> bool {
    match node {
        Node::List(items) => !items.is_empty() && items.iter().all(|item| matches!(item, Node::Text(_))),
        _ => false,
    }
}

/// The boolean a part of the tree is whatever the node.
fn literal(node: &Node, budget: &Budget) -> Result<Option<bool>, Exhausted> {
    budget.pay(1)?;
    let folded = |all: &[Node], decides: bool| {
        let mut open = false;
        for operand in all {
            match literal(operand, budget)? {
                Some(truth) if truth == decides => return Ok(Some(decides)),
                Some(_) => {}
                None => open = true,
            }
        }
        Ok((!open).then_some(!decides))
    };
    match node {
        Node::Bool(truth) => Ok(Some(*truth)),
        Node::Not(operand) => Ok(literal(operand, budget)?.map(|truth| !truth)),
        Node::And(all) => folded(all, false),
        Node::Or(all) => folded(all, true),
        _ => Ok(None),
    }
}
