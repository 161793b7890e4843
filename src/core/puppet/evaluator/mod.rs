//! Runs what was parsed. Host calls block: a run has a thread of its own.

mod access;
mod blocks;
mod calls;
mod check;
mod expressions;
mod loading;
mod matching;
pub(crate) mod operators;
mod scope;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indexmap::IndexMap;

pub(crate) use blocks::Block;
pub use loading::{Parameter, Signature};
use scope::Scope;

use crate::budget::{Budget, Exhausted, Limits, Stack};
use crate::error::{Called, Error, Fault};
use crate::host::{Host, Level, Trouble};
use crate::source::{Source, Span};
use crate::syntax::Unit;
use crate::types::Aliases;
use crate::value::{OutOfWork, Text, Value, write_inspected, write_shown};

/// Why an expression has no value.
#[derive(Debug)]
pub(crate) enum Raise {
    Error(Box<Error>),
    /// `next(v)`: the block ends.
    Next(Value, Option<Spot>),
    /// `break()`: what goes through something ends.
    Break(Option<Spot>),
    /// `return(v)`: the plan or function ends.
    Return(Value, Option<Spot>),
}

/// Where something was said; a [`crate::source::Place`] once somebody asks.
#[derive(Debug, Clone)]
pub(crate) struct Spot(Arc<Unit>, Span);

pub(crate) type Outcome<T = Value> = Result<T, Raise>;

impl Raise {
    /// Something is wrong; who called knows where.
    pub(crate) fn new(message: impl Into<String>) -> Raise {
        Raise::fault(Fault::Evaluation(message.into()))
    }

    pub(crate) fn fault(fault: Fault) -> Raise {
        Raise::Error(Box::new(Error::new(fault)))
    }

    /// With a place, where it has none yet.
    fn at(self, unit: &Arc<Unit>, span: Span) -> Raise {
        let here = || Some(Spot(unit.clone(), span));
        match self {
            Raise::Error(mut e) => {
                e.place.get_or_insert_with(|| unit.source.place(span.start));
                if let Some(called) = e.calls.last_mut() {
                    called.place.get_or_insert_with(|| unit.source.place(span.start));
                }
                Raise::Error(e)
            }
            Raise::Next(value, None) => Raise::Next(value, here()),
            Raise::Break(None) => Raise::Break(here()),
            Raise::Return(value, None) => Raise::Return(value, here()),
            other => other,
        }
    }

    /// It came out of a plan or a function.
    fn through(self, kind: &str, name: &str) -> Raise {
        match self {
            Raise::Error(mut e) => {
                if e.calls.len() < Error::MOST_CALLS {
                    e.calls.push(Called { what: format!("{kind} {name}"), place: None });
                }
                Raise::Error(e)
            }
            other => other,
        }
    }

    /// An error, where nothing may leave this way.
    fn illegal(self) -> Error {
        let (what, spot) = match self {
            Raise::Error(e) => return *e,
            Raise::Next(_, spot) => ("next", spot),
            Raise::Break(spot) => ("break", spot),
            Raise::Return(_, spot) => ("return", spot),
        };
        let mut error = Error::new(Fault::Evaluation(format!("{what}() from context where this is illegal")));
        error.place = spot.map(|Spot(unit, span)| unit.source.place(span.start));
        error
    }
}

impl From<Exhausted> for Raise {
    fn from(e: Exhausted) -> Raise {
        Raise::fault(e.into())
    }
}

impl From<OutOfWork> for Raise {
    fn from(e: OutOfWork) -> Raise {
        Raise::fault(Fault::Limit(e.to_string()))
    }
}

impl From<Trouble> for Raise {
    fn from(e: Trouble) -> Raise {
        Raise::fault(Fault::Host(e.0))
    }
}

/// Runs plans.
pub struct Evaluator<'h> {
    pub(crate) host: &'h mut dyn Host,
    pub(crate) budget: Budget,
    limits: Limits,
    steps: u64,
    output: usize,
    calls: u32,
    stack: Stack,
    cancelled: Arc<AtomicBool>,
    scopes: Vec<Scope>,
    /// The scope that runs.
    scope: usize,
    globals: Vec<(Text, Value)>,
    loaded: HashMap<(crate::host::Kind, Text), Option<loading::Loaded>>,
    aliases: Aliases,
    regexps: Vec<Arc<crate::value::Regexp>>,
}

impl<'h> Evaluator<'h> {
    /// A run with its bounds. Setting `cancelled` ends it at the next step.
    pub fn new(host: &'h mut dyn Host, limits: Limits, cancelled: Arc<AtomicBool>) -> Evaluator<'h> {
        let empty = || Value::Hash(Arc::new(crate::value::Hash::empty()));
        let globals = ["facts", "trusted", "server_facts"];
        Evaluator {
            host,
            budget: Budget::new(limits.memory),
            limits,
            steps: 0,
            output: 0,
            calls: 0,
            stack: Stack::here(limits.stack),
            cancelled,
            scopes: vec![],
            scope: 0,
            globals: globals.iter().map(|name| (Text::literal(name), empty())).collect(),
            loaded: HashMap::new(),
            aliases: Aliases::default(),
            regexps: vec![],
        }
    }

    /// The value of `$facts`.
    pub fn set_facts(&mut self, facts: &serde_json::Value) -> Result<(), Error> {
        let facts = Value::from_json(facts, &self.budget).map_err(|e| Error::new(e.into()))?;
        self.globals[0].1 = facts;
        Ok(())
    }

    /// Bytes that values of this run are charged to.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Runs a plan with named arguments. Those that begin with `_` are not for it.
    pub fn plan(&mut self, name: &str, arguments: &IndexMap<Value, Value>) -> Result<Value, Error> {
        self.begin();
        self.run_plan(name, arguments).map_err(Raise::illegal)
    }

    /// Runs the statements of a text.
    pub fn script(&mut self, source: Source) -> Result<Value, Error> {
        self.begin();
        let unit = Arc::new(crate::parser::parse(Arc::new(source))?);
        self.define_all(&unit).map_err(Raise::illegal)?;
        self.scopes.push(Scope::default());
        let result = self.eval(&unit, unit.body);
        self.scopes.clear();
        result.map_err(Raise::illegal)
    }

    fn begin(&mut self) {
        self.stack = Stack::here(self.limits.stack);
        self.calls = 0;
        self.scopes.clear();
        self.scope = 0;
    }

    /// So many steps more, if there are so many left and nobody wants an end.
    pub(crate) fn work(&mut self, steps: u64) -> Outcome<()> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Raise::fault(Fault::Cancelled));
        }
        self.steps = self.steps.saturating_add(steps);
        if self.steps > self.limits.steps {
            let message =
                format!("the plan takes more than {} steps; does something not end?", self.limits.steps);
            return Err(Raise::fault(Fault::Limit(message)));
        }
        Ok(())
    }

    /// Whether the stack has room for what calls itself.
    fn check_stack(&self) -> Outcome<()> {
        match self.stack.is_used_up() {
            true => Err(Raise::fault(Fault::Limit(
                "expressions or calls are nested too deeply; does a plan or a function call itself?"
                    .to_owned(),
            ))),
            false => Ok(()),
        }
    }

    /// One call deeper: a plan, a function or a block.
    fn nested<T>(&mut self, work: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        self.check_stack()?;
        if self.calls >= self.limits.calls {
            let message = format!(
                "calls are nested deeper than {} levels; does a plan or a function call itself?",
                self.limits.calls
            );
            return Err(Raise::fault(Fault::Limit(message)));
        }
        self.calls += 1;
        let result = work(self);
        self.calls -= 1;
        result
    }

    /// A message of the plan, unless it said too much already.
    pub(crate) fn log(&mut self, level: Level, message: &str) -> Outcome<()> {
        self.output = self.output.saturating_add(message.len() + 16);
        if self.output > self.limits.output {
            let message = format!("the plan logs more than {} MiB", self.limits.output >> 20);
            return Err(Raise::fault(Fault::Limit(message)));
        }
        self.host.log(level, message);
        Ok(())
    }

    /// Text of this run.
    pub(crate) fn text(&mut self, text: impl Into<String>) -> Outcome {
        let text = text.into();
        self.work(1 + text.len() as u64 / 64)?;
        Ok(Value::string(text, &self.budget)?)
    }

    /// A value as text takes it in.
    pub(crate) fn shown(&mut self, value: &Value) -> Outcome<Text> {
        match value {
            Value::String(text) => Ok(text.clone()),
            value => self.written(value, write_shown),
        }
    }

    /// A value as it could be written.
    pub(crate) fn inspected(&mut self, value: &Value) -> Outcome<Text> {
        self.written(value, write_inspected)
    }

    fn written(
        &mut self,
        value: &Value,
        write: fn(&mut dyn std::fmt::Write, &Value) -> std::fmt::Result,
    ) -> Outcome<Text> {
        self.work(value.work())?;
        let mut writer = self.budget.writer();
        // what went wrong is in the writer
        let _ = write(&mut writer, value);
        Ok(Text::written(writer)?)
    }

    /// A list of this run.
    pub(crate) fn list(&mut self, items: Vec<Value>) -> Outcome {
        self.work(items.len() as u64)?;
        Ok(Value::array(items, &self.budget)?)
    }

    /// A hash of this run.
    pub(crate) fn map(&mut self, entries: IndexMap<Value, Value>) -> Outcome {
        self.work(entries.len() as u64)?;
        Ok(Value::hash(entries, &self.budget)?)
    }

    /// A value of JSON.
    pub(crate) fn json(&mut self, json: &serde_json::Value) -> Outcome {
        Ok(Value::from_json(json, &self.budget)?)
    }
}
