//! Values as text: as strings take them in, and as they could be written in a plan.

use std::fmt::{self, Write};

use super::{Hash, Value};

/// As text takes it in: nothing for undef, no quotes. Lists within are shown the same way.
pub(crate) fn write_shown(out: &mut dyn Write, value: &Value) -> fmt::Result {
    write(out, value, false)
}

/// With quotes, as it could be written.
pub(crate) fn write_inspected(out: &mut dyn Write, value: &Value) -> fmt::Result {
    write(out, value, true)
}

/// The beginning of a value, for a message.
pub(crate) fn brief(value: &Value) -> String {
    struct Short(String);
    impl Write for Short {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let room = BRIEF.saturating_sub(self.0.chars().count());
            self.0.extend(text.chars().take(room));
            if text.chars().nth(room).is_some() {
                self.0.push('…');
                return Err(fmt::Error);
            }
            Ok(())
        }
    }
    let mut short = Short(String::new());
    // an error says that it is long enough
    let _ = write(&mut short, value, false);
    short.0
}

/// Characters of a value in a message.
const BRIEF: usize = 200;

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_shown(f, self)
    }
}

fn write(out: &mut dyn Write, value: &Value, quotes: bool) -> fmt::Result {
    match value {
        Value::Undef if quotes => out.write_str("undef"),
        Value::Undef => Ok(()),
        Value::Default => out.write_str("default"),
        Value::Boolean(b) => write!(out, "{b}"),
        Value::Integer(n) => write!(out, "{n}"),
        Value::Float(n) if quotes => write!(out, "{:.6}", n.get()),
        Value::Float(n) => out.write_str(&float(n.get())),
        Value::String(text) if quotes => out.write_str(&quoted(text)),
        Value::String(text) => out.write_str(text),
        Value::Regexp(regexp) => write!(out, "/{}/", regexp.text().replace('/', "\\/")),
        Value::Array(items) => {
            out.write_char('[')?;
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.write_str(", ")?;
                }
                write(out, item, quotes)?;
            }
            out.write_char(']')
        }
        Value::Hash(hash) => write_hash(out, hash, quotes),
        Value::Type(of) => write!(out, "{of}"),
        Value::Sensitive(_) => out.write_str("Sensitive [value redacted]"),
        Value::Timestamp(nanos) => out.write_str(&timestamp(*nanos)),
        Value::Timespan(nanos) => out.write_str(&timespan(*nanos)),
        Value::SemVer(version) => write!(out, "{version}"),
        Value::SemVerRange(range) => write!(out, "{range}"),
        Value::Binary(bytes) => {
            use base64::Engine;
            out.write_str(&base64::engine::general_purpose::STANDARD.encode(&bytes.bytes))
        }
        Value::Error(error) => {
            write!(out, "Error({{'msg' => {}", quoted(&error.message))?;
            write!(out, ", 'kind' => {}", quoted(&error.kind))?;
            out.write_str(", 'details' => ")?;
            write(out, &error.details, true)?;
            out.write_str("})")
        }
        Value::TaskResult(result) => {
            write!(out, "Choria::TaskResult({{'host' => {}, 'result' => ", quoted(&result.host))?;
            write_hash(out, &result.result, true)?;
            out.write_str("})")
        }
        Value::TaskResults(results) => {
            out.write_str("Choria::TaskResults({'results' => [")?;
            for (n, result) in results.results.iter().enumerate() {
                if n > 0 {
                    out.write_str(", ")?;
                }
                write(out, result, true)?;
            }
            out.write_str("]})")
        }
    }
}

fn write_hash(out: &mut dyn Write, hash: &Hash, quotes: bool) -> fmt::Result {
    out.write_char('{')?;
    for (n, (key, value)) in hash.iter().enumerate() {
        if n > 0 {
            out.write_str(", ")?;
        }
        write(out, key, quotes)?;
        out.write_str(" => ")?;
        write(out, value, quotes)?;
    }
    out.write_char('}')
}

/// Text in single quotes, or in double ones where it has what single ones cannot say.
pub(crate) fn quoted(text: &str) -> String {
    if !text.chars().any(|c| c.is_control()) {
        return format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' | '$' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A float as Ruby writes it: the shortest that reads the same, with an exponent when it
/// has more than sixteen digits before or four zeros behind the point.
pub(crate) fn float(number: f64) -> String {
    let magnitude = number.abs();
    if number == 0.0 || (1e-4..1e16).contains(&magnitude) {
        return format!("{number:?}");
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let point = if digits.contains('.') { "" } else { ".0" };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}{point}e{sign}{exponent:0>2}")
}

fn timestamp(nanos: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S.%9f UTC").to_string()
}

fn timespan(nanos: i64) -> String {
    let (sign, all) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    let (seconds, rest) = (all / 1_000_000_000, all % 1_000_000_000);
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let fraction = format!("{rest:09}");
    let fraction = match fraction.trim_end_matches('0') {
        "" => "0",
        digits => digits,
    };
    format!("{sign}{days}-{hours:02}:{:02}:{:02}.{fraction}", seconds / 60 % 60, seconds % 60)
}
