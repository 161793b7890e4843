//! Limits of numbers, as ranges of Nagios (Monitoring Plugins, "Threshold and Ranges"): `80`
//! is left by what is below 0 or above 80, `10:` by what is below 10, `~:5` by what is above
//! 5, `5:10` by what is not between them, `@5:10` by what is.

use std::fmt;

use serde_json::Value;

use super::{Around, Finding};
use crate::core::machine::duration;
use crate::core::machine::properties::Properties;
use crate::core::machine::watchers::Status;

/// A range; what is not in it is wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Range {
    low: f64,
    high: f64,
    /// What is in it is wrong instead.
    inverted: bool,
}

/// How a bare number is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// The most there may be.
    Most,
    /// The least there must be.
    Least,
    /// Seconds, which may be written `1h`, the most there may be.
    Seconds,
}

impl Range {
    fn parse(text: &str, measure: Measure) -> Option<Range> {
        let text = text.trim();
        let (text, inverted) = text.strip_prefix('@').map_or((text, false), |rest| (rest, true));
        let number = |text: &str| -> Option<f64> {
            let plain = text.parse::<f64>().ok().filter(|number| number.is_finite());
            let time = || Some(duration::property(text).ok().filter(|_| !text.is_empty())? as f64 / 1e9);
            plain.or_else(|| if measure == Measure::Seconds { time() } else { None })
        };
        let range = match text.split_once(':') {
            None if measure == Measure::Least => Range { low: number(text)?, high: f64::INFINITY, inverted },
            None => Range { low: 0.0, high: number(text)?, inverted },
            Some((low, high)) => Range {
                low: if low == "~" { f64::NEG_INFINITY } else { number(low)? },
                high: if high.is_empty() { f64::INFINITY } else { number(high)? },
                inverted,
            },
        };
        (range.low <= range.high).then_some(range)
    }

    fn is_left_by(&self, value: f64) -> bool {
        (value < self.low || value > self.high) != self.inverted
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.inverted {
            f.write_str("@")?;
        }
        if self.low == f64::NEG_INFINITY {
            f.write_str("~:")?;
        } else if self.low != 0.0 || self.high == f64::INFINITY {
            write!(f, "{}:", self.low)?;
        }
        if self.high == f64::INFINITY { Ok(()) } else { write!(f, "{}", self.high) }
    }
}

/// When a number is worth a warning, and when it is critical.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bounds {
    warning: Option<Range>,
    critical: Option<Range>,
}

impl Bounds {
    /// What a number comes to.
    pub fn judge(&self, value: f64) -> Status {
        let left = |range: &Option<Range>| range.as_ref().is_some_and(|range| range.is_left_by(value));
        match (left(&self.critical), left(&self.warning)) {
            (true, _) => Status::Critical,
            (false, true) => Status::Warning,
            (false, false) => Status::Ok,
        }
    }

    /// Whether all that would be worth a warning is critical, by limits that are not the same.
    fn never_warns(&self) -> bool {
        let (Some(warning), Some(critical)) = (self.warning, self.critical) else { return false };
        warning != critical
            && !warning.inverted
            && !critical.inverted
            && warning.low <= critical.low
            && warning.high >= critical.high
    }

    pub(super) fn shown_warning(&self) -> String {
        self.warning.map(|range| range.to_string()).unwrap_or_default()
    }

    pub(super) fn shown_critical(&self) -> String {
        self.critical.map(|range| range.to_string()).unwrap_or_default()
    }

    /// The most there may be.
    #[cfg(test)]
    pub fn of(warning: &str, critical: &str) -> Bounds {
        let range = |text| Range::parse(text, Measure::Most);
        Bounds { warning: range(warning), critical: range(critical) }
    }
}

/// Two properties that are limits.
#[derive(Debug)]
pub(super) struct Limits {
    names: [&'static str; 2],
    measure: Measure,
    bounds: Bounds,
}

impl Limits {
    /// `warning` and `critical`, with what counts where they are not given; an empty one is none.
    pub fn new(of: &mut Properties<'_, '_>, measure: Measure, defaults: [&str; 2]) -> Limits {
        Limits::named(of, ["warning", "critical"], measure, defaults)
    }

    /// Properties of these names.
    pub fn named(
        of: &mut Properties<'_, '_>,
        names: [&'static str; 2],
        measure: Measure,
        defaults: [&str; 2],
    ) -> Limits {
        let mut read = |name: &'static str, default: &str| {
            let text = of.text(name);
            let text = if text.is_empty() { default } else { &text };
            let range = Range::parse(text, measure);
            if range.is_none() && !text.is_empty() {
                of.error_at(name, format_args!("is {text}, which is no limit: {}", how(measure)));
            }
            range
        };
        let bounds = Bounds { warning: read(names[0], defaults[0]), critical: read(names[1], defaults[1]) };
        if bounds.never_warns() {
            let (warning, critical) = (bounds.shown_warning(), bounds.shown_critical());
            let given = names.into_iter().find(|name| of.has(name)).unwrap_or(names[0]);
            let text = format_args!(
                "makes it never WARNING: what is left by {} {warning} is CRITICAL already, by {} {critical}",
                names[0], names[1]
            );
            of.warn_at(given, text);
        }
        Limits { names, measure, bounds }
    }

    /// As they count on this node.
    ///
    /// # Errors
    /// What stands in the overrides is no limit.
    pub fn here(&self, around: &Around) -> Result<Bounds, Finding> {
        let read = |name: &str, own: Option<Range>| match around.own.get(name) {
            None | Some(Value::Null) => Ok(own),
            Some(value) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let wrong = || {
                    let how = how(self.measure);
                    Finding::unknown(format!(
                        "plugin.scout.overrides: {name} is {text}, which is no limit: {how}"
                    ))
                };
                Range::parse(&text, self.measure).map(Some).ok_or_else(wrong)
            }
        };
        Ok(Bounds {
            warning: read(self.names[0], self.bounds.warning)?,
            critical: read(self.names[1], self.bounds.critical)?,
        })
    }
}

fn how(measure: Measure) -> &'static str {
    match measure {
        Measure::Most => "write the most there may be, such as 80, or a range such as 5:80 or @5:80",
        Measure::Least => "write the least there must be, such as 30, or a range such as 5:80 or @5:80",
        Measure::Seconds => "write a length of time such as 90s or 2h, or a range of seconds such as 5:80",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_nagios() {
        for (text, within, outside) in [
            ("10", vec![0.0, 10.0], vec![-0.1, 10.1]),
            ("10:", vec![10.0, 1e9], vec![9.9, -1.0]),
            ("~:10", vec![-1e9, 10.0], vec![10.1]),
            ("10:20", vec![10.0, 20.0], vec![9.0, 21.0]),
            ("@10:20", vec![9.0, 21.0], vec![10.0, 20.0]),
            ("-5:-1", vec![-3.0], vec![0.0, -6.0]),
        ] {
            let range = Range::parse(text, Measure::Most).unwrap();
            assert!(within.iter().all(|value| !range.is_left_by(*value)), "{text}");
            assert!(outside.iter().all(|value| range.is_left_by(*value)), "{text}");
            assert_eq!(range.to_string(), text);
        }
        for wrong in ["", "x", "5:1", "1:2:3", "nan", "inf", "1h", ":"] {
            assert_eq!(Range::parse(wrong, Measure::Most), None, "{wrong}");
        }
        assert_eq!(Range::parse("2h", Measure::Seconds).unwrap().to_string(), "7200");
        assert_eq!(Range::parse("30", Measure::Least).unwrap().to_string(), "30:");
    }

    #[test]
    fn what_a_node_has_otherwise_counts() {
        let bounds = Bounds::of("80", "90");
        let limits = Limits { names: ["warning", "critical"], measure: Measure::Most, bounds };
        let around = |own: Value| Around { own, limit: super::super::TIMEOUT };
        let here = limits.here(&around(serde_json::json!({"warning": 50}))).unwrap();
        assert_eq!((here.judge(60.0), here.judge(95.0)), (Status::Warning, Status::Critical));
        assert_eq!(limits.here(&around(Value::Null)).unwrap(), bounds);
        let wrong = limits.here(&around(serde_json::json!({"critical": "much"}))).unwrap_err();
        assert!(
            wrong.to_string().starts_with("UNKNOWN: plugin.scout.overrides: critical is much"),
            "{wrong}"
        );
    }
}
