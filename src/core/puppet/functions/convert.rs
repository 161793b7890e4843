//! New values of a type: `Integer('3')`, `convert_to`, `new`.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{Builtin, Call, MANY, maybe_block, plain, type_name};
use crate::evaluator::operators::{Number, float, integer};
use crate::evaluator::{Evaluator, Outcome, Raise};
use crate::types::{Kind, Type};
use crate::value::{List, Value, brief};
use crate::versions::{Range, Version};

pub(super) const FUNCTIONS: &[Builtin] = &[
    maybe_block("new", 1, MANY, |ev, call| {
        let Value::Type(of) = call.get(0).clone() else { return Err(call.mismatch(0, "Type")) };
        let made = new(ev, &of, &call.arguments[1..])?;
        with(ev, &call, made)
    }),
    maybe_block("convert_to", 2, MANY, |ev, call| {
        let Value::Type(of) = call.get(1).clone() else { return Err(call.mismatch(1, "Type")) };
        let mut arguments = vec![call.get(0).clone()];
        arguments.extend_from_slice(&call.arguments[2..]);
        let made = new(ev, &of, &arguments)?;
        with(ev, &call, made)
    }),
    plain("any2array", 0, MANY, |ev, call| match call.arguments.as_slice() {
        [Value::Array(items)] => Ok(Value::Array(items.clone())),
        [Value::Hash(hash)] => {
            let all = hash.iter().flat_map(|(key, value)| [key.clone(), value.clone()]).collect();
            ev.list(all)
        }
        all => ev.list(all.to_vec()),
    }),
    plain("str2bool", 1, 1, |_, call| match call.get(0) {
        Value::Boolean(b) => Ok(Value::Boolean(*b)),
        _ => {
            let text = call.text(0)?;
            match text.to_lowercase().as_str() {
                "1" | "t" | "y" | "true" | "yes" => Ok(Value::Boolean(true)),
                "0" | "f" | "n" | "false" | "no" | "undef" | "undefined" => Ok(Value::Boolean(false)),
                blank if blank.trim().is_empty() => Ok(Value::Boolean(false)),
                _ => Err(Raise::new(format!(
                    "str2bool(): Unknown type of boolean given: '{}'",
                    brief(call.get(0))
                ))),
            }
        }
    }),
    maybe_block("unwrap", 1, 1, |ev, call| {
        let value = match call.get(0) {
            Value::Sensitive(inner) => inner.reveal().clone(),
            other => other.clone(),
        };
        with(ev, &call, value)
    }),
];

/// A value, or what a block makes of it.
fn with(ev: &mut Evaluator<'_>, call: &Call<'_>, value: Value) -> Outcome {
    match &call.block {
        Some(block) => ev.call(block, &[value]),
        None => Ok(value),
    }
}

/// Pairs of a list that becomes a hash: lists of two, or keys and values by turns.
pub(crate) fn pairs_of(items: &List) -> Option<Vec<(Value, Value)>> {
    let both = |item: &Value| match item {
        Value::Array(pair) if pair.len() == 2 => Some((pair[0].clone(), pair[1].clone())),
        _ => None,
    };
    let all: Option<Vec<_>> = items.iter().map(both).collect();
    all.or_else(|| {
        let turns = items.len().is_multiple_of(2).then(|| items.chunks_exact(2));
        turns.map(|turns| turns.map(|pair| (pair[0].clone(), pair[1].clone())).collect())
    })
}

/// The number that a text is, as Puppet reads them: `0x`, `0b`, leading zeros are octal.
pub(crate) fn number_of_text(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest.trim_start()),
        None => (false, text),
    };
    let whole = |digits: &str, radix| {
        let plain = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        plain.then(|| i128::from_str_radix(digits, radix).ok()).flatten()
    };
    let sign = if negative { -1 } else { 1 };
    let lower = digits.to_ascii_lowercase();
    let n = if let Some(digits) = lower.strip_prefix("0x") {
        whole(digits, 16)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        whole(digits, 2)
    } else if lower.len() > 1 && lower.starts_with('0') && !lower.contains(['.', 'e']) {
        whole(&lower[1..], 8)
    } else {
        whole(&lower, 10)
    };
    if let Some(n) = n {
        return i64::try_from(n * sign).ok().map(Number::Integer);
    }
    let begins = digits.starts_with(|c: char| c.is_ascii_digit()) && digits.contains(['.', 'e', 'E']);
    let n: f64 = begins.then(|| digits.parse().ok()).flatten()?;
    (n.is_finite() && digits.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b)))
        .then_some(Number::Float(n * sign as f64))
}

fn cannot(function: &str, value: &Value, of: &str) -> Raise {
    Raise::new(match value {
        Value::String(_) => format!("'{function}' The string '{}' cannot be converted to {of}", brief(value)),
        other => format!("'{function}' Value of type {} cannot be converted to {of}", type_name(other)),
    })
}

/// A new value of a type.
pub(crate) fn new(ev: &mut Evaluator<'_>, of: &Type, arguments: &[Value]) -> Outcome {
    let Some(value) = arguments.first() else {
        return Err(Raise::new(format!("'new' expects at least 1 argument for {of}, got none")));
    };
    ev.work(value.work())?;
    let target = of.resolved().unwrap_or_else(|| of.clone());
    let made = match target.kind() {
        Kind::Integer(_) => integer_of(value, arguments.get(1), arguments.get(2))?,
        Kind::Float(..) => float_of(value)?,
        Kind::Numeric => match value {
            Value::String(text) => match number_of_text(text) {
                Some(Number::Integer(n)) => Value::Integer(n),
                Some(Number::Float(n)) => float(n)?,
                None => return Err(cannot("new_numeric", value, "Numeric")),
            },
            Value::Integer(_) | Value::Float(_) => value.clone(),
            other => integer_of(other, None, None)?,
        },
        Kind::String(_) => string_of(ev, value, arguments.get(1))?,
        Kind::Boolean(_) => boolean(value)?,
        Kind::Array(..) | Kind::Tuple(..) => array_of(ev, value, arguments.get(1))?,
        Kind::Hash(..) | Kind::Struct(_) => hash_of(ev, value)?,
        Kind::Sensitive(_) => match value {
            Value::Sensitive(_) => value.clone(),
            value => {
                let secret = Value::sensitive(value.clone())?;
                ev.host.hides(&secret);
                secret
            }
        },
        Kind::Timestamp => super::time::timestamp(value, arguments.get(1))?,
        Kind::Timespan => super::time::timespan(value)?,
        Kind::SemVer(_) => match value {
            Value::String(text) => match Version::parse(text) {
                Some(version) => Value::SemVer(Arc::new(version)),
                None => return Err(cannot("new_semver", value, "SemVer")),
            },
            Value::SemVer(_) => value.clone(),
            _ => return Err(cannot("new_semver", value, "SemVer")),
        },
        Kind::SemVerRange => match value {
            Value::String(text) => Value::SemVerRange(Arc::new(Range::parse(text).map_err(Raise::new)?)),
            Value::SemVerRange(_) => value.clone(),
            _ => return Err(cannot("new_semverrange", value, "SemVerRange")),
        },
        Kind::Regexp(_) => match value {
            Value::String(text) => {
                let regexp =
                    crate::value::Regexp::new(text).map_err(|e| Raise::new(format!("/{text}/: {e}")))?;
                Value::Regexp(Arc::new(regexp))
            }
            Value::Regexp(_) => value.clone(),
            _ => return Err(cannot("new_regexp", value, "Regexp")),
        },
        Kind::Binary => match value {
            Value::Binary(_) => value.clone(),
            Value::String(text) => {
                let bytes = super::encoding::decoded(text).map_err(Raise::new)?;
                Value::binary(bytes, &ev.budget)?
            }
            _ => return Err(cannot("new_binary", value, "Binary")),
        },
        Kind::Optional(inner) | Kind::NotUndef(Some(inner)) => match value {
            Value::Undef if matches!(target.kind(), Kind::Optional(_)) => Value::Undef,
            _ => new(ev, &inner.clone(), arguments)?,
        },
        Kind::Undef | Kind::Default | Kind::Variant(_) | Kind::Any => {
            return Err(Raise::new(format!("Creation of new instance of type '{of}' is not supported")));
        }
        _ => value.clone(),
    };
    match ev.is_instance(of, &made)? {
        true => Ok(made),
        false => Err(Raise::new(crate::types::describe("Converted value from", of, &made).join("; "))),
    }
}

fn integer_of(value: &Value, radix: Option<&Value>, absolute: Option<&Value>) -> Outcome {
    let made = match value {
        Value::Integer(n) => *n,
        Value::Boolean(b) => i64::from(*b),
        Value::Float(n) if n.get().abs() < 9.2e18 => n.get() as i64,
        Value::Timestamp(nanos) | Value::Timespan(nanos) => nanos.div_euclid(1_000_000_000),
        Value::String(text) => {
            let radix = match radix {
                None | Some(Value::Default | Value::Undef) => None,
                Some(Value::Integer(radix @ (2 | 8 | 10 | 16))) => Some(*radix as u32),
                Some(other) => {
                    return Err(Raise::new(format!(
                        "Illegal radix: {}, expected 2, 8, 10, 16, or default",
                        brief(other)
                    )));
                }
            };
            let found = match radix {
                None => match number_of_text(text) {
                    Some(Number::Integer(n)) => Some(n),
                    Some(Number::Float(n)) if n.abs() < 9.2e18 => Some(n as i64),
                    _ => None,
                },
                Some(radix) => {
                    let lower = text.to_lowercase();
                    let (sign, digits) = match lower.strip_prefix('-') {
                        Some(rest) => ("-", rest),
                        None => ("", lower.strip_prefix('+').unwrap_or(&lower)),
                    };
                    let digits = match radix {
                        16 => digits.strip_prefix("0x").unwrap_or(digits),
                        2 => digits.strip_prefix("0b").unwrap_or(digits),
                        _ => digits,
                    };
                    let plain = digits.chars().all(|c| c.is_digit(radix));
                    plain.then(|| i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()).flatten()
                }
            };
            found.ok_or_else(|| cannot("new", value, "Integer"))?
        }
        other => return Err(cannot("new", other, "Integer")),
    };
    match absolute.is_some_and(Value::is_true) {
        true => integer("abs", i128::from(made).abs()),
        false => Ok(Value::Integer(made)),
    }
}

fn float_of(value: &Value) -> Outcome {
    match value {
        Value::Float(_) => Ok(value.clone()),
        Value::Integer(n) => float(*n as f64),
        Value::Boolean(b) => float(f64::from(u8::from(*b))),
        Value::Timestamp(nanos) | Value::Timespan(nanos) => float(*nanos as f64 / 1e9),
        Value::String(text) => match number_of_text(text) {
            Some(number) => float(number.float()),
            None => Err(cannot("new_float", value, "Float")),
        },
        other => Err(cannot("new_float", other, "Float")),
    }
}

fn string_of(ev: &mut Evaluator<'_>, value: &Value, format: Option<&Value>) -> Outcome {
    match format {
        None | Some(Value::Default | Value::Undef) => Ok(match value {
            Value::String(_) => value.clone(),
            value => Value::String(ev.inspected(value)?),
        }),
        Some(Value::String(format)) => super::sprintf::format(ev, format, std::slice::from_ref(value)),
        Some(_) => Err(Raise::new(
            "'new' parameter 2 of a String is a format, as '%05d'; maps of formats are not known",
        )),
    }
}

fn boolean(value: &Value) -> Outcome {
    let made = match value {
        Value::Boolean(b) => Some(*b),
        Value::Integer(n) => Some(*n != 0),
        Value::Float(n) => Some(n.get() != 0.0),
        Value::String(text) => match text.to_lowercase().as_str() {
            "true" | "yes" | "y" => Some(true),
            "false" | "no" | "n" => Some(false),
            _ => None,
        },
        _ => None,
    };
    made.map(Value::Boolean).ok_or_else(|| cannot("new_boolean", value, "Boolean"))
}

fn array_of(ev: &mut Evaluator<'_>, value: &Value, wrap: Option<&Value>) -> Outcome {
    if let Value::Array(_) = value {
        return Ok(value.clone());
    }
    if wrap.is_some_and(Value::is_true) {
        return ev.list(vec![value.clone()]);
    }
    match value {
        Value::Hash(hash) => {
            let pairs = ev.pairs(hash)?;
            ev.list(pairs)
        }
        Value::String(text) => {
            let chars = text.chars().map(|c| Value::string(c, &ev.budget)).collect::<Result<Vec<_>, _>>()?;
            ev.list(chars)
        }
        Value::TaskResults(results) => ev.list(results.results.clone()),
        Value::Integer(n) if *n >= 0 => {
            ev.work(n.unsigned_abs())?;
            drop(ev.budget.charge(crate::value::list_bytes(usize::try_from(*n).unwrap_or(usize::MAX)))?);
            ev.list((0..*n).map(Value::Integer).collect())
        }
        other => Err(cannot("new_array", other, "Array")),
    }
}

fn hash_of(ev: &mut Evaluator<'_>, value: &Value) -> Outcome {
    match value {
        Value::Hash(_) => Ok(value.clone()),
        Value::Array(items) => {
            let pairs = pairs_of(items).ok_or_else(|| {
                Raise::new("'new_hash' odd number of arguments for Hash: a list has pairs, or keys and values by turns")
            })?;
            ev.map(pairs.into_iter().collect::<IndexMap<_, _>>())
        }
        Value::Undef => ev.map(IndexMap::new()),
        other => Err(cannot("new_hash", other, "Hash")),
    }
}
