//! Blocks behind calls, and how parameters take what they are given.

use std::sync::Arc;

use super::{Evaluator, Outcome, Raise};
use crate::syntax::{Lambda, Parameter, Unit};
use crate::types::{Count, Matching, Span, Type, argument_count, describe, instance};
use crate::value::Value;

/// A block that a function may call, while the call lasts.
#[derive(Clone, Copy)]
pub(crate) struct Block<'c> {
    pub(super) unit: &'c Arc<Unit>,
    pub(super) lambda: &'c Lambda,
    pub(super) scope: usize,
}

impl Block<'_> {
    /// How many values it takes.
    pub(crate) fn takes(&self) -> Count {
        takes(&self.lambda.parameters)
    }
}

/// How many values parameters take.
pub(super) fn takes(parameters: &[Parameter]) -> Count {
    let least = parameters.iter().filter(|p| p.default.is_none() && !p.rest).count() as u64;
    let rest = parameters.iter().any(|p| p.rest);
    Span { least, most: if rest { u64::MAX } else { parameters.len() as u64 } }
}

impl Evaluator<'_> {
    /// Runs a block. `next` ends it, all else goes on to whoever called.
    pub(crate) fn call(&mut self, block: &Block<'_>, values: &[Value]) -> Outcome {
        let Block { unit, lambda, scope } = *block;
        let result = self.nested(|ev| {
            ev.scoped(Some(scope), |ev| {
                ev.bind(unit, &lambda.parameters, values, "block")?;
                let value = ev.eval(unit, lambda.body)?;
                ev.check_returned(unit, lambda.returns, value, "block")
            })
        });
        match result {
            Err(Raise::Next(value, _)) => Ok(value),
            other => other,
        }
    }

    /// Gives parameters their values, in order. Defaults may use those before.
    pub(super) fn bind(
        &mut self,
        unit: &Arc<Unit>,
        parameters: &[Parameter],
        values: &[Value],
        what: &str,
    ) -> Outcome<()> {
        let takes = takes(parameters);
        if !takes.holds(values.len() as u64) {
            return Err(Raise::new(format!("'{what}' {}", argument_count(takes, values.len()))));
        }
        let mut given = values.iter();
        for parameter in parameters {
            if parameter.rest {
                for value in given.as_slice() {
                    self.check_parameter(unit, parameter, value, what)?;
                }
                let rest = self.list(given.as_slice().to_vec())?;
                self.assign(&parameter.name, rest)?;
                break;
            }
            let value = match (given.next(), parameter.default) {
                (Some(value), _) => value.clone(),
                (None, Some(default)) => self.eval(unit, default)?,
                (None, None) => Value::Undef,
            };
            self.check_parameter(unit, parameter, &value, what)?;
            self.assign(&parameter.name, value)?;
        }
        Ok(())
    }

    fn check_parameter(
        &mut self,
        unit: &Arc<Unit>,
        parameter: &Parameter,
        value: &Value,
        what: &str,
    ) -> Outcome<()> {
        let Some(of) = parameter.of else { return Ok(()) };
        let of = self.type_at(unit, of)?;
        let path = match what {
            "block" => format!("block parameter '{}'", parameter.name),
            what => format!("'{what}' parameter '{}'", parameter.name),
        };
        self.check(&of, value, &path)
    }

    /// Whether a value is of a type, else an error that begins with these words.
    pub(crate) fn check(&mut self, of: &Type, value: &Value, path: &str) -> Outcome<()> {
        match self.is_instance(of, value)? {
            true => Ok(()),
            false => Err(Raise::new(describe(path, of, value).join("; "))),
        }
    }

    pub(crate) fn is_instance(&mut self, of: &Type, value: &Value) -> Outcome<bool> {
        let mut matching = Matching::new();
        let is = instance(of, value, &mut matching);
        self.matched(&matching, of)?;
        Ok(is)
    }

    /// Pays for a match.
    pub(crate) fn matched(&mut self, matching: &Matching, of: &Type) -> Outcome<()> {
        self.work(matching.taken())?;
        if matching.exhausted {
            let message = format!("a value cannot be matched against {} in reasonable time", of.name());
            return Err(Raise::fault(crate::error::Fault::Limit(message)));
        }
        Ok(())
    }

    /// Whether what is given back is what was promised behind `>>`.
    pub(super) fn check_returned(
        &mut self,
        unit: &Arc<Unit>,
        returns: Option<crate::syntax::Id>,
        value: Value,
        what: &str,
    ) -> Outcome {
        if let Some(returns) = returns {
            let of = self.type_at(unit, returns)?;
            self.check(&of, &value, &format!("the value that '{what}' returns"))?;
        }
        Ok(value)
    }
}
