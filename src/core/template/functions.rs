//! The functions everybody has.

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::print::{fraction, plain, top};

const NAMES: [&str; 26] = [
    "and",
    "or",
    "not",
    "len",
    "index",
    "slice",
    "print",
    "printf",
    "println",
    "html",
    "js",
    "urlquery",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "Title",
    "Capitalize",
    "ToLower",
    "ToUpper",
    "StringsJoin",
    "StringJoin",
    "Base64Encode",
    "Base64Decode",
];

/// Widest field and longest fraction of `printf`.
const MAX_WIDTH: usize = 1000;
const MAX_TEXT: usize = super::MAX_OUTPUT;

pub(super) fn has(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Whether a value counts as true.
pub fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let text = |made: String| Ok(Value::String(made));
    match name {
        "not" => one(name, arguments).map(|value| Value::Bool(!truth(value))),
        "len" => match one(name, arguments)? {
            Value::String(text) => Ok(Value::from(text.len())),
            Value::Array(items) => Ok(Value::from(items.len())),
            Value::Object(members) => Ok(Value::from(members.len())),
            other => Err(format!("{} has no length", top(other))),
        },
        "index" => index(arguments),
        "slice" => slice(arguments),
        "print" => text(print(arguments, false)),
        "println" => text(print(arguments, true)),
        "printf" => match arguments.split_first() {
            Some((Value::String(format), rest)) => text(printf(format, rest)),
            _ => Err("printf takes a format in quotes first".to_owned()),
        },
        "html" => text(escaped(&print(arguments, false))),
        "js" => text(for_scripts(&print(arguments, false))),
        "urlquery" => text(query(&print(arguments, false))),
        "eq" => match arguments {
            [first, rest @ ..] if !rest.is_empty() => {
                Ok(Value::Bool(rest.iter().any(|other| equal(first, other))))
            }
            _ => Err("eq takes at least two values".to_owned()),
        },
        "ne" => two(name, arguments).map(|(a, b)| Value::Bool(!equal(a, b))),
        "lt" | "le" | "gt" | "ge" => {
            let (a, b) = two(name, arguments)?;
            let order = compare(a, b).ok_or_else(|| format!("{} and {} have no order", top(a), top(b)))?;
            Ok(Value::Bool(match name {
                "lt" => order == Ordering::Less,
                "le" => order != Ordering::Greater,
                "gt" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            }))
        }
        "Title" | "Capitalize" => text(title(&word(name, arguments)?)),
        "ToLower" => text(word(name, arguments)?.to_lowercase()),
        "ToUpper" => text(word(name, arguments)?.to_uppercase()),
        "StringsJoin" | "StringJoin" => match one(name, arguments)? {
            Value::Array(items) => text(items.iter().map(plain).collect::<Vec<_>>().join(", ")),
            other => Err(format!("{name} takes a list, not {}", top(other))),
        },
        "Base64Encode" => text(STANDARD.encode(word(name, arguments)?)),
        "Base64Decode" => {
            let bytes = STANDARD.decode(word(name, arguments)?).map_err(|e| format!("Base64Decode: {e}"))?;
            text(String::from_utf8_lossy(&bytes).into_owned())
        }
        _ => Err(format!("there is no function {name}")),
    }
}

fn one<'a>(name: &str, arguments: &'a [Value]) -> Result<&'a Value, String> {
    match arguments {
        [value] => Ok(value),
        others => Err(format!("{name} takes one value, not {}", others.len())),
    }
}

fn two<'a>(name: &str, arguments: &'a [Value]) -> Result<(&'a Value, &'a Value), String> {
    match arguments {
        [a, b] => Ok((a, b)),
        others => Err(format!("{name} takes two values, not {}", others.len())),
    }
}

fn word(name: &str, arguments: &[Value]) -> Result<String, String> {
    match one(name, arguments)? {
        Value::Array(_) | Value::Object(_) | Value::Null => Err(format!("{name} takes a text")),
        other => Ok(plain(other)),
    }
}

fn index(arguments: &[Value]) -> Result<Value, String> {
    let (of, keys) = arguments.split_first().ok_or("index takes a list or a mapping first")?;
    let mut value = of;
    for key in keys {
        value = match (value, key) {
            (Value::Array(items), key) => {
                let at = key.as_f64().filter(|at| at.fract() == 0.0 && *at >= 0.0).map(|at| at as usize);
                let found = at.and_then(|at| items.get(at));
                found.ok_or_else(|| format!("a list of {} has no place {}", items.len(), top(key)))?
            }
            (Value::Object(members), Value::String(name)) => {
                members.get(name.as_str()).unwrap_or(&Value::Null)
            }
            (other, key) => return Err(format!("{} has no {}", top(other), top(key))),
        };
    }
    Ok(value.clone())
}

fn slice(arguments: &[Value]) -> Result<Value, String> {
    let (of, bounds) = arguments.split_first().ok_or("slice takes a text or a list first")?;
    let bound = |at: usize| bounds.get(at).and_then(Value::as_f64).map(|n| n as usize);
    let wrong = || "slice goes beyond its end".to_owned();
    match of {
        Value::String(text) => {
            let (from, to) = (bound(0).unwrap_or(0), bound(1).unwrap_or(text.len()));
            text.get(from..to).map(Value::from).ok_or_else(wrong)
        }
        Value::Array(items) => {
            let (from, to) = (bound(0).unwrap_or(0), bound(1).unwrap_or(items.len()));
            items.get(from..to).map(|items| Value::Array(items.to_vec())).ok_or_else(wrong)
        }
        other => Err(format!("{} is nothing to cut", top(other))),
    }
}

/// Values in a row; `print` parts those by a blank of which neither is a text.
fn print(arguments: &[Value], line: bool) -> String {
    let mut out = String::new();
    for (at, value) in arguments.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| arguments.get(at));
        let apart = before.is_some_and(|before| line || !(before.is_string() || value.is_string()));
        if apart {
            out.push(' ');
        }
        out.push_str(&plain(value));
    }
    if line {
        out.push('\n');
    }
    out
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn title(text: &str) -> String {
    let mut begin = true;
    let letter = |c: char| {
        let upper = begin && c.is_alphabetic();
        begin = !(c.is_alphanumeric() || c == '_' || c == '\'');
        if upper { c.to_uppercase().collect::<String>() } else { c.to_string() }
    };
    text.chars().map(letter).collect()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn for_scripts(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => out.extend(['\\', c]),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// All but these is escaped in a query.
const ESCAPED: percent_encoding::AsciiSet =
    percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b' ');

fn query(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, &ESCAPED).to_string().replace(' ', "+")
}

/// Fills a format; a value is made what its verb wants where it can be.
fn printf(format: &str, arguments: &[Value]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if out.len() > MAX_TEXT {
            break;
        }
        if c != '%' {
            out.push(c);
            continue;
        }
        let (mut left, mut zero, mut plus) = (false, false, false);
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | '0' | ' ' | '#')) {
            match flag {
                '-' => left = true,
                '0' => zero = true,
                '+' => plus = true,
                _ => {}
            }
        }
        let mut digits = || {
            let mut number: usize = 0;
            let mut any = false;
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                any = true;
                number = number.saturating_mul(10).saturating_add(digit.to_digit(10).unwrap_or(0) as usize);
            }
            any.then_some(number.min(MAX_WIDTH))
        };
        let width = digits().unwrap_or(0);
        let precision = if chars.next_if_eq(&'.').is_some() {
            let mut number: usize = 0;
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                number = number.saturating_mul(10).saturating_add(digit.to_digit(10).unwrap_or(0) as usize);
            }
            Some(number.min(MAX_WIDTH))
        } else {
            None
        };
        let Some(verb) = chars.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some(value) = arguments.next() else {
            out.push_str(&format!("%!{verb}(MISSING)"));
            continue;
        };
        let mut text = filled(verb, precision, value);
        if plus && value.is_number() && !text.starts_with('-') {
            text.insert(0, '+');
        }
        let missing = width.saturating_sub(text.chars().count());
        match (left, zero && value.is_number()) {
            (true, _) => out.extend([text, " ".repeat(missing)]),
            (false, true) => {
                let at = usize::from(text.starts_with(['-', '+']));
                text.insert_str(at, &"0".repeat(missing));
                out.push_str(&text);
            }
            (false, false) => out.extend([" ".repeat(missing), text]),
        }
    }
    out
}

fn filled(verb: char, precision: Option<usize>, value: &Value) -> String {
    let float = || match value {
        Value::String(text) => text.trim().parse::<f64>().ok(),
        other => other.as_f64(),
    };
    let whole = || float().filter(|float| float.is_finite()).map(|float| float.trunc() as i128);
    let made = match verb {
        'd' => value.as_i64().map(i128::from).or_else(whole).map(|n| n.to_string()),
        'x' => match value {
            Value::String(text) => Some(crate::core::text::hex(text.as_bytes())),
            _ => whole().map(|n| format!("{n:x}")),
        },
        'X' => whole().map(|n| format!("{n:X}")),
        'o' => whole().map(|n| format!("{n:o}")),
        'b' => whole().map(|n| format!("{n:b}")),
        'f' | 'F' => float().map(|float| format!("{float:.*}", precision.unwrap_or(6))),
        'e' => float().map(|float| {
            let text = format!("{float:.*e}", precision.unwrap_or(6));
            match text.split_once('e') {
                Some((digits, exponent)) => match exponent.strip_prefix('-') {
                    Some(exponent) => format!("{digits}e-{exponent:0>2}"),
                    None => format!("{digits}e+{exponent:0>2}"),
                },
                None => text,
            }
        }),
        'g' => float().map(fraction),
        'q' => Some(Value::String(plain(value)).to_string()),
        's' | 'v' => match precision {
            Some(most) => Some(plain(value).chars().take(most).collect()),
            None => Some(plain(value)),
        },
        't' => Some(plain(value)),
        _ => None,
    };
    made.unwrap_or_else(|| format!("%!{verb}({})", plain(value)))
}
