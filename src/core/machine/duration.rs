//! Lengths of time as definitions write them (spec 06 §2.2).
//!
//! The original has two parsers: `interval: 1d` is a day, `timeout: 1d` an error. Here one
//! parser reads both, and what is left of the difference is what a bare number means:
//! nothing as an interval, nanoseconds as a property.

use crate::core::config::parse_nanoseconds;

/// Why a text is no length of time, as the end of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Digits alone.
    #[error("{0} has no unit, write {0}s for seconds")]
    NoUnit(String),
    /// Something else.
    #[error("{0} is no length of time such as 30s, 5m, 1h30m or 1d")]
    Other(String),
}

/// Nanoseconds of `interval` and `announce_interval`; nothing at all is zero.
///
/// # Errors
/// What is wrong with it.
pub fn interval(text: &str) -> Result<i64, DurationError> {
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    parse(text)
}

/// Nanoseconds of a property that is a text.
///
/// # Errors
/// What is wrong with it.
pub fn property(text: &str) -> Result<i64, DurationError> {
    match text {
        "" => Err(DurationError::Other("an empty text".to_owned())),
        "0" => Ok(0),
        text => parse(text),
    }
}

fn parse(text: &str) -> Result<i64, DurationError> {
    let bare = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DurationError::NoUnit(text.to_owned()));
    }
    parse_nanoseconds(text).map_err(|_| DurationError::Other(text.to_owned()))
}

/// As the original prints it: `1h30m0s`, `500ms`, `0s`.
pub fn show(nanoseconds: i64) -> String {
    let (sign, size) =
        if nanoseconds < 0 { ("-", nanoseconds.unsigned_abs()) } else { ("", nanoseconds.unsigned_abs()) };
    // Rust prints a fraction in as few digits as it needs, as the original does.
    let of = |unit: u64| size as f64 / unit as f64;
    if size < 1_000_000_000 {
        return match size {
            0 => "0s".to_owned(),
            1..1_000 => format!("{sign}{size}ns"),
            1_000..1_000_000 => format!("{sign}{}µs", of(1_000)),
            _ => format!("{sign}{}ms", of(1_000_000)),
        };
    }
    let (minutes, nanoseconds) = (size / 60_000_000_000, size % 60_000_000_000);
    let mut seconds = format!("{:09}", nanoseconds % 1_000_000_000);
    seconds.truncate(seconds.trim_end_matches('0').len());
    let dot = if seconds.is_empty() { "" } else { "." };
    let whole = nanoseconds / 1_000_000_000;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{whole}{dot}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{whole}{dot}{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{whole}{dot}{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::core::machine::tests::vectors;

    /// Texts that mean something else here: what wraps around or is no number is refused,
    /// and so is what nobody writes on purpose.
    const REFUSED: [&str; 6] = ["1e1d", "1_0d", "NaNd", "InfD", "99999999d", "1000000y"];

    #[test]
    fn intervals_of_the_original_are_read_alike() {
        let mut seen = 0;
        for case in vectors("machine-parse-tables.json")["interval_durations"].as_array().unwrap() {
            let text = case["given"].as_str().unwrap();
            let ours = interval(text);
            if REFUSED.contains(&text) {
                assert!(ours.is_err(), "{text}");
                continue;
            }
            if text == "0.999999999d" {
                // theirs has seven digits of it only, and finds a whole day
                assert_eq!(ours, Ok(23 * 3_600_000_000_000));
                continue;
            }
            assert_eq!(ours.as_ref().ok().copied(), case["ns"].as_i64(), "{text:?}: {ours:?}");
            if let Ok(nanoseconds) = ours {
                assert_eq!(show(nanoseconds), case["text"].as_str().unwrap());
            }
            seen += 1;
        }
        assert_eq!(seen, 49);
    }

    #[test]
    fn properties_of_the_original_are_read_alike_and_days_too() {
        let mut seen = 0;
        for case in vectors("machine-parse-tables.json")["property_durations"].as_array().unwrap() {
            let Value::String(text) = &case["given"] else { continue };
            let theirs = case["ns"].as_i64();
            let ours = match text.as_str() {
                "1d" => Some(86_400_000_000_000),
                "2w" => Some(14 * 86_400_000_000_000),
                _ => theirs,
            };
            assert_eq!(property(text).ok(), ours, "{text:?}");
            seen += 1;
        }
        assert_eq!(seen, 14);
    }
}
