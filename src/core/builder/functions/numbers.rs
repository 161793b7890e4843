//! Functions of numbers.

use serde_json::{Number, Value};

use super::{Arguments, Given};

pub(super) const NAMES: [&str; 25] = [
    "add",
    "add1",
    "add1f",
    "addf",
    "atoi",
    "biggest",
    "ceil",
    "div",
    "divf",
    "float64",
    "floor",
    "int",
    "int64",
    "max",
    "maxf",
    "min",
    "minf",
    "mod",
    "mul",
    "mulf",
    "round",
    "sub",
    "subf",
    "toDecimal",
    "toInt",
];

/// A value as a whole number; zero for what is none.
pub(super) fn whole(value: &Value) -> i64 {
    match value {
        Value::Number(number) => number.as_i64().unwrap_or_else(|| number.as_f64().map_or(0, |f| f as i64)),
        Value::String(text) => {
            text.trim().parse().unwrap_or_else(|_| text.trim().parse::<f64>().map_or(0, |f| f as i64))
        }
        Value::Bool(truth) => i64::from(*truth),
        _ => 0,
    }
}

/// A value as a number; zero for what is none.
pub(super) fn float(value: &Value) -> f64 {
    match value {
        Value::Number(number) => number.as_f64().unwrap_or(0.0),
        Value::String(text) => text.trim().parse().unwrap_or(0.0),
        Value::Bool(truth) => f64::from(u8::from(*truth)),
        _ => 0.0,
    }
}

fn number(float: f64) -> Value {
    Number::from_f64(float).map_or(Value::Null, Value::Number)
}

pub(super) fn call(of: &Arguments<'_>) -> Given {
    if !NAMES.contains(&of.name) {
        return None;
    }
    Some(given(of))
}

fn given(of: &Arguments<'_>) -> Result<Value, String> {
    let wholes = || of.all.iter().map(whole);
    let floats = || of.all.iter().map(float);
    let folded = |by: fn(f64, f64) -> f64| number(floats().reduce(by).unwrap_or(0.0));
    Ok(match of.name {
        "add" => wholes().fold(0_i64, i64::wrapping_add).into(),
        "add1" => of.whole(0)?.wrapping_add(1).into(),
        "sub" => of.whole(0)?.wrapping_sub(of.whole(1)?).into(),
        "mul" => wholes().fold(1_i64, i64::wrapping_mul).into(),
        "div" => of.whole(0)?.checked_div(of.whole(1)?).ok_or("div divides by nothing")?.into(),
        "mod" => of.whole(0)?.checked_rem(of.whole(1)?).ok_or("mod divides by nothing")?.into(),
        "max" | "biggest" => wholes().max().unwrap_or(0).into(),
        "min" => wholes().min().unwrap_or(0).into(),
        "addf" => folded(|a, b| a + b),
        "add1f" => number(of.number(0)? + 1.0),
        "subf" => folded(|a, b| a - b),
        "mulf" => folded(|a, b| a * b),
        "divf" => folded(|a, b| a / b),
        "maxf" => folded(f64::max),
        "minf" => folded(f64::min),
        "ceil" => number(of.number(0)?.ceil()),
        "floor" => number(of.number(0)?.floor()),
        "round" => {
            let scale = 10_f64.powi(i32::try_from(of.whole(1)?).unwrap_or(0).clamp(-300, 300));
            number((of.number(0)? * scale).round() / scale)
        }
        "float64" => number(of.number(0)?),
        "toDecimal" => i64::from_str_radix(&of.text(0)?, 8).unwrap_or(0).into(),
        _ => of.whole(0)?.into(),
    })
}
