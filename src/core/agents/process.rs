//! The `process` agent (spec 02 §15.6): lists processes, from `/proc`.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value, json};

use super::system::input::Refused;
use super::system::{Outputs, Places, turn};
use super::{Agent, Call, Node, Outcome, Running};
use crate::core::ddl::{self, AgentDdl};
use crate::core::files::read_bounded;
use crate::core::rpc::StatusCode;

/// Bytes of a command line that are told.
const MOST_WORDS: usize = 4096;
/// Bytes of a whole answer.
const MOST_TOLD: usize = 512 * 1024;
/// Size of a compiled expression.
const MOST_EXPRESSION: usize = 1024 * 1024;
/// Most bytes of a file of `/proc`, and of the user database.
const MOST_READ: u64 = 128 * 1024;
const MOST_USERS: u64 = 4 * 1024 * 1024;

/// Lists made at once: a process may keep whoever reads its words waiting.
const AT_ONCE: usize = 4;

/// The agent.
pub struct Process {
    places: Places,
}

impl Default for Process {
    fn default() -> Process {
        Process { places: Places::new(AT_ONCE) }
    }
}

impl Agent for Process {
    fn ddl(&self) -> &AgentDdl {
        // Compiled in; a test loads every built-in DDL.
        ddl::builtin("process").expect("compiled in")
    }

    fn run<'a>(&'a self, call: &'a Call, _: &'a dyn Node) -> Running<'a> {
        Box::pin(async move {
            let outputs = Outputs::of(self.ddl(), call);
            if call.action != "list" {
                let message = format!("Unknown action {} for agent process", call.action);
                return outputs.failed(StatusCode::UnknownAction, message);
            }
            let wanted = match Wanted::of(call) {
                Ok(wanted) => wanted,
                Err(refused) => return refused.answer(outputs),
            };
            let _turn = turn(call).await;
            let work = self.places.block(move || list(&wanted, Path::new("/proc"), outputs));
            work.await.unwrap_or_else(|problem| Outcome::failed(StatusCode::UnknownError, problem))
        })
    }
}

/// Which processes are asked for.
struct Wanted {
    pattern: Option<Regex>,
    user: String,
    zombies: bool,
}

impl Wanted {
    fn of(call: &Call) -> Result<Wanted, Refused> {
        let pattern = call.text("pattern");
        let compiled = RegexBuilder::new(pattern).size_limit(MOST_EXPRESSION).build();
        let compiled =
            compiled.map_err(|_| Refused::new("pattern", pattern, "is no regular expression of ours"))?;
        Ok(Wanted {
            pattern: (!pattern.is_empty()).then_some(compiled),
            user: call.text("user").to_owned(),
            zombies: call.data.get("just_zombies") == Some(&Value::Bool(true)),
        })
    }

    fn take(&self, process: &Map<String, Value>) -> bool {
        let text = |name: &str| process.get(name).and_then(Value::as_str).unwrap_or_default();
        let uid = || process.get("uid").map(Value::to_string).unwrap_or_default();
        self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(text("cmdline")))
            && (self.user.is_empty() || self.user == text("username") || self.user == uid())
            && (!self.zombies || text("state") == "Z")
    }
}

fn list(wanted: &Wanted, proc: &Path, mut outputs: Outputs) -> Outcome {
    let users = users(&read_bounded(Path::new("/etc/passwd"), MOST_USERS).unwrap_or_default());
    let entries = match fs::read_dir(proc) {
        Ok(entries) => entries,
        Err(e) => return outputs.broken(format!("{} cannot be read: {e}", proc.display())),
    };
    let mut pids: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    let (mut found, mut size) = (Vec::new(), 0);
    for pid in pids {
        // those that have ended meanwhile are none
        let Some(process) = process(&proc.join(pid.to_string()), &users).filter(|p| wanted.take(p)) else {
            continue;
        };
        let process = Value::Object(process);
        size += process.to_string().len();
        if size > MOST_TOLD {
            return outputs.aborted("More processes than an answer holds, ask with a pattern or a user");
        }
        found.push(process);
    }
    outputs.set("pslist", found);
    outputs.done()
}

/// Names by number.
fn users(database: &[u8]) -> HashMap<u64, String> {
    let text = String::from_utf8_lossy(database);
    let user = |line: &str| {
        let mut fields = line.split(':');
        Some((fields.clone().nth(2)?.parse().ok()?, fields.next()?.to_owned()))
    };
    text.lines().filter_map(user).collect()
}

/// What is told of a process; its environment is nobody's business.
fn process(dir: &Path, users: &HashMap<u64, String>) -> Option<Map<String, Value>> {
    let read = |name: &str| {
        let content = read_bounded(&dir.join(name), MOST_READ).ok()?;
        Some(String::from_utf8_lossy(&content).into_owned())
    };
    let (stat, status) = (read("stat")?, read("status")?);
    let mut told = stat_fields(&stat)?;
    let ids = |label: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(label))?;
        let mut ids = line.split_whitespace().filter_map(|id| id.parse::<u64>().ok());
        Some((ids.next()?, ids.next()?))
    };
    let ((uid, euid), (gid, egid)) = (ids("Uid:")?, ids("Gid:")?);
    let username = users.get(&uid).cloned().unwrap_or_else(|| uid.to_string());
    // longer than anybody wants to read is cut, not refused
    let words = fs::File::open(dir.join("cmdline")).and_then(|file| {
        let mut words = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, MOST_WORDS as u64), &mut words)?;
        Ok(words)
    });
    let words = String::from_utf8_lossy(&words.unwrap_or_default()).replace('\0', " ").trim().to_owned();
    let name = told.get("comm").and_then(Value::as_str).unwrap_or_default().to_owned();
    // threads of the kernel have none
    let cmdline = if words.is_empty() { format!("[{name}]") } else { words };
    let about = json!({
        "cmdline": cmdline, "name": name, "uid": uid, "euid": euid, "gid": gid, "egid": egid,
        "username": username,
    });
    if let Value::Object(about) = about {
        told.extend(about);
    }
    Some(told)
}

/// What `/proc/PID/stat` says; the name in it may hold anything.
fn stat_fields(stat: &str) -> Option<Map<String, Value>> {
    let (before, rest) = stat.rsplit_once(')')?;
    let (pid, comm) = before.split_once('(')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<i64>().ok();
    let told = json!({
        "pid": pid.trim().parse::<i64>().ok()?, "comm": comm, "state": *fields.first()?,
        "ppid": number(1)?, "pgrp": number(2)?, "session": number(3)?, "tty_nr": number(4)?,
        "utime": number(11)?, "stime": number(12)?, "cutime": number(13)?, "cstime": number(14)?,
        "priority": number(15)?, "nice": number(16)?, "nlwp": number(17)?, "starttime": number(19)?,
        "vsize": number(20)?, "rss": number(21)?,
    });
    match told {
        Value::Object(told) => Some(told),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_processes_hold_anything() {
        let stat = "7 (a) R (b) S 1 7 7 0 -1 4194560 1 2 3 4 11 12 13 14 20 0 3 0 99 4096 17 1844 1 1";
        let told = stat_fields(stat).unwrap();
        assert_eq!(told["comm"], "a) R (b");
        assert_eq!((told["state"].as_str(), told["ppid"].as_i64()), (Some("S"), Some(1)));
        assert_eq!((told["vsize"].as_i64(), told["rss"].as_i64()), (Some(4096), Some(17)));
        for bad in ["", "7", "7 (a", "7 (a) S", "x (a) S 1 7 7"] {
            assert!(stat_fields(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn users_are_known_by_number() {
        let users = users(b"root:x:0:0:root:/root:/bin/sh\nbad\n:::\nwww-data:x:33:33::/:/bin/false\n");
        assert_eq!(users.get(&33).map(String::as_str), Some("www-data"));
        assert_eq!(users.len(), 2);
    }

    #[test]
    fn this_process_is_there() {
        let about = process(Path::new("/proc/self"), &HashMap::new()).unwrap();
        assert_eq!(about["pid"].as_u64(), Some(u64::from(std::process::id())));
        assert!(about["cmdline"].as_str().is_some_and(|words| !words.is_empty()));
    }
}
