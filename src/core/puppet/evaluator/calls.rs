//! Calls: of built-in functions, of functions in Puppet, of what result objects know.

use std::sync::Arc;

use super::{Block, Evaluator, Outcome, Raise};
use crate::functions::{self, Call};
use crate::results::TaskResults;
use crate::syntax::{Id, Lambda, Unit};
use crate::types::argument_count;
use crate::value::{Text, Value};

/// Names that results, sets of them and errors know themselves, with or without what stands
/// in parentheses.
pub(super) const ATTRIBUTES: [&str; 22] = [
    "bolt_task_result",
    "count",
    "details",
    "empty",
    "error",
    "error_set",
    "exception",
    "fail_ok",
    "find",
    "first",
    "host",
    "hosts",
    "issue_code",
    "kind",
    "message",
    "msg",
    "ok",
    "ok_set",
    "result",
    "results",
    "type",
    "value",
];

impl Evaluator<'_> {
    pub(super) fn eval_call(
        &mut self,
        unit: &Arc<Unit>,
        name: &Text,
        arguments: &[Id],
        lambda: Option<&Lambda>,
    ) -> Outcome {
        let arguments = self.eval_all(unit, arguments)?;
        let block = lambda.map(|lambda| Block { unit, lambda, scope: self.scope });
        self.call_named(name, arguments, block)
    }

    pub(super) fn eval_method(
        &mut self,
        unit: &Arc<Unit>,
        of: Id,
        name: &Text,
        arguments: &[Id],
        lambda: Option<&Lambda>,
    ) -> Outcome {
        let of = self.eval(unit, of)?;
        let mut all = Vec::with_capacity(arguments.len() + 1);
        all.push(of);
        all.extend(self.eval_all(unit, arguments)?);
        if lambda.is_none()
            && let Some(value) = self.attribute(&all[0], name, &all[1..])?
        {
            return Ok(value);
        }
        let block = lambda.map(|lambda| Block { unit, lambda, scope: self.scope });
        self.call_named(name, all, block)
    }

    /// Calls whatever has that name.
    pub(crate) fn call_named(
        &mut self,
        name: &str,
        arguments: Vec<Value>,
        block: Option<Block<'_>>,
    ) -> Outcome {
        if let Some(function) = functions::find(name) {
            let count = arguments.len();
            if !function.takes.holds(count as u64) {
                return Err(Raise::new(format!("'{name}' {}", argument_count(function.takes, count))));
            }
            match (function.block, block.is_some()) {
                (functions::Takes::Block, false) => {
                    return Err(Raise::new(format!("'{name}' expects a block")));
                }
                (functions::Takes::NoBlock, true) => {
                    return Err(Raise::new(format!("'{name}' does not take a block")));
                }
                _ => {}
            }
            return (function.run)(self, Call { name, arguments, block });
        }
        if let Some((unit, at)) = self.definition(crate::host::Kind::Function, name)? {
            if block.is_some() {
                return Err(Raise::new(format!(
                    "'{name}' is written in Puppet, and such functions take no block"
                )));
            }
            return self.run_function(&unit, at, &arguments).map_err(|raise| raise.through("function", name));
        }
        Err(self.unknown_function(name))
    }

    /// Whether there is a function of that name.
    pub(crate) fn has_function(&mut self, name: &str) -> Outcome<bool> {
        Ok(functions::find(name).is_some() || self.definition(crate::host::Kind::Function, name)?.is_some())
    }

    pub(super) fn unknown_function(&mut self, name: &str) -> Raise {
        match self.host.ruby(name) {
            Some(path) => Raise::new(format!(
                "Unknown function: '{name}'. {path} defines it in Ruby, which cannot run here; write it in Puppet, or \
                 call a program with the shell task"
            )),
            None => Raise::new(format!("Unknown function: '{name}'.")),
        }
    }

    fn run_function(&mut self, unit: &Arc<Unit>, at: usize, arguments: &[Value]) -> Outcome {
        let definition = &unit.definitions[at];
        let result = self.nested(|ev| {
            ev.scoped(None, |ev| {
                ev.bind(unit, &definition.parameters, arguments, &definition.name)?;
                ev.eval(unit, definition.body)
            })
        });
        let value = match result {
            Err(Raise::Return(value, _) | Raise::Next(value, _)) => value,
            Err(Raise::Break(spot)) => return Err(Raise::Error(Box::new(Raise::Break(spot).illegal()))),
            other => other?,
        };
        self.check_returned(unit, definition.returns, value, &definition.name)
    }

    /// What a result, a set of them or an error knows under a name.
    fn attribute(&mut self, of: &Value, name: &str, arguments: &[Value]) -> Outcome<Option<Value>> {
        let text = |text: &Text| Some(Value::String(text.clone()));
        Ok(match of {
            Value::TaskResult(result) => match name {
                "host" => text(&result.host),
                "result" => Some(Value::Hash(result.result.clone())),
                "value" => Some(result.value()),
                "ok" => Some(Value::Boolean(result.ok())),
                "fail_ok" => Some(Value::Boolean(result.fail_ok())),
                "type" => Some(result.result.at("type").cloned().unwrap_or(Value::Undef)),
                "error" => Some(result.error().map_or(Value::Undef, |error| Value::Error(Arc::new(error)))),
                "bolt_task_result" => Some(self.bolt_task_result(&result.value())?),
                _ => None,
            },
            Value::Error(error) => match name {
                "message" | "msg" => text(&error.message),
                "kind" => text(&error.kind),
                "details" => Some(error.details.clone()),
                "issue_code" => match &error.details {
                    Value::Hash(details) => Some(details.at("issue_code").cloned().unwrap_or(Value::Undef)),
                    _ => Some(Value::Undef),
                },
                _ => None,
            },
            Value::TaskResults(results) => self.attribute_of_results(&results.clone(), name, arguments)?,
            _ => None,
        })
    }

    fn attribute_of_results(
        &mut self,
        results: &TaskResults,
        name: &str,
        arguments: &[Value],
    ) -> Outcome<Option<Value>> {
        Ok(Some(match (name, arguments) {
            ("results", []) => self.list(results.results.clone())?,
            ("count", []) => Value::Integer(results.results.len() as i64),
            ("empty", []) => Value::Boolean(results.results.is_empty()),
            ("ok", []) => Value::Boolean(results.ok()),
            ("fail_ok", []) => Value::Boolean(results.fail_ok),
            ("message", []) => Value::String(results.message.clone()),
            ("first", []) => results.results.first().cloned().unwrap_or(Value::Undef),
            ("hosts", []) => {
                let hosts = results.hosts().map(|result| Value::String(result.host.clone())).collect();
                self.list(hosts)?
            }
            ("error_set" | "ok_set", []) => {
                self.work(results.results.len() as u64)?;
                Value::TaskResults(Arc::new(results.with_error(name == "error_set")?))
            }
            ("exception", []) => match &results.exception {
                Some(message) => Value::Error(Arc::new(crate::results::TaskError {
                    message: message.clone(),
                    kind: Text::literal("choria.playbook/exception"),
                    details: Value::Undef,
                })),
                None => Value::Undef,
            },
            ("find", [Value::String(host)]) => {
                self.work(results.results.len() as u64)?;
                let found = results.hosts().find(|result| result.host == *host);
                found.map_or(Value::Undef, |result| Value::TaskResult(result.clone()))
            }
            _ => return Ok(None),
        }))
    }

    /// What a Puppet Task printed, which is JSON in the `stdout` of its data.
    fn bolt_task_result(&mut self, value: &Value) -> Outcome {
        let stdout = match value {
            Value::Hash(value) => match value.at("data") {
                Some(Value::Hash(data)) => data.at("stdout").cloned(),
                _ => None,
            },
            _ => None,
        };
        let Some(Value::String(stdout)) = stdout else { return Ok(Value::Undef) };
        let json = serde_json::from_str(&stdout)
            .map_err(|e| Raise::new(format!("the output of the task is not JSON: {e}")))?;
        self.json(&json)
    }
}
