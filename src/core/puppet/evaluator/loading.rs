//! Plans, functions and types of modules, found by the host and parsed once.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{Evaluator, Outcome, Raise};
use crate::error::{Error, Fault};
use crate::host::Kind;
use crate::source::Source;
use crate::syntax::{Node, Unit};
use crate::types::{Declared, Type, mismatches};
use crate::value::{Text, Value};

/// A definition and the unit it stands in.
pub(super) type Loaded = (Arc<Unit>, usize);

/// What a plan takes.
#[derive(Debug, Clone)]
pub struct Signature {
    /// Its name.
    pub name: String,
    /// The file it stands in.
    pub file: String,
    /// In order.
    pub parameters: Vec<Parameter>,
    /// The comment before it.
    pub comment: Vec<String>,
}

/// A parameter of a plan.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub of: Type,
    /// Its default, as it is written.
    pub default: Option<String>,
}

impl Parameter {
    /// Whether a value has to be given.
    pub fn is_required(&self) -> bool {
        let mut matching = crate::types::Matching::new();
        self.default.is_none() && !crate::types::instance(&self.of, &Value::Undef, &mut matching)
    }
}

impl Evaluator<'_> {
    /// Definitions of a text that runs.
    pub(super) fn define_all(&mut self, unit: &Arc<Unit>) -> Outcome<()> {
        for (at, definition) in unit.definitions.iter().enumerate() {
            let kind = if definition.plan { Kind::Plan } else { Kind::Function };
            self.loaded.insert((kind, definition.name.clone()), Some((unit.clone(), at)));
        }
        for alias in &unit.aliases {
            self.aliases.declare(&alias.name);
        }
        for alias in &unit.aliases {
            let of = self.scoped(None, |ev| ev.type_at(unit, alias.of))?;
            self.aliases.define(&alias.name, of);
        }
        Ok(())
    }

    pub(super) fn definition(&mut self, kind: Kind, name: &str) -> Outcome<Option<Loaded>> {
        let key = (kind, Text::literal(name));
        if let Some(known) = self.loaded.get(&key) {
            return Ok(known.clone());
        }
        let Some(source) = self.host.source(kind, name)? else {
            self.loaded.insert(key, None);
            return Ok(None);
        };
        let unit = parsed(source)?;
        let plan = kind == Kind::Plan;
        let found = unit.definitions.iter().position(|d| d.plan == plan && d.name.as_str() == name);
        let Some(at) = found else {
            return Err(misplaced(&unit, if plan { "plan" } else { "function" }, name));
        };
        if let Some(more) = more(&unit, if plan { "plan" } else { "function" }, name) {
            return Err(Raise::Error(Box::new(more)));
        }
        self.loaded.insert(key, Some((unit.clone(), at)));
        Ok(Some((unit, at)))
    }

    pub(super) fn load_type(&mut self, name: &Text) -> Outcome<Option<Type>> {
        let Some(source) = self.host.source(Kind::Type, name)? else { return Ok(None) };
        let unit = parsed(source)?;
        let Some(alias) = unit.aliases.iter().find(|alias| alias.name == *name) else {
            return Err(misplaced(&unit, "type", name));
        };
        if let Some(more) = more(&unit, "type alias", name) {
            return Err(Raise::Error(Box::new(more)));
        }
        // known before its own type is looked at, which may hold it
        let of = self.aliases.declare(name);
        let target = self.nested(|ev| ev.scoped(None, |ev| ev.type_at(&unit, alias.of)));
        match target {
            Ok(target) => self.aliases.define(name, target),
            Err(e) => {
                self.aliases.forget(name);
                return Err(e);
            }
        }
        Ok(Some(of))
    }

    /// Whether there is such a plan; it need not parse.
    pub(crate) fn plan_exists(&mut self, name: &str) -> Outcome<bool> {
        if let Some(known) = self.loaded.get(&(Kind::Plan, Text::literal(name))) {
            return Ok(known.is_some());
        }
        Ok(self.host.source(Kind::Plan, name)?.is_some())
    }

    /// What a plan takes; none when there is no such plan.
    pub fn signature(&mut self, name: &str) -> Result<Option<Signature>, Error> {
        self.begin();
        self.signature_of(name).map_err(Raise::illegal)
    }

    fn signature_of(&mut self, name: &str) -> Outcome<Option<Signature>> {
        let Some((unit, at)) = self.definition(Kind::Plan, name)? else { return Ok(None) };
        let definition = &unit.definitions[at];
        let mut parameters = vec![];
        for parameter in &definition.parameters {
            let of = match parameter.of {
                Some(of) => self.scoped(None, |ev| ev.type_at(&unit, of))?,
                None => Type::any(),
            };
            let default = parameter.default.map(|id| {
                let span = unit.span(id);
                let text = unit.source.text.get(span.start as usize..span.end as usize);
                text.unwrap_or_default().to_owned()
            });
            parameters.push(Parameter { name: parameter.name.to_string(), of, default });
        }
        let comment = unit.source.comment_before(definition.span.start);
        Ok(Some(Signature {
            name: name.to_owned(),
            file: unit.source.file.to_string(),
            parameters,
            comment: comment.into_iter().map(str::to_owned).collect(),
        }))
    }

    /// Runs a plan with what it is given by name.
    pub(crate) fn run_plan(&mut self, name: &str, given: &IndexMap<Value, Value>) -> Outcome {
        self.run_known_plan(name, given).map_err(|raise| raise.through("plan", name))
    }

    fn run_known_plan(&mut self, name: &str, given: &IndexMap<Value, Value>) -> Outcome {
        let Some((unit, at)) = self.definition(Kind::Plan, name)? else {
            return Err(Raise::new(format!("Unknown playbook: '{name}'")));
        };
        let definition = &unit.definitions[at];
        for value in given.values().filter(|value| value.holds_secrets()) {
            self.host.hides(value);
        }
        let result = self.nested(|ev| {
            ev.scoped(None, |ev| {
                ev.give(&unit, at, given)?;
                ev.eval(&unit, definition.body)
            })
        });
        match result {
            Err(Raise::Return(value, _)) => Ok(value),
            Err(raise @ (Raise::Next(..) | Raise::Break(_))) => Err(Raise::Error(Box::new(raise.illegal()))),
            other => other,
        }
    }

    /// Gives the parameters of a plan their values. All complaints come at once.
    fn give(&mut self, unit: &Arc<Unit>, at: usize, given: &IndexMap<Value, Value>) -> Outcome<()> {
        let definition = &unit.definitions[at];
        let mut types = vec![];
        for parameter in &definition.parameters {
            types.push(match parameter.of {
                Some(of) => self.type_at(unit, of)?,
                None => Type::any(),
            });
        }
        // undef is as good as nothing where there is a default
        let mut values = given.clone();
        values.retain(|key, _| !key.as_str().is_some_and(|key| key.starts_with('_')));
        for parameter in definition.parameters.iter().filter(|parameter| parameter.default.is_some()) {
            let key = Value::String(parameter.name.clone());
            if values.get(&key) == Some(&Value::Undef) {
                values.shift_remove(&key);
            }
        }
        let declared: Vec<_> = definition
            .parameters
            .iter()
            .zip(&types)
            .map(|(parameter, of)| Declared {
                name: &parameter.name,
                of,
                optional: parameter.default.is_some() || parameter.of.is_none(),
            })
            .collect();
        self.work(values.values().map(Value::work).fold(1, u64::saturating_add))?;
        let wrong = mismatches(&declared, &values);
        if !wrong.is_empty() {
            return Err(Raise::new(format!("{}: {}", definition.name, wrong.join("; "))));
        }
        for (parameter, of) in definition.parameters.iter().zip(&types) {
            let value = match (values.get(&Value::String(parameter.name.clone())), parameter.default) {
                (Some(value), _) => value.clone(),
                (None, Some(default)) => {
                    let value = self.eval(unit, default)?;
                    self.check(of, &value, &format!("{}: parameter '{}'", definition.name, parameter.name))?;
                    value
                }
                (None, None) => Value::Undef,
            };
            self.assign(&parameter.name, value)?;
        }
        Ok(())
    }
}

fn parsed(source: Source) -> Outcome<Arc<Unit>> {
    crate::parser::parse(Arc::new(source)).map(Arc::new).map_err(|e| Raise::Error(Box::new(e)))
}

/// What a file has beside what its place says, which nothing would look at: another definition, or a statement.
pub(super) fn more(unit: &Unit, what: &str, name: &str) -> Option<Error> {
    let file = &unit.source.file;
    let kind = |plan: bool| if plan { "plan" } else { "function" };
    let definitions = unit.definitions.iter().map(|d| (kind(d.plan), d.name.as_str(), d.span));
    let aliases = unit.aliases.iter().map(|alias| ("type alias", alias.name.as_str(), alias.span));
    let mut others = definitions.chain(aliases).filter(|(kind, other, _)| (*kind, *other) != (what, name));
    let (message, at) = match (others.next(), unit.node(unit.body)) {
        (Some((_, other, span)), _) => (
            format!(
                "The code loaded from {file} must contain only the {what} '{name}' - it has additional definitions: \
                 '{other}' belongs into a file of its own"
            ),
            span.start,
        ),
        (None, Node::Block(statements)) if !statements.is_empty() => (
            format!(
                "The code loaded from {file} contains additional logic - can only contain the {what} '{name}'"
            ),
            unit.span(unit.body).start,
        ),
        _ => return None,
    };
    Some(Error { place: Some(unit.source.place(at)), ..Error::new(Fault::Evaluation(message)) })
}

/// A file does not define what its place says.
fn misplaced(unit: &Unit, what: &str, name: &str) -> Raise {
    let found = unit.definitions.iter().map(|d| (d.name.as_str(), d.span.start));
    let found = found.chain(unit.aliases.iter().map(|alias| (alias.name.as_str(), alias.span.start)));
    let (message, at) = match found.into_iter().next() {
        Some((other, at)) => (
            format!(
                "Unacceptable location. The name '{other}' is unacceptable in file '{}', which has to define the \
                 {what} '{name}'",
                unit.source.file
            ),
            at,
        ),
        None => (format!("the file defines no {what}; it has to define '{name}'"), 0),
    };
    let place = Some(unit.source.place(at));
    Raise::Error(Box::new(Error { place, ..Error::new(Fault::Evaluation(message)) }))
}
