//! Times.

use super::{Builtin, Call, plain};
use crate::evaluator::{Evaluator, Outcome, Raise};
use crate::value::{Value, brief};

pub(super) const FUNCTIONS: &[Builtin] = &[
    plain("strftime", 1, 3, strftime),
    plain("time", 0, 1, |ev, _| Ok(Value::Integer(ev.host.now().div_euclid(1_000_000_000)))),
    plain("now", 0, 0, |ev, _| Ok(Value::Timestamp(ev.host.now()))),
];

/// Longest format of a time.
const LONGEST: usize = 1_024;

fn strftime(ev: &mut Evaluator<'_>, call: Call<'_>) -> Outcome {
    let format = call.text(1)?;
    if format.len() > LONGEST {
        return Err(Raise::new(format!("strftime(): the format has more than {LONGEST} bytes")));
    }
    // widths beyond two digits would make much of nothing
    let digits = format.as_bytes().windows(3).any(|w| w.iter().all(u8::is_ascii_digit));
    if format.contains('%') && digits {
        return Err(Raise::new("strftime(): a width has more than two digits"));
    }
    let nanos = match call.get(0) {
        Value::Timestamp(nanos) => nanos,
        Value::Timespan(nanos) => {
            let text = length(&format, *nanos).map_err(|wrong| {
                Raise::new(format!("strftime(): bad format specifier '{wrong}' in '{format}' of a Timespan"))
            })?;
            return ev.text(text);
        }
        _ => return Err(call.mismatch(0, "Timestamp or Timespan")),
    };
    let time = jiff::Timestamp::from_nanosecond(i128::from(*nanos)).map_err(|e| Raise::new(e.to_string()))?;
    let zone = match call.get(2) {
        Value::String(zone) if !zone.is_empty() && zone.as_str() != "UTC" => offset(zone)?,
        _ => jiff::tz::TimeZone::UTC,
    };
    let zoned = time.to_zoned(zone);
    let text = jiff::fmt::strtime::format(in_general(&format).as_bytes(), &zoned)
        .map_err(|e| Raise::new(format!("strftime(): '{format}': {e}")))?;
    ev.text(text)
}

/// A format with those directives that mean something else to others, or nothing, in words that all
/// understand.
fn in_general(format: &str) -> String {
    let mut out = String::with_capacity(format.len() + 16);
    let mut rest = format;
    while let Some((before, directive)) = rest.split_once('%') {
        out.push_str(before);
        let end = directive.find(|c: char| !c.is_ascii_digit() && !"-_0^#:".contains(c));
        let (flags, letter) = directive.split_at(end.unwrap_or(directive.len()));
        let mut letters = letter.chars();
        match (flags, letters.next()) {
            (flags, Some('L')) => {
                let width = flags.trim_start_matches(|c: char| !c.is_ascii_digit() || c == '0');
                out.extend(["%", if width.is_empty() { "3" } else { width }, "N"]);
            }
            ("", Some('c')) => out.push_str("%a %b %e %H:%M:%S %Y"),
            ("", Some('v')) => out.push_str("%e-%^b-%Y"),
            ("", Some('r')) => out.push_str("%I:%M:%S %p"),
            ("", Some('x')) => out.push_str("%m/%d/%y"),
            ("", Some('X')) => out.push_str("%H:%M:%S"),
            (flags, Some(letter)) => {
                out.push('%');
                out.push_str(flags);
                out.push(letter);
            }
            (flags, None) => out.extend(["%", flags]),
        }
        rest = letters.as_str();
    }
    out.push_str(rest);
    out
}

/// A length of time by a format: the largest unit that it has takes all that larger ones would have
/// taken. The error is a directive that is none.
fn length(format: &str, nanos: i64) -> Result<String, String> {
    const UNITS: [(char, u64, u64, usize); 4] = [
        ('D', 86_400_000_000_000, u64::MAX, 1),
        ('H', 3_600_000_000_000, 24, 2),
        ('M', 60_000_000_000, 60, 2),
        ('S', 1_000_000_000, 60, 2),
    ];
    let whole = nanos.unsigned_abs();
    let mut parts = vec![];
    let mut rest = format;
    while let Some((before, directive)) = rest.split_once('%') {
        parts.push((before, None));
        let end = directive.find(|c: char| !c.is_ascii_digit() && !"-_".contains(c));
        let (flags, letter) = directive.split_at(end.unwrap_or(directive.len()));
        let mut letters = letter.chars();
        let wrong =
            |letter: Option<char>| format!("%{flags}{}", letter.map(String::from).unwrap_or_default());
        let letter = letters.next().ok_or_else(|| wrong(None))?;
        let (pad, width) = match flags.chars().next() {
            Some(pad @ ('-' | '_')) => (pad, &flags[1..]),
            _ => ('0', flags),
        };
        let known = "%DHMSLN".contains(letter) && width.bytes().all(|b| b.is_ascii_digit());
        // behind a zero that pads comes the width
        let width = width.trim_start_matches('0');
        let width = if width.is_empty() {
            None
        } else {
            Some(width.parse::<usize>().map_err(|_| wrong(Some(letter)))?)
        };
        if !known {
            return Err(wrong(Some(letter)));
        }
        parts.push(("", Some((letter, pad, width))));
        rest = letters.as_str();
    }
    parts.push((rest, None));
    let has = |wanted: char| parts.iter().any(|(_, part)| part.is_some_and(|(letter, ..)| letter == wanted));
    let highest = "DHMSLN".chars().find(|letter| has(*letter));
    let mut out = if nanos < 0 { "-".to_owned() } else { String::new() };
    // only the first of the largest unit has it all
    let mut is_first = true;
    for (text, part) in parts {
        out.push_str(text);
        let Some((letter, pad, width)) = part else { continue };
        let total = Some(letter) == highest && std::mem::take(&mut is_first);
        if letter == '%' {
            out.push('%');
        } else if let Some((_, unit, most, usual)) = UNITS.iter().find(|(name, ..)| *name == letter) {
            let number = if total { whole / unit } else { whole / unit % most };
            let width = width.unwrap_or(*usual);
            match pad {
                '-' => out.push_str(&number.to_string()),
                '_' => out.push_str(&format!("{number:width$}")),
                _ => out.push_str(&format!("{number:0width$}")),
            }
        } else {
            out.push_str(&fraction(whole, letter, pad, width, total));
        }
    }
    Ok(out)
}

/// Milliseconds or nanoseconds, which stand behind a point: zeros at their end say nothing.
fn fraction(whole: u64, letter: char, pad: char, width: Option<usize>, total: bool) -> String {
    let usual = if letter == 'L' { 3 } else { 9 };
    let digits = if letter == 'L' { 3 } else { width.unwrap_or(9).min(9) };
    let unit = 10_u64.pow(9 - digits as u32);
    let mut number = if total { whole / unit } else { whole % 1_000_000_000 / unit };
    while pad != '0' && !total && number > 0 && number % 10 == 0 {
        number /= 10;
    }
    let width = width.unwrap_or(usual);
    if pad == '-' { number.to_string() } else { format!("{number:<width$}") }
}

/// `+02:00`; names of zones would need a list of them.
fn offset(zone: &str) -> Outcome<jiff::tz::TimeZone> {
    let wrong =
        || Raise::new(format!("strftime(): the zone '{zone}' is neither UTC nor an offset as +02:00"));
    let (sign, rest) = match (zone.strip_prefix('+'), zone.strip_prefix('-')) {
        (Some(rest), _) => (1, rest),
        (_, Some(rest)) => (-1, rest),
        _ => return Err(wrong()),
    };
    let digits: String = rest.chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = match digits.len() {
        4 => (digits.get(..2), digits.get(2..)),
        _ => return Err(wrong()),
    };
    let parse = |part: Option<&str>| part.and_then(|part| part.parse::<i32>().ok());
    let (Some(hours), Some(minutes)) = (parse(hours), parse(minutes)) else { return Err(wrong()) };
    let offset =
        jiff::tz::Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).map_err(|_| wrong())?;
    Ok(jiff::tz::TimeZone::fixed(offset))
}

/// `Timestamp(…)`: seconds, or text, with a format or without.
pub(super) fn timestamp(value: &Value, format: Option<&Value>) -> Outcome {
    let range = || Raise::new("a Timestamp is out of range: from 1677 to 2262");
    match value {
        Value::Timestamp(_) => Ok(value.clone()),
        Value::Integer(n) => n.checked_mul(1_000_000_000).map(Value::Timestamp).ok_or_else(range),
        Value::Float(n) => match (n.get() * 1e9).abs() < 9.2e18 {
            true => Ok(Value::Timestamp((n.get() * 1e9) as i64)),
            false => Err(range()),
        },
        Value::String(text) => {
            let wrong = || Raise::new(format!("Unable to parse '{}' as a Timestamp", brief(value)));
            let text = text.trim();
            if text.len() > LONGEST {
                return Err(wrong());
            }
            let time = match format {
                Some(Value::String(format)) => parsed(format, text),
                _ => {
                    let formats =
                        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
                    let bare = text.strip_suffix("UTC").or(text.strip_suffix('Z')).unwrap_or(text).trim_end();
                    let civil = || {
                        formats.iter().find_map(|format| jiff::civil::DateTime::strptime(format, bare).ok())
                    };
                    let day =
                        || jiff::civil::Date::strptime("%Y-%m-%d", bare).ok().map(|day| day.at(0, 0, 0, 0));
                    let utc = |time: jiff::civil::DateTime| time.to_zoned(jiff::tz::TimeZone::UTC).ok();
                    text.parse()
                        .ok()
                        .or_else(|| civil().or_else(day).and_then(utc).map(|zoned| zoned.timestamp()))
                }
            };
            let nanos = time.ok_or_else(wrong)?.as_nanosecond();
            i64::try_from(nanos).map(Value::Timestamp).map_err(|_| range())
        }
        _ => Err(Raise::new(format!("{} cannot be converted to Timestamp", super::kind_of(value)))),
    }
}

fn parsed(format: &str, text: &str) -> Option<jiff::Timestamp> {
    let broken = jiff::fmt::strtime::parse(format, text).ok()?;
    let utc = |civil: jiff::civil::DateTime| civil.to_zoned(jiff::tz::TimeZone::UTC).ok();
    broken
        .to_timestamp()
        .ok()
        .or_else(|| broken.to_datetime().ok().and_then(utc).map(|zoned| zoned.timestamp()))
}

/// `Timespan(…)`: seconds, `1-02:03:04.5`, or a hash of days, hours, minutes and so on.
pub(super) fn timespan(value: &Value) -> Outcome {
    let range = || Raise::new("a Timespan is out of range");
    let seconds = |n: f64| match (n * 1e9).abs() < 9.2e18 {
        true => Ok(Value::Timespan((n * 1e9) as i64)),
        false => Err(range()),
    };
    match value {
        Value::Timespan(_) => Ok(value.clone()),
        Value::Integer(n) => n.checked_mul(1_000_000_000).map(Value::Timespan).ok_or_else(range),
        Value::Float(n) => seconds(n.get()),
        Value::Hash(parts) => {
            let of = |name: &str| match parts.at(name) {
                Some(Value::Integer(n)) => *n as f64,
                _ => 0.0,
            };
            let whole = of("days") * 86_400.0 + of("hours") * 3_600.0 + of("minutes") * 60.0 + of("seconds");
            seconds(whole + of("milliseconds") / 1e3 + of("microseconds") / 1e6 + of("nanoseconds") / 1e9)
        }
        Value::String(text) if text.len() < 64 => {
            let wrong = || Raise::new(format!("Unable to parse '{text}' as a Timespan"));
            let (sign, rest) = text.strip_prefix('-').map_or((1.0, text.as_str()), |rest| (-1.0, rest));
            let (days, clock) = rest.split_once('-').unwrap_or(("0", rest));
            let mut whole = days.parse::<f64>().map_err(|_| wrong())? * 86_400.0;
            let parts: Vec<_> = clock.split(':').collect();
            let units: &[f64] = match parts.len() {
                3 => &[3_600.0, 60.0, 1.0],
                2 => &[3_600.0, 60.0],
                1 => &[1.0],
                _ => return Err(wrong()),
            };
            for (part, unit) in parts.iter().zip(units) {
                whole += part.parse::<f64>().map_err(|_| wrong())? * unit;
            }
            seconds(sign * whole)
        }
        _ => Err(Raise::new(format!("{} cannot be converted to Timespan", super::kind_of(value)))),
    }
}
