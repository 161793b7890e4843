//! Jobs: work that outlives its request, its caller's patience and this daemon. A package
//! upgrade may restart the network, or the very daemon that began it; what was begun is
//! brought to its end, and what became of it is kept for whoever asked.
//!
//! A job is a directory: `job.json` says what it is, `pid` its first process, `stdout.N` and
//! `stderr.N` what it said from its byte N on, `exit` how it ended, `outcome.json` what the
//! caller was, or would have been, told.

mod at_work;
mod disk;
mod said;
mod script;

use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::digest;
use futures::FutureExt as _;
use rustix::process::{Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::sync::{OnceCell, oneshot};
use tokio::time::Instant;

use super::{Told, Tool};
use crate::core::agents::{Call, Outcome};
use crate::core::programs::Program;
use crate::core::rpc::StatusCode;
use crate::core::text::hex;
use at_work::AtWork;
pub use said::Piece;
use script::SUPERVISE;

/// How long a job may take before it is killed.
const LONGEST: Duration = Duration::from_secs(2 * 3600);
/// How often a job of a life before is looked at.
const LOOKS: Duration = Duration::from_millis(250);
/// How long a job that is about to begin is waited for by who wants to end it, and how often
/// it is looked at.
const BEGINS: Duration = Duration::from_secs(3);
const BEGUN_LOOKS: Duration = Duration::from_millis(20);

/// The jobs of a node.
#[derive(Clone)]
pub struct Jobs {
    dir: Arc<Path>,
    at_work: AtWork,
    /// Set once those of a life before have their places.
    counted: Arc<OnceCell<()>>,
}

/// A job that was begun.
#[derive(Debug)]
pub struct Job {
    outcome: oneshot::Receiver<Outcome>,
    /// Whether the caller is told something else than what is made of its end.
    otherwise: Arc<AtomicBool>,
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

/// What became of the wish to end a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kill {
    /// Its processes were told.
    Told,
    /// It has ended before.
    Over,
    /// It has not begun, and may.
    NotYet,
    /// The system would not, as a sentence.
    Refused(String),
}

impl Jobs {
    /// The jobs that are kept in `dir`; it is made when the first begins.
    pub fn new(dir: impl Into<PathBuf>) -> Jobs {
        Jobs { dir: dir.into().into(), at_work: AtWork::default(), counted: Arc::default() }
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
        self.adopt().await;
        let (all, dir) = (self.dir.clone(), self.dir.join(name));
        let place = self.at_work.ask(&dir, &call.caller)?;
        let path = tool.path().await?;
        let about = About {
            agent: call.agent.clone(),
            action: call.action.clone(),
            caller: call.caller.clone(),
            request: call.request_id.clone(),
            command: tool.shown(),
            begun: jiff::Timestamp::now().as_second(),
        };
        let made = blocking({
            let dir = dir.clone();
            move || disk::make(&all, &dir, &about)
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
        let otherwise = Arc::new(AtomicBool::new(false));
        let told_otherwise = otherwise.clone();
        tokio::spawn(async move {
            let told = to_its_end(&dir, supervisor).await;
            drop(place);
            let outcome = match told {
                Ok(told) => concluded(told, conclude).await,
                Err(problem) => Outcome::failed(StatusCode::UnknownError, problem),
            };
            if !told_otherwise.load(Ordering::SeqCst) {
                keep(dir, outcome.clone()).await;
            }
            // whoever waited may have gone
            let _ = tell.send(outcome);
        });
        Ok(Job { outcome, otherwise })
    }

    /// Gives jobs of a life before this one their places, once, and looks after them to their
    /// end: nobody begins anything before they count, and their time stays bounded.
    pub async fn adopt(&self) {
        let counted = self.counted.get_or_init(|| async {
            let all = self.dir.clone();
            for (about, dir) in blocking(move || Ok(disk::living(&all))).await.unwrap_or_default() {
                let Some(place) = self.at_work.take(&dir, &about.caller) else { continue };
                tokio::spawn(async move {
                    let _place = place;
                    let looks = || {
                        let (dir, begun) = (dir.clone(), about.begun);
                        blocking(move || Ok(disk::look_after(&dir, begun)))
                    };
                    while looks().await.unwrap_or_default() {
                        tokio::time::sleep(LOOKS).await;
                    }
                });
            }
        });
        counted.await;
    }

    /// What is kept of a job; nothing of one that nobody knows.
    pub async fn look(&self, name: &str) -> Option<Record> {
        let dir = disk::is_name(name).then(|| self.dir.join(name))?;
        blocking(move || Ok(disk::record(&dir))).await.ok().flatten()
    }

    /// All that are kept of an agent, by name.
    pub async fn all(&self, agent: &'static str) -> Vec<(String, Record)> {
        let dir = self.dir.clone();
        let found = blocking(move || {
            let named = |dir: PathBuf| Some((dir.file_name()?.to_str()?.to_owned(), disk::record(&dir)?));
            let of_agent = disk::found(&dir).into_iter().filter(|(about, _)| about.agent == agent);
            let mut found: Vec<_> = of_agent.filter_map(|(_, dir)| named(dir)).collect();
            found.sort_by_key(|(_, record)| record.about.begun);
            Ok(found)
        });
        found.await.unwrap_or_default()
    }
}

impl Job {
    /// What the caller is told, or the job itself when it is still at work by then.
    pub async fn within(self, limit: Duration) -> Result<Outcome, Job> {
        self.by(Instant::now() + limit).await
    }

    /// [`Job::within`], by the clock.
    pub async fn by(mut self, until: Instant) -> Result<Outcome, Job> {
        match tokio::time::timeout_at(until, &mut self.outcome).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) => Ok(Outcome::failed(StatusCode::UnknownError, LOST)),
            Err(_) => Err(self),
        }
    }

    /// From here on what is made of its end is not kept: who ends it before its time tells the
    /// caller something else, and [keeps](Record::keep) that.
    pub fn is_told_otherwise(&self) {
        self.otherwise.store(true, Ordering::SeqCst);
    }
}

/// Whoever looked after a job is gone.
const LOST: &str = "this node has lost sight of it by a fault of its own, what became of it is not known; \
                    its log says more";

impl Record {
    /// What it has written to standard output and to standard error, from there on, a piece
    /// of each.
    pub async fn said(&self, at: (u64, u64)) -> (Piece, Piece) {
        let (dir, over) = (self.dir.clone(), matches!(self.state, State::Ended(_) | State::Failed));
        let said = blocking(move || {
            Ok((said::from(&dir, "stdout", at.0, over), said::from(&dir, "stderr", at.1, over)))
        });
        said.await.unwrap_or_default()
    }

    /// The end of what it has written to standard output and to standard error.
    pub async fn last(&self) -> (String, String) {
        let dir = self.dir.clone();
        let said = blocking(move || Ok((said::last(&dir, "stdout"), said::last(&dir, "stderr"))));
        said.await.unwrap_or_default()
    }

    /// Keeps what its caller is told.
    pub async fn keep(&self, outcome: &Outcome) {
        keep(self.dir.clone(), outcome.clone()).await;
    }

    /// Asks all its processes to end, once it has begun.
    pub async fn kill(&self) -> Kill {
        let until = Instant::now() + BEGINS;
        loop {
            let dir = self.dir.clone();
            let killed = blocking(move || {
                let state = disk::record(&dir).map(|record| record.state);
                Ok(match (state, disk::alive(&dir)) {
                    (Some(State::Starting), _) => Kill::NotYet,
                    (Some(State::Running), Some(pid)) => match kill_process_group(pid, Signal::TERM) {
                        Ok(()) => Kill::Told,
                        Err(rustix::io::Errno::SRCH) => Kill::Over,
                        Err(e) => Kill::Refused(e.to_string()),
                    },
                    _ => Kill::Over,
                })
            });
            match killed.await.unwrap_or_else(|e| Kill::Refused(e.to_string())) {
                Kill::NotYet if Instant::now() < until => tokio::time::sleep(BEGUN_LOOKS).await,
                killed => return killed,
            }
        }
    }

    /// Ends all its processes for good, those too that it left when it ended itself.
    pub async fn end(&self) {
        let dir = self.dir.clone();
        let _ = blocking(move || {
            disk::group(&dir).map_or(Ok(()), |group| Ok(kill_process_group(group, Signal::KILL)?))
        })
        .await;
    }
}

/// Runs a job to its end.
async fn to_its_end(dir: &Path, supervisor: Program) -> Result<Told, String> {
    let ended = supervisor.run().await;
    let dir = dir.to_owned();
    let told = blocking(move || {
        let code = match (disk::exit_code(&dir), ended) {
            (Some(code), _) => code,
            (None, Err(e)) => return Err(io::Error::other(e)),
            (None, Ok(ended)) if !disk::has_begun(&dir) => {
                let why = ended.errors + &said::last(&dir, "stderr");
                return Err(io::Error::other(format!("it was not begun: {}", why.trim())));
            }
            // the disk may be full
            (None, Ok(ended)) => ended.status.code().ok_or_else(|| io::Error::other("it was killed"))?,
        };
        Ok(Told { code, output: said::last(&dir, "stdout"), errors: said::last(&dir, "stderr") })
    });
    told.await.map_err(|e| e.to_string())
}

/// What the caller is told of an end, also when a fault of ours keeps us from telling it well.
async fn concluded<F>(told: Told, conclude: impl FnOnce(Told) -> F) -> Outcome
where
    F: Future<Output = Outcome> + Send,
{
    let code = told.code;
    AssertUnwindSafe(async { conclude(told).await }).catch_unwind().await.unwrap_or_else(|_| {
        let message =
            format!("it ended with exit status {code}; what that came to is lost by a fault of this node");
        Outcome::failed(StatusCode::UnknownError, message)
    })
}

async fn keep(dir: PathBuf, outcome: Outcome) {
    let _ = blocking(move || disk::keep(&dir, &outcome)).await.inspect_err(|e| tracing::warn!("{e}"));
}

/// Touches files where nobody waits.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(io::Error::other(e)))
}

#[cfg(test)]
mod tests;
