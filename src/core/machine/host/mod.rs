//! The host: gives an engine time, does the work it asks for, and sees to the directories
//! machines live in (spec 06 §1).
//!
//! One task for all machines. Commands and other work are futures in one bounded set: eight
//! at once, the others wait in turn; a watcher has one thing under way at a time, so the queue
//! is no longer than there are watchers. What runs ends with the host: commands are process
//! groups that are killed when nobody waits for them.

mod command;
mod exports;
mod files;
mod http;
mod looks;
mod store;
mod writes;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::definition::Definition;
use super::engine::{Engine, Found, Id, Job, Refused, Said, Ticket, Wanted};
use super::turn::{Answer, FactsLook, Moment, Network, Setting, Work};
use crate::core::protocol::filter::Facts;
use crate::core::security::tokens::VerifyKey;
use files::Files;
use looks::Looks;
use writes::{Chore, Writes};

pub use files::facts_of;
pub use http::pages;
pub use store::{DATA, DEFINITION, Kept, LoadError, MAX_MACHINES, load, read_data};

/// Pieces of work at once; what is disowned aside.
const WORKERS: usize = 8;
/// Between two looks at the store.
const SCAN: Duration = Duration::from_secs(10);
/// How long slots of governors may take to be given back when a node ends.
const SLOTS_BACK: Duration = Duration::from_secs(2);
/// Most of what is said in one round, before others have their turn.
const ROUND: usize = 256;

/// Whatever a host lives in.
pub trait Surroundings: Send + Sync {
    /// Facts as of now; may take as long as a file is waited for.
    fn facts(&self) -> Pin<Box<dyn Future<Output = Arc<Facts>> + Send + '_>>;
    /// Publishes, or drops and counts; never waits.
    fn publish(&self, subject: String, payload: String, headers: Vec<(&'static str, String)>);
    /// The network; none where there is none.
    fn network(&self) -> Option<Arc<dyn Network>> {
        None
    }
}

/// How a host is set up.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Name of the node.
    pub identity: String,
    /// Where machines live; none where they are given by hand.
    pub store: Option<PathBuf>,
    /// Overrides of checks.
    pub overrides: Option<PathBuf>,
    /// Types of goss that rules of this machine may not look at.
    pub denied: Arc<[String]>,
    /// Where Prometheus text goes.
    pub prometheus: Option<PathBuf>,
    /// Where the node says how it is, and how often.
    pub status: Option<(PathBuf, Duration)>,
    /// Whose manifests of plugins are believed, where that is said; or why nobody's are.
    pub signing_key: Option<Result<VerifyKey, String>>,
}

/// The machines of a node; clones are of the same.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    identity: Arc<str>,
    engine: Mutex<Engine>,
    begun: Instant,
    started: Timestamp,
    wake: Notify,
    commands: AtomicU64,
    files: Files,
}

impl Host {
    /// Without machines.
    pub fn new(settings: Settings) -> Host {
        let engine = Engine::new(&settings.identity, TimeZone::system(), fastrand::u64(..));
        Host {
            inner: Arc::new(Inner {
                identity: settings.identity.as_str().into(),
                settings,
                engine: Mutex::new(engine),
                begun: Instant::now(),
                started: Timestamp::now(),
                wake: Notify::new(),
                commands: AtomicU64::new(0),
                files: Files::default(),
            }),
        }
    }

    /// Adds a machine by hand.
    pub fn add(&self, definition: Definition, directory: PathBuf, data: Arc<str>) -> Id {
        let id = self.engine().add(definition, directory, data, self.now());
        self.inner.wake.notify_one();
        id
    }

    /// Machines that are meant, sorted by name.
    pub fn find(&self, wanted: Wanted<'_>) -> Vec<Found> {
        self.engine().find(wanted)
    }

    /// Names of all machines, sorted.
    pub fn names(&self) -> Vec<String> {
        self.engine().names()
    }

    /// Moves a machine.
    ///
    /// # Errors
    /// It does not move.
    pub fn transition(&self, id: Id, event: &str) -> Result<(), Refused> {
        let done = self.engine().transition(id, event, self.now());
        self.inner.wake.notify_one();
        done
    }

    /// Commands that were started.
    pub fn commands(&self) -> u64 {
        self.inner.commands.load(Ordering::Relaxed)
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.inner.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        Moment { at: self.inner.begun.elapsed(), wall: Timestamp::now() }
    }

    /// Moves machines until told to stop, or whoever tells is gone. What is under way then is
    /// ended, and what is to be kept is written.
    pub async fn run(self, around: Arc<dyn Surroundings>, mut stop: watch::Receiver<bool>) {
        let mut round = Round::new(self.clone(), around);
        let mut scan = tokio::time::interval(SCAN);
        scan.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let next = round.go();
            let due = next.map(|at| tokio::time::Instant::from_std(self.inner.begun + at));
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                _ = scan.tick(), if self.inner.settings.store.is_some() => round.look(),
                Some(done) = round.work.join_next_with_id() => round.done(done),
                Some(done) = round.apart.join_next_with_id() => round.done(done),
                Some(done) = round.chores.join_next() => round.chore(done.ok()),
                Some(done) = round.looks.next() => round.looked(done.ok()),
                () = self.inner.wake.notified() => {}
                () = until(due) => {}
            }
        }
        round.end().await;
    }
}

async fn until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

type Done = Result<(tokio::task::Id, (Ticket, Answer)), tokio::task::JoinError>;

struct Round {
    host: Host,
    around: Arc<dyn Surroundings>,
    facts: FactsLook,
    work: JoinSet<(Ticket, Answer)>,
    apart: JoinSet<(Ticket, Answer)>,
    under_way: BTreeMap<Ticket, (tokio::task::Id, AbortHandle)>,
    chores: JoinSet<Chore>,
    writes: Writes,
    looks: Looks,
}

impl Round {
    fn new(host: Host, around: Arc<dyn Surroundings>) -> Round {
        Round {
            looks: Looks::of(host.inner.settings.store.clone()),
            facts: host.facts_look(&around),
            host,
            around,
            work: JoinSet::new(),
            apart: JoinSet::new(),
            under_way: BTreeMap::new(),
            chores: JoinSet::new(),
            writes: Writes::default(),
        }
    }

    /// Does what is due; says when there is more.
    fn go(&mut self) -> Option<Duration> {
        let host = self.host.clone();
        let now = host.now();
        let mut engine = host.engine();
        engine.step(now);
        let mut more = false;
        for count in 0.. {
            let Some(said) = engine.said() else { break };
            self.say(said);
            if count >= ROUND {
                more = true;
                break;
            }
        }
        while let Some(job) = engine.job(|job| job.is_apart() || self.work.len() < WORKERS) {
            self.begin(job);
        }
        let next = if more { Some(now.at) } else { engine.next_due() };
        next.into_iter().chain(self.write(&mut engine, now)).min()
    }

    fn say(&self, said: Said) {
        match said {
            Said::Event(event) => {
                tracing::info!("{}", event.text);
                self.around.publish(event.subject, event.payload, vec![]);
            }
            Said::Message(message) => self.around.publish(message.subject, message.payload, message.headers),
            Said::Warning(text) => tracing::warn!("{text}"),
            Said::Note(text) => tracing::debug!("{text}"),
        }
    }

    fn begin(&mut self, job: Job) {
        let (host, around, facts) = (self.host.clone(), self.around.clone(), self.facts.clone());
        let (ticket, apart) = (job.ticket, job.is_apart());
        let work = async move { (ticket, host.worked(job, &*around, facts).await) };
        let handle = if apart { self.apart.spawn(work) } else { self.work.spawn(work) };
        self.under_way.insert(ticket, (handle.id(), handle));
    }

    fn done(&mut self, done: Done) {
        match done {
            Ok((task, (ticket, answer))) => {
                // that of a machine that came in its place is under way still
                if self.under_way.get(&ticket).is_some_and(|(known, _)| *known == task) {
                    self.under_way.remove(&ticket);
                }
                self.host.engine().answered(ticket, answer, self.host.now());
            }
            Err(e) => {
                let task = e.id();
                let ticket =
                    self.under_way.iter().find(|(_, (known, _))| *known == task).map(|(ticket, _)| *ticket);
                if let Some(ticket) = ticket {
                    self.under_way.remove(&ticket);
                    if e.is_panic() {
                        // its watcher goes on, with nothing known
                        let ran = super::turn::Ran {
                            problem: "this program met a fault of its own".into(),
                            ..Default::default()
                        };
                        self.host.engine().answered(ticket, Answer::Ran(ran), self.host.now());
                    }
                }
            }
        }
    }

    fn drop_machine(&mut self, id: Id) {
        self.host.engine().remove(id);
        self.under_way.retain(|ticket, (_, handle)| {
            let ours = ticket.machine == id;
            if ours {
                handle.abort();
            }
            !ours
        });
    }

    async fn end(mut self) {
        // dropping what runs kills it, and this waits until it is dropped
        self.work.shutdown().await;
        self.apart.shutdown().await;
        self.looks.end();
        self.chores_end().await;
        if let Some(network) = self.around.network() {
            network.streams().settled(SLOTS_BACK).await;
        }
        let host = self.host.clone();
        self.last_writes().await;
        host.inner.files.end();
    }
}
