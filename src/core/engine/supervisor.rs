//! Keeps nats-server running: one thread, which is its parent.
//!
//! It must be one thread from the program's start to its end: the system ends
//! the program when the thread that started it has gone, so that a broker
//! that is killed leaves nothing behind.

use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::configuration::{SYSTEM, Settings};
use super::lines::{self, Level};
use crate::core::files;
use crate::core::log::RefusalLog;
use crate::core::metrics::{Kind, Registry};

/// Name our program goes by while it prepares to become nats-server.
pub const GUARD: &str = "choria-engine";

/// Time to be ready at the first start.
const READY: Duration = Duration::from_secs(30);
/// Time to find the first other machine of a cluster; without any of them it serves its own.
const JOINING: Duration = Duration::from_secs(3);
/// Time to end when told to; streams are written out in it.
const ENDING: Duration = Duration::from_secs(4);
/// From a crash to the next start, at first and at most.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// Who has run so long was well.
const WELL: Duration = Duration::from_secs(60);
/// Time to read its certificates again.
const REREADING: Duration = Duration::from_secs(10);
/// Largest file of certificates or a key.
const MOST_PEM: u64 = 1024 * 1024;
/// How often it is looked whether it is there.
const LOOK: Duration = Duration::from_millis(100);
/// Longest line taken from it.
const LINE: u64 = 8 * 1024;
/// Last lines kept to say why it did not start.
const KEPT: usize = 5;

/// What an engine is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// nats-server.
    pub program: PathBuf,
    /// Our own program, which has itself ended with its parent and becomes nats-server; without it a
    /// broker that is killed leaves its engine behind.
    pub guard: Option<PathBuf>,
    /// Directory for the file with its configuration, which is made and removed here.
    pub directory: PathBuf,
    /// What it is to be.
    pub settings: Settings,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The configuration cannot be written.
    #[error("writing the configuration of nats-server below {}: {source}", .directory.display())]
    Files {
        /// Where.
        directory: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A thread or the program cannot be started.
    #[error("starting {}: {source}", .program.display())]
    Start {
        /// Which.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another broker has the store.
    #[error(
        "plugin.choria.network.stream.store: a broker that runs keeps its streams in {}, one of the two has to end",
        .0.display()
    )]
    InUse(PathBuf),
    /// It ended at once.
    #[error("nats-server ended at once and says: {0}")]
    Ended(String),
    /// It does not get ready.
    #[error("nats-server was not ready within {READY:?} and says: {0}")]
    Late(String),
}

/// What is in some files; another number for other content, as good as ever.
fn fingerprint(files: &[PathBuf; 3]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        files::read_bounded(file, MOST_PEM).unwrap_or_default().hash(&mut hasher);
    }
    hasher.finish()
}

/// Keeps everybody else from a store for as long as the file is open: two programs on one lose what
/// is in it.
fn alone_in(store: &Path) -> Result<File, EngineError> {
    let failed = |source| EngineError::Files { directory: store.to_owned(), source };
    let mut lock = File::options();
    lock.create(true).truncate(false).write(true).mode(files::SECRET);
    let lock = lock.open(store.join(".lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(EngineError::InUse(store.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// What streams of several machines agree on is below the name of the server's account, which was another one in a
/// cluster without a password for it.
fn rename_account(store: &Path) -> Result<(), EngineError> {
    let [old, new] = ["engine", SYSTEM].map(|account| store.join("jetstream").join(account));
    match old.is_dir() && !new.exists() {
        true => std::fs::rename(&old, &new)
            .map_err(|source| EngineError::Files { directory: store.to_owned(), source }),
        false => Ok(()),
    }
}

/// A running engine. Dropping it ends it.
pub struct Engine {
    state: Arc<State>,
    /// Certificate, key and CA by which it knows other machines, and what was in them.
    certificates: Option<[PathBuf; 3]>,
    fingerprint: Mutex<u64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    now: Mutex<Now>,
    changed: Condvar,
    restarts: AtomicU64,
}

/// How it is.
#[derive(Default)]
struct Now {
    /// It serves, and takes the engines of others where there are some.
    ready: bool,
    serves: bool,
    joined: bool,
    takes_others: bool,
    leaf: Option<SocketAddr>,
    clients: Option<SocketAddr>,
    /// It has failed to start.
    failed: Option<String>,
    stop: bool,
    reload: bool,
    /// How often it has read its configuration again.
    rereads: u64,
    last: VecDeque<String>,
    pid: Option<u32>,
}

impl Engine {
    /// Starts nats-server and returns when it serves.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn start(options: Options) -> Result<Self, EngineError> {
        let directory = options.directory.clone();
        let files = |source| EngineError::Files { directory: directory.clone(), source };
        let home = files::scratch(&directory, "choria-engine-").map_err(files)?;
        let file = home.path().join("nats-server.conf");
        files::write_atomic(&file, options.settings.text().as_bytes(), files::SECRET).map_err(files)?;
        let store = options.settings.store.as_deref().map(alone_in).transpose()?;
        options.settings.store.as_deref().map(rename_account).transpose()?;
        let state = Arc::new(State::default());
        let keeper = Keeper { options: options.clone(), file, state: state.clone(), log: Arc::default() };
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
            keeper.run();
            drop((home, store));
        });
        let thread =
            thread.map_err(|source| EngineError::Start { program: options.program.clone(), source })?;
        let tls = options.settings.cluster.as_ref().and_then(|cluster| cluster.tls.clone());
        let certificates = tls.map(|of| [of.certificate, of.key, of.ca]);
        let fingerprint = Mutex::new(certificates.as_ref().map_or(0, fingerprint));
        let engine = Self { state, certificates, fingerprint, thread: Mutex::new(Some(thread)) };
        engine.await_ready()?;
        if options.settings.cluster.is_some_and(|cluster| cluster.peers.len() > 1) {
            engine.await_others();
        }
        Ok(engine)
    }

    fn await_ready(&self) -> Result<(), EngineError> {
        let until = Instant::now() + READY;
        let mut now = lock(&self.state.now);
        loop {
            if let Some(reason) = now.failed.take() {
                return Err(EngineError::Ended(reason));
            }
            if now.ready {
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(EngineError::Late(joined(&now.last)));
            }
            now = self.state.changed.wait_timeout(now, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whoever connects to a broker that has just started is to find the others' nodes there.
    fn await_others(&self) {
        let until = Instant::now() + JOINING;
        let mut now = lock(&self.state.now);
        while !now.joined {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return tracing::warn!(
                    "no other broker of plugin.choria.network.peers answers yet, serving without them"
                );
            }
            now = self.state.changed.wait_timeout(now, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Where it takes leafs now; nothing while it does not run.
    pub fn whereabouts(&self) -> impl Fn() -> Option<SocketAddr> + Send + Sync + use<> {
        let state = self.state.clone();
        move || lock(&state.now).leaf
    }

    /// Where it takes clients now; nothing while it does not run.
    pub fn clients(&self) -> impl Fn() -> Option<SocketAddr> + Send + Sync + use<> {
        let state = self.state.clone();
        move || lock(&state.now).clients
    }

    /// Has it read its certificates again, where it has some and they have changed. True when it has done so, by
    /// which leafs know less of it than before: they have to connect again.
    pub fn reload(&self) -> bool {
        let Some(files) = &self.certificates else { return false };
        let now = fingerprint(files);
        let mut known = lock(&self.fingerprint);
        if *known == now {
            return false;
        }
        let until = Instant::now() + REREADING;
        let mut state = lock(&self.state.now);
        let before = state.rereads;
        state.reload = true;
        self.state.changed.notify_all();
        while state.rereads == before && !state.stop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                tracing::warn!("nats-server did not say that it has read its certificates again");
                return false;
            }
            state = self.state.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *known = now;
        true
    }

    /// How it is, in a line.
    pub fn state(&self) -> String {
        let restarts = self.state.restarts.load(Ordering::Relaxed);
        match lock(&self.state.now).pid {
            Some(pid) => format!("nats-server runs as process {pid}, started again {restarts} times"),
            None => format!("nats-server does not run, started again {restarts} times"),
        }
    }

    /// Adds its counters.
    pub fn register(&self, registry: &Registry) {
        let state = self.state.clone();
        let help = "Whether nats-server behind this broker runs and serves";
        registry.add(Kind::Gauge, "choria_engine_up", help, &[], move || {
            f64::from(u8::from(lock(&state.now).ready))
        });
        let state = self.state.clone();
        let help = "Times nats-server behind this broker ended by itself and was started again";
        registry.add(Kind::Counter, "choria_engine_restarts_total", help, &[], move || {
            state.restarts.load(Ordering::Relaxed) as f64
        });
    }

    /// Ends it: gently, and after a while not.
    pub fn stop(&self) {
        lock(&self.state.now).stop = true;
        self.state.changed.notify_all();
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that keeps nats-server had panicked");
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Keeper {
    options: Options,
    file: PathBuf,
    state: Arc<State>,
    log: Arc<RefusalLog>,
}

impl Keeper {
    fn run(self) {
        let mut delay = FIRST;
        let mut first = true;
        loop {
            let begun = Instant::now();
            let ended = match self.start() {
                Ok(child) => self.keep(child),
                Err(error) => Some(format!("starting {}: {error}", self.options.program.display())),
            };
            let Some(reason) = ended else { return };
            let mut now = lock(&self.state.now);
            let was_ready = std::mem::take(&mut now.ready);
            (now.leaf, now.clients, now.pid) = (None, None, None);
            (now.serves, now.takes_others, now.joined) = (false, false, false);
            if first && !was_ready {
                // whoever waits for it hears what is wrong, and tries no more
                let said = joined(&now.last);
                now.failed = Some(if said.is_empty() { reason } else { said });
                self.state.changed.notify_all();
                return;
            }
            first = false;
            drop(now);
            if begun.elapsed() >= WELL {
                delay = FIRST;
            }
            self.state.restarts.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%reason, again_in = ?delay, "nats-server has ended by itself");
            if self.wait(delay) {
                return;
            }
            delay = (delay * 2).min(LONGEST);
        }
    }

    /// Waits; true when it is to end.
    fn wait(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut now = lock(&self.state.now);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if now.stop || left.is_zero() {
                return now.stop;
            }
            now = self.state.changed.wait_timeout(now, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        let mut command = match &self.options.guard {
            Some(guard) => {
                let mut command = Command::new(guard);
                command.arg0(GUARD).arg(std::process::id().to_string()).arg(&self.options.program);
                command
            }
            None => Command::new(&self.options.program),
        };
        command.arg("-c").arg(&self.file).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        lock(&self.state.now).pid = Some(child.id());
        if let Some(stderr) = child.stderr.take() {
            let (state, log) = (self.state.clone(), self.log.clone());
            let reader = std::thread::Builder::new().name("engine-log".to_owned());
            let alone = self.options.settings.cluster.is_none();
            reader.spawn(move || listen(stderr, alone, &state, &log))?;
        }
        Ok(child)
    }

    /// Looks after a running program; says how it ended by itself, and nothing when it was told to.
    fn keep(&self, mut child: Child) -> Option<String> {
        loop {
            match child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return Some(status.to_string()),
                Err(error) => return Some(error.to_string()),
            }
            let (stop, reload) = {
                let now = lock(&self.state.now);
                // before it is ready a signal would end it
                let mut now = match now.stop || (now.reload && now.ready) {
                    true => now,
                    false => {
                        self.state.changed.wait_timeout(now, LOOK).unwrap_or_else(PoisonError::into_inner).0
                    }
                };
                (now.stop, now.ready && std::mem::take(&mut now.reload))
            };
            if stop {
                end(&mut child);
                return None;
            }
            if reload {
                signal(&child, Signal::HUP);
            }
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Asks it to end, and after a while does not ask.
fn end(child: &mut Child) {
    signal(child, Signal::TERM);
    let until = Instant::now() + ENDING;
    while Instant::now() < until {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    tracing::warn!("nats-server did not end within {ENDING:?} and is killed");
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let _ = child.wait();
}

/// Says in our log what it says, and learns from it.
fn listen(stderr: impl Read, alone: bool, state: &State, log: &RefusalLog) {
    let mut reader = BufReader::new(stderr);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.by_ref().take(LINE).read_until(b'\n', &mut bytes) {
            Ok(count) if count > 0 => {}
            _ => return,
        }
        let line = String::from_utf8_lossy(&bytes);
        let line = lines::read(line.trim());
        match line.level {
            Level::Debug | Level::Info => tracing::debug!(engine = "nats-server", "{}", line.text),
            Level::Warning => {
                log.note("engine warnings", || tracing::warn!(engine = "nats-server", "{}", line.text))
            }
            Level::Error => {
                log.note("engine errors", || tracing::error!(engine = "nats-server", "{}", line.text))
            }
        }
        let mut now = lock(&state.now);
        if line.level == Level::Error {
            now.last.push_back(line.text.to_owned());
            while now.last.len() > KEPT {
                now.last.pop_front();
            }
        }
        now.leaf = lines::leaf_address(line.text).or(now.leaf);
        now.clients = lines::client_address(line.text).or(now.clients);
        now.serves |= lines::is_ready(line.text);
        now.takes_others |= lines::takes_others(line.text);
        if lines::has_joined(line.text) {
            now.joined = true;
            state.changed.notify_all();
        }
        if lines::has_reread(line.text) {
            now.rereads += 1;
            state.changed.notify_all();
        }
        if now.serves && (now.takes_others || alone) && !std::mem::replace(&mut now.ready, true) {
            state.changed.notify_all();
        }
    }
}

fn joined(lines: &VecDeque<String>) -> String {
    lines.iter().map(String::as_str).collect::<Vec<_>>().join("; ")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Becomes `program`, and ends with process `parent`, whose child this is. Returns only why that is not possible.
pub fn become_program(parent: u32, program: &Path, arguments: &[std::ffi::OsString]) -> std::io::Error {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::TERM)) {
        return error.into();
    }
    // the parent may have gone before it was said
    if std::os::unix::process::parent_id() != parent {
        return std::io::Error::other("whoever started this has gone");
    }
    Command::new(program).args(arguments).exec()
}
