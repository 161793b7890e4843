//! A command that runs while something is held: a slot of a governor, the lead of an election.
//!
//! It has a process group of its own, unless a person sits at a terminal, where Ctrl-C is to reach
//! it; what is told to us is told to it.

use std::io::IsTerminal;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// How long a command that is told to end has.
const GRACE: Duration = Duration::from_secs(10);
/// Exit code of commands that did not end by themselves.
const KILLED: u8 = 1;

/// The words of a command: several as they are, a single one as a shell would take it apart.
pub fn words(typed: &[String]) -> anyhow::Result<Vec<String>> {
    let words = match typed {
        [] => vec![],
        [line] => shlex::split(line).with_context(|| format!("'{line}' has a quote that does not end"))?,
        words => words.to_vec(),
    };
    match words.first() {
        Some(_) => Ok(words),
        None => bail!("there is no command to run"),
    }
}

/// A command that runs.
pub struct Held {
    child: Child,
    pid: Pid,
    /// It leads a process group.
    leads: bool,
}

impl Held {
    /// Starts it, with our terminal, files and environment.
    pub fn start(words: &[String]) -> anyhow::Result<Held> {
        let (program, arguments) = words.split_first().context("there is no command to run")?;
        let mut command = Command::new(program);
        command.args(arguments).kill_on_drop(true);
        let leads = !std::io::stdin().is_terminal();
        if leads {
            command.process_group(0);
        }
        let child = command.spawn().with_context(|| format!("cannot run {program}"))?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Held { child, pid: id.context("the command has ended already")?, leads })
    }

    /// Tells it, and what it has started.
    pub fn signal(&self, signal: Signal) {
        // it may have ended
        let _ = match self.leads {
            true => kill_process_group(self.pid, signal),
            false => kill_process(self.pid, signal),
        };
    }

    /// Waits for its end, and hands on the signals that are for it.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let mut heard = [
            (SignalKind::terminate(), Signal::TERM),
            (SignalKind::interrupt(), Signal::INT),
            (SignalKind::hangup(), Signal::HUP),
        ]
        .map(|(kind, handed_on)| signal(kind).map(|heard| (heard, handed_on)));
        let [Ok((term, _)), Ok((int, _)), Ok((hup, _))] = &mut heard else {
            bail!("signals cannot be heard");
        };
        loop {
            let handed_on = tokio::select! {
                ended = self.child.wait() => return Ok(ended?),
                _ = term.recv() => Signal::TERM,
                // a terminal has told everybody
                _ = int.recv() => if self.leads { Signal::INT } else { continue },
                _ = hup.recv() => Signal::HUP,
            };
            self.signal(handed_on);
        }
    }

    /// Ends it: gently, then not, after so long each.
    pub async fn end(&mut self, signals: &[(Signal, Duration)]) -> anyhow::Result<()> {
        for (signal, patience) in signals {
            self.signal(*signal);
            if tokio::time::timeout(*patience, self.child.wait()).await.is_ok() {
                return Ok(());
            }
        }
        self.signal(Signal::KILL);
        self.child.wait().await?;
        Ok(())
    }
}

/// How a command is ended that may not go on.
pub const GENTLY: [(Signal, Duration); 1] = [(Signal::TERM, GRACE)];

/// The exit code of a command, as our own.
pub fn code(status: ExitStatus) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(KILLED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_is_a_line_and_several_are_words() {
        let of = |typed: &[&str]| words(&typed.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["ls -l 'a b'"]).unwrap(), ["ls", "-l", "a b"]);
        assert_eq!(of(&["ls", "a b"]).unwrap(), ["ls", "a b"]);
        for bad in [&[][..], &[""], &["'x"]] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }
}
