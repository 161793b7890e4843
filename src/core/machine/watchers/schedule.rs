//! `schedule`: on for a while at certain times (spec 06 §6.4).
//!
//! A window opens when one of the schedules comes, and closes so long after. Windows that
//! overlap or touch are one: the original is off and on again between them, and fires both
//! transitions each time.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Kind, Watcher};
use crate::core::machine::cron::Cron;
use crate::core::machine::definition::Common;
use crate::core::machine::event::Fields;
use crate::core::machine::properties::Properties;
use crate::core::machine::turn::{Fire, Turn};

pub(super) const KIND: Kind = Kind { name: "schedule", interval: None, least: Duration::ZERO, compile };

const DEFAULT: Duration = Duration::from_secs(60);
/// The clock on the wall is set now and then: it is looked at this often.
const LOOK: Duration = Duration::from_secs(60);
/// Most windows that are opened by one look: a clock that was set far ahead opens no million.
const MOST: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unknown,
    Off,
    On,
    Skipped,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Unknown => "unknown",
            State::Off => "off",
            State::On => "on",
            State::Skipped => "skipped",
        }
    }
}

/// The times a schedule is on.
struct Windows {
    schedules: Box<[Cron]>,
    duration: SignedDuration,
    /// Until when everything that came has been seen.
    seen: Timestamp,
    /// What opens later than it came, or is open: from, until; the first opens first.
    open: Vec<(Timestamp, Timestamp)>,
    opened: bool,
}

impl Windows {
    /// The next time a window opens after what was seen.
    fn next(&self, zone: &TimeZone) -> Option<Timestamp> {
        self.schedules.iter().filter_map(|cron| cron.next(self.seen, zone)).min()
    }

    /// Whether it is on at `now`, and when that may be different.
    fn look(
        &mut self,
        now: Timestamp,
        zone: &TimeZone,
        mut splay: impl FnMut() -> SignedDuration,
    ) -> (State, Option<Timestamp>) {
        // by a clock that was set back a good deal, what comes to be open at `now` is, and what came later comes again
        if now.duration_until(self.seen) > SignedDuration::from_mins(1) {
            self.seen = now.checked_sub(self.duration).unwrap_or(now);
            self.open.retain(|(from, until)| *from <= now && *until > now);
        }
        let mut next = self.next(zone);
        for _ in 0..MOST {
            let Some(at) = next.filter(|at| *at <= now) else { break };
            self.seen = at;
            if let (Ok(from), Ok(until)) = (at.checked_add(splay()), at.checked_add(self.duration)) {
                self.open.push((from, until));
            }
            next = self.next(zone);
        }
        self.seen = self.seen.max(now);
        if next.is_some_and(|next| next <= now) {
            next = self.next(zone);
        }
        // one that still waits for its splay has not opened
        self.opened |= self.open.iter().any(|(from, _)| *from <= now);
        self.open.retain(|(_, until)| *until > now);
        let on = self.open.iter().any(|(from, _)| *from <= now);
        let edges = self.open.iter().map(|(from, until)| if *from > now { *from } else { *until });
        let soon = edges.chain(next.into_iter().filter(|next| *next > now)).min();
        let state = match (on, self.opened) {
            (true, _) => State::On,
            (false, true) => State::Off,
            (false, false) => State::Unknown,
        };
        (state, soon)
    }
}

struct Schedule {
    windows: Windows,
    splay: Duration,
    skip_on_reenter: bool,
    state: State,
    previous: State,
    fired: bool,
}

fn compile(of: &mut Properties<'_, '_>, _: &mut Common) -> Box<dyn Watcher> {
    let duration = match of.positive("duration") {
        None | Some(Duration::ZERO) => DEFAULT,
        Some(duration) => duration,
    };
    let splay = of.positive("start_splay").unwrap_or_default();
    if splay > duration / 2 {
        of.error_at("start_splay", "is longer than half the duration");
    }
    let lines = of.list("schedules");
    if lines.is_empty() {
        of.error("schedules are required, such as [\"0 9 * * mon-fri\"]");
    }
    let mut schedules = Vec::with_capacity(lines.len());
    for line in &lines {
        match Cron::parse(line) {
            Ok(cron) => {
                if !cron.ever_comes() {
                    of.warn_at("schedules", format_args!("has \"{line}\", which never comes"));
                }
                schedules.push(cron);
            }
            Err(e) => of.error_at("schedules", format_args!("has \"{line}\": {e}")),
        }
    }
    let windows = Windows {
        schedules: schedules.into(),
        duration: SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX),
        seen: Timestamp::MIN,
        open: Vec::new(),
        opened: false,
    };
    Box::new(Schedule {
        windows,
        splay,
        skip_on_reenter: of.flag("skip_trigger_on_reenter"),
        state: State::Unknown,
        previous: State::Unknown,
        fired: false,
    })
}

impl Schedule {
    fn look(&mut self, turn: &mut Turn<'_>) {
        let (now, splay) = (turn.now.wall, self.splay);
        let random = &mut *turn.random;
        let drawn = || SignedDuration::try_from(splay.mul_f64(random.f64())).unwrap_or_default();
        let (state, soon) = self.windows.look(now, turn.zone, drawn);
        if state != State::On {
            self.fired = false;
        }
        self.state = state;
        let wait = soon.map_or(LOOK, |at| now.duration_until(at).try_into().unwrap_or(LOOK));
        // a moment later rather than a moment too early
        turn.again(wait.saturating_add(Duration::from_millis(1)).min(LOOK));
        self.act(turn);
    }

    fn act(&mut self, turn: &mut Turn<'_>) {
        if !turn.eligible {
            self.previous = State::Skipped;
            return;
        }
        if self.previous == self.state {
            return;
        }
        self.previous = self.state;
        turn.publish(self.fields());
        if self.state != State::On {
            turn.fire(Fire::Failure);
        } else if !(self.fired && self.skip_on_reenter) {
            self.fired = true;
            turn.fire(Fire::Success);
        }
    }
}

impl Watcher for Schedule {
    fn begin(&mut self, turn: &mut Turn<'_>) {
        // What opened before is waited for again, as ever.
        self.windows.seen = turn.now.wall;
        if !turn.eligible {
            self.previous = State::Skipped;
        }
        self.look(turn);
    }

    fn due(&mut self, turn: &mut Turn<'_>) {
        self.look(turn);
    }

    fn moved(&mut self, turn: &mut Turn<'_>) {
        self.look(turn);
    }

    fn fields(&self) -> Fields {
        vec![("state", self.state.word().into())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(schedules: &[&str], minutes: i64, from: &str) -> Windows {
        Windows {
            schedules: schedules.iter().map(|text| Cron::parse(text).unwrap()).collect(),
            duration: SignedDuration::from_mins(minutes),
            seen: from.parse().unwrap(),
            open: Vec::new(),
            opened: false,
        }
    }

    /// Every change of a schedule up to an end, by its own word on when to look again.
    fn changes(
        windows: &mut Windows,
        from: &str,
        until: &str,
        zone: &TimeZone,
    ) -> Vec<(String, &'static str)> {
        let (mut now, until): (Timestamp, Timestamp) = (from.parse().unwrap(), until.parse().unwrap());
        let (mut last, mut changes) = (State::Unknown, Vec::new());
        while now <= until {
            let (state, soon) = windows.look(now, zone, SignedDuration::default);
            if state != last {
                changes.push((zone.to_datetime(now).to_string(), state.word()));
                last = state;
            }
            let Some(soon) = soon else { break };
            assert!(soon > now);
            now = soon;
        }
        changes
    }

    #[test]
    fn periods_that_touch_are_one() {
        let from = "2026-03-10T10:30:30Z";
        let mut touching = windows(&["* * * * *"], 1, from);
        assert_eq!(
            changes(&mut touching, from, "2026-03-11T10:30:00Z", &TimeZone::UTC),
            [("2026-03-10T10:31:00".to_owned(), "on")]
        );
        let mut apart = windows(&["0 * * * *", "30 * * * *"], 20, from);
        let seen = changes(&mut apart, from, "2026-03-10T12:10:00Z", &TimeZone::UTC);
        let times: Vec<&str> = seen.iter().map(|(time, _)| &time[11..16]).collect();
        assert_eq!(times, ["11:00", "11:20", "11:30", "11:50", "12:00"]);
        let mut overlapping = windows(&["0 * * * *", "10 * * * *"], 20, from);
        let seen = changes(&mut overlapping, from, "2026-03-10T11:59:00Z", &TimeZone::UTC);
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert_eq!(&seen[1].0[11..16], "11:30");
    }

    /// A year of a nightly window in a place where clocks are set.
    #[test]
    fn a_year_over_daylight_saving_has_a_window_a_night() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let (from, until) = ("2026-01-01T00:00:00Z", "2026-12-31T22:00:00Z");
        let seen = changes(&mut windows(&["30 1 * * *"], 120, from), from, until, &zone);
        let on: Vec<&String> =
            seen.iter().filter(|(_, state)| *state == "on").map(|(time, _)| time).collect();
        assert_eq!(on.len(), 365);
        assert!(on.iter().all(|time| time.ends_with("T01:30:00")), "{on:?}");
        let ends: Vec<&str> = seen.iter().filter(|(_, s)| *s == "off").map(|(time, _)| &time[..16]).collect();
        // Two hours are two hours, whatever the clock says at their end.
        assert!(ends.contains(&"2026-03-29T04:30") && ends.contains(&"2026-10-25T02:30"), "{ends:?}");
        assert_eq!(ends.iter().filter(|time| time.ends_with("T03:30")).count(), 363);
        // What is skipped does not open, what is repeated opens once for both: they overlap.
        let seen = changes(&mut windows(&["30 2 * * *"], 120, from), from, until, &zone);
        assert_eq!(seen.iter().filter(|(_, state)| *state == "on").count(), 364);
    }

    #[test]
    fn what_waits_for_its_splay_is_not_off() {
        let from = "2026-03-10T08:59:30Z";
        let mut windows = windows(&["0 9 * * *"], 60, from);
        let mut at = |time: &str| {
            let now = format!("2026-03-10T{time}Z").parse().unwrap();
            windows.look(now, &TimeZone::UTC, || SignedDuration::from_mins(5)).0
        };
        let seen = ["08:59:30", "09:00:00", "09:04:59", "09:05:00", "10:00:00"].map(&mut at);
        assert_eq!(seen, [State::Unknown, State::Unknown, State::Unknown, State::On, State::Off]);
    }

    #[test]
    fn a_clock_that_is_set_back_ends_no_window_it_is_within() {
        // where the clock was, where it is set to, and whether it is on then and some minutes later
        for (before, after, expected) in [
            ("16:46", "16:42", [State::On, State::On, State::Off, State::On]),
            ("16:41", "16:39", [State::Off, State::On, State::On, State::Off]),
            // the window of half past four is over, and comes again
            ("17:30", "16:42", [State::On, State::On, State::Off, State::On]),
            ("16:46", "16:36", [State::Off, State::On, State::On, State::Off]),
            ("16:41", "16:10", [State::On, State::Off, State::On, State::On]),
        ] {
            let time = |text: &str| -> Timestamp { format!("2026-03-10T{text}:00Z").parse().unwrap() };
            let mut windows = windows(&["*/20 * * * *"], 15, "2026-03-10T16:30:00Z");
            let mut at = |now| windows.look(now, &TimeZone::UTC, SignedDuration::default).0;
            assert_eq!((at(time("16:31")), at(time("16:41"))), (State::Unknown, State::On));
            at(time(before));
            let after = time(after);
            let seen = [0, 5, 14, 20].map(|minutes| at(after + SignedDuration::from_mins(minutes)));
            assert_eq!(seen, expected, "{before} {after}");
        }
    }

    #[test]
    fn a_clock_that_is_set_far_ahead_opens_no_million_windows() {
        let from = "2026-01-01T00:00:00Z";
        let mut all = windows(&["* * * * *"], 1, from);
        all.look(from.parse().unwrap(), &TimeZone::UTC, SignedDuration::default);
        let (_, soon) =
            all.look("2036-01-01T00:00:30Z".parse().unwrap(), &TimeZone::UTC, SignedDuration::default);
        assert!(all.open.len() <= 2, "{}", all.open.len());
        assert_eq!(soon.unwrap().to_string(), "2036-01-01T00:01:00Z");
    }
}
