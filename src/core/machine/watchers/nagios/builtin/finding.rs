//! What a look found, as a plugin of Nagios would print it.

use std::fmt;

use super::limits::Bounds;
use crate::core::machine::watchers::Status;

/// Longest text that is told.
const MOST_TEXT: usize = 2000;

/// What a look found.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    /// The worst of it.
    pub status: Status,
    text: String,
    numbers: Vec<Number>,
}

#[derive(Debug, Clone)]
struct Number {
    label: String,
    value: f64,
    unit: &'static str,
    bounds: Option<Bounds>,
}

impl Finding {
    /// All is well, so far.
    pub fn ok() -> Finding {
        Finding { status: Status::Ok, text: String::new(), numbers: Vec::new() }
    }

    /// It cannot be told how things are.
    pub fn unknown(text: impl Into<String>) -> Finding {
        Finding { status: Status::Unknown, text: text.into(), numbers: Vec::new() }
    }

    /// It is as bad as it gets.
    pub fn critical(text: impl Into<String>) -> Finding {
        Finding { status: Status::Critical, text: text.into(), numbers: Vec::new() }
    }

    /// Something more; what is worse comes first.
    pub fn with(mut self, status: Status, text: impl AsRef<str>) -> Finding {
        let text = text.as_ref();
        let worse = rank(status) > rank(self.status);
        self.text = match (self.text.is_empty(), worse) {
            (true, _) => text.to_owned(),
            (false, false) if text.is_empty() => self.text,
            (false, true) => format!("{text}, {}", self.text),
            (false, false) => format!("{}, {text}", self.text),
        };
        if worse {
            self.status = status;
        }
        self
    }

    /// A number beside it.
    pub fn number(mut self, label: impl Into<String>, value: f64, unit: &'static str) -> Finding {
        self.numbers.push(Number { label: label.into(), value, unit, bounds: None });
        self
    }

    /// A number that is judged by limits: what they come to, and the number with them.
    pub fn judged(
        self,
        label: impl Into<String>,
        value: f64,
        unit: &'static str,
        bounds: Bounds,
        text: impl AsRef<str>,
    ) -> Finding {
        let mut finding = self.with(bounds.judge(value), text);
        finding.numbers.push(Number { label: label.into(), value, unit, bounds: Some(bounds) });
        finding
    }
}

/// How bad it is; not to know is worse than a warning.
fn rank(status: Status) -> u8 {
    match status {
        Status::Ok | Status::NotChecked => 0,
        Status::Warning => 1,
        Status::Unknown => 2,
        Status::Critical => 3,
    }
}

/// A number in as few digits as tell it.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // what is behind the one bar is numbers
        let text: String = self.text.chars().take(MOST_TEXT).collect();
        write!(f, "{}: {}", self.status.as_str(), text.replace('|', "/"))?;
        for (at, number) in self.numbers.iter().enumerate() {
            f.write_str(if at == 0 { "|" } else { " " })?;
            let label: String = number
                .label
                .chars()
                .map(|c| if matches!(c, '\'' | '=' | '|' | '\n') { '_' } else { c })
                .collect();
            match label.contains(char::is_whitespace) {
                true => write!(f, "'{label}'")?,
                false => f.write_str(&label)?,
            }
            write!(f, "={}{}", short(number.value), number.unit)?;
            if let Some(bounds) = &number.bounds {
                write!(f, ";{};{}", bounds.shown_warning(), bounds.shown_critical())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::machine::perfdata;

    #[test]
    fn what_is_worst_is_said_first_and_numbers_read_back() {
        let bounds = Bounds::of("80", "90");
        let finding = Finding::ok()
            .judged("/", 12.3456, "%", bounds, "/ is 12 % full")
            .judged("/srv/a b", 91.0, "%", bounds, "/srv/a b is 91 % full")
            .number("it's=|", 3.0, "B");
        assert_eq!(
            finding.to_string(),
            "CRITICAL: /srv/a b is 91 % full, / is 12 % full|/=12.346%;80;90 '/srv/a b'=91%;80;90 it_s__=3B"
        );
        let items = perfdata::parse(&finding.to_string());
        assert_eq!(items.len(), 3);
        assert_eq!((items[1].label.as_ref(), items[1].value), ("/srv/a b", 91.0));
        let unsure = Finding::ok().with(Status::Warning, "w").with(Status::Unknown, "u|v");
        assert_eq!(unsure.to_string(), "UNKNOWN: u/v, w");
    }
}
