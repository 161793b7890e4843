//! Numbers, times, and what is done with lists.

use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::ast::Operator;
use super::order;
use super::value::{PART, Value};
use crate::core::protocol::filter::budget::Budget;

type Computed = Result<Value, String>;

/// Longest text that is read as a time or duration.
const LONGEST_TIME: usize = 256;

/// Methods of times and durations, by the name of their type.
pub(super) const METHODS: [(&str, &str); 15] = [
    ("a time", "Year"),
    ("a time", "Month"),
    ("a time", "Day"),
    ("a time", "Hour"),
    ("a time", "Minute"),
    ("a time", "Second"),
    ("a time", "YearDay"),
    ("a time", "Weekday"),
    ("a time", "Unix"),
    ("a time", "UnixNano"),
    ("a duration", "Hours"),
    ("a duration", "Minutes"),
    ("a duration", "Seconds"),
    ("a duration", "Milliseconds"),
    ("a duration", "Nanoseconds"),
];

/// The integer of a number; a double is truncated.
pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(integer) => Some(*integer),
        Value::Float(float) => Some(*float as i64),
        _ => None,
    }
}

pub(super) fn negate(value: &Value) -> Computed {
    match value {
        Value::Int(integer) => Ok(Value::Int(integer.wrapping_neg())),
        Value::Float(float) => Ok(Value::Float(-float)),
        other => Err(format!("{} has no negative", other.type_name())),
    }
}

/// Arithmetic; nothing where the types do not fit.
pub(super) fn arithmetic(operator: Operator, left: &Value, right: &Value) -> Result<Option<Value>, String> {
    use Operator::*;
    use Value::{Duration, Float, Int, Text, Time};
    Ok(Some(match (operator, left, right) {
        (Add, Int(a), Int(b)) => Int(a.wrapping_add(*b)),
        (Subtract, Int(a), Int(b)) => Int(a.wrapping_sub(*b)),
        (Multiply, Int(a), Int(b)) => Int(a.wrapping_mul(*b)),
        (Modulo, Int(_), Int(0)) => return Err("integer divide by zero".into()),
        (Modulo, Int(a), Int(b)) => Int(a.wrapping_rem(*b)),
        (Add, Text(a), Text(b)) => {
            if a.len() + b.len() > 1 << 20 {
                return Err("a text grows too long".into());
            }
            Text(format!("{a}{b}").into())
        }
        (Add, Time(t), Duration(d)) | (Add, Duration(d), Time(t)) => Time(t.saturating_add(i128::from(*d))),
        (Subtract, Time(t), Duration(d)) => Time(t.saturating_sub(i128::from(*d))),
        (Subtract, Time(a), Time(b)) => {
            let between = a.saturating_sub(*b).clamp(i128::from(i64::MIN), i128::from(i64::MAX));
            Duration(i64::try_from(between).unwrap_or_default())
        }
        (Add, Duration(a), Duration(b)) => Duration(a.wrapping_add(*b)),
        (Subtract, Duration(a), Duration(b)) => Duration(a.wrapping_sub(*b)),
        (Multiply, Duration(a), Duration(b)) => Duration(a.wrapping_mul(*b)),
        (Multiply, Duration(d), number) | (Multiply, number, Duration(d)) => match number.number() {
            Some(number) => Duration((*d as f64 * number) as i64),
            None => return Ok(None),
        },
        (operator, a, b) => {
            let (Some(a), Some(b)) = (a.number(), b.number()) else { return Ok(None) };
            Float(match operator {
                Add => a + b,
                Subtract => a - b,
                Multiply => a * b,
                Divide => a / b,
                Power => a.powf(b),
                _ => return Ok(None),
            })
        }
    }))
}

fn zoned(nanoseconds: i128) -> Result<Zoned, String> {
    let timestamp = Timestamp::from_nanosecond(nanoseconds).map_err(|e| e.to_string())?;
    Ok(timestamp.to_zoned(TimeZone::UTC))
}

pub(super) fn method(base: &Value, name: &str) -> Computed {
    match base {
        Value::Time(nanoseconds) => {
            let time = zoned(*nanoseconds)?;
            Ok(Value::Int(match name {
                "Year" => time.year().into(),
                "Month" => time.month().into(),
                "Day" => time.day().into(),
                "Hour" => time.hour().into(),
                "Minute" => time.minute().into(),
                "Second" => time.second().into(),
                "YearDay" => time.day_of_year().into(),
                "Weekday" => time.weekday().to_sunday_zero_offset().into(),
                "Unix" => time.timestamp().as_second(),
                "UnixNano" => i64::try_from(*nanoseconds).unwrap_or(i64::MAX),
                _ => return Err(format!("a time has no method {name}")),
            }))
        }
        Value::Duration(nanoseconds) => {
            let seconds = *nanoseconds as f64 / 1e9;
            Ok(match name {
                "Hours" => Value::Float(seconds / 3600.0),
                "Minutes" => Value::Float(seconds / 60.0),
                "Seconds" => Value::Float(seconds),
                "Milliseconds" => Value::Int(nanoseconds / 1_000_000),
                "Nanoseconds" => Value::Int(*nanoseconds),
                _ => return Err(format!("a duration has no method {name}")),
            })
        }
        other => Err(format!("{} has no method {name}", other.type_name())),
    }
}

/// Every number in the arguments, lists opened.
fn numbers(values: &[Value], budget: &Budget) -> Result<Vec<Value>, String> {
    fn collect(
        values: &[Value],
        depth: usize,
        found: &mut Vec<Value>,
        budget: &Budget,
    ) -> Result<(), String> {
        for value in values {
            budget.make(PART)?;
            match value {
                Value::Int(_) | Value::Float(_) => found.push(value.clone()),
                Value::List(items) if depth < 100 => collect(items, depth + 1, found, budget)?,
                other => return Err(format!("{} is not a number", other.type_name())),
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    collect(values, 0, &mut found, budget)?;
    Ok(found)
}

pub(super) fn sum(values: &[Value]) -> Computed {
    let mut sum = Value::Int(0);
    for value in values {
        sum = match arithmetic(Operator::Add, &sum, value)? {
            Some(sum @ (Value::Int(_) | Value::Float(_))) => sum,
            _ => return Err(format!("{} cannot be summed", value.type_name())),
        };
    }
    Ok(sum)
}

fn extreme(values: &[Value], wanted: std::cmp::Ordering, budget: &Budget) -> Computed {
    if let [Value::Nil] = values {
        return Ok(Value::Nil);
    }
    let mut numbers = numbers(values, budget)?.into_iter();
    let Some(first) = numbers.next() else { return Ok(Value::Nil) };
    Ok(numbers.fold(first, |best, next| if next.compare(&best) == Some(wanted) { next } else { best }))
}

fn doubles(values: &[Value], budget: &Budget) -> Result<Vec<f64>, String> {
    Ok(numbers(values, budget)?.iter().filter_map(Value::number).collect())
}

fn median(values: &[Value], budget: &Budget) -> Result<f64, String> {
    let mut numbers = doubles(values, budget)?;
    order::pay_for_sorting(numbers.len(), 0, budget)?;
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    let at = |i: usize| numbers.get(i).copied().unwrap_or(0.0);
    Ok(match numbers.len() {
        0 => 0.0,
        n if n % 2 == 1 => at(middle),
        _ => (at(middle - 1) + at(middle)) / 2.0,
    })
}

fn descending(order: Option<&Value>) -> Result<bool, String> {
    match order {
        None => Ok(false),
        Some(Value::Text(word)) if &**word == "asc" => Ok(false),
        Some(Value::Text(word)) if &**word == "desc" => Ok(true),
        Some(_) => Err("the order is asc or desc".into()),
    }
}

/// Values in the order of their keys; equal ones stay as they are.
pub(super) fn sort_by(pairs: Vec<(Value, Value)>, order: Option<&Value>, budget: &Budget) -> Computed {
    let descending = descending(order)?;
    let text = pairs.iter().map(|(key, _)| key.text_length()).fold(0, usize::saturating_add);
    order::pay_for_sorting(pairs.len(), text, budget)?;
    if let Some((a, b)) = order::without_order(pairs.iter().map(|(key, _)| key)) {
        return Err(format!("{} and {} have no order", a.type_name(), b.type_name()));
    }
    let mut pairs = pairs;
    pairs.sort_by(|(a, _), (b, _)| {
        let ordering = order::total(a, b);
        if descending { ordering.reverse() } else { ordering }
    });
    Ok(Value::list(pairs.into_iter().map(|(_, item)| item).collect()))
}

/// Builtins on numbers, bits, times and lists.
pub(super) fn builtin(name: &str, values: &[Value], budget: &Budget) -> Computed {
    let number =
        |value: &Value| value.number().ok_or_else(|| format!("{} is not a number", value.type_name()));
    Ok(match (name, values) {
        ("abs", [Value::Int(integer)]) => Value::Int(integer.wrapping_abs()),
        ("abs", [a]) => Value::Float(number(a)?.abs()),
        ("ceil", [a]) => Value::Float(number(a)?.ceil()),
        ("floor", [a]) => Value::Float(number(a)?.floor()),
        ("round", [a]) => Value::Float(number(a)?.round()),
        ("max", values) => extreme(values, std::cmp::Ordering::Greater, budget)?,
        ("min", values) => extreme(values, std::cmp::Ordering::Less, budget)?,
        ("mean", values) => {
            let numbers = doubles(values, budget)?;
            let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
            Value::Float(if numbers.is_empty() { 0.0 } else { mean })
        }
        ("median", values) => Value::Float(median(values, budget)?),
        ("sum", [Value::List(items)]) => {
            budget.pay(2 * items.len() as u64)?;
            sum(items)?
        }
        ("count", [Value::List(items)]) => {
            budget.pay(items.len() as u64)?;
            Value::Int(items.iter().filter(|item| matches!(item, Value::Bool(true))).count() as i64)
        }
        ("now", []) => {
            // The one impure function: the language has it, filters compare times with it.
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            Value::Time(now.map_or(0, |since| since.as_nanos() as i128))
        }
        ("duration" | "date", [Value::Text(text), ..]) if text.len() > LONGEST_TIME => {
            return Err(format!("{name} takes no text of {} bytes", text.len()));
        }
        ("duration", [Value::Text(text)]) => {
            budget.pay(20 * text.len() as u64)?;
            Value::Duration(duration(text)?)
        }
        ("date", [Value::Text(text), ..]) => {
            budget.pay(500)?;
            date(text)?
        }
        ("sort", [Value::List(items), rest @ ..]) => {
            budget.make(items.len().saturating_mul(2 * PART))?;
            let pairs = items.iter().map(|item| (item.clone(), item.clone())).collect();
            sort_by(pairs, rest.first(), budget)?
        }
        ("bitnot", [Value::Int(a)]) => Value::Int(!a),
        (bits, [Value::Int(a), Value::Int(b)]) if bits.starts_with("bit") => bitwise(bits, *a, *b)?,
        _ => {
            let types: Vec<_> = values.iter().map(Value::type_name).collect();
            return Err(format!("{name} cannot take {}", types.join(", ")));
        }
    })
}

fn bitwise(name: &str, a: i64, b: i64) -> Computed {
    let shift = || u32::try_from(b).map_err(|_| "a shift cannot be negative".to_owned());
    Ok(Value::Int(match name {
        "bitand" => a & b,
        "bitor" => a | b,
        "bitxor" => a ^ b,
        "bitnand" => a & !b,
        "bitshl" => a.checked_shl(shift()?).unwrap_or(0),
        "bitshr" => a >> shift()?.min(63),
        "bitushr" => (a as u64).checked_shr(shift()?).unwrap_or(0) as i64,
        _ => return Err(format!("{name} is not known")),
    }))
}

/// `1h30m`, `-1.5s`, `300ms`: Go's durations.
fn duration(text: &str) -> Result<i64, String> {
    let bad = || format!("{text} is not a duration");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    let mut sum = 0f64;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (amount, tail) = rest.split_at_checked(end).ok_or_else(bad)?;
        let amount: f64 = amount.parse().map_err(|_| bad())?;
        let units =
            [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end).ok_or_else(bad)?;
        sum += amount * units.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?.1;
        rest = tail;
    }
    if sum > i64::MAX as f64 {
        return Err(bad());
    }
    Ok(if negative { -(sum as i64) } else { sum as i64 })
}

fn date(text: &str) -> Computed {
    let local = |date: civil::DateTime| date.to_zoned(TimeZone::UTC).map(|z| z.timestamp());
    let timestamp =
        text.parse::<Timestamp>().or_else(|_| text.parse::<civil::DateTime>().and_then(local)).or_else(
            |_| text.parse::<civil::Date>().and_then(|date| local(date.to_datetime(civil::Time::midnight()))),
        );
    let timestamp = timestamp.map_err(|_| format!("{text} is not a date"))?;
    Ok(Value::Time(timestamp.as_nanosecond()))
}
