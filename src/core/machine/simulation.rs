//! A machine in a made-up time: what commands come to is written down beforehand, and a day
//! passes in a moment (`choria machine simulate`).
//!
//! A script has a line for each thing that happens: when, counted from the start, and what.
//!
//! ```text
//! # when    what
//! 0s        probe 0                     from now on, watcher probe ends with exit code 0
//! 5m        probe 2 CRITICAL|load=9     and from now on with 2 and this output
//! 10m       transition MAINTENANCE      somebody asks for that
//! 1h        end
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::definition::Definition;
use super::duration;
use super::engine::{Engine, Said as Told};
use super::turn::{Answer, Moment, Ran, Said, Work};

/// Longest time that passes.
const MAX_TIME: Duration = Duration::from_secs(366 * 86_400);
/// Most lines of a script, and of what is told.
const MAX_STEPS: usize = 10_000;
const MAX_TOLD: usize = 250_000;

/// Words that work other than commands comes to.
const OUTCOMES: [&str; 12] = [
    "changed",
    "unchanged",
    "error",
    "verified",
    "downloaded",
    "success_when",
    "failed_when",
    "no_match",
    "OK",
    "WARNING",
    "CRITICAL",
    "UNKNOWN",
];

/// What is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ScriptError {
    line: usize,
    problem: String,
}

/// A thing that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A command ends so from now on.
    Ends(String, i32, String),
    /// Other work comes to this from now on.
    Comes(String, &'static str),
    /// Somebody asks for a transition.
    Asks(String),
    /// It is over.
    End,
}

/// What happens, in the order of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script(Vec<(Duration, Step)>);

impl Script {
    /// Reads a script for a machine.
    ///
    /// # Errors
    /// The line that is none.
    pub fn parse(text: &str, machine: &Definition) -> Result<Script, ScriptError> {
        let mut steps = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |problem: String| ScriptError { line: at + 1, problem };
            if steps.len() >= MAX_STEPS {
                return Err(wrong(format!("a script has at most {MAX_STEPS} lines")));
            }
            let (when, what) = step(line, machine).map_err(wrong)?;
            steps.push((when, at + 1, what));
        }
        steps.sort_by_key(|(at, _, _)| *at);
        let end = steps.iter().position(|(_, _, step)| *step == Step::End);
        if let Some((_, line, _)) = end.and_then(|end| steps.get(end + 1)) {
            return Err(ScriptError { line: *line, problem: "it comes after the end".to_owned() });
        }
        Ok(Script(steps.into_iter().map(|(at, _, step)| (at, step)).collect()))
    }
}

fn step(line: &str, machine: &Definition) -> Result<(Duration, Step), String> {
    let mut rest = line.split_whitespace();
    let (when, what) = (rest.next().unwrap_or_default(), rest.next().unwrap_or_default());
    let at = match when {
        "0" => Ok(0),
        when => duration::interval(when).map_err(|e| e.to_string()),
    }?;
    let at =
        u64::try_from(at).map(Duration::from_nanos).map_err(|_| format!("{when} is before the start"))?;
    if at > MAX_TIME {
        return Err(format!("{when} is more than a year away"));
    }
    let value = rest.next();
    let step = match (what, value) {
        ("", _) => return Err("it says when and not what: WATCHER CODE, transition EVENT or end".to_owned()),
        ("end", None) => Step::End,
        ("transition", Some(event)) => {
            if machine.find_event(event).is_none() {
                return Err(format!("the machine has no transition {event}"));
            }
            Step::Asks(event.to_owned())
        }
        (watcher, Some(value)) => {
            if !machine.watchers.iter().any(|one| *one.common.name == *watcher) {
                return Err(format!("the machine has no watcher {watcher}"));
            }
            match (value.parse(), OUTCOMES.into_iter().find(|known| *known == value)) {
                (Ok(code), _) => Step::Ends(watcher.to_owned(), code, after(line, 3).unwrap_or_default()),
                (_, Some(outcome)) => Step::Comes(watcher.to_owned(), outcome),
                _ => return Err(format!("{value} is no exit code and none of {}", OUTCOMES.join(", "))),
            }
        }
        (other, None) => {
            return Err(format!("{other} needs what it comes to: an exit code, or a word such as changed"));
        }
    };
    Ok((at, step))
}

/// What follows so many words.
fn after(line: &str, words: usize) -> Option<String> {
    let mut rest = line;
    for _ in 0..words {
        let trimmed = rest.trim_start();
        rest = trimmed.get(trimmed.find(char::is_whitespace)?..)?;
    }
    Some(rest.trim().to_owned())
}

/// Why a machine did not live through all of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_TOLD} events happened until {}, what comes later is not shown: longer intervals take it further", show(*.0))]
pub struct TooMuch(Duration);

/// A time since the start.
pub fn show(at: Duration) -> String {
    duration::show(i64::try_from(at.as_millis()).unwrap_or(i64::MAX / 1_000_000).saturating_mul(1_000_000))
}

/// Lets a machine live through a script; `tell` is given when, since the start, and what.
///
/// # Errors
/// It did not come to the end of the script.
pub fn simulate(
    machine: Definition,
    script: &Script,
    zone: TimeZone,
    from: Timestamp,
    mut tell: impl FnMut(Duration, &str),
) -> Result<(), TooMuch> {
    let mut engine = Engine::new("simulated", zone, 1);
    let at = |at: Duration| {
        let wall = from.checked_add(jiff::SignedDuration::try_from(at).unwrap_or_default()).unwrap_or(from);
        Moment { at, wall }
    };
    // splays are for fleets
    let machine = Definition { splay: 0, ..machine };
    let id = engine.add(machine, "/".into(), "{}".into(), at(Duration::ZERO));
    let mut ends: BTreeMap<String, (i32, String)> = BTreeMap::new();
    let mut comes: BTreeMap<String, &'static str> = BTreeMap::new();
    let mut steps = script.0.iter().peekable();
    let last = script.0.iter().map(|(at, _)| *at).max().unwrap_or_default();
    let (mut now, mut told) = (Duration::ZERO, 0);
    loop {
        let mut over = false;
        while let Some((_, step)) = steps.next_if(|(at, _)| *at <= now) {
            match step {
                Step::Ends(watcher, code, output) => {
                    drop(ends.insert(watcher.clone(), (*code, output.clone())))
                }
                Step::Comes(watcher, outcome) => drop(comes.insert(watcher.clone(), outcome)),
                Step::End => over = true,
                Step::Asks(event) => {
                    engine.step(at(now));
                    if let Err(e) = engine.transition(id, event, at(now)) {
                        tell(now, &format!("asked for {event}: {e}"));
                    }
                }
            }
        }
        engine.step(at(now));
        loop {
            while let Some(said) = engine.said() {
                // an event that leads nowhere is how many machines are meant, and is not shown
                told += usize::from(!matches!(said, Told::Note(_)));
                match said {
                    Told::Event(event) => {
                        tell(now, event.text.strip_prefix("simulated ").unwrap_or(&event.text))
                    }
                    Told::Message(message) => {
                        tell(now, &format!("says {} on {}", message.payload, message.subject))
                    }
                    Told::Warning(text) => tell(now, &text),
                    Told::Note(_) => {}
                }
            }
            let Some(job) = engine.job(|_| true) else { break };
            let answer = match &job.work {
                Work::Command(command) => {
                    let (code, output) = ends.get(&job.watcher).cloned().unwrap_or_default();
                    Answer::Ran(Ran {
                        code: Some(code),
                        output,
                        line: command.line.to_string(),
                        ..Ran::default()
                    })
                }
                Work::Other(_) | Work::Patient(_) => {
                    let outcome = comes.get(&job.watcher).copied().unwrap_or("unchanged");
                    Answer::Said(Said { outcome, ..Said::default() })
                }
            };
            engine.answered(job.ticket, answer, at(now));
        }
        if over {
            return Ok(());
        }
        if told > MAX_TOLD {
            return Err(TooMuch(now));
        }
        let next = engine.next_due().into_iter().chain(steps.peek().map(|(at, _)| *at)).min();
        match next.filter(|next| *next <= last) {
            Some(next) => now = now.max(next),
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::machine::definition::compile;

    const PROBE: &str = "{name: d, version: 1.0.0, initial_state: w, splay_start: 600, transitions: [{name: ready, from: \
                         [w], destination: r}, {name: lost, from: [r], destination: w}], watchers: [{name: probe, type: \
                         exec, interval: 30s, success_transition: ready, fail_transition: lost, properties: {command: \
                         ./probe}}]}";

    #[test]
    fn a_script_is_lived_through() {
        let machine = compile(PROBE).ok().unwrap();
        let script = Script::parse(
            "# first\n0s probe 1\n40s probe 0 all fine\n2m transition lost\n3m end\n",
            &machine,
        )
        .unwrap();
        let mut moves = Vec::new();
        let lived = simulate(machine, &script, TimeZone::UTC, Timestamp::UNIX_EPOCH, |at, text| {
            if text.contains("transitioned") {
                moves.push((at.as_secs(), text.to_owned()));
            }
        });
        assert_eq!(lived, Ok(()));
        let times: Vec<u64> = moves.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [60, 120, 120], "{moves:?}");
        assert_eq!(moves[0].1, "d transitioned via event ready: w => r");
    }

    /// A day of the shortest interval there is comes to its end, and what does not says so.
    #[test]
    fn what_is_not_shown_is_said() {
        let busy = PROBE.replace("interval: 30s", "interval: 500ms");
        let lived = |text: &str| {
            let machine = compile(&busy).ok().unwrap();
            let script = Script::parse(text, &machine).unwrap();
            let mut last = Duration::ZERO;
            let from = "2026-03-10T00:00:00Z".parse().unwrap();
            let lived = simulate(machine, &script, TimeZone::UTC, from, |at, text| {
                if text.contains("transitioned") {
                    last = at;
                }
            });
            (lived, last.as_secs() / 3600)
        };
        assert_eq!(lived("0s probe 1\n23h probe 0\n24h end"), (Ok(()), 23));
        let told = lived("0s probe 1\n2000h end").0.unwrap_err().to_string();
        assert!(told.starts_with("more than 250000 events happened until "), "{told}");
    }

    #[test]
    fn mistakes_name_their_line() {
        let machine = compile(PROBE).ok().unwrap();
        for (text, told) in [
            ("1h end\n5h probe 1", "line 2: it comes after the end"),
            ("5h probe 1\n1h end", "line 1: it comes after the end"),
            ("\nsoon probe 0", "line 2: soon is no length"),
            ("0s nosuch 0", "no watcher nosuch"),
            ("0s probe maybe", "no exit code"),
            ("0s transition nosuch", "no transition nosuch"),
            ("0s", "when and not what"),
            ("2y end", "more than a year"),
        ] {
            let error = Script::parse(text, &machine).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
