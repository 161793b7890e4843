//! Numbers in text, as the original reads them.

/// A double as Go's `ParseFloat` reads it: words for infinity and NaN in any
/// case, underscores between digits, hexadecimal only with a binary exponent;
/// a value too large is no number.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..)?),
        Some(b'+') => (false, text.get(1..)?),
        _ => (false, text),
    };
    let size = match digits.to_ascii_lowercase().as_str() {
        "nan" if digits.len() == text.len() => return Some(f64::NAN),
        "inf" | "infinity" => f64::INFINITY,
        hex if hex.starts_with("0x") => hexadecimal(hex.get(2..)?)?,
        decimal => {
            let plain = without_underscores(decimal)?;
            let mut bytes = plain.bytes();
            let ok = bytes.all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-'));
            // A sign that follows our own would be read by Rust.
            let ok = ok && !plain.starts_with(['+', '-']);
            plain.parse().ok().filter(|f: &f64| ok && f.is_finite())?
        }
    };
    Some(if negative { -size } else { size })
}

/// Underscores go if each stands between two digits.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    for (at, _) in bytes.iter().enumerate().filter(|(_, b)| **b == b'_') {
        let digit = |b: Option<&u8>| b.is_some_and(u8::is_ascii_hexdigit);
        if at == 0 || !digit(bytes.get(at - 1)) || !digit(bytes.get(at + 1)) {
            return None;
        }
    }
    Some(text.replace('_', ""))
}

fn hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    // An underscore may follow the prefix.
    let mantissa = without_underscores(mantissa.strip_prefix('_').unwrap_or(mantissa))?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((&mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0f64;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let exponent: i32 = exponent.parse().ok()?;
    let shift = exponent.checked_sub(4 * i32::try_from(fraction.len()).ok()?)?;
    Some(value * 2f64.powi(shift)).filter(|f| f.is_finite())
}

/// A truth word of the original: `1 t T TRUE true True 0 f F FALSE false False`.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_read_as_the_original_does() {
        for (text, value) in [
            ("1", 1.0),
            ("+1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1_000", 1000.0),
            ("1e3", 1000.0),
            ("-Inf", f64::NEG_INFINITY),
            ("Infinity", f64::INFINITY),
            ("0x1p4", 16.0),
            ("0x.8p1", 1.0),
        ] {
            assert_eq!(parse_float(text), Some(value), "{text}");
        }
        for text in ["", " 1", "0x10", "1__0", "_1", "1_", "++1", "+-1", "1e400", "a", "-nan", "e3", "0xp1"] {
            assert_eq!(parse_float(text), None, "{text}");
        }
        assert!(parse_float("NaN").is_some_and(f64::is_nan));
    }
}
