//! Types from text, where nothing runs: the metadata of tasks.

use std::sync::Arc;

use indexmap::IndexMap;

use super::build::BuildError;
use super::{Aliases, Kind, Type, built, built_in, plain};
use crate::budget::{Budget, DEPTH};
use crate::parser::parse_expression;
use crate::source::Source;
use crate::syntax::{Id, Node, Unit};
use crate::value::{Float, Text, Value};

/// Longest text of a type.
const LONGEST: usize = 8_192;

/// Bytes of all that stands in the brackets of one.
const MEMORY: usize = 1 << 20;

/// A text is not a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// It is not even the language.
    #[error("{0}")]
    Syntax(String),
    /// It is something else.
    #[error("'{0}' is not a type, as 'String', 'Integer[1, 10]' and 'Enum[a, b]' are")]
    NotAType(String),
    /// A type with parameters that it does not take.
    #[error("{0}")]
    Parameters(String),
}

/// The type that a text names, and the names in it that nobody knows: they stand for
/// anything, since they come from modules that are not here.
pub fn parse(text: &str, aliases: &mut Aliases) -> Result<(Type, Vec<String>), TypeError> {
    if text.len() > LONGEST {
        return Err(TypeError::Syntax(format!("a type has more than {LONGEST} bytes")));
    }
    let unit =
        parse_expression(Arc::new(Source::new("type", text))).map_err(|e| TypeError::Syntax(e.message()))?;
    let mut constant =
        Constant { unit: &unit, aliases, unknown: vec![], budget: Budget::new(MEMORY), depth: 0 };
    let value = constant.value(unit.body)?;
    let unknown = constant.unknown;
    match value {
        Value::Type(of) => Ok((of, unknown)),
        _ => Err(TypeError::NotAType(text.chars().take(80).collect())),
    }
}

impl Aliases {
    /// A type of the language, or a name that is known.
    pub fn named(&mut self, name: &str) -> Option<Type> {
        if let Some(of) = plain(name) {
            return Some(of);
        }
        if let Some(of) = self.get(name) {
            return Some(of);
        }
        let text = built_in(name)?;
        // declared first: some hold themselves
        let alias = self.declare(&Text::literal(name));
        let (of, _) = parse(text, self).ok()?;
        self.define(name, of);
        Some(alias)
    }
}

struct Constant<'u> {
    unit: &'u Unit,
    aliases: &'u mut Aliases,
    unknown: Vec<String>,
    budget: Budget,
    depth: u16,
}

impl Constant<'_> {
    fn value(&mut self, id: Id) -> Result<Value, TypeError> {
        if self.depth >= DEPTH {
            return Err(TypeError::Syntax(format!("a type is nested deeper than {DEPTH} levels")));
        }
        self.depth += 1;
        let value = self.value_here(id);
        self.depth -= 1;
        value
    }

    fn values(&mut self, ids: &[Id]) -> Result<Vec<Value>, TypeError> {
        ids.iter().map(|id| self.value(*id)).collect()
    }

    fn value_here(&mut self, id: Id) -> Result<Value, TypeError> {
        let exhausted = |e: crate::budget::Exhausted| TypeError::Parameters(e.to_string());
        Ok(match self.unit.node(id) {
            Node::Undef => Value::Undef,
            Node::Default => Value::Default,
            Node::Boolean(b) => Value::Boolean(*b),
            Node::Integer(n) => Value::Integer(*n),
            Node::Float(n) => Float::new(*n).map_or(Value::Undef, Value::Float),
            Node::String(text) | Node::Name(text) => Value::String(text.clone()),
            Node::Regexp(regexp) => Value::Regexp(regexp.clone()),
            Node::Negate(inner) => match self.value(*inner)? {
                Value::Integer(n) => Value::Integer(n.wrapping_neg()),
                Value::Float(n) => Float::new(-n.get()).map_or(Value::Undef, Value::Float),
                _ => return Err(TypeError::NotAType("-".to_owned())),
            },
            Node::Array(items) => {
                let items = self.values(items)?;
                Value::array(items, &self.budget).map_err(exhausted)?
            }
            Node::Hash(pairs) => {
                let mut entries = IndexMap::new();
                for (key, value) in pairs {
                    entries.insert(self.value(*key)?, self.value(*value)?);
                }
                Value::hash(entries, &self.budget).map_err(exhausted)?
            }
            Node::Type(name) => Value::Type(match self.aliases.named(name) {
                Some(of) => of,
                None => {
                    self.unknown.push(name.to_string());
                    Type::any()
                }
            }),
            Node::Index(of, parameters) => {
                let Value::Type(base) = self.value(*of)? else {
                    return Err(TypeError::NotAType("…[…]".to_owned()));
                };
                let parameters = self.values(parameters)?;
                // what an unknown name takes is unknown too
                if *base.kind() == Kind::Any && !self.unknown.is_empty() {
                    return Ok(Value::Type(base));
                }
                let of = built(&base, &parameters).map_err(|e| match e {
                    BuildError::Wrong(message) => TypeError::Parameters(message),
                    BuildError::Exhausted(e) => exhausted(e),
                })?;
                Value::Type(of)
            }
            _ => {
                let span = self.unit.span(id);
                let text = self.unit.source.text.get(span.start as usize..span.end as usize);
                return Err(TypeError::NotAType(text.unwrap_or_default().chars().take(80).collect()));
            }
        })
    }
}
