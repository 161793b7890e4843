//! Commands of type `exec`: programs and scripts of this machine.

use std::io::{IsTerminal as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use choria::core::builder::kinds::Exec;
use choria::core::builder::transforms::MOST;
use choria::core::builder::words::{quoted, split};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::NamedTempFile;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

use super::app::{Running, is_dry, would};
use crate::cmd::context::block_on;
use crate::cmd::exit::INTERRUPTED;
use crate::cmd::out::{Stdout, errln};
use crate::cmd::render::text::clean;

const HELPER: &str = include_str!("helper.sh");

/// What is run.
struct Ready {
    words: Vec<String>,
    environment: Vec<(String, String)>,
    dir: String,
    /// The program, for sentences.
    shown: String,
    /// Removed when it is dropped.
    _helper: Option<NamedTempFile>,
}

pub fn run(exec: &Exec, running: &mut Running<'_>) -> anyhow::Result<ExitCode> {
    let ready = ready(exec, running)?;
    if is_dry() {
        let words: Vec<String> = ready.words.iter().map(|word| quoted(word)).collect();
        return would(format_args!("run {}", running.state.redacted(&words.join(" "))));
    }
    let wants_output = running.run.command.transform.is_some();
    let (ended, output) = block_on(tried(exec, &ready, wants_output))??;
    match ended {
        Ended::Well if wants_output => {
            let text = running.transformed(output)?;
            let mut out = Stdout;
            out.write_all(text.as_bytes())?;
            if !text.is_empty() && !text.ends_with('\n') {
                out.write_all(b"\n")?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Ended::Well => Ok(ExitCode::SUCCESS),
        Ended::Badly(code) => {
            // programs that answer JSON say there what went wrong
            if !output.is_empty() {
                errln!("{}", clean(output.trim_end(), true));
            }
            Ok(ExitCode::from(code))
        }
        Ended::Told(code) => Ok(ExitCode::from(code)),
    }
}

fn ready(exec: &Exec, running: &mut Running<'_>) -> anyhow::Result<Ready> {
    let helper = match exec.no_helper {
        true => None,
        false => {
            let mut file = NamedTempFile::with_prefix("choria-builder-").context("the file of functions")?;
            file.write_all(HELPER.as_bytes()).context("the file of functions")?;
            running.state.helper = file.path().display().to_string();
            Some(file)
        }
    };
    let words = match exec.command.as_str() {
        "" => {
            let mut words = shell(&exec.shell)?;
            words.push(running.render(&exec.script)?);
            words
        }
        command => split(&running.render(command)?).context("command")?,
    };
    if words.is_empty() {
        bail!("{}: its command is empty, there is nothing to run", running.run.command.name);
    }
    let mut environment = vec![];
    for entry in &exec.environment {
        let entry = running.render(entry)?;
        let (name, value) =
            entry.split_once('=').with_context(|| format!("environment: '{entry}' has no ="))?;
        environment.push((name.to_owned(), value.to_owned()));
    }
    let dir = running.render(&exec.dir)?;
    if !dir.is_empty() && !Path::new(&dir).is_dir() {
        bail!("dir: there is no directory {dir}");
    }
    let shown = clean(&running.state.redacted(&words[0]), false).into_owned();
    Ok(Ready { words, environment, dir, shown, _helper: helper })
}

/// What runs a script.
fn shell(named: &str) -> anyhow::Result<Vec<String>> {
    let mut words = split(named).context("shell")?;
    if words.is_empty() {
        let usual = || ["/bin/bash", "/bin/sh"].into_iter().find(|shell| Path::new(shell).exists());
        let own = std::env::var("SHELL").ok().filter(|shell| !shell.is_empty());
        words.push(
            own.or_else(|| usual().map(str::to_owned))
                .context("there is no shell: say one with shell, or SHELL")?,
        );
    }
    if words.len() == 1 {
        words.push("-c".to_owned());
    }
    Ok(words)
}

/// How a program ended.
enum Ended {
    Well,
    Badly(u8),
    /// Between two attempts; the exit code that the signal stands for.
    Told(u8),
}

/// What this program is told. Heard from its making on: what comes between two attempts is not lost.
struct Told {
    interrupt: Signals,
    terminate: Signals,
    hangup: Signals,
}

impl Told {
    fn new() -> std::io::Result<Told> {
        Ok(Told {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal, and the exit code of who is ended by it.
    async fn heard(&mut self) -> (Signal, u8) {
        tokio::select! {
            _ = self.interrupt.recv() => (Signal::INT, INTERRUPTED),
            _ = self.terminate.recv() => (Signal::TERM, 143),
            _ = self.hangup.recv() => (Signal::HUP, 129),
        }
    }
}

/// Runs it, as often as the definition says it may be.
async fn tried(exec: &Exec, ready: &Ready, wants_output: bool) -> anyhow::Result<(Ended, String)> {
    // listened to before there is a child: it gets them from the terminal, too, and decides
    let mut told = Told::new()?;
    let mut number = 1;
    loop {
        let (status, output, interrupted) = once(ready, number, wants_output, &mut told).await?;
        if status.success() {
            return Ok((Ended::Well, output));
        }
        let ended = spoken(status);
        let again = exec.backoff.as_ref().filter(|backoff| number < backoff.attempts && !interrupted);
        let Some(backoff) = again else {
            let tries =
                exec.backoff.as_ref().filter(|_| !interrupted).map(|_| format!(" at attempt {number}"));
            errln!("choria: {} {ended}{}", ready.shown, tries.unwrap_or_default());
            // whatever it was told meanwhile, it says how it ended
            return Ok((Ended::Badly(code(status)), output));
        };
        let wait = backoff.wait(number, fastrand::f64());
        errln!(
            "choria: attempt {number} of {} {ended}, the next in {:.1} s",
            backoff.attempts,
            wait.as_secs_f64()
        );
        // whoever says so between two attempts does not want the next
        tokio::select! {
            () = tokio::time::sleep(wait) => number += 1,
            (_, code) = told.heard() => return Ok((Ended::Told(code), String::new())),
        }
    }
}

/// Time for the rest of the output when a program has ended that was told to. Who of it is left may hold it open.
const REST: Duration = Duration::from_secs(1);

async fn once(
    ready: &Ready,
    number: u32,
    wants_output: bool,
    told: &mut Told,
) -> anyhow::Result<(ExitStatus, String, bool)> {
    let program = &ready.words[0];
    let mut command = Command::new(program);
    command.args(&ready.words[1..]).envs(ready.environment.iter().map(|(name, value)| (name, value)));
    command.env("BUILDER_TRY", number.to_string()).kill_on_drop(true);
    if !ready.dir.is_empty() {
        command.current_dir(&ready.dir);
    }
    if wants_output {
        command.stdout(Stdio::piped());
    }
    // where nobody is at a terminal all that a script runs is told what it is told; at one it has to stay in the
    // foreground, and is told by the terminal
    let alone = !std::io::stdin().is_terminal() && std::fs::File::open("/dev/tty").is_err();
    if alone {
        command.process_group(0);
    }
    let mut child = command.spawn().map_err(|e| anyhow!("cannot run {}: {e}", ready.shown))?;
    let mut output = vec![];
    let mut interrupted = false;
    let stdout = child.stdout.take();
    let mut reading = Box::pin(async {
        match stdout {
            Some(stdout) => stdout.take(MOST as u64 + 1).read_to_end(&mut output).await.map(drop),
            None => Ok(()),
        }
    });
    let mut read = false;
    let status = loop {
        tokio::select! {
            done = &mut reading, if !read => {
                done.context("the output of the program")?;
                read = true;
            }
            status = child.wait(), if read || interrupted => break status?,
            (signal, _) = told.heard() => {
                interrupted = true;
                // whoever is at a terminal has told the child, too
                if signal != Signal::INT || !std::io::stdin().is_terminal() {
                    tell(&child, signal, alone);
                }
            }
        }
    };
    if !read && let Ok(done) = tokio::time::timeout(REST, &mut reading).await {
        done.context("the output of the program")?;
    }
    drop(reading);
    if output.len() > MOST {
        bail!("{} wrote more than {MOST} bytes, which are too many to be transformed", ready.shown);
    }
    Ok((status, String::from_utf8_lossy(&output).into_owned(), interrupted && !status.success()))
}

/// Tells a child, or all of its group, what this program was told.
fn tell(child: &Child, signal: Signal, group: bool) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = if group { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
    }
}

fn code(status: ExitStatus) -> u8 {
    let signal = || status.signal().map(|signal| 128 + signal);
    status.code().or_else(signal).and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn spoken(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        _ => "failed".to_owned(),
    }
}
