//! Text to typed values, by the original's rules (spec 03 §1.2).

use std::net::IpAddr;
use std::time::Duration;

use thiserror::Error;

use super::Kind;
use crate::core::protocol::NameList;

/// Why a value could not be read; names the text, the caller adds key and place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ValueError {
    /// Not a decimal integer.
    #[error("{0:?} is not an integer")]
    NotAnInteger(String),
    /// Not one of the boolean words.
    #[error("{0:?} is not a boolean, write true or false (1 yes y t, 0 no n f)")]
    NotABoolean(String),
    /// Not a duration.
    #[error("{0:?} is not a duration, write for example 90s, 1h30m or 2d")]
    NotADuration(String),
    /// A duration below zero where only time spans make sense.
    #[error("{0:?} is a negative duration")]
    Negative(String),
    /// Not one of the accepted words.
    #[error("{text:?} is not one of {one_of}")]
    NotOneOf {
        /// What was written.
        text: String,
        /// What is accepted.
        one_of: String,
    },
    /// A name list with an entry that names nobody.
    #[error("{0:?} is not a regular expression this version can use, write for example ^n1\\.example\\.net$")]
    NotAnExpression(String),
    /// A host list with an entry that is no host.
    #[error("{0:?} is neither an address nor a network such as 10.1.0.0/16")]
    NotAHost(String),
    /// A list that is longer than anybody's.
    #[error("it has {0} entries, at most {MAX_ITEMS} are read")]
    TooMany(usize),
    /// A line or a TOML value that gives the key none.
    #[error("{0}; write `key = value`, or remove the line")]
    NotAValue(String),
}

/// Most entries of a list of names or hosts.
const MAX_ITEMS: usize = 1_000;

/// Whether every item of a list can mean something.
pub(super) fn check_items(kind: Kind, items: &[String]) -> Result<(), ValueError> {
    let bad = match kind {
        Kind::NameList => items.iter().find(|item| NameList::entry(item).is_none()),
        Kind::HostList => items.iter().find(|item| !is_host(item)),
        _ => return Ok(()),
    };
    match (bad, kind) {
        (None, _) if items.len() > MAX_ITEMS => Err(ValueError::TooMany(items.len())),
        (None, _) => Ok(()),
        (Some(item), Kind::NameList) => Err(ValueError::NotAnExpression(item.clone())),
        (Some(item), _) => Err(ValueError::NotAHost(item.clone())),
    }
}

/// An address, or a network with as many bits as its address may have.
fn is_host(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return text.parse::<IpAddr>().is_ok() };
    match (address.parse::<IpAddr>(), bits.parse::<u8>()) {
        (Ok(address), Ok(bits)) => bits <= if address.is_ipv4() { 32 } else { 128 },
        _ => false,
    }
}

/// A value as it stood in a file: one text, or (TOML) a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    /// The right side of a line.
    Text(String),
    /// A TOML array.
    List(Vec<String>),
}

impl Raw {
    /// The value as one text; lists are joined by commas.
    pub fn text(&self) -> String {
        match self {
            Raw::Text(text) => text.clone(),
            Raw::List(items) => items.join(","),
        }
    }

    /// The value as a list, text being split at `separator`.
    pub fn items(&self, separator: char) -> Vec<String> {
        match self {
            Raw::Text(text) => split_list(text, separator),
            Raw::List(items) => items.clone(),
        }
    }
}

/// Splits at `separator` and trims each item. Empty items stay.
pub fn split_list(text: &str, separator: char) -> Vec<String> {
    text.split(separator).map(|item| item.trim().to_string()).collect()
}

/// Reads `1 yes true y t` or `0 no false n f` in any case, spaces around ignored.
pub fn parse_bool(text: &str) -> Result<bool, ValueError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "y" | "t" => Ok(true),
        "0" | "no" | "false" | "n" | "f" => Ok(false),
        _ => Err(ValueError::NotABoolean(text.to_string())),
    }
}

const HOUR: i64 = 3_600_000_000_000;

/// Nanoseconds of a duration, which may be negative; empty text is zero.
///
/// The last letter picks the rule: `d D`, `w W`, `M` (30 days) and `y Y`
/// (365 days) follow one number, truncated to whole hours; anything else is a
/// Go duration such as `1h30m` or `100ms`. Bare digits are an error here, see
/// [`parse_configured_duration`].
pub fn parse_nanoseconds(text: &str) -> Result<i64, ValueError> {
    let bad = || ValueError::NotADuration(text.to_string());
    let hours = match text.chars().last() {
        None => return Ok(0),
        Some('d' | 'D') => 24.0,
        Some('w' | 'W') => 24.0 * 7.0,
        Some('M') => 24.0 * 30.0,
        Some('y' | 'Y') => 24.0 * 365.0,
        Some(_) => return go_duration(text).ok_or_else(bad),
    };
    let number = text.get(..text.len() - 1).ok_or_else(bad)?;
    if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit() || ".+-".contains(c)) {
        return Err(bad());
    }
    let hours = (number.parse::<f64>().map_err(|_| bad())? * hours).trunc();
    // Beyond 2.5 million hours nanoseconds no longer fit into an i64.
    if hours.abs() > 2_562_047.0 { Err(bad()) } else { Ok(hours as i64 * HOUR) }
}

/// A Go duration: optional sign, then pairs of decimal number and unit.
fn go_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    if rest.is_empty() || rest == "0" {
        // `0` needs no unit for Go, but the caller's rule is about bare digits.
        return None;
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let unit: i64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => HOUR,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let fraction = if fraction.is_empty() {
            0
        } else {
            (format!("0.{fraction}").parse::<f64>().ok()? * unit as f64) as i64
        };
        total = total.checked_add(whole.checked_mul(unit)?.checked_add(fraction)?)?;
        rest = tail;
    }
    Some(if negative { -total } else { total })
}

/// A duration of zero or more, by the rules of [`parse_nanoseconds`].
pub fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    let nanoseconds = parse_nanoseconds(text)?;
    let nanoseconds = u64::try_from(nanoseconds).map_err(|_| ValueError::Negative(text.to_string()))?;
    Ok(Duration::from_nanos(nanoseconds))
}

/// [`parse_duration`] as configuration files have it: bare digits are seconds.
pub fn parse_configured_duration(text: &str) -> Result<Duration, ValueError> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return parse_duration(&format!("{text}s"));
    }
    parse_duration(text)
}

/// A duration as [`parse_configured_duration`] reads it back.
pub(super) fn show_duration(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    [("h", HOUR as u128), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)]
        .iter()
        .find(|(_, unit)| nanoseconds > 0 && nanoseconds.is_multiple_of(*unit))
        .map(|(name, unit)| format!("{}{name}", nanoseconds / unit))
        .unwrap_or_else(|| if nanoseconds == 0 { "0s".into() } else { format!("{nanoseconds}ns") })
}
