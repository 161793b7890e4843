//! Types from their names and parameters.

use std::sync::Arc;

use super::{Count, Kind, Member, Presence, Span, Type};
use crate::budget::Exhausted;
use crate::value::{Regexp, Text, Value, brief};
use crate::versions::Range;

/// The type of a name without parameters, if the language has it.
pub(crate) fn plain(name: &str) -> Option<Type> {
    let any = Type::any;
    let kind = match name {
        "Any" => Kind::Any,
        "Undef" => Kind::Undef,
        "NotUndef" => Kind::NotUndef(None),
        "Default" => Kind::Default,
        "Scalar" => Kind::Scalar,
        "ScalarData" => Kind::ScalarData,
        "Data" => Kind::Data,
        "RichData" => Kind::RichData,
        "Numeric" => Kind::Numeric,
        "Integer" => Kind::Integer(Span::ALL),
        "Float" => Kind::Float(None, None),
        "String" => Kind::String(Count::ANY),
        "Boolean" => Kind::Boolean(None),
        "Enum" => Kind::Enum(vec![], false),
        "Pattern" => Kind::Pattern(vec![]),
        "Regexp" => Kind::Regexp(None),
        "Array" => Kind::Array(any(), Count::ANY),
        "Hash" => Kind::Hash(any(), any(), Count::ANY),
        "Tuple" => Kind::Tuple(vec![], None),
        "Struct" => Kind::Struct(vec![]),
        "Variant" => Kind::Variant(vec![]),
        "Optional" => Kind::Optional(any()),
        "Type" => Kind::Type(None),
        "Callable" => Kind::Callable(vec![], None),
        "Iterable" | "Iterator" => Kind::Iterable(None),
        "Collection" => Kind::Collection(Count::ANY),
        "Sensitive" => Kind::Sensitive(None),
        "Timestamp" => Kind::Timestamp,
        "Timespan" => Kind::Timespan,
        "SemVer" => Kind::SemVer(vec![]),
        "SemVerRange" => Kind::SemVerRange,
        "Binary" => Kind::Binary,
        "Error" => Kind::Error,
        "Choria::TaskResult" => Kind::TaskResult,
        "Choria::TaskResults" => Kind::TaskResults,
        "CatalogEntry" => Kind::Catalog("CatalogEntry"),
        "Resource" => Kind::Catalog("Resource"),
        "Class" => Kind::Catalog("Class"),
        _ => return None,
    };
    Some(match kind {
        Kind::Array(..) | Kind::Hash(..) | Kind::Optional(_) => Type::new(kind).ok()?,
        leaf => Type::leaf(leaf),
    })
}

/// What is wrong with the parameters of a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("{0}")]
    Wrong(String),
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
}

fn wrong<T>(message: String) -> Result<T, BuildError> {
    Err(BuildError::Wrong(message))
}

/// A type with parameters: `base[parameters]`.
pub(crate) fn built(base: &Type, parameters: &[Value]) -> Result<Type, BuildError> {
    let takes = |what: &str| wrong::<Kind>(format!("{base} takes {what}, not [{}]", listed(parameters)));
    let kind = match base.kind() {
        Kind::NotUndef(None) => match parameters {
            [Value::Type(of)] => Kind::NotUndef(Some(of.clone())),
            [Value::String(word)] => Kind::NotUndef(Some(Type::leaf(Kind::Enum(vec![word.clone()], false)))),
            _ => takes("one type")?,
        },
        Kind::Optional(_) => match parameters {
            [Value::Type(of)] => Kind::Optional(of.clone()),
            [Value::String(word)] => Kind::Optional(Type::leaf(Kind::Enum(vec![word.clone()], false))),
            _ => takes("one type")?,
        },
        Kind::Type(None) => match parameters {
            [Value::Type(of)] => Kind::Type(Some(of.clone())),
            _ => takes("one type")?,
        },
        Kind::Sensitive(None) => match parameters {
            [Value::Type(of)] => Kind::Sensitive(Some(of.clone())),
            _ => takes("one type")?,
        },
        Kind::Iterable(None) => match parameters {
            [Value::Type(of)] => Kind::Iterable(Some(of.clone())),
            _ => takes("one type")?,
        },
        Kind::Integer(_) => match parameters {
            [] => takes("a least and a most Integer")?,
            [least] | [least, Value::Default] => Kind::Integer(integers(base, least, &Value::Default)?),
            [least, most] => Kind::Integer(integers(base, least, most)?),
            _ => takes("a least and a most Integer")?,
        },
        Kind::Float(..) => {
            let bound = |value: Option<&Value>| match value {
                None | Some(Value::Default) => Ok(None),
                Some(Value::Integer(n)) => Ok(crate::value::Float::new(*n as f64)),
                Some(Value::Float(n)) => Ok(Some(*n)),
                Some(other) => wrong(format!("{base} takes numbers, not {}", brief(other))),
            };
            if parameters.is_empty() || parameters.len() > 2 {
                takes("a least and a most number")?;
            }
            let (least, most) = (bound(parameters.first())?, bound(parameters.get(1))?);
            if let (Some(least), Some(most)) = (least, most)
                && least.get() > most.get()
            {
                return wrong(format!("{base} has a least that is more than its most"));
            }
            Kind::Float(least, most)
        }
        Kind::String(_) => match parameters {
            [Value::Type(of)] => match of.kind() {
                Kind::Integer(span) => Kind::String(size_of_span(base, *span)?),
                _ => takes("a least and a most length")?,
            },
            [_] | [_, _] => Kind::String(count(base, parameters)?),
            _ => takes("a least and a most length")?,
        },
        Kind::Collection(_) => Kind::Collection(count(base, parameters)?),
        Kind::Boolean(None) => match parameters {
            [Value::Boolean(b)] => Kind::Boolean(Some(*b)),
            _ => takes("true or false")?,
        },
        Kind::Enum(..) => enumeration(base, parameters)?,
        Kind::Pattern(_) => {
            let mut patterns = vec![];
            for parameter in parameters {
                match parameter {
                    Value::Regexp(regexp) => patterns.push(regexp.clone()),
                    Value::String(text) => {
                        let regexp =
                            Regexp::new(text).map_err(|e| BuildError::Wrong(format!("/{text}/: {e}")))?;
                        patterns.push(Arc::new(regexp));
                    }
                    Value::Type(of) => match of.kind() {
                        Kind::Pattern(more) => patterns.extend(more.iter().cloned()),
                        Kind::Regexp(Some(text)) => {
                            let regexp =
                                Regexp::new(text).map_err(|e| BuildError::Wrong(format!("/{text}/: {e}")))?;
                            patterns.push(Arc::new(regexp));
                        }
                        _ => drop(takes("regular expressions")?),
                    },
                    _ => drop(takes("regular expressions")?),
                }
            }
            if patterns.is_empty() {
                takes("regular expressions")?;
            }
            Kind::Pattern(patterns)
        }
        Kind::Regexp(None) => match parameters {
            [Value::Regexp(regexp)] => Kind::Regexp(Some(Text::literal(regexp.text()))),
            [Value::String(text)] => Kind::Regexp(Some(text.clone())),
            _ => takes("one regular expression")?,
        },
        Kind::Array(..) => match parameters {
            [Value::Type(of), rest @ ..] if rest.len() <= 2 => Kind::Array(of.clone(), count(base, rest)?),
            [_, ..] if parameters.len() <= 2 => Kind::Array(Type::any(), count(base, parameters)?),
            _ => takes("a type, a least and a most size")?,
        },
        Kind::Hash(..) => match parameters {
            [Value::Type(key), Value::Type(value), rest @ ..] if rest.len() <= 2 => {
                Kind::Hash(key.clone(), value.clone(), count(base, rest)?)
            }
            [a, ..] if parameters.len() <= 2 && !matches!(a, Value::Type(_)) => {
                Kind::Hash(Type::any(), Type::any(), count(base, parameters)?)
            }
            _ => takes("two types, a least and a most size")?,
        },
        Kind::Tuple(..) => {
            let (types, size) = types_and_size(base, parameters)?;
            if types.is_empty() {
                takes("types, and a least and a most size")?;
            }
            Kind::Tuple(types, size)
        }
        Kind::Callable(..) => {
            let (types, size) = types_and_size(base, parameters)?;
            Kind::Callable(types, size)
        }
        Kind::Variant(_) => {
            let mut types = vec![];
            for parameter in parameters {
                match parameter {
                    Value::Type(of) => types.push(of.clone()),
                    _ => drop(takes("types")?),
                }
            }
            if types.is_empty() {
                takes("types")?;
            }
            Kind::Variant(types)
        }
        Kind::Struct(_) => structure(base, parameters)?,
        Kind::SemVer(_) => {
            let mut ranges = vec![];
            for parameter in parameters {
                match parameter {
                    Value::SemVerRange(range) => ranges.push(range.clone()),
                    Value::String(text) => {
                        ranges.push(Arc::new(Range::parse(text).map_err(BuildError::Wrong)?))
                    }
                    _ => drop(takes("ranges of versions")?),
                }
            }
            Kind::SemVer(ranges)
        }
        // the bounds of times are not looked at by anything a plan does
        Kind::Catalog(name) => {
            return wrong(format!("{name}[…] is only available when compiling a catalog, not in a plan"));
        }
        _ => return wrong(format!("{base} takes no parameters, got [{}]", listed(parameters))),
    };
    Ok(Type::new(kind)?)
}

fn listed(parameters: &[Value]) -> String {
    let mut text = parameters.iter().take(5).map(|value| inspected(value).chars().take(80).collect());
    let first: String = text.next().unwrap_or_default();
    text.fold(first, |all, next| format!("{all}, {next}"))
}

fn integers(base: &Type, least: &Value, most: &Value) -> Result<Span<i64>, BuildError> {
    let bound = |value: &Value, otherwise: i64| match value {
        Value::Default => Ok(otherwise),
        Value::Integer(n) => Ok(*n),
        other => wrong(format!("{base} takes integers, not {}", inspected(other))),
    };
    let span = Span { least: bound(least, i64::MIN)?, most: bound(most, i64::MAX)? };
    match span.least <= span.most {
        true => Ok(span),
        false => {
            wrong(format!("Integer[{}, {}] has a least that is more than its most", span.least, span.most))
        }
    }
}

fn size_of_span(base: &Type, span: Span<i64>) -> Result<Count, BuildError> {
    let least = span.least.max(0) as u64;
    match span.most {
        i64::MAX => Ok(Span { least, most: u64::MAX }),
        most if most >= 0 => Ok(Span { least, most: most as u64 }),
        _ => wrong(format!("{base} has a size below zero")),
    }
}

fn count(base: &Type, parameters: &[Value]) -> Result<Count, BuildError> {
    let span = match parameters {
        [] => return Ok(Count::ANY),
        [Value::Type(of)] => match of.kind() {
            Kind::Integer(span) => *span,
            _ => return wrong(format!("{base} takes a size in integers, not {of}")),
        },
        [least] => integers(base, least, &Value::Default)?,
        [least, most, ..] => integers(base, least, most)?,
    };
    if span.least < 0 && span.least != i64::MIN {
        return wrong(format!("{base} has a size below zero"));
    }
    size_of_span(base, span)
}

fn enumeration(base: &Type, parameters: &[Value]) -> Result<Kind, BuildError> {
    let (words, any_case) = match parameters {
        [words @ .., Value::Boolean(any_case)] => (words, *any_case),
        words => (words, false),
    };
    // one list of words is as good as the words
    let words = match words {
        [Value::Array(words)] => words,
        words => words,
    };
    let mut found: Vec<Text> = vec![];
    for word in words {
        match word {
            Value::String(word) => found.push(word.clone()),
            other => return wrong(format!("{base} takes words, not {}", inspected(other))),
        }
    }
    match found.is_empty() {
        true => wrong(format!("{base} takes words, and has none")),
        false => Ok(Kind::Enum(found, any_case)),
    }
}

fn types_and_size(base: &Type, parameters: &[Value]) -> Result<(Vec<Type>, Option<Count>), BuildError> {
    let split =
        parameters.iter().position(|value| !matches!(value, Value::Type(_))).unwrap_or(parameters.len());
    let (types, rest) = parameters.split_at(split);
    let types = types.iter().filter_map(|value| match value {
        Value::Type(of) => Some(of.clone()),
        _ => None,
    });
    if rest.len() > 2 {
        return wrong(format!("{base} takes types, and a least and a most size"));
    }
    let size = if rest.is_empty() { None } else { Some(count(base, rest)?) };
    Ok((types.collect(), size))
}

fn structure(base: &Type, parameters: &[Value]) -> Result<Kind, BuildError> {
    let [Value::Hash(entries)] = parameters else {
        return wrong(format!("{base} takes one hash of keys and types, not [{}]", listed(parameters)));
    };
    let mut members: Vec<Member> = vec![];
    for (key, value) in entries.iter() {
        let Value::Type(of) = value else {
            return wrong(format!("{base} takes types, not {}", inspected(value)));
        };
        let one_word = |of: &Type| match of.kind() {
            Kind::Enum(words, false) if words.len() == 1 => Some(words[0].clone()),
            Kind::String(count) if *count == Count::ANY => None,
            _ => None,
        };
        let (name, presence) = match key {
            Value::String(name) => (name.clone(), Presence::Plain),
            Value::Type(key) => match key.kind() {
                Kind::Optional(inner) => match one_word(inner) {
                    Some(name) => (name, Presence::Optional),
                    None => return wrong(format!("{base} has no key {key}; a key is Optional['word']")),
                },
                Kind::NotUndef(Some(inner)) => match one_word(inner) {
                    Some(name) => (name, Presence::Required),
                    None => return wrong(format!("{base} has no key {key}; a key is NotUndef['word']")),
                },
                _ => return wrong(format!("{base} has no key {key}")),
            },
            other => return wrong(format!("{base} has no key {}", inspected(other))),
        };
        if members.iter().any(|member| member.name == name) {
            return wrong(format!("{base} has the key '{name}' twice"));
        }
        members.push(Member { name, presence, of: of.clone() });
    }
    Ok(Kind::Struct(members))
}

/// The beginning of a value, with quotes where it is text.
fn inspected(value: &Value) -> String {
    match value {
        Value::String(_) => format!("'{}'", brief(value)),
        value => brief(value),
    }
}
