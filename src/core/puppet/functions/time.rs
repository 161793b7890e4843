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
    let (Value::Timestamp(nanos) | Value::Timespan(nanos)) = call.get(0) else {
        return Err(call.mismatch(0, "Timestamp"));
    };
    // widths beyond two digits would make much of nothing
    let digits = format.as_bytes().windows(3).any(|w| w.iter().all(u8::is_ascii_digit));
    if format.contains('%') && digits {
        return Err(Raise::new("strftime(): a width has more than two digits"));
    }
    let time = jiff::Timestamp::from_nanosecond(i128::from(*nanos)).map_err(|e| Raise::new(e.to_string()))?;
    let zone = match call.get(2) {
        Value::String(zone) if !zone.is_empty() && zone.as_str() != "UTC" => offset(zone)?,
        _ => jiff::tz::TimeZone::UTC,
    };
    let zoned = time.to_zoned(zone);
    let text = jiff::fmt::strtime::format(format.as_bytes(), &zoned)
        .map_err(|e| Raise::new(format!("strftime(): '{format}': {e}")))?;
    ev.text(text)
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
