//! Jobs: work that outlives its request, its caller's patience and this daemon. A package
//! upgrade may restart the network, or the very daemon that began it; what was begun is
//! brought to its end, and what became of it is kept for whoever asked.
//!
//! A job is a directory: `job.json` says what it is, `pid` its first process, `stdout` and
//! `stderr` what it said, `exit` how it ended, `outcome.json` what the caller was, or
//! would have been, told.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::script::SUPERVISE;
use super::{Told, Tool};
use crate::core::agents::{Call, Outcome};
use crate::core::files::{SECRET, read_bounded, write_atomic};
use crate::core::programs::Program;
use crate::core::rpc::StatusCode;
use crate::core::text::hex;

/// Jobs at work at once, and of one caller.
const AT_ONCE: usize = 16;
const OF_CALLER: usize = 4;
/// Jobs that are kept, and for how long.
const MOST_KEPT: usize = 64;
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// Bytes that are told of each output of a job, and as many as it may have on disk.
const MOST_SAID: u64 = 256 * 1024;
const TOO_LONG: u64 = 16 * MOST_SAID;
/// How long a job may take before it is killed.
const LONGEST: Duration = Duration::from_secs(2 * 3600);
/// How often the outputs of a job are looked at.
const LOOKS: Duration = Duration::from_millis(250);

/// The jobs of a node.
#[derive(Clone)]
pub struct Jobs {
    dir: Arc<Path>,
    at_work: Arc<AtWork>,
}

/// How many jobs each caller has at work.
type AtWork = Mutex<BTreeMap<String, usize>>;

/// A place among those at work.
struct Place {
    caller: String,
    at_work: Arc<AtWork>,
}

impl Place {
    /// One of this caller's, if there is room.
    fn ask(caller: &str, at_work: &Arc<AtWork>) -> Result<Place, String> {
        let mut all = at_work.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.get(caller).copied().unwrap_or_default();
        let (most, whose) = match () {
            () if own >= OF_CALLER => (OF_CALLER, " of yours"),
            () if all.values().sum::<usize>() >= AT_ONCE => (AT_ONCE, ""),
            () => return Ok(Place::add(caller, at_work, &mut all)),
        };
        Err(format!("{most} pieces of work{whose} are under way on this node, ask again when one has ended"))
    }

    /// One for what is at work already.
    fn take(caller: &str, at_work: &Arc<AtWork>) -> Place {
        Place::add(caller, at_work, &mut at_work.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(caller: &str, at_work: &Arc<AtWork>, all: &mut BTreeMap<String, usize>) -> Place {
        *all.entry(caller.to_owned()).or_default() += 1;
        Place { caller: caller.to_owned(), at_work: at_work.clone() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.caller) {
            *count -= 1;
        }
        all.retain(|_, count| *count > 0);
    }
}

/// A job that was begun.
#[derive(Debug)]
pub struct Job {
    outcome: oneshot::Receiver<Outcome>,
}

/// What a job is, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Agent it is of.
    pub agent: String,
    /// Action it is of.
    pub action: String,
    /// Who asked.
    pub caller: String,
    /// By which request.
    pub request: String,
    /// As people read it.
    pub command: String,
    /// Unix seconds it was begun.
    pub begun: i64,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Begun, and has not said who it is.
    Starting,
    /// At work.
    Running,
    /// Ended by itself.
    Ended(i32),
    /// Gone without a word: killed, or this machine was.
    Failed,
}

impl State {
    /// In the interface's words.
    pub fn word(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Running => "running",
            State::Ended(_) => "ended",
            State::Failed => "failed",
        }
    }
}

/// A job as it is now.
#[derive(Debug, Clone)]
pub struct Record {
    /// What it is.
    pub about: About,
    /// How far it is.
    pub state: State,
    /// What its caller was, or would have been, told.
    pub outcome: Option<Outcome>,
    dir: PathBuf,
}

/// An outcome as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    statuscode: i64,
    statusmsg: String,
    data: Map<String, Value>,
}

impl Jobs {
    /// The jobs that are kept in `dir`; it is made when the first begins.
    pub fn new(dir: impl Into<PathBuf>) -> Jobs {
        Jobs { dir: dir.into().into(), at_work: Arc::default() }
    }

    /// What a job is called whose request only its caller may ask after.
    pub fn name_of(caller: &str, request: &str) -> String {
        let text = format!("{caller}\0{request}");
        hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
    }

    /// Begins a job for a call. Whatever happens to the call, `conclude` makes of its end what
    /// the caller is told, and that is kept.
    ///
    /// # Errors
    /// It was not begun, as a sentence.
    pub async fn begin<F>(
        &self,
        name: String,
        call: &Call,
        tool: Tool,
        conclude: impl FnOnce(Told) -> F + Send + 'static,
    ) -> Result<Job, String>
    where
        F: Future<Output = Outcome> + Send,
    {
        let place = Place::ask(&call.caller, &self.at_work)?;
        let path = tool.path().await?;
        let about = About {
            agent: call.agent.clone(),
            action: call.action.clone(),
            caller: call.caller.clone(),
            request: call.request_id.clone(),
            command: tool.shown(),
            begun: jiff::Timestamp::now().as_second(),
        };
        let (all, dir, begun) = (self.dir.clone(), self.dir.join(name), about.begun);
        let made = blocking({
            let dir = dir.clone();
            move || make(&all, &dir, &about)
        });
        made.await.map_err(|e| format!("work that may take long is kept on disk, and cannot be: {e}"))?;
        let arguments = [dir.as_os_str(), path.as_os_str()];
        let supervisor = tool
            .with_environment(Program::new("/bin/sh"))
            .args(["-c", SUPERVISE, "choria-job"])
            .args(arguments)
            .args(tool.arguments())
            .directory("/")
            .outlives()
            .limit(LONGEST);
        let (tell, outcome) = oneshot::channel();
        tokio::spawn(async move {
            let told = to_its_end(&dir, begun, supervisor, place).await;
            let outcome = match told {
                Ok(told) => conclude(told).await,
                Err(problem) => Outcome::failed(StatusCode::UnknownError, problem),
            };
            let kept = outcome.clone();
            let _ = blocking(move || keep(&dir, &kept)).await.inspect_err(|e| tracing::warn!("{e}"));
            // whoever waited may have gone
            let _ = tell.send(outcome);
        });
        Ok(Job { outcome })
    }

    /// Looks after the jobs of a life before this one to their end: their time and what they
    /// write stay bounded, and they count as at work.
    pub async fn adopt(&self) {
        let dir = self.dir.clone();
        let jobs = blocking(move || Ok(found(&dir))).await.unwrap_or_default();
        let ends = jobs.into_iter().map(|(about, dir)| async move {
            let _place = Place::take(&about.caller, &self.at_work);
            let looks = || {
                let (dir, begun) = (dir.clone(), about.begun);
                blocking(move || Ok(look_after(&dir, begun)))
            };
            while looks().await.unwrap_or_default() {
                tokio::time::sleep(LOOKS).await;
            }
        });
        futures::future::join_all(ends).await;
    }

    /// What is kept of a job; nothing of one that nobody knows.
    pub async fn look(&self, name: &str) -> Option<Record> {
        let dir = is_name(name).then(|| self.dir.join(name))?;
        blocking(move || Ok(record(&dir))).await.ok().flatten()
    }

    /// All that are kept of an agent, by name.
    pub async fn all(&self, agent: &'static str) -> Vec<(String, Record)> {
        let dir = self.dir.clone();
        let found = blocking(move || {
            let named = |dir: PathBuf| Some((dir.file_name()?.to_str()?.to_owned(), record(&dir)?));
            let of_agent = found(&dir).into_iter().filter(|(about, _)| about.agent == agent);
            let mut found: Vec<_> = of_agent.filter_map(|(_, dir)| named(dir)).collect();
            found.sort_by_key(|(_, record)| record.about.begun);
            Ok(found)
        });
        found.await.unwrap_or_default()
    }
}

impl Job {
    /// What the caller is told, or the job itself when it is still at work by then.
    pub async fn within(mut self, limit: Duration) -> Result<Outcome, Job> {
        match tokio::time::timeout(limit, &mut self.outcome).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) | Err(_) => Err(self),
        }
    }
}

impl Record {
    /// What it has written to standard output and to standard error, from there on.
    pub async fn said(&self, from: (u64, u64)) -> (String, String) {
        let dir = self.dir.clone();
        let said =
            blocking(move || Ok((tail(&dir.join("stdout"), from.0), tail(&dir.join("stderr"), from.1))));
        said.await.unwrap_or_default()
    }

    /// Asks all its processes to end; false when it has ended.
    pub async fn kill(&self) -> bool {
        if !matches!(self.state, State::Running) {
            return false;
        }
        let dir = self.dir.clone();
        let killed = blocking(move || {
            let pid = alive(&dir).ok_or(io::ErrorKind::NotFound)?;
            Ok(kill_process_group(pid, Signal::TERM)?)
        });
        killed.await.is_ok()
    }
}

/// Runs a job to its end.
async fn to_its_end(dir: &Path, begun: i64, supervisor: Program, place: Place) -> Result<Told, String> {
    let _place = place;
    let running = supervisor.run();
    tokio::pin!(running);
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            () = tokio::time::sleep(LOOKS) => {
                let dir = dir.to_owned();
                let _ = blocking(move || Ok(look_after(&dir, begun))).await;
            }
        }
    };
    let dir = dir.to_owned();
    let told = blocking(move || {
        let code = exit_code(&dir).ok_or_else(|| io::Error::other("it was killed"))?;
        Ok(Told { code, output: tail(&dir.join("stdout"), 0), errors: tail(&dir.join("stderr"), 0) })
    });
    told.await.map_err(|e| ended.err().map_or_else(|| e.to_string(), |ended| ended.to_string()))
}

/// Empties an output that has grown too long. Who writes to it appends.
fn shorten(file: &Path) -> io::Result<()> {
    if fs::metadata(file)?.len() <= TOO_LONG {
        return Ok(());
    }
    let mut file = fs::OpenOptions::new().append(true).open(file)?;
    file.set_len(0)?;
    file.write_all(b"(what was said before is not kept)\n")
}

/// Whether a job may be called so: a digest, or a UUID.
fn is_name(name: &str) -> bool {
    [36, 64].contains(&name.len()) && name.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// Makes the directory of a job, after those that nobody needs any more have gone.
fn make(all: &Path, dir: &Path, about: &About) -> io::Result<()> {
    let named = |path: &Path, e: &io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    let builder = || {
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        builder
    };
    builder().recursive(true).create(all).map_err(|e| named(all, &e))?;
    let found = fs::symlink_metadata(all)?;
    let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    if !ours || found.mode() & 0o022 != 0 {
        let problem = "is no directory of this node's own, that nobody else may write to";
        return Err(io::Error::other(format!("{} {problem}", all.display())));
    }
    tidy(all);
    match builder().create(dir) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            return Err(io::Error::other("this request was begun before"));
        }
        Err(e) => return Err(named(dir, &e)),
    }
    write_atomic(&dir.join("job.json"), &serde_json::to_vec(about)?, SECRET)
}

/// Jobs in a directory. Somebody may have named one that others use, too.
fn found(all: &Path) -> Vec<(About, PathBuf)> {
    let entries = fs::read_dir(all).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_name));
    named.filter_map(|entry| Some((about(&entry.path())?, entry.path()))).collect()
}

fn about(dir: &Path) -> Option<About> {
    serde_json::from_slice(&read_bounded(&dir.join("job.json"), 8 * MOST_SAID).ok()?).ok()
}

/// Bounds what a job writes and how long it takes; false when it has ended.
fn look_after(dir: &Path, begun: i64) -> bool {
    let Some(pid) = alive(dir) else { return false };
    for output in ["stdout", "stderr"] {
        // one that is not there yet is short
        let _ = shorten(&dir.join(output));
    }
    if age(begun) > LONGEST {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    true
}

fn age(begun: i64) -> Duration {
    let age = jiff::Timestamp::now().as_second().saturating_sub(begun);
    Duration::from_secs(u64::try_from(age).unwrap_or_default())
}

/// Removes jobs that ended long ago, and beyond as many as are kept the oldest of whoever
/// has the most. What is at work stays.
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
}

fn keep(dir: &Path, outcome: &Outcome) -> io::Result<()> {
    let kept = Kept {
        statuscode: outcome.code.code(),
        statusmsg: outcome.message.clone(),
        data: outcome.data.clone(),
    };
    write_atomic(&dir.join("outcome.json"), &serde_json::to_vec(&kept)?, SECRET)
}

fn record(dir: &Path) -> Option<Record> {
    let read = |name: &str| read_bounded(&dir.join(name), 8 * MOST_SAID).ok();
    let about = about(dir)?;
    let kept = read("outcome.json").and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
    let outcome = kept.map(|kept| Outcome {
        code: StatusCode::from(kept.statuscode),
        message: kept.statusmsg,
        data: kept.data,
    });
    let state = match (exit_code(dir), dir.join("pid").exists()) {
        (Some(code), _) => State::Ended(code),
        (None, true) if alive(dir).is_some() => State::Running,
        // its exit code may have come while we looked
        (None, true) => exit_code(dir).map_or(State::Failed, State::Ended),
        (None, false) if jiff::Timestamp::now().as_second() - about.begun > 10 => State::Failed,
        (None, false) => State::Starting,
    };
    Some(Record { about, state, outcome, dir: dir.to_owned() })
}

fn exit_code(dir: &Path) -> Option<i32> {
    number(&dir.join("exit"))
}

fn number(file: &Path) -> Option<i32> {
    String::from_utf8(read_bounded(file, 32).ok()?).ok()?.trim().parse().ok()
}

/// The first process of a job, while it is there: the number may be another's by now, the
/// directory's name on its command line is not.
fn alive(dir: &Path) -> Option<Pid> {
    let number = number(&dir.join("pid")).filter(|number| *number > 1)?;
    let command = read_bounded(Path::new(&format!("/proc/{number}/cmdline")), 1024 * 1024).ok()?;
    let mut words = command.split(|byte| *byte == 0);
    let wanted = dir.as_os_str().as_encoded_bytes();
    words.any(|word| word == wanted).then(|| Pid::from_raw(number)).flatten()
}

/// The end of what a file holds from a place on.
fn tail(file: &Path, from: u64) -> String {
    let mut content = Vec::new();
    let read = fs::File::open(file).and_then(|mut file| {
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(from.max(end.saturating_sub(MOST_SAID)).min(end)))?;
        file.take(MOST_SAID).read_to_end(&mut content)
    });
    // what nobody wrote is empty
    read.unwrap_or_default();
    String::from_utf8_lossy(&content).into_owned()
}

/// Touches files where nobody waits.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(io::Error::other(e)))
}
