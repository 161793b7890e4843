//! Jobs: work that outlives its request, its caller's patience and this daemon. A package
//! upgrade may restart the network, or the very daemon that began it; what was begun is
//! brought to its end, and what became of it is kept for whoever asked.
//!
//! A job is a directory: `job.json` says what it is, `pid` its first process, `stdout` and
//! `stderr` what it said, `exit` how it ended, `outcome.json` what the caller was, or
//! would have been, told.

use std::fs::{self, DirBuilder};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::script::SUPERVISE;
use super::{Told, Tool};
use crate::core::agents::{Call, Outcome};
use crate::core::files::{SECRET, read_bounded, write_atomic};
use crate::core::programs::Program;
use crate::core::rpc::StatusCode;
use crate::core::text::hex;

/// Jobs at work at once.
const AT_ONCE: usize = 16;
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
    places: Arc<Semaphore>,
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
        Jobs { dir: dir.into().into(), places: Arc::new(Semaphore::new(AT_ONCE)) }
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
        let full =
            || format!("{AT_ONCE} pieces of work are under way on this node, ask again when one has ended");
        let place = self.places.clone().try_acquire_owned().map_err(|_| full())?;
        let path = tool.path()?;
        let about = About {
            agent: call.agent.clone(),
            action: call.action.clone(),
            caller: call.caller.clone(),
            request: call.request_id.clone(),
            command: tool.shown(),
            begun: jiff::Timestamp::now().as_second(),
        };
        let (all, dir) = (self.dir.clone(), self.dir.join(name));
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
            let told = to_its_end(&dir, supervisor, place).await;
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

    /// What is kept of a job; nothing of one that nobody knows.
    pub async fn look(&self, name: &str) -> Option<Record> {
        let dir = is_name(name).then(|| self.dir.join(name))?;
        blocking(move || Ok(record(&dir))).await.ok().flatten()
    }

    /// All that are kept of an agent, by name.
    pub async fn all(&self, agent: &'static str) -> Vec<(String, Record)> {
        let dir = self.dir.clone();
        let found = blocking(move || {
            let mut found = Vec::new();
            for entry in fs::read_dir(&dir)?.flatten().take(2 * MOST_KEPT) {
                let name = entry.file_name().to_string_lossy().into_owned();
                found.extend(record(&entry.path()).filter(|r| r.about.agent == agent).map(|r| (name, r)));
            }
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
async fn to_its_end(dir: &Path, supervisor: Program, place: OwnedSemaphorePermit) -> Result<Told, String> {
    let _place = place;
    let running = supervisor.run();
    tokio::pin!(running);
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            () = tokio::time::sleep(LOOKS) => {
                let dir = dir.to_owned();
                let cut = move || { shorten(&dir.join("stdout"))?; shorten(&dir.join("stderr")) };
                // a file that is not there yet is short
                let _ = blocking(cut).await;
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

/// Removes jobs that ended long ago, and the oldest beyond as many as are kept. What is at
/// work stays.
fn tidy(all: &Path) {
    let mut found: Vec<(SystemTime, PathBuf)> = fs::read_dir(all)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let about = entry.metadata().ok().filter(fs::Metadata::is_dir)?;
            // Somebody may have named a directory that others use, too.
            let is_job =
                entry.file_name().to_str().is_some_and(is_name) && entry.path().join("job.json").is_file();
            is_job.then_some((about.modified().ok()?, entry.path()))
        })
        .collect();
    found.sort();
    let mut excess = (found.len() + 1).saturating_sub(MOST_KEPT);
    for (modified, dir) in found {
        let old = modified.elapsed().is_ok_and(|age| age > KEPT_FOR);
        if (old || excess > 0) && alive(&dir).is_none() {
            let _ = fs::remove_dir_all(&dir).inspect_err(|e| tracing::warn!("{}: {e}", dir.display()));
            excess = excess.saturating_sub(1);
        }
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
    let about: About = serde_json::from_slice(&read("job.json")?).ok()?;
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
