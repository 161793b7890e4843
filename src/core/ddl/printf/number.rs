//! Numbers as C and Ruby write them.

/// A double without a format: whole ones without a fraction.
pub(super) fn plain(float: f64) -> String {
    odd(float).unwrap_or_else(|| float.to_string())
}

/// Infinity and what is no number.
fn odd(float: f64) -> Option<String> {
    match float {
        float if float.is_nan() => Some("NaN".to_owned()),
        float if float.is_infinite() => Some(if float > 0.0 { "Inf" } else { "-Inf" }.to_owned()),
        _ => None,
    }
}

/// Digits in the base of the verb, `precision` of them at least.
pub(super) fn integer(integer: i128, verb: char, alternate: bool, precision: Option<usize>) -> String {
    let size = integer.unsigned_abs();
    let (digits, prefix) = match verb {
        'x' => (format!("{size:x}"), "0x"),
        'X' => (format!("{size:X}"), "0X"),
        'o' => (format!("{size:o}"), "0"),
        'b' => (format!("{size:b}"), "0b"),
        'B' => (format!("{size:b}"), "0B"),
        _ => (size.to_string(), ""),
    };
    let sign = if integer < 0 { "-" } else { "" };
    let prefix = if alternate && size > 0 { prefix } else { "" };
    let zeros = precision.unwrap_or(0).saturating_sub(digits.len());
    format!("{sign}{prefix}{}{digits}", "0".repeat(zeros))
}

/// A fraction, an exponent, or whichever is shorter, as the verb says.
pub(super) fn float(float: f64, verb: char, alternate: bool, precision: Option<usize>) -> String {
    if let Some(odd) = odd(float) {
        return odd;
    }
    let precision = precision.unwrap_or(6);
    let text = match verb {
        'e' | 'E' => exponent(float, precision),
        'g' | 'G' => shorter(float, precision.max(1), alternate),
        _ => format!("{float:.precision$}"),
    };
    if verb.is_ascii_uppercase() { text.to_ascii_uppercase() } else { text }
}

/// `1.500000e+00`: an exponent has a sign and two digits.
fn exponent(float: f64, precision: usize) -> String {
    let text = format!("{float:.precision$e}");
    let Some((digits, power)) = text.split_once('e') else { return text };
    let (sign, power) = match power.strip_prefix('-') {
        Some(power) => ('-', power),
        None => ('+', power),
    };
    format!("{digits}e{sign}{power:0>2}")
}

/// `%g`: so many digits that mean something, zeros at the end left out.
fn shorter(float: f64, digits: usize, alternate: bool) -> String {
    let text = exponent(float, digits - 1);
    let power = text.split_once('e').and_then(|(_, power)| power.parse::<i64>().ok()).unwrap_or(0);
    let most = i64::try_from(digits).unwrap_or(i64::MAX);
    let (fraction, power) = if (-4..most).contains(&power) {
        let places = usize::try_from(most - 1 - power).unwrap_or(0);
        (format!("{float:.places$}"), "")
    } else {
        let at = text.find('e').unwrap_or(text.len());
        (text.get(..at).unwrap_or_default().to_owned(), text.get(at..).unwrap_or_default())
    };
    let fraction = match fraction.contains('.') && !alternate {
        true => fraction.trim_end_matches('0').trim_end_matches('.'),
        false => fraction.as_str(),
    };
    format!("{fraction}{power}")
}
