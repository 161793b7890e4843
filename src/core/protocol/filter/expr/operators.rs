//! What operators do with values.

use regex::Regex;

use super::ast::{Node, Operator};
use super::eval::{Evaluated, Machine, REGEX_COST, Stop, shown};
use super::math;
use super::value::Value;
use crate::core::protocol::filter::search;

impl Machine<'_> {
    /// `and`, `or`: the value that decides, or the last one, whatever it is.
    ///
    /// A literal that decides does so wherever it stands, and one that does
    /// not is left out, as the original's optimizer has it: `x or false` is
    /// `x`, and nil for a name that is not known.
    pub(super) fn logic(&mut self, all: &[Node], decides: bool) -> Evaluated {
        if all.iter().any(|operand| literal(operand) == Some(decides)) {
            return Ok(Value::Bool(decides));
        }
        let open: Vec<&Node> = all.iter().filter(|operand| literal(operand).is_none()).collect();
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
        if !matches!(operator, Operator::Coalesce | Operator::In) {
            self.pay(l.size().min(r.size()))?;
        }
        let refused = || format!("{operator:?} cannot be applied to {} and {}", shown(&l), shown(&r));
        let ordered = |test: fn(std::cmp::Ordering) -> bool| l.compare(&r).map(|o| Value::Bool(test(o)));
        let value = match operator {
            Operator::Equal => Some(Value::Bool(l.equals(&r))),
            Operator::NotEqual => Some(Value::Bool(!l.equals(&r))),
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
                self.pay(length)?;
                Some(Value::list((from..=to).map(Value::Int).collect()))
            }
            other => math::arithmetic(other, &l, &r)?,
        };
        if let Some(Value::Text(text)) = &value {
            self.pay(text.len() / 16)?;
        }
        Ok(value.ok_or_else(refused)?)
    }

    fn text_test(&mut self, operator: Operator, left: &str, right: &str) -> Result<bool, Stop> {
        self.pay((left.len() + right.len()) / 64)?;
        Ok(match operator {
            Operator::Contains => left.contains(right),
            Operator::StartsWith => left.starts_with(right),
            Operator::EndsWith => left.ends_with(right),
            _ => self.regex(right)?.is_match(left),
        })
    }

    /// The last regular expression is kept: a predicate asks for one again and
    /// again.
    fn regex(&mut self, expression: &str) -> Result<&Regex, Stop> {
        if self.regex.as_ref().is_none_or(|(known, _)| known != expression) {
            self.pay(REGEX_COST)?;
            let bad = || format!("{expression} is not a valid regular expression");
            let regex = search(expression).ok_or_else(bad)?;
            self.regex = Some((expression.into(), regex));
        }
        match &self.regex {
            Some((_, regex)) => Ok(regex),
            None => Err("no regular expression".into()),
        }
    }

    fn within(&mut self, needle: &Value, hay: &Value) -> Result<Option<Value>, Stop> {
        Ok(match hay {
            Value::Nil => Some(Value::Bool(false)),
            Value::List(items) => {
                self.pay(hay.size())?;
                Some(Value::Bool(items.iter().any(|item| item.equals(needle))))
            }
            Value::Bytes(bytes) => {
                let found = bytes.iter().any(|b| Value::Int(i64::from(*b)).equals(needle));
                Some(Value::Bool(found))
            }
            Value::Map(_) if matches!(needle, Value::Text(_)) => {
                Some(Value::Bool(hay.entry(needle).is_some()))
            }
            // Nil stands for the empty key.
            Value::Map(_) if needle.is_nil() => Some(Value::Bool(hay.entry(&Value::text("")).is_some())),
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
fn literal(node: &Node) -> Option<bool> {
    let folded = |all: &[Node], decides: bool| {
        let literals: Vec<_> = all.iter().map(literal).collect();
        let open = literals.contains(&None);
        if literals.contains(&Some(decides)) { Some(decides) } else { (!open).then_some(!decides) }
    };
    match node {
        Node::Bool(truth) => Some(*truth),
        Node::Not(operand) => literal(operand).map(|truth| !truth),
        Node::And(all) => folded(all, false),
        Node::Or(all) => folded(all, true),
        _ => None,
    }
}
