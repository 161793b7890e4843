//! Numbers.

use std::cmp::Ordering;

use super::{Builtin, Call, MANY, maybe_block, plain};
use crate::evaluator::{Evaluator, Outcome, Raise, operators};
use crate::value::{Value, brief, order};

pub(super) const FUNCTIONS: &[Builtin] = &[
    plain("ceiling", 1, 1, |_, call| rounded(&call, f64::ceil)),
    plain("floor", 1, 1, |_, call| rounded(&call, f64::floor)),
    plain("round", 1, 1, |_, call| rounded(&call, f64::round)),
    plain("abs", 1, 1, |_, call| match operators::number(call.get(0))? {
        operators::Number::Integer(n) => operators::integer("abs", i128::from(n).abs()),
        operators::Number::Float(n) => operators::float(n.abs()),
    }),
    maybe_block("max", 1, MANY, |ev, call| extreme(ev, &call, Ordering::Greater)),
    maybe_block("min", 1, MANY, |ev, call| extreme(ev, &call, Ordering::Less)),
    plain("compare", 2, 3, compare),
    plain("versioncmp", 2, 3, |ev, call| {
        let (a, b) = (call.text(0)?, call.text(1)?);
        ev.work(1 + (a.len() + b.len()) as u64 / 8)?;
        let ordering = match call.get(2) {
            Value::Undef | Value::Boolean(false) => versions(&a, &b),
            Value::Boolean(true) => versions(&without_zeros(&a), &without_zeros(&b)),
            _ => return Err(call.mismatch(2, "Boolean")),
        };
        Ok(Value::Integer(sign(ordering)))
    }),
    plain("sum", 1, 1, |_, call| {
        let items = call.array(0)?;
        let mut sum = Value::Integer(0);
        for item in items.iter() {
            sum = match (operators::number(&sum)?, operators::number(item)?) {
                (operators::Number::Integer(a), operators::Number::Integer(b)) => {
                    operators::integer("+", i128::from(a) + i128::from(b))?
                }
                (a, b) => operators::float(a.float() + b.float())?,
            };
        }
        Ok(sum)
    }),
];

fn rounded(call: &Call<'_>, round: fn(f64) -> f64) -> Outcome {
    match operators::number(call.get(0))? {
        operators::Number::Integer(n) => Ok(Value::Integer(n)),
        operators::Number::Float(n) => {
            let n = round(n);
            // the first that does not fit
            const LIMIT: f64 = (1_u64 << 63) as f64;
            match (-LIMIT..LIMIT).contains(&n) {
                true => Ok(Value::Integer(n as i64)),
                false => Err(Raise::new(format!("'{}': {n} is too large for an Integer", call.name))),
            }
        }
    }
}

fn extreme(ev: &mut Evaluator<'_>, call: &Call<'_>, wanted: Ordering) -> Outcome {
    let values: Vec<Value> = match call.arguments.as_slice() {
        [Value::Array(items)] => items.to_vec(),
        all => all.to_vec(),
    };
    let mut values = values.into_iter();
    let Some(mut best) = values.next() else {
        return Err(Raise::new(format!("'{}' expects at least one value", call.name)));
    };
    for value in values {
        ev.work(value.work().saturating_add(best.work()))?;
        let ordering = match &call.block {
            Some(block) => match ev.call(block, &[value.clone(), best.clone()])? {
                Value::Integer(n) => n.cmp(&0),
                other => {
                    return Err(Raise::new(format!(
                        "'{}' block gives an Integer, not {}",
                        call.name,
                        brief(&other)
                    )));
                }
            },
            None => order(&value, &best).map_err(|why| Raise::new(format!("{}(): {why}", call.name)))?,
        };
        if ordering == wanted {
            best = value;
        }
    }
    Ok(best)
}

fn sign(ordering: Ordering) -> i64 {
    ordering as i64
}

fn compare(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    ev.work(call.get(0).work().saturating_add(call.get(1).work()))?;
    if let (Value::String(a), Value::String(b), Value::Boolean(false)) =
        (call.get(0), call.get(1), call.get(2))
    {
        return Ok(Value::Integer(sign(a.as_str().cmp(b))));
    }
    let ordering = order(call.get(0), call.get(1)).map_err(|why| Raise::new(format!("compare(): {why}")))?;
    Ok(Value::Integer(sign(ordering)))
}

/// A version without the zeros at the end of what stands before the first hyphen. `10` stays ten, as
/// it does not for Puppet.
fn without_zeros(version: &str) -> String {
    let (numbers, rest) = version.split_at(version.find('-').unwrap_or(version.len()));
    let mut numbers = numbers.trim_end_matches('.');
    while let Some((before, last)) = numbers.rsplit_once('.')
        && last.bytes().all(|b| b == b'0')
    {
        numbers = before;
    }
    format!("{numbers}{rest}")
}

/// Versions of packages: numbers by value, letters by the alphabet, `-` before `.` before
/// both.
pub(crate) fn versions(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (parts(a), parts(b));
    loop {
        let (x, y) = match (a.next(), b.next()) {
            (Some(x), Some(y)) => (x, y),
            (x, y) => return x.is_some().cmp(&y.is_some()),
        };
        if x == y {
            continue;
        }
        for separator in ["-", "."] {
            match (x == separator, y == separator) {
                (true, _) => return Ordering::Less,
                (_, true) => return Ordering::Greater,
                _ => {}
            }
        }
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let value = |part: &str| {
            let part = part.trim_start_matches('0').to_owned();
            (part.len(), part)
        };
        let ordering = match (digits(x), digits(y)) {
            // leading zeros make a text of it
            (true, true) if !x.starts_with('0') && !y.starts_with('0') => value(x).cmp(&value(y)),
            _ => x.to_uppercase().cmp(&y.to_uppercase()),
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

/// Runs of digits, runs of others, and `-` and `.` alone.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let kind = |c: char| match c {
            '-' | '.' => 0,
            c if c.is_ascii_digit() => 1,
            _ => 2,
        };
        let end = match kind(first) {
            0 => 1,
            of => rest.find(|c| kind(c) != of).unwrap_or(rest.len()),
        };
        let (part, after) = rest.split_at(end);
        rest = after;
        Some(part)
    })
}
