//! The host: gives an engine time, does the work it asks for, and sees to the directories
//! machines live in (spec 06 §1).
//!
//! One task for all machines. Commands and other work are futures in one bounded set: eight
//! at once, the others wait in turn; a watcher has one thing under way at a time, so the queue
//! is no longer than there are watchers. What runs ends with the host: commands are process
//! groups that are killed when nobody waits for them.

mod command;
mod exports;
mod http;
mod store;

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
use super::turn::{Answer, Moment, Network, Setting, Work};
use crate::core::protocol::filter::Facts;
use crate::core::security::tokens::VerifyKey;
use command::Files;
use store::{Change, Store};

pub use command::facts_of;
pub use http::pages;
pub use store::{DATA, DEFINITION, Kept, LoadError, load};

/// Pieces of work at once; what is disowned aside.
const WORKERS: usize = 8;
/// Between two looks at the store.
const SCAN: Duration = Duration::from_secs(10);
/// Looks at it that are left behind at a time.
const MOST_LEFT: usize = 32;
/// Between two writes of what is exported.
const EXPORT: Duration = Duration::from_secs(1);
/// How long slots of governors may take to be given back when a node ends.
const SLOTS_BACK: Duration = Duration::from_secs(2);
/// How long files that were being written may take when a node ends, and those that are written then.
const LAST_WRITES: Duration = Duration::from_secs(2);
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
                Some(done) = round.looks.join_next() => round.looked(done.ok()),
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

/// What is done beside the work of watchers.
enum Chore {
    /// Data was written.
    Data(PathBuf),
    /// Exports were written.
    Exports,
}

/// A look at the store, which may hang.
struct Look {
    number: u64,
    store: Store,
    changes: Vec<Change>,
}

type Done = Result<(tokio::task::Id, (Ticket, Answer)), tokio::task::JoinError>;

struct Round {
    host: Host,
    around: Arc<dyn Surroundings>,
    work: JoinSet<(Ticket, Answer)>,
    apart: JoinSet<(Ticket, Answer)>,
    under_way: BTreeMap<Ticket, (tokio::task::Id, AbortHandle)>,
    chores: JoinSet<Chore>,
    writing: Vec<PathBuf>,
    /// None where nothing is looked at.
    store: Option<Store>,
    looks: JoinSet<Look>,
    /// The look under way.
    looking: Option<(u64, PathBuf)>,
    /// Looks that were left behind, and where.
    left: BTreeMap<u64, PathBuf>,
    number: u64,
    /// Places that answered while a look was under way.
    answered: Vec<PathBuf>,
    exported: Option<Instant>,
    exporting: bool,
    to_export: bool,
}

impl Round {
    fn new(host: Host, around: Arc<dyn Surroundings>) -> Round {
        let store = host.inner.settings.store.clone().map(Store::new);
        Round {
            host,
            around,
            work: JoinSet::new(),
            apart: JoinSet::new(),
            under_way: BTreeMap::new(),
            chores: JoinSet::new(),
            writing: Vec::new(),
            store,
            looks: JoinSet::new(),
            looking: None,
            left: BTreeMap::new(),
            number: 0,
            answered: Vec::new(),
            exported: None,
            exporting: false,
            to_export: false,
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
        // one write of a place at a time: the later data is the later file
        while let Some((directory, data)) = engine.take_data(|path| !self.writing.iter().any(|p| p == path)) {
            self.writing.push(directory.clone());
            self.chores.spawn_blocking(move || {
                store::write_data(&directory, &data);
                Chore::Data(directory)
            });
        }
        self.to_export |= engine.take_exports() && host.inner.settings.prometheus.is_some();
        let mut next = if more { Some(now.at) } else { engine.next_due() };
        if self.to_export && !self.exporting {
            let wait = self.exported.map_or(Duration::ZERO, |at| EXPORT.saturating_sub(at.elapsed()));
            if wait.is_zero() {
                self.export(&engine, now.wall);
            } else {
                let at = now.at + wait;
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        next
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
        let (host, around) = (self.host.clone(), self.around.clone());
        let (ticket, apart) = (job.ticket, job.is_apart());
        let work = async move { (ticket, host.worked(job, &*around).await) };
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

    fn chore(&mut self, chore: Option<Chore>) {
        match chore {
            Some(Chore::Data(path)) => self.writing.retain(|other| *other != path),
            Some(Chore::Exports) => self.exporting = false,
            None => {
                // A fault of ours: nothing is known of what it did.
                tracing::error!("a piece of work beside machines met a fault");
                self.exporting = false;
                self.writing.clear();
            }
        }
    }

    fn export(&mut self, engine: &Engine, now: Timestamp) {
        let Some(directory) = self.host.inner.settings.prometheus.clone() else { return };
        (self.to_export, self.exporting, self.exported) = (false, true, Some(Instant::now()));
        let texts = exports::texts(engine, self.host.inner.started, now);
        self.chores.spawn_blocking(move || {
            exports::write(&directory, texts);
            Chore::Exports
        });
    }

    /// Has the store looked at, off the threads that serve. A look that does not come back is left behind, and
    /// the next one passes over the place it is at.
    fn look(&mut self) {
        let Some(store) = &mut self.store else { return };
        if let Some((number, before)) = &mut self.looking {
            // one that gets on takes its time
            let place = store.at();
            if *before != place || self.left.len() >= MOST_LEFT {
                *before = place;
                return;
            }
            let number = *number;
            store.leave(&place);
            tracing::error!(
                "{} does not answer, as on a network file system that hangs: its machine stays as it was, others \
                 are looked at without it",
                place.display()
            );
            self.left.insert(number, place);
        }
        self.number += 1;
        let (number, mut store) = (self.number, store.clone());
        self.looking = Some((number, PathBuf::new()));
        self.looks.spawn_blocking(move || {
            let changes = store.look();
            Look { number, store, changes }
        });
    }

    fn looked(&mut self, look: Option<Look>) {
        let Some(Look { number, store, changes }) = look else {
            // a fault of ours: machines run on, and the next look is a new one
            tracing::error!("a look at the machines met a fault");
            self.looking = None;
            return;
        };
        if let Some(place) = self.left.remove(&number) {
            tracing::info!("{} answers again", place.display());
            self.store.iter_mut().for_each(|store| store.answers(&place));
            // so that one that is under way does not bring it back as it was
            if self.looking.is_some() {
                self.answered.push(place);
            }
            return;
        }
        self.looking = None;
        self.store = Some(store);
        for place in std::mem::take(&mut self.answered) {
            self.store.iter_mut().for_each(|store| store.answers(&place));
        }
        for change in changes {
            self.change(change);
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Unwritten(id) => self.host.engine().unwritten(id),
            Change::Gone(path, id) => {
                tracing::info!("the machine of {} is gone", path.display());
                self.drop_machine(id);
            }
            Change::Loaded { path, before, mut definition, data } => {
                for warning in std::mem::take(&mut definition.warnings) {
                    tracing::warn!("{}: {warning}", path.join(DEFINITION).display());
                }
                // what it kept may not be written yet
                let kept = before.and_then(|before| self.host.engine().data(before));
                if let Some(before) = before {
                    self.drop_machine(before);
                }
                let how = if before.is_some() { "loaded anew" } else { "loaded" };
                tracing::info!(
                    "machine {} {} {how} from {}",
                    definition.name,
                    definition.version,
                    path.display()
                );
                // who replaced its directory took away what was kept in it
                let lost = kept.as_ref().is_some_and(|kept| *kept != data || self.writing.contains(&path));
                let id = self.host.add(*definition, path.clone(), kept.unwrap_or(data));
                if lost {
                    self.host.engine().unwritten(id);
                }
                if let Some(store) = &mut self.store {
                    store.is_now(&path, id);
                }
            }
            Change::Broken(problem) => tracing::error!("{problem}"),
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
        self.looks.abort_all();
        let done = async { while self.chores.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WRITES, done).await.is_err() {
            tracing::error!("a file of a machine does not answer, what is kept in it may be of before");
        }
        if let Some(network) = self.around.network() {
            network.streams().settled(SLOTS_BACK).await;
        }
        let host = self.host.clone();
        let left: Vec<_> = std::iter::from_fn(|| host.engine().take_data(|_| true)).collect();
        // each by itself: one that hangs keeps none of the others from being written
        let mut writes = JoinSet::new();
        for (directory, data) in left {
            writes.spawn_blocking(move || store::write_data(&directory, &data));
        }
        let done = async { while writes.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_WRITES, done).await;
    }
}
