//! Points in time that repeat: `minute hour day-of-month month day-of-week` (spec 06 §6.4).
//!
//! The grammar is that of the original's library, accidents included: `*-5` is `*`, `5/20`
//! starts at 5, Sunday is 0 and never 7, and there are no names such as `@daily`. An hour
//! that a clock skips does not fire, one that it repeats fires twice.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Why a text is none, as the end of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Names of others.
    #[error("{0} is a name of other programs, write five fields: minute hour day-of-month month day-of-week")]
    Name(String),
    /// Too few or too many.
    #[error("it has {0} fields, not the five minute hour day-of-month month day-of-week")]
    Fields(usize),
    /// A word that is no number and no name.
    #[error("{0:?} in its {1} is no number{2}")]
    Word(String, &'static str, &'static str),
    /// Outside of the field.
    #[error("{0} in its {1} is not within {2}-{3}")]
    Outside(u32, &'static str, u32, u32),
    /// From later to earlier.
    #[error("{0} in its {1} begins after it ends")]
    Backwards(String, &'static str),
    /// No step.
    #[error("the step of {0} in its {1} is zero")]
    Step(String, &'static str),
}

/// When something happens again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u32,
    days: u32,
    months: u16,
    weekdays: u8,
    /// Both day fields must match, as one of them has a star; else either does.
    both: bool,
}

struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    words: &'static [&'static str],
    known: &'static str,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, words: &[], known: "" },
    Field { name: "hour", least: 0, most: 23, words: &[], known: "" },
    Field { name: "day-of-month", least: 1, most: 31, words: &[], known: "" },
    Field { name: "month", least: 1, most: 12, words: &MONTHS, known: " and no jan-dec" },
    Field { name: "day-of-week", least: 0, most: 6, words: &WEEKDAYS, known: " and no sun-sat" },
];

/// 2024-01-01, a leap year.
const LEAP: Timestamp = Timestamp::constant(1_704_067_200, 0);

/// Years that are looked through for the next time.
const YEARS: i16 = 5;

impl Cron {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Cron, CronError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        if let Some(name) = words.first().filter(|word| word.starts_with('@')) {
            return Err(CronError::Name((*name).to_owned()));
        }
        let [minute, hour, day, month, weekday] = words[..] else {
            return Err(CronError::Fields(words.len()));
        };
        let star = |text: &str| text.split(',').any(|part| part.starts_with(['*', '?']));
        let field = |at: usize, text| FIELDS.get(at).map_or(Ok(0), |field| field.bits(text));
        Ok(Cron {
            minutes: field(0, minute)?,
            hours: field(1, hour)? as u32,
            days: field(2, day)? as u32,
            months: field(3, month)? as u16,
            weekdays: field(4, weekday)? as u8,
            both: star(day) || star(weekday),
        })
    }

    /// Whether it comes at all: in five years, two of them leap years.
    pub fn ever_comes(&self) -> bool {
        let any = self.minutes != 0 && self.hours != 0;
        any && self.next(LEAP, &TimeZone::UTC).is_some()
    }

    /// The first time after `from`, in whole minutes of the clocks of `zone`; none within
    /// five years.
    pub fn next(&self, from: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let of = zone.to_datetime(from);
        let last = of.year().checked_add(YEARS)?;
        let into = SignedDuration::new(60 - i64::from(of.second()), -of.subsec_nanosecond());
        let mut at = from.checked_add(into).ok()?;
        loop {
            let now = zone.to_datetime(at);
            if now.year() > last {
                return None;
            }
            let date = now.date();
            let begin = if self.months & 1 << now.month() == 0 {
                Some(date.last_of_month().tomorrow().ok()?)
            } else if !self.is_on(date) {
                Some(date.tomorrow().ok()?)
            } else {
                None
            };
            if let Some(date) = begin {
                at = date.to_zoned(zone.clone()).ok()?.timestamp();
                continue;
            }
            let minute = i64::from(now.minute());
            if self.hours & 1 << now.hour() == 0 {
                at = at.checked_add(SignedDuration::from_secs((60 - minute) * 60)).ok()?;
                continue;
            }
            let later = self.minutes >> minute;
            let wait = if later == 0 { 60 - minute } else { i64::from(later.trailing_zeros()) };
            if wait == 0 {
                return Some(at);
            }
            at = at.checked_add(SignedDuration::from_secs(wait * 60)).ok()?;
        }
    }

    fn is_on(&self, date: jiff::civil::Date) -> bool {
        let day = self.days & 1 << date.day() != 0;
        let weekday = self.weekdays & 1 << date.weekday().to_sunday_zero_offset() != 0;
        if self.both { day && weekday } else { day || weekday }
    }
}

impl Field {
    /// The values a text stands for, as bits.
    fn bits(&self, text: &str) -> Result<u64, CronError> {
        text.split(',').filter(|part| !part.is_empty()).try_fold(0, |bits, part| Ok(bits | self.part(part)?))
    }

    fn part(&self, part: &str) -> Result<u64, CronError> {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let (from, to) = range.split_once('-').map_or((range, None), |(from, to)| (from, Some(to)));
        let (from, to) = match (from, to) {
            ("*" | "?", _) => (self.least, self.most),
            (from, Some(to)) => (self.number(from)?, self.number(to)?),
            // a number with a step goes on to the end
            (from, None) => {
                let from = self.number(from)?;
                (from, if step.is_some() { self.most } else { from })
            }
        };
        for value in [from, to] {
            if !(self.least..=self.most).contains(&value) {
                return Err(CronError::Outside(value, self.name, self.least, self.most));
            }
        }
        if from > to {
            return Err(CronError::Backwards(part.to_owned(), self.name));
        }
        let step = step.map_or(Ok(1), |step| self.digits(step))?;
        if step == 0 {
            return Err(CronError::Step(part.to_owned(), self.name));
        }
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        Ok((from..=to).step_by(step).fold(0, |bits, value| bits | 1 << value))
    }

    fn number(&self, word: &str) -> Result<u32, CronError> {
        let lower = word.to_ascii_lowercase();
        match self.words.iter().position(|known| *known == lower) {
            Some(at) => Ok(at as u32 + self.least),
            None => self.digits(word),
        }
    }

    fn digits(&self, word: &str) -> Result<u32, CronError> {
        let digits = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
        let number = if digits { word.parse().ok() } else { None };
        number.ok_or_else(|| CronError::Word(word.chars().take(40).collect(), self.name, self.known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::machine::tests::vectors;

    #[test]
    fn every_captured_schedule_comes_when_it_did() {
        let mut seen = (0, 0);
        for case in vectors("machine-schedule.json")["cron"].as_array().unwrap() {
            let text = case["schedule"].as_str().unwrap();
            let parsed = Cron::parse(text);
            let Some(times) = case["next"].as_array() else {
                assert!(parsed.is_err(), "{text:?} is refused: {case}");
                seen.1 += 1;
                continue;
            };
            let cron = parsed.unwrap_or_else(|e| panic!("{text:?}: {e}"));
            let mut at: Timestamp = case["from"].as_str().unwrap().parse().unwrap();
            for expected in times.iter().map(|time| time.as_str().unwrap()) {
                let next = cron.next(at, &TimeZone::UTC);
                assert_eq!(
                    next.map_or("never".to_owned(), |t| t.to_string()),
                    expected,
                    "{text:?} after {at}"
                );
                at = next.unwrap_or(at);
            }
            seen.0 += 1;
        }
        assert!(seen.0 >= 35 && seen.1 >= 20, "{seen:?}");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_field() {
        for (text, told) in [
            ("@daily", "five fields"),
            ("* * * * 7", "7 in its day-of-week is not within 0-6"),
            ("a * * * *", "\"a\" in its minute is no number"),
            ("* * * foo *", "no jan-dec"),
            ("*/0 * * * *", "step"),
            ("99999999999 * * * *", "no number"),
        ] {
            let error = Cron::parse(text).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn clocks_that_are_set_skip_and_repeat() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let times = |text: &str, from: &str, count: usize| -> Vec<String> {
            let cron = Cron::parse(text).unwrap();
            let mut at: Timestamp = from.parse().unwrap();
            let step = || {
                at = cron.next(at, &zone)?;
                Some(zone.to_datetime(at).to_string())
            };
            std::iter::from_fn(step).take(count).collect()
        };
        // 29 March 2026 has no 02:30; 25 October has two.
        assert_eq!(
            times("30 2 * * *", "2026-03-27T12:00:00Z", 2),
            ["2026-03-28T02:30:00", "2026-03-30T02:30:00"]
        );
        assert_eq!(
            times("30 2 * * *", "2026-10-24T12:00:00Z", 3),
            ["2026-10-25T02:30:00", "2026-10-25T02:30:00", "2026-10-26T02:30:00"]
        );
    }

    #[test]
    fn no_text_ends_the_reader() {
        bolero::check!().with_iterations(3000).with_type::<String>().for_each(|text: &String| {
            if let Ok(cron) = Cron::parse(text) {
                let _ = cron.next(Timestamp::UNIX_EPOCH, &TimeZone::UTC);
            }
        });
    }
}
