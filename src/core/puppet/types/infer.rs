//! The narrowest type of a value.

use std::sync::Arc;

use super::{Count, Kind, Member, Presence, Span, Type};
use crate::budget::Exhausted;
use crate::value::{Text, Value};

/// Most items and entries that a type names one by one.
const NAMED: usize = 1_000;

/// The type that `type()` gives.
pub(crate) fn infer(value: &Value) -> Result<Type, Exhausted> {
    let kind = match value {
        Value::Undef => Kind::Undef,
        Value::Default => Kind::Default,
        Value::Boolean(b) => Kind::Boolean(Some(*b)),
        Value::Integer(n) => Kind::Integer(Span { least: *n, most: *n }),
        Value::Float(n) => Kind::Float(Some(*n), Some(*n)),
        Value::String(text) => Kind::Text(text.clone()),
        Value::Regexp(regexp) => Kind::Regexp(Some(Text::literal(regexp.text()))),
        Value::Array(items) if items.is_empty() => Kind::Array(Type::leaf(Kind::Undef), Count::exactly(0)),
        Value::Array(items) if items.len() > NAMED => Kind::Array(Type::any(), Count::exactly(items.len())),
        Value::Array(items) => Kind::Tuple(items.iter().map(infer).collect::<Result<_, _>>()?, None),
        Value::Hash(hash) => {
            let words = hash.len() <= NAMED
                && hash.entries().keys().all(|key| key.as_str().is_some_and(|key| !key.is_empty()));
            if hash.is_empty() {
                Kind::Hash(Type::leaf(Kind::Undef), Type::leaf(Kind::Undef), Count::exactly(0))
            } else if words {
                let mut members = vec![];
                for (key, value) in hash.iter() {
                    let Value::String(name) = key else { continue };
                    members.push(Member { name: name.clone(), presence: Presence::Plain, of: infer(value)? });
                }
                Kind::Struct(members)
            } else {
                Kind::Hash(Type::any(), Type::any(), Count::exactly(hash.len()))
            }
        }
        Value::Type(of) => Kind::Type(Some(of.clone())),
        Value::Sensitive(inner) => Kind::Sensitive(Some(general(&infer(inner.reveal())?)?)),
        Value::Timestamp(_) => Kind::Timestamp,
        Value::Timespan(_) => Kind::Timespan,
        Value::SemVer(version) => match crate::versions::Range::parse(&version.to_string()) {
            Ok(range) => Kind::SemVer(vec![Arc::new(range)]),
            Err(_) => Kind::SemVer(vec![]),
        },
        Value::SemVerRange(_) => Kind::SemVerRange,
        Value::Binary(_) => Kind::Binary,
        Value::Error(_) => Kind::Error,
        Value::TaskResult(_) => Kind::TaskResult,
        Value::TaskResults(_) => Kind::TaskResults,
    };
    Type::new(kind)
}

/// A type without bounds and values.
pub(crate) fn general(of: &Type) -> Result<Type, Exhausted> {
    let kind = match of.kind() {
        Kind::Integer(_) => Kind::Integer(Span::ALL),
        Kind::Float(..) => Kind::Float(None, None),
        Kind::Text(_) | Kind::String(_) => Kind::String(Count::ANY),
        Kind::Boolean(_) => Kind::Boolean(None),
        Kind::Regexp(_) => Kind::Regexp(None),
        Kind::SemVer(_) => Kind::SemVer(vec![]),
        Kind::Array(of, _) => Kind::Array(general(of)?, Count::ANY),
        Kind::Hash(key, value, _) => Kind::Hash(general(key)?, general(value)?, Count::ANY),
        _ => return Ok(of.clone()),
    };
    Type::new(kind)
}
