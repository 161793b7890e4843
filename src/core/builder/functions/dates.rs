//! Functions of time. A time is a text as standards have it, or seconds since 1970; layouts are
//! those of the original, which show how one certain second is written.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use serde_json::Value;

use super::{Arguments, Given, numbers};
use crate::core::builder::World;

pub(super) const NAMES: [&str; 16] = [
    "ago",
    "date",
    "dateInZone",
    "dateModify",
    "date_in_zone",
    "date_modify",
    "duration",
    "durationRound",
    "htmlDate",
    "htmlDateInZone",
    "mustDateModify",
    "mustToDate",
    "must_date_modify",
    "now",
    "toDate",
    "unixEpoch",
];

pub(super) fn call(of: &Arguments<'_>, world: &dyn World) -> Given {
    if !NAMES.contains(&of.name) {
        return None;
    }
    Some(given(of, world))
}

fn given(of: &Arguments<'_>, world: &dyn World) -> Result<Value, String> {
    Ok(match of.name {
        "now" => written(&world.now()).into(),
        "date" => layout(&of.text(0)?, &time(of.last()?, world)?).into(),
        "htmlDate" => layout("2006-01-02", &time(of.last()?, world)?).into(),
        "dateInZone" | "date_in_zone" => {
            layout(&of.text(0)?, &time(of.any(1)?, world)?.with_time_zone(zone(&of.text(2)?)?)).into()
        }
        "htmlDateInZone" => {
            layout("2006-01-02", &time(of.any(0)?, world)?.with_time_zone(zone(&of.text(1)?)?)).into()
        }
        "toDate" | "mustToDate" => {
            let (how, text) = (of.text(0)?, of.text(1)?);
            let read = read(&how, &text, world.now().time_zone());
            written(&read.ok_or_else(|| format!("{} {how}: {text} is not so written", of.name))?).into()
        }
        "durationRound" => rounded(of.any(0)?, world)?.into(),
        "unixEpoch" => time(of.last()?, world)?.timestamp().as_second().to_string().into(),
        "dateModify" | "date_modify" | "mustDateModify" | "must_date_modify" => {
            let text = of.text(0)?;
            let by = text.trim_start_matches('+').parse::<SignedDuration>();
            let by = by.map_err(|_| format!("{} takes a length of time such as -1h, not {text}", of.name))?;
            let moved = time(of.last()?, world)?.checked_add(by);
            written(&moved.map_err(|_| format!("{} leaves the calendar", of.name))?).into()
        }
        "ago" => {
            let since = world.now().duration_since(&time(of.last()?, world)?);
            spoken(since.as_secs()).into()
        }
        _ => spoken(of.whole(0)?).into(),
    })
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| format!("there is no time zone {name}"))
}

/// A time as a layout has it; without a zone it is one of this machine.
fn read(how: &str, text: &str, here: &TimeZone) -> Option<Zoned> {
    let parsed = jiff::fmt::strtime::parse(format(how), text).ok()?;
    if let Ok(time) = parsed.to_zoned() {
        return Some(time);
    }
    if let Ok(time) = parsed.to_timestamp() {
        return Some(time.to_zoned(here.clone()));
    }
    let time = parsed.to_datetime().ok().or_else(|| Some(parsed.to_date().ok()?.at(0, 0, 0, 0)));
    time?.to_zoned(here.clone()).ok()
}

/// The largest unit of a length of time: of a text such as `26h5m`, of nanoseconds, or since a time.
fn rounded(value: &Value, world: &dyn World) -> Result<String, String> {
    let length = match value {
        Value::String(text) => match text.parse::<SignedDuration>() {
            Ok(length) => length,
            Err(_) if text.parse::<Timestamp>().is_ok() => world.now().duration_since(&time(value, world)?),
            // as it always was
            Err(_) => SignedDuration::ZERO,
        },
        other => SignedDuration::from_nanos(numbers::whole(other)),
    };
    const UNITS: [(u64, &str); 6] =
        [(31_536_000, "y"), (2_592_000, "mo"), (86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let length = length.unsigned_abs();
    let unit = UNITS.iter().find(|(seconds, _)| length > std::time::Duration::from_secs(*seconds));
    Ok(unit.map_or("0s".to_owned(), |(seconds, name)| format!("{}{name}", length.as_secs() / seconds)))
}

fn written(time: &Zoned) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string()
}

fn time(value: &Value, world: &dyn World) -> Result<Zoned, String> {
    let zone = world.now().time_zone().clone();
    let found = match value {
        Value::String(text) => text.parse::<Timestamp>().ok(),
        other => Timestamp::from_second(numbers::whole(other)).ok(),
    };
    found.map(|time| time.to_zoned(zone)).ok_or_else(|| format!("{value} is no time"))
}

/// `1h2m3s`.
fn spoken(seconds: i64) -> String {
    let (sign, left) = if seconds < 0 { ("-", seconds.unsigned_abs()) } else { ("", seconds.unsigned_abs()) };
    let (hours, minutes, seconds) = (left / 3600, left / 60 % 60, left % 60);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// How the second of layouts is written, and what stands for it, longer words first.
const LAYOUT: [(&str, &str); 28] = [
    ("January", "%B"),
    ("Jan", "%b"),
    ("Monday", "%A"),
    ("Mon", "%a"),
    ("MST", "%Z"),
    ("2006", "%Y"),
    ("-07:00:00", "%::z"),
    ("-07:00", "%:z"),
    ("-0700", "%z"),
    ("Z07:00", "%:z"),
    ("Z0700", "%z"),
    (".000000000", "%.9f"),
    (".000000", "%.6f"),
    (".000", "%.3f"),
    ("002", "%j"),
    ("01", "%m"),
    ("02", "%d"),
    ("03", "%I"),
    ("04", "%M"),
    ("05", "%S"),
    ("06", "%y"),
    ("15", "%H"),
    ("PM", "%p"),
    ("pm", "%P"),
    ("_2", "%e"),
    ("1", "%-m"),
    ("2", "%-d"),
    ("3", "%-I"),
];

fn layout(layout: &str, time: &Zoned) -> String {
    jiff::fmt::strtime::format(format(layout), time).unwrap_or_default()
}

/// A layout in the words of others.
fn format(layout: &str) -> String {
    let mut format = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        match LAYOUT.iter().find(|(word, _)| rest.starts_with(word)) {
            Some((word, stands)) => {
                format.push_str(stands);
                rest = &rest[word.len()..];
            }
            None => {
                match c {
                    '%' => format.push_str("%%"),
                    '4' => format.push_str("%-M"),
                    '5' => format.push_str("%-S"),
                    c => format.push(c),
                }
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    format
}
