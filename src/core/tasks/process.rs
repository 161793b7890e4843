//! Which process a file means. A number alone may be another's by now; with the time it
//! began and the boot it belongs to it is nobody else's.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process_group};

use super::spool::content;

/// Bytes of such a file.
const MOST: u64 = 256;

/// Processes that a task started and left in its own group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    leader: Pid,
    /// Whoever takes the number once all are gone is of another.
    session: String,
}

/// State, group and session of a process, from its `stat`.
fn kin(process: &str) -> Option<(String, String, String)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // the name in brackets may hold anything
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().map(str::to_owned);
    let state = fields.next()?;
    Some((state, fields.nth(1)?, fields.next()?))
}

impl Group {
    /// That of the process a file names, while that is there and leads one.
    pub fn of(file: &Path) -> Option<Group> {
        let leader = alive(file)?;
        let number = leader.as_raw_nonzero().to_string();
        let (_, group, session) = kin(&number)?;
        Some(Group { leader, session }).filter(|_| group == number)
    }

    /// Whether anybody of it is there, its leader or others.
    pub fn is_there(&self) -> bool {
        let leader = self.leader.as_raw_nonzero().to_string();
        let names = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.file_name());
        let is_process = |name: &str| name.bytes().all(|b| b.is_ascii_digit());
        names.filter_map(|name| name.into_string().ok()).filter(|name| is_process(name)).any(|name| {
            kin(&name).is_some_and(|(state, group, session)| {
                group == leader && session == self.session && state != "Z" && state != "X"
            })
        })
    }

    /// Ends those that are there.
    pub fn kill(&self) {
        // while somebody is in it, its number is nobody else's
        if self.is_there() {
            let _ = kill_process_group(self.leader, Signal::KILL);
        }
    }
}

/// A process as it is kept: `pid start boot`; nothing of one that is not there.
pub fn named(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the name in brackets may hold anything
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        return None;
    }
    let start = fields.get(19)?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Some(format!("{pid} {start} {}", boot.trim()))
}

/// The process that a file names, while it is there and of the user the file's directory is
/// of: who may write there may name others.
pub fn alive(file: &Path) -> Option<Pid> {
    let kept = String::from_utf8(content(file, MOST).ok()?.0).ok()?;
    let pid = kept.split(' ').next()?.parse::<u32>().ok().filter(|pid| *pid > 1)?;
    if named(pid)? != kept.trim() {
        return None;
    }
    let owner = fs::symlink_metadata(file.parent()?).ok()?.uid();
    let of = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    let ours = owner == 0 || of == owner;
    Pid::from_raw(i32::try_from(pid).ok()?).filter(|_| ours)
}

/// Whether a process of that number is there, where nothing else is known of it.
pub fn exists(pid: i64) -> bool {
    u32::try_from(pid).is_ok_and(|pid| pid > 1 && named(pid).is_some())
}

/// Signals the group of the process that a file names; false when it is gone.
pub fn signal(file: &Path, signal: Signal) -> bool {
    alive(file).is_some_and(|pid| kill_process_group(pid, signal).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_alone_is_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let own = named(std::process::id()).unwrap();
        fs::write(&file, &own).unwrap();
        assert_eq!(
            alive(&file).map(Pid::as_raw_nonzero).map(|pid| pid.get()),
            i32::try_from(std::process::id()).ok()
        );
        let (pid, start, boot) = match own.split(' ').collect::<Vec<_>>()[..] {
            [pid, start, boot] => (pid, start, boot),
            _ => panic!("{own}"),
        };
        for other in [
            format!("{pid} 1 {boot}"),
            format!("{pid} {start} other"),
            pid.to_owned(),
            "1 1 1".to_owned(),
            String::new(),
        ] {
            fs::write(&file, &other).unwrap();
            assert!(alive(&file).is_none(), "{other}");
        }
        assert!(exists(i64::from(std::process::id())) && !exists(0) && !exists(-1) && !exists(1 << 40));
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        while named(child.id()).is_some() {
            std::thread::yield_now();
        }
        assert!(!exists(i64::from(child.id())), "a zombie is gone");
        child.wait().unwrap();
    }
}
