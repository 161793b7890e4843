//! What Puppet is doing.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::Pid;
use serde_json::{Value, json};

use super::settings::Paths;
use crate::core::agents::system::ways;
use crate::core::files::{PUBLIC, read_bounded};

/// Most bytes of a lock file.
const MOST: u64 = 64 * 1024;

/// As of a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// Why it may not run; nothing where it may.
    pub disabled: Option<String>,
    /// Whether a catalog is being applied.
    pub applying: bool,
    /// Its daemon.
    pub daemon: Option<Pid>,
}

impl State {
    /// As of now.
    pub fn now(paths: &Paths) -> State {
        State {
            disabled: disabled(&paths.disabled),
            applying: process(&paths.applying).is_some(),
            daemon: process(&paths.daemon),
        }
    }

    /// Whether its daemon waits for the next run.
    pub fn idling(&self) -> bool {
        self.daemon.is_some() && !self.applying
    }

    /// In the interface's words.
    pub fn word(&self) -> &'static str {
        match () {
            () if self.disabled.is_some() => "disabled",
            () if self.applying => "applying a catalog",
            () if self.idling() => "idling",
            () => "stopped",
        }
    }
}

/// Keeps Puppet from running.
pub(super) fn disable(paths: &Paths, message: &str) -> io::Result<()> {
    if let Some(dir) = paths.disabled.parent() {
        fs::create_dir_all(dir)?;
    }
    let message = json!({"disabled_message": message}).to_string();
    ways::write_new(&paths.disabled, message.as_bytes(), PUBLIC).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => {
            io::Error::other(format!("{} is there, and no lock", paths.disabled.display()))
        }
        _ => e,
    })
}

/// Lets Puppet run again.
pub(super) fn enable(paths: &Paths) -> io::Result<()> {
    ways::remove(&paths.disabled)
}

fn disabled(file: &Path) -> Option<String> {
    let text = match ways::read(file, MOST) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
        Err(_) => Vec::new(),
    };
    let value: Value = serde_json::from_slice(&text).unwrap_or_default();
    let message = value.get("disabled_message").and_then(Value::as_str);
    Some(message.unwrap_or_default().to_owned())
}

/// The process a file names, while it is there.
fn process(file: &Path) -> Option<Pid> {
    let text = String::from_utf8(ways::read(file, MOST).ok()?).ok()?;
    let pid = text.trim().parse().ok().filter(|pid| *pid > 1).and_then(Pid::from_raw)?;
    // The number may be another program's by now, or of somebody's choosing.
    let words =
        read_bounded(Path::new(&format!("/proc/{}/cmdline", pid.as_raw_nonzero())), 1024 * 1024).ok()?;
    let owner = fs::metadata(format!("/proc/{}", pid.as_raw_nonzero())).ok()?.uid();
    let ours = owner == rustix::process::geteuid().as_raw();
    (ours && String::from_utf8_lossy(&words).contains("puppet")).then_some(pid)
}

/// Seconds as people say them.
pub(super) fn human(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86400), seconds.rem_euclid(86400));
    let (hours, minutes, seconds) = (rest / 3600, rest % 3600 / 60, rest % 60);
    match (days, hours, minutes) {
        (1, _, _) => format!("1 day {hours} hours {minutes} minutes {seconds:02} seconds"),
        (2.., _, _) => format!("{days} days {hours} hours {minutes} minutes {seconds:02} seconds"),
        (_, 1.., _) => format!("{hours} hours {minutes} minutes {seconds:02} seconds"),
        (_, _, 1..) => format!("{minutes} minutes {seconds:02} seconds"),
        _ => format!("{seconds:02} seconds"),
    }
}
