//! The spool: a directory for every run, with the files it runs and what it left. It is all
//! that is known of a run; its layout is the original's, so that tools of today read it
//! (spec 07 §A4.2).
//!
//! Files beside those of the original: `runner` and `task_pid` name processes so that no other
//! is taken for them, `killed_by` says who ended a run.
//!
//! A run as another user writes into its own directory. What is read there is read as that
//! of a stranger: no links, no pipes, and who asked is only believed of a file of ours. What is
//! written there once it is that user's is a new file, by no link.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::Signal;
use serde_json::{Map, Value, json};

use super::cache::{Cache, CacheError};
use super::outcome::{self, Status, error};
use super::process::{self, Group};
use super::{FileRecord, TaskName};
use crate::core::files::write_atomic;
use crate::core::text::on_one_line;

/// How long the files of a run that has ended are kept.
const FILES_KEPT: Duration = Duration::from_secs(3600);
/// Bytes that are read of what a task wrote.
const MOST: u64 = 256 * 1024;
/// Bytes of what is kept about a run.
const MOST_ABOUT: u64 = 1024 * 1024;
/// Runs that are looked at when old ones are removed.
const MOST_RUNS: usize = 100_000;
/// Runs at work at once, and of one caller.
const AT_ONCE: usize = 64;
const OF_CALLER: usize = 32;
/// How long a runner may take until it has said which process it is.
const BEGINS_IN: Duration = Duration::from_secs(30);

/// Modes of what is in it: files of a run, and what nobody else may read.
const RUNNABLE: u32 = 0o750;
const KEPT: u32 = 0o640;
const SECRET: u32 = 0o600;

/// The runs of a node.
#[derive(Debug, Clone)]
pub struct Spool {
    dir: PathBuf,
}

/// A run that is about to begin.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its id, checked.
    pub id: &'a str,
    /// The task.
    pub name: &'a TaskName,
    /// The same as it was asked for.
    pub task: &'a str,
    /// Who asked.
    pub caller: &'a str,
    /// Its files.
    pub records: &'a [FileRecord],
    /// The one of them that is run.
    pub executable: &'a FileRecord,
    /// What it reads.
    pub stdin: Option<&'a str>,
    /// Whether some of that is not to be kept.
    pub secret: bool,
    /// Whom it runs as.
    pub user: Option<(u32, u32)>,
}

/// Why a run does not begin.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// It has run.
    #[error("Task {0} was run before and is not run again")]
    Before(String),
    /// As many as may are at work.
    #[error("{0} are at work on this node, ask again when one has ended")]
    Full(String),
    /// A file of it is not there, or another.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The disk.
    #[error("the task cannot be spooled: {0}")]
    Disk(#[from] io::Error),
}

/// Whether that is the id of a run: no path is built of anything else. Those of requests of
/// protocol v1 and of v2.
pub fn is_id(id: &str) -> bool {
    match id.len() {
        32 => id.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()),
        27 => id.bytes().all(|b| b.is_ascii_alphanumeric()),
        _ => false,
    }
}

/// What stands in a file of a run, and what kind of file that is: a plain one, no link.
pub(super) fn content(file: &Path, most: u64) -> io::Result<(Vec<u8>, Metadata)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(CWD, file, flags, Mode::empty())?);
    let about = file.metadata()?;
    if !about.is_file() || about.nlink() > 1 {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut content = vec![];
    file.take(most).read_to_end(&mut content)?;
    Ok((content, about))
}

/// Writes a file into the directory of a run, which may be somebody else's by now: what is there
/// already, a link too, stays as it is.
fn note(file: &Path, text: &str) -> io::Result<()> {
    File::options().write(true).create_new(true).mode(KEPT).open(file)?.write_all(text.as_bytes())
}

fn builder(mode: u32) -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(mode);
    builder
}

fn named(path: &Path, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

/// A directory of this node's own, made where there is none.
pub(super) fn own_directory(dir: &Path, mode: u32) -> io::Result<()> {
    if let Some(above) = dir.parent() {
        builder(0o755).recursive(true).create(above).map_err(|e| named(above, &e))?;
    }
    match builder(mode).create(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(named(dir, &e)),
        _ => {}
    }
    let found = fs::symlink_metadata(dir)?;
    let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    if !ours || found.mode() & 0o022 != 0 {
        let problem = "is no directory of this node's own, that nobody else may write to";
        return Err(io::Error::other(format!("{} {problem}", dir.display())));
    }
    Ok(())
}

impl Spool {
    /// Of this directory; it is made when the first run begins.
    pub fn new(dir: impl Into<PathBuf>) -> Spool {
        Spool { dir: dir.into() }
    }

    /// Where a run is.
    pub fn run(&self, id: &str) -> PathBuf {
        self.dir.join(id)
    }

    /// Makes everything a run needs. That the directory of its id is made here, and only
    /// here, is what keeps it from running twice.
    ///
    /// # Errors
    /// [`SpoolError`]; nothing of it is left then.
    pub fn prepare(&self, wanted: &Wanted<'_>, cache: &Cache) -> Result<PathBuf, SpoolError> {
        // who runs as another user passes through
        own_directory(&self.dir, 0o751)?;
        let dir = self.run(wanted.id);
        self.has_room(wanted.caller)?;
        builder(RUNNABLE).create(&dir).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => SpoolError::Before(wanted.id.to_owned()),
            _ => SpoolError::Disk(named(&dir, &e)),
        })?;
        let filled = fill(&dir, wanted, cache);
        if filled.is_err() {
            let _ = fs::remove_dir_all(&dir);
        }
        filled.map(|()| dir)
    }

    /// A run as it is now; nothing of one that is not known. A runner that was killed takes
    /// what it ran with it.
    ///
    /// # Errors
    /// What is there cannot be read.
    pub fn status(&self, id: &str) -> io::Result<Option<Status>> {
        if !is_id(id) {
            return Ok(None);
        }
        let dir = self.run(id);
        match fs::symlink_metadata(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
            Ok(found) if !found.is_dir() => return Ok(None),
            Ok(_) => {}
        }
        read(&dir).map(Some)
    }

    /// Asks a run to end, by whom; false when it has ended.
    ///
    /// # Errors
    /// It is not known who asked for it to end.
    pub fn kill(&self, id: &str, caller: &str, signal: Signal) -> io::Result<bool> {
        let dir = self.run(id);
        let file = dir.join("task_pid");
        if process::alive(&file).is_none() {
            return Ok(false);
        }
        match note(&dir.join("killed_by"), caller) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        Ok(process::signal(&file, signal))
    }

    /// The processes of a run that goes on.
    pub fn group(&self, id: &str) -> Option<Group> {
        Group::of(&self.run(id).join("task_pid"))
    }

    /// Keeps why the runner of a run did not begin, and nothing of its inputs that is a secret.
    pub fn not_begun(&self, id: &str, problem: &str) {
        let dir = self.run(id);
        if process::alive(&dir.join("runner")).is_some() {
            return;
        }
        forget_secrets(&dir);
        let file = dir.join("wrapper_stderr");
        // the one a runner was to write to, or whatever somebody put there: a link itself goes, not where it leads
        let _ = fs::remove_file(&file);
        if let Err(e) = note(&file, problem) {
            tracing::warn!("{}: why the runner did not begin is not kept: {e}", file.display());
        }
    }

    fn runs(&self) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten().take(MOST_RUNS);
        entries.filter(|entry| entry.file_name().to_str().is_some_and(is_id)).map(|entry| entry.path())
    }

    fn has_room(&self, caller: &str) -> Result<(), SpoolError> {
        let at_work: Vec<PathBuf> = self.runs().filter(|dir| is_at_work(dir)).take(AT_ONCE).collect();
        if at_work.len() < OF_CALLER {
            return Ok(());
        }
        let is_own = |dir: &&PathBuf| about(dir).is_ok_and(|about| about["caller"] == caller);
        match at_work.iter().filter(is_own).count() {
            _ if at_work.len() >= AT_ONCE => Err(SpoolError::Full(format!("{AT_ONCE} tasks"))),
            own if own >= OF_CALLER => Err(SpoolError::Full(format!("{OF_CALLER} tasks of yours"))),
            _ => Ok(()),
        }
    }

    /// Removes runs that ended longer ago than that, and of those that ended an hour ago their
    /// copies of the files, which are the most of them and of no use any more.
    pub fn tidy(&self, older_than: Duration) {
        for dir in self.runs().filter(|dir| !is_at_work(dir)) {
            let ended = ["exitcode", "choria.json"].iter().find_map(|name| modified(&dir.join(name)));
            let ended = ended.or_else(|| modified(&dir));
            let age = ended.and_then(|ended| ended.elapsed().ok()).unwrap_or_default();
            let goes = match age {
                age if age > older_than => dir,
                age if age > FILES_KEPT => dir.join("files"),
                _ => continue,
            };
            if fs::symlink_metadata(&goes).is_ok() {
                let _ = fs::remove_dir_all(&goes).inspect_err(|e| tracing::warn!("{}: {e}", goes.display()));
            }
        }
    }
}

/// Whether a run has a process of its own.
fn is_at_work(dir: &Path) -> bool {
    let has_code = fs::symlink_metadata(dir.join("exitcode")).is_ok_and(|about| about.len() > 0);
    !has_code
        && (process::alive(&dir.join("runner")).is_some() || process::alive(&dir.join("task_pid")).is_some())
}

fn modified(file: &Path) -> Option<SystemTime> {
    fs::symlink_metadata(file).and_then(|about| about.modified()).ok()
}

fn fill(dir: &Path, wanted: &Wanted<'_>, cache: &Cache) -> Result<(), SpoolError> {
    let files = dir.join("files");
    builder(RUNNABLE).create(&files)?;
    let mut copied = HashMap::new();
    for record in wanted.records {
        let file = files.join(record.path(wanted.name));
        // a program may be listed once more, by its path
        match copied.insert(file.clone(), &record.sha256) {
            Some(hash) if *hash == record.sha256 => continue,
            Some(_) => {
                let problem = format!("two different files of it are {}", record.path(wanted.name).display());
                return Err(SpoolError::Disk(io::Error::other(problem)));
            }
            None => {}
        }
        if let Some(parent) = file.parent() {
            builder(RUNNABLE).recursive(true).create(parent)?;
        }
        cache.copy(record, &file, RUNNABLE)?;
    }
    let at = |name: &str| dir.join(name).display().to_string();
    let mut request = json!({
        "executable": files.join(wanted.executable.path(wanted.name)).display().to_string(),
        "arguments": [],
        "input": wanted.stdin,
        "stdout": at("stdout"),
        "stderr": at("stderr"),
        "exitcode": at("exitcode"),
    });
    // a strict runner wants a text
    let mut contract = request.clone();
    contract["input"] = wanted.stdin.unwrap_or_default().into();
    let mode = if wanted.secret { SECRET } else { KEPT };
    write_atomic(&dir.join("wrapper_stdin"), contract.to_string().as_bytes(), mode)?;
    if wanted.secret {
        request["input"] = Value::Null;
    }
    let about = json!({
        "start_time": jiff::Timestamp::now().as_second(),
        "caller": wanted.caller,
        "task": wanted.task,
        "request": request,
    });
    write_atomic(&dir.join("choria.json"), about.to_string().as_bytes(), KEPT)?;
    if let Some((user, group)) = wanted.user {
        give(&files, user, group)?;
        std::os::unix::fs::chown(dir.join("wrapper_stdin"), Some(user), Some(group))?;
        // last: until now nobody else could come in
        std::os::unix::fs::chown(dir, Some(user), Some(group))?;
    }
    Ok(())
}

/// What nobody else may read is not kept once it was read, or will not be.
pub(super) fn forget_secrets(dir: &Path) {
    let told = dir.join("wrapper_stdin");
    if fs::symlink_metadata(&told).is_ok_and(|about| about.mode() & 0o077 == 0) {
        let _ = fs::remove_file(told);
    }
}

/// Makes a directory and all below it somebody's; there are no links in it.
fn give(path: &Path, user: u32, group: u32) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), user, group)?;
        }
    }
    std::os::unix::fs::chown(path, Some(user), Some(group))
}

/// What is kept about a run; only what this node has written.
fn about(dir: &Path) -> io::Result<Value> {
    let (about, kind) = content(&dir.join("choria.json"), MOST_ABOUT)?;
    if kind.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("choria.json of this run is not this node's"));
    }
    Ok(serde_json::from_slice(&about)?)
}

fn read(dir: &Path) -> io::Result<Status> {
    let about = about(dir)?;
    let text = |name: &str| about.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let alive = || process::alive(&dir.join("runner")).is_some();
    let lives = alive();
    // after the look at the runner: one that ends now has written it
    let (code, lost) = exit_code(dir).map_or((None, None), |(code, lost)| (Some(code), lost));
    let mut status = Status {
        task: text("task"),
        caller: text("caller"),
        stdout: Map::new(),
        stderr: String::new(),
        exitcode: code.unwrap_or(-1),
        runtime: 0.0,
        start_time: about.get("start_time").and_then(Value::as_i64).unwrap_or_default(),
        wrapper_spawned: false,
        wrapper_error: String::new(),
        wrapper_pid: number(&dir.join("wrapper_pid")).unwrap_or(-1),
        completed: code.is_some(),
    };
    let complaint = content(&dir.join("wrapper_stderr"), MOST).ok().map(|(text, _)| text);
    status.wrapper_spawned = complaint.as_ref().is_some_and(Vec::is_empty);
    if let Some(complaint) = complaint.filter(|text| !text.is_empty()) {
        let output = outcome::complaints(&complaint);
        let details = json!({"wrapper_output": output});
        status.stdout.insert("_error".into(), error(WRAPPER, "The task wrapper failed to run", details));
        (status.wrapper_error, status.completed, status.exitcode) = (output, true, -1);
        return Ok(status);
    }
    let begun = modified(&dir.join("wrapper_pid"));
    let until = if code.is_some() { modified(&dir.join("exitcode")) } else { Some(SystemTime::now()) };
    let took = begun.zip(until).and_then(|(begun, until)| until.duration_since(begun).ok());
    status.runtime = took.unwrap_or_default().as_secs_f64();
    let (output, whole) = written(&dir.join("stdout"));
    status.stdout = outcome::object_of(&output, whole && lost.is_none());
    status.stderr = outcome::complaints(&last(&dir.join("stderr")));
    match code {
        Some(code) => {
            let killed = content(&dir.join("killed_by"), 1024).ok();
            if let Some((by, _)) = killed.filter(|_| code != 0 && !status.stdout.contains_key("_error")) {
                let by = format!("The task was ended by {}", String::from_utf8_lossy(&by));
                status
                    .stdout
                    .insert("_error".into(), error("choria.tasks/killed", by, json!({"exitcode": code})));
            }
            if let Some(lost) = lost.filter(|_| !status.stdout.contains_key("_error")) {
                // it may have told of an error in what is lost
                let message =
                    format!("The task ended with a code {code}, and not all it wrote could be kept: {lost}");
                let details = json!({"exitcode": code});
                status.stdout.insert("_error".into(), error("choria.tasks/output-lost", message, details));
            }
            status.stdout = outcome::with_exit_code(status.stdout, code);
        }
        None if lives || is_foreign_and_there(dir, &status) || is_beginning(dir) => {}
        None => {
            let problem = match number(&dir.join("wrapper_pid")) {
                None => "The task was not begun: this node was stopped at that moment",
                Some(_) => {
                    "The runner of the task was killed, and the task with it; what it had done is not known"
                }
            };
            process::signal(&dir.join("task_pid"), Signal::KILL);
            status.stdout.insert("_error".into(), error(WRAPPER, problem, json!({})));
            status.wrapper_error = problem.to_owned();
            (status.completed, status.wrapper_spawned) = (true, false);
        }
    }
    Ok(status)
}

/// What is said of runners that fail.
const WRAPPER: &str = "choria.tasks/wrapper-error";

/// A run of the original, of whose runner nothing but its number is known.
fn is_foreign_and_there(dir: &Path, status: &Status) -> bool {
    fs::symlink_metadata(dir.join("runner")).is_err() && process::exists(status.wrapper_pid)
}

/// Whether it is so young that its runner may not have said who it is.
fn is_beginning(dir: &Path) -> bool {
    let young = modified(&dir.join("choria.json")).and_then(|made| made.elapsed().ok());
    fs::symlink_metadata(dir.join("runner")).is_err() && young.is_none_or(|age| age < BEGINS_IN)
}

/// The exit code, once it is there, whole: what is half written is none. Behind it stands why not all that the task
/// wrote was kept, where that is so.
fn exit_code(dir: &Path) -> Option<(i64, Option<String>)> {
    let text = String::from_utf8(content(&dir.join("exitcode"), 1024).ok()?.0).ok()?;
    let (code, lost) =
        text.trim().split_once('\n').map_or((text.trim(), None), |(code, lost)| (code, Some(lost)));
    Some((code.trim().parse().ok()?, lost.map(|lost| on_one_line(lost.trim()).collect())))
}

fn number(file: &Path) -> Option<i64> {
    String::from_utf8(content(file, 32).ok()?.0).ok()?.trim().parse().ok()
}

/// The beginning of a file, and whether that is all.
fn written(file: &Path) -> (Vec<u8>, bool) {
    match content(file, MOST) {
        Ok((text, about)) => {
            let whole = about.len() <= MOST;
            (text, whole)
        }
        Err(_) => (vec![], true),
    }
}

/// The end of a file.
fn last(file: &Path) -> Vec<u8> {
    use std::io::{Seek as _, SeekFrom};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(mut file) = openat(CWD, file, flags, Mode::empty()).map(File::from) else { return vec![] };
    let plain = file.metadata().ok().filter(|about| about.is_file() && about.nlink() == 1);
    let Some(about) = plain else { return vec![] };
    let mut text = vec![];
    if file.seek(SeekFrom::Start(about.len().saturating_sub(MOST))).is_ok() {
        let _ = file.take(MOST).read_to_end(&mut text);
    }
    text
}

#[cfg(test)]
mod tests;
