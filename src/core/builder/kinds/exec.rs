//! `exec`: a program, or a script of a shell.

use std::time::Duration;

use super::Kind;
use crate::core::builder::compile::Reading;

/// Runs something on this machine.
#[derive(Debug)]
pub struct Exec {
    /// A program and its words; a template, taken apart as shells do, and run by none.
    pub command: String,
    /// A script; a template.
    pub script: String,
    /// What runs the script; that of the person where it is empty.
    pub shell: String,
    /// `NAME=VALUE`, templates.
    pub environment: Vec<String>,
    /// Where it runs; a template, and where the person is when it is empty.
    pub dir: String,
    /// Whether it is tried again.
    pub backoff: Option<Backoff>,
    /// Whether there is to be no file of functions for scripts.
    pub no_helper: bool,
}

/// How often and when something that failed is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    /// Times it is run at most.
    pub attempts: u32,
    waits: Vec<Duration>,
}

/// Most attempts and steps.
const MOST: u64 = 10_000;
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(86_400);

impl Backoff {
    /// `steps` waits that grow evenly from the shorter of both on.
    fn new(attempts: u32, steps: u32, one: Duration, other: Duration) -> Backoff {
        let (least, most) = (one.min(other), one.max(other));
        let step = (most - least) / steps.max(1);
        Backoff { attempts, waits: (0..steps).map(|i| least + step * i).collect() }
    }

    /// How long to wait after attempt `number`, counted from one: half of what the step says, to
    /// one and a half. `random` is below one.
    pub fn wait(&self, number: u32, random: f64) -> Duration {
        let at = (number as usize).min(self.waits.len().saturating_sub(1));
        let wait = self.waits.get(at).copied().unwrap_or_default();
        wait.mul_f64(0.5 + random.clamp(0.0, 1.0))
    }
}

pub(super) fn read(of: &mut Reading<'_, '_>) -> Kind {
    let exec = Exec {
        command: of.template("command"),
        script: of.template("script"),
        shell: of.text("shell"),
        environment: of.templates("environment"),
        dir: of.template("dir"),
        backoff: backoff(of),
        no_helper: of.flag("no_helper"),
    };
    match (exec.command.is_empty(), exec.script.is_empty()) {
        (true, true) => of.error("command or script is required"),
        (false, false) => of.error("command and script exclude each other"),
        _ => {}
    }
    if !exec.shell.is_empty() {
        if exec.script.is_empty() {
            of.error_at("shell", "is for a script, a command is run without a shell");
        }
        if crate::core::builder::words::split(&exec.shell).is_err() {
            of.error_at("shell", "has a quote that is not closed");
        }
    }
    for entry in exec.environment.iter().filter(|entry| !entry.contains('=')) {
        of.error_at("environment", format!("holds '{entry}' where NAME=VALUE is expected"));
    }
    Kind::Exec(exec)
}

fn backoff(of: &mut Reading<'_, '_>) -> Option<Backoff> {
    let mut inner = of.inner("backoff")?;
    let attempts = inner.number("max_attempts", MOST);
    let steps = inner.number("steps", MOST);
    let least = inner.positive("min_sleep").unwrap_or(Duration::from_millis(500));
    let most = inner.positive("max_sleep").unwrap_or(Duration::from_secs(20));
    let Some(attempts) = attempts.filter(|attempts| *attempts > 0) else {
        inner.error("max_attempts is required, a number above 0");
        inner.finish(&[]);
        return None;
    };
    let steps = steps.unwrap_or(attempts);
    if steps < 2 {
        inner.error(format_args!("steps is {steps}, there have to be 2 at least"));
    }
    if least.is_zero() || most.is_zero() || least.max(most) > LONGEST {
        inner.error("min_sleep and max_sleep are longer than nothing, and a day at most");
    }
    inner.finish(&[]);
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Some(Backoff::new(number(attempts), number(steps), least, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_not_all_the_same() {
        let backoff = Backoff::new(10, 4, Duration::from_secs(1), Duration::from_secs(9));
        let waits: Vec<u64> = (1..=5).map(|n| backoff.wait(n, 0.5).as_secs()).collect();
        assert_eq!(waits, [3, 5, 7, 7, 7]);
        assert_eq!(backoff.wait(1, 0.0), Duration::from_millis(1500));
        assert_eq!(backoff.wait(1, 1.0), Duration::from_millis(4500));
        let turned = Backoff::new(2, 2, Duration::from_secs(9), Duration::from_secs(1));
        assert_eq!(turned.wait(1, 0.5), Duration::from_secs(5));
    }
}
