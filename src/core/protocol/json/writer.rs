//! JSON text as the original writes it: no spaces, and `<`, `>`, `&`, U+2028
//! and U+2029 escaped besides what JSON demands (spec 01 §4).
//!
//! Signatures and hashes cover these bytes, so they have to be the same ones.

use serde::Serialize;
use serde_json::Value;

/// How the bytes of a string are written: `0` as they are, `u` as `\u00XX`,
/// any other letter as a backslash and that letter.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = b'u';
        control += 1;
    }
    table[0x08] = b'b';
    table[0x0c] = b'f';
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'<' as usize] = b'u';
    table[b'>' as usize] = b'u';
    table[b'&' as usize] = b'u';
    // First byte of U+2028 and U+2029 among others; looked at closer.
    table[0xe2] = b'?';
    table
};

/// Appends `text` as a JSON string, quotes included.
pub fn push_string(out: &mut String, text: &str) {
    out.reserve(text.len() + 2);
    out.push('"');
    let mut copied = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = ESCAPES[usize::from(byte)];
        if escape == 0 {
            continue;
        }
        let rest = text.get(at..).unwrap_or_default();
        let width = if escape == b'?' {
            if !rest.starts_with(['\u{2028}', '\u{2029}']) {
                continue;
            }
            3
        } else {
            1
        };
        out.push_str(text.get(copied..at).unwrap_or_default());
        copied = at + width;
        match escape {
            b'?' => out.push_str(if rest.starts_with('\u{2028}') { "\\u2028" } else { "\\u2029" }),
            b'u' => {
                let hex = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
                out.push_str("\\u00");
                out.push(hex(byte >> 4));
                out.push(hex(byte & 0xf));
            }
            letter => {
                out.push('\\');
                out.push(letter as char);
            }
        }
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    out.push('"');
}

/// Appends a decimal integer.
pub fn push_integer(out: &mut String, value: i64) {
    use std::fmt::Write;
    let _ = write!(out, "{value}");
}

/// Appends a value. Object keys keep their order; numbers are written as they
/// were read if they are integers, and as the original's shortest form if they
/// are fractions.
pub fn push_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => push_number(out, number),
        Value::String(text) => push_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                push_value(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                push_string(out, key);
                out.push(':');
                push_value(out, item);
            }
            out.push('}');
        }
    }
}

fn push_number(out: &mut String, number: &serde_json::Number) {
    match number.as_f64() {
        Some(float) if number.is_f64() => out.push_str(&float_text(float)),
        _ => out.push_str(&number.to_string()),
    }
}

/// A double as the original writes it in JSON: shortest digits, exponents only
/// below 1e-6 and from 1e21.
pub(crate) fn float_text(float: f64) -> String {
    let size = float.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        // Rust and Go agree but for the sign that Go writes on large exponents.
        let text = format!("{float:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
            _ => text,
        };
    }
    format!("{float}")
}

/// Any serializable value in the original's spelling.
pub fn go_json(value: &impl Serialize) -> String {
    let mut out = String::new();
    push_value(&mut out, &serde_json::to_value(value).unwrap_or(Value::Null));
    out
}
