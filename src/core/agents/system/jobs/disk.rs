//! Jobs as they are kept: a directory each.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::said::{self, OUTPUTS};
use super::{About, LONGEST, Record, State};
use crate::core::agents::Outcome;
use crate::core::files::{SECRET, read_bounded, write_atomic};
use crate::core::rpc::StatusCode;

/// Jobs that are kept, and for how long.
const MOST_KEPT: usize = 64;
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// For how long all that is left of what a job said is kept, for who still reads it.
const READ_FOR: Duration = Duration::from_secs(600);
/// How long a job may take until it has said which process it is.
const BEGINS_IN: Duration = Duration::from_secs(10);
/// What is being made is called so, and then the name of the job.
const NEW: &str = ".choria-job-";
/// What is left of that when it could not be made goes after this time.
const NEW_FOR: Duration = Duration::from_secs(600);
/// Bytes of what is kept about a job.
const MOST: u64 = 2 * 1024 * 1024;

/// An outcome as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    statuscode: i64,
    statusmsg: String,
    data: Map<String, Value>,
}

/// Whether a job may be called so: a digest, or a UUID.
pub(super) fn is_name(name: &str) -> bool {
    [36, 64].contains(&name.len()) && name.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// Makes the directory of a job, after those that nobody needs any more have gone.
pub(super) fn make(all: &Path, dir: &Path, about: &About) -> io::Result<()> {
    ready(all)?;
    tidy(all);
    place(all, dir, |new| fill(new, about))
}

/// The directory of jobs, which is ours and of nobody else.
fn ready(all: &Path) -> io::Result<()> {
    builder().recursive(true).create(all).map_err(|e| named(all, &e))?;
    let found = fs::symlink_metadata(all)?;
    let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    if !ours || found.mode() & 0o022 != 0 {
        let problem = "is no directory of this node's own, that nobody else may write to";
        return Err(io::Error::other(format!("{} {problem}", all.display())));
    }
    Ok(())
}

/// Puts a directory there once it has all it needs, or none.
fn place(all: &Path, dir: &Path, fill: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let before = || io::Error::other("this request was begun before");
    if fs::symlink_metadata(dir).is_ok() {
        return Err(before());
    }
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let new = all.join(format!("{NEW}{name}"));
    let _ = fs::remove_dir_all(&new);
    builder().create(&new).map_err(|e| named(&new, &e))?;
    let filled = fill(&new).and_then(|()| {
        fs::rename(&new, dir).map_err(|e| match e.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => before(),
            _ => named(dir, &e),
        })
    });
    if filled.is_err() {
        let _ = fs::remove_dir_all(&new);
    }
    filled
}

/// What is written later has its room from the beginning: the disk may be full by then.
fn fill(new: &Path, about: &About) -> io::Result<()> {
    write_atomic(&new.join("job.json"), &serde_json::to_vec(about)?, SECRET)?;
    for number in ["pid", "exit"] {
        write_atomic(&new.join(number), &[b'\n'; 16], SECRET)?;
    }
    for output in OUTPUTS {
        mknodat(CWD, said::pipe(new, output), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    }
    Ok(())
}

fn builder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

fn named(path: &Path, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

/// Jobs in a directory. Somebody may have named one that others use, too.
pub(super) fn found(all: &Path) -> Vec<(About, PathBuf)> {
    let entries = fs::read_dir(all).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_name));
    named.filter_map(|entry| Some((about(&entry.path())?, entry.path()))).collect()
}

/// Those of them that are at work.
pub(super) fn living(all: &Path) -> Vec<(About, PathBuf)> {
    let mut found = found(all);
    found.retain(|(_, dir)| is_at_work(dir));
    found
}

fn is_at_work(dir: &Path) -> bool {
    record(dir).is_some_and(|record| matches!(record.state, State::Starting | State::Running))
}

fn about(dir: &Path) -> Option<About> {
    serde_json::from_slice(&read_bounded(&dir.join("job.json"), MOST).ok()?).ok()
}

/// Bounds how long a job takes; false when it has ended.
pub(super) fn look_after(dir: &Path, begun: i64) -> bool {
    if age(begun) > LONGEST
        && let Some(pid) = alive(dir)
    {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    is_at_work(dir)
}

fn age(begun: i64) -> Duration {
    let age = jiff::Timestamp::now().as_second().saturating_sub(begun);
    Duration::from_secs(u64::try_from(age).unwrap_or_default())
}

/// Removes jobs that ended long ago, and beyond as many as are kept the oldest of whoever
/// has the most; of those that stay the end of what they said stays. What is at work is left
/// alone.
fn tidy(all: &Path) {
    let mut found = found(all);
    found.retain(|(_, dir)| alive(dir).is_none());
    found.sort_by_key(|(about, _)| about.begun);
    let remove = |dir: &Path| {
        let _ = fs::remove_dir_all(dir).inspect_err(|e| tracing::warn!("{}: {e}", dir.display()));
    };
    found.retain(|(about, dir)| {
        let old = age(about.begun) > KEPT_FOR;
        if old {
            remove(dir);
        }
        !old
    });
    let mut excess = (found.len() + 1).saturating_sub(MOST_KEPT);
    while excess > 0 && !found.is_empty() {
        let of = |caller: &str| found.iter().filter(|(about, _)| about.caller == caller).count();
        let most = found.iter().map(|(about, _)| of(&about.caller)).max().unwrap_or_default();
        let first = found.iter().position(|(about, _)| of(&about.caller) == most).unwrap_or_default();
        remove(&found.remove(first).1);
        excess -= 1;
    }
    for (_, dir) in found.iter().filter(|(_, dir)| older(&dir.join("exit"), READ_FOR)) {
        let _ = said::shorten(dir).inspect_err(|e| tracing::warn!("{}: {e}", dir.display()));
    }
    let entries = fs::read_dir(all).into_iter().flatten().flatten();
    let new = |entry: &fs::DirEntry| {
        entry.file_name().to_str().and_then(|name| name.strip_prefix(NEW)).is_some_and(is_name)
    };
    entries
        .filter(new)
        .map(|entry| entry.path())
        .filter(|dir| older(dir, NEW_FOR))
        .for_each(|dir| remove(&dir));
}

/// Whether a file was left alone for so long.
fn older(file: &Path, than: Duration) -> bool {
    let changed = fs::symlink_metadata(file).and_then(|about| about.modified());
    changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > than))
}

pub(super) fn keep(dir: &Path, outcome: &Outcome) -> io::Result<()> {
    let kept = Kept {
        statuscode: outcome.code.code(),
        statusmsg: outcome.message.clone(),
        data: outcome.data.clone(),
    };
    write_atomic(&dir.join("outcome.json"), &serde_json::to_vec(&kept)?, SECRET)
}

pub(super) fn record(dir: &Path) -> Option<Record> {
    let about = about(dir)?;
    let kept = read_bounded(&dir.join("outcome.json"), MOST).ok();
    let kept = kept.and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
    let outcome = kept.map(|kept| Outcome {
        code: StatusCode::from(kept.statuscode),
        message: kept.statusmsg,
        data: kept.data,
    });
    let state = match (exit_code(dir), has_begun(dir)) {
        (Some(code), _) => State::Ended(code),
        (None, true) if alive(dir).is_some() => State::Running,
        // its exit code may have come while we looked
        (None, true) => exit_code(dir).map_or(State::Failed, State::Ended),
        (None, false) if outcome.is_some() || age(about.begun) > BEGINS_IN => State::Failed,
        (None, false) => State::Starting,
    };
    Some(Record { about, state, outcome, dir: dir.to_owned() })
}

pub(super) fn exit_code(dir: &Path) -> Option<i32> {
    number(&dir.join("exit"))
}

/// Whether it has said which process it is.
pub(super) fn has_begun(dir: &Path) -> bool {
    number(&dir.join("pid")).is_some()
}

fn number(file: &Path) -> Option<i32> {
    String::from_utf8(read_bounded(file, 32).ok()?).ok()?.trim().parse().ok()
}

/// The first process of a job, while it is there: the number may be another's by now, the
/// directory's name on its command line is not.
pub(super) fn alive(dir: &Path) -> Option<Pid> {
    let number = number(&dir.join("pid")).filter(|number| *number > 1)?;
    let command = read_bounded(Path::new(&format!("/proc/{number}/cmdline")), 1024 * 1024).ok()?;
    let mut words = command.split(|byte| *byte == 0);
    let wanted = dir.as_os_str().as_encoded_bytes();
    words.any(|word| word == wanted).then(|| Pid::from_raw(number)).flatten()
}

/// The process group of a job, also when its first process has ended and others have not.
/// Who takes down what they say is of the group, so the number is no other group's.
pub(super) fn group(dir: &Path) -> Option<Pid> {
    let left = || OUTPUTS.iter().any(|output| said::is_written(dir, output));
    alive(dir).or_else(|| {
        let number = number(&dir.join("pid")).filter(|number| *number > 1)?;
        left().then(|| Pid::from_raw(number)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    /// Neither one that could not be made nor what a daemon left that ended meanwhile stays.
    #[test]
    fn nothing_is_left_of_what_was_not_made() {
        let all = tempfile::tempdir().unwrap();
        let dir = all.path().join("a".repeat(64));
        let full = |new: &Path| {
            fs::write(new.join("half"), "")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        };
        assert_eq!(place(all.path(), &dir, full).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read_dir(all.path()).unwrap().count(), 0);
        let left = all.path().join(format!("{NEW}{}", "b".repeat(64)));
        fs::create_dir(&left).unwrap();
        fs::write(left.join("half"), "").unwrap();
        tidy(all.path());
        assert!(left.exists(), "somebody may be at it");
        fs::File::open(&left).unwrap().set_modified(SystemTime::now() - 2 * NEW_FOR).unwrap();
        tidy(all.path());
        assert!(!left.exists());
        // once is once, and what is there stays as it is
        place(all.path(), &dir, |new| fs::write(new.join("job.json"), "1")).unwrap();
        place(all.path(), &dir, |new| fs::write(new.join("job.json"), "2")).unwrap_err();
        assert_eq!(fs::read(dir.join("job.json")).unwrap(), b"1");
        assert_eq!(fs::read_dir(all.path()).unwrap().count(), 1);
    }
}
