//! Thousands of nodes that wait to be provisioned, to size and to test provisioners.
//!
//! Each is a whole [`Server`] with the real agent and a directory of its own, in
//! memory where the system has a place for that. They share a few keys
//! ([`Keys`]). After their restart they come back as members of their network,
//! or are done.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

use super::faults::{self, Fault, Faults};
use super::fleet::exposition;
use super::requests::Keys;
use super::{CONNECTING, EmulatorError, loopback, name_of};
use crate::core::agents::{Ending, Node as _, Provision, built_in};
use crate::core::config::{Config, Fixed, Role, System};
use crate::core::files::scratch;
use crate::core::metrics::Registry;
use crate::core::provisioning::{JwtResolver, Setup};
use crate::core::security::Provider;
use crate::core::server::{Server, ServerError, ServerOptions};
use crate::core::text::Secret;

/// How often a node that connects is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What a waiting fleet is.
pub struct WaitingOptions {
    /// How many.
    pub count: usize,
    /// Their names, `{}` being their number from 1.
    pub pattern: String,
    /// What they know, read from their token.
    pub setup: Setup,
    /// Keys they share.
    pub keys: usize,
    /// Connections started a second.
    pub rate: usize,
    /// Spread connections over 127.0.0.0/8 so that ports do not run out.
    pub spread_addresses: bool,
    /// Connect as members after the restart, or end.
    pub come_back: bool,
    /// How many do what wrong.
    pub faults: Faults,
}

/// How far the fleet is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Connected and waiting.
    pub waiting: usize,
    /// Restarted with a configuration.
    pub provisioned: usize,
    /// Of those, connected as members.
    pub members: usize,
    /// Ended by a provisioner or a fault.
    pub ended: usize,
}

/// Nodes that wait, or did.
pub struct WaitingFleet {
    counts: Arc<WaitingCounts>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

/// How many of them are where.
#[derive(Debug, Default)]
pub struct WaitingCounts {
    nodes: usize,
    waiting: AtomicUsize,
    members: AtomicUsize,
    provisioned: AtomicUsize,
    ended: AtomicUsize,
}

/// What all nodes have in common.
struct Fleet {
    options: WaitingOptions,
    setup: Arc<Setup>,
    /// For nodes that want another access token.
    other: Arc<Setup>,
    keys: Keys,
    dir: tempfile::TempDir,
    turns: Arc<Semaphore>,
    counts: Arc<WaitingCounts>,
}

impl WaitingFleet {
    /// Makes the nodes and starts to connect them.
    ///
    /// # Errors
    /// [`EmulatorError`]: a token that cannot be waited with, or no place for files.
    pub fn start(options: WaitingOptions) -> Result<WaitingFleet, EmulatorError> {
        let (stop, stopping) = watch::channel(false);
        let counts = Arc::new(WaitingCounts { nodes: options.count, ..WaitingCounts::default() });
        let setup = Arc::new(options.setup.clone());
        let fleet = Arc::new(Fleet {
            other: Arc::new(Setup { access: Secret::new("another access token"), ..options.setup.clone() }),
            keys: Keys::make(options.keys)?,
            setup,
            dir: place()?,
            turns: Arc::new(Semaphore::new(CONNECTING)),
            counts: counts.clone(),
            options,
        });
        let mut tasks = JoinSet::new();
        let rate = u32::try_from(fleet.options.rate.max(1)).unwrap_or(u32::MAX);
        let gap = Duration::from_secs(1) / rate;
        let mut first = Vec::with_capacity(fleet.options.count);
        for index in 0..fleet.options.count {
            first.push(fleet.waiting(index)?);
        }
        // none before all are made: making them is not what is measured
        for (index, first) in first.into_iter().enumerate() {
            let begin = gap * u32::try_from(index).unwrap_or(u32::MAX);
            tasks.spawn(live(fleet.clone(), index, first, begin, stopping.clone()));
        }
        Ok(WaitingFleet { counts, tasks, stop })
    }

    /// The nodes, counted while they live.
    pub fn counts(&self) -> &Arc<WaitingCounts> {
        &self.counts
    }

    /// Disconnects all nodes in an orderly way.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

impl WaitingCounts {
    /// How far it is.
    pub fn progress(&self) -> Progress {
        let read = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        Progress {
            waiting: read(&self.waiting),
            provisioned: read(&self.provisioned),
            members: read(&self.members),
            ended: read(&self.ended),
        }
    }

    /// How far it is, for Prometheus. `name` labels the samples.
    pub fn metrics(&self, name: &str) -> Registry {
        let Progress { waiting, provisioned, members, ended } = self.progress();
        let rows = [
            ("choria_emulator_nodes", "Emulated nodes", self.nodes),
            ("choria_emulator_waiting", "Nodes that are connected and wait", waiting),
            ("choria_emulator_provisioned", "Nodes that have restarted with a configuration", provisioned),
            ("choria_emulator_members", "Of those, connected as members", members),
            ("choria_emulator_ended", "Nodes that were ended by a provisioner or a fault", ended),
        ];
        let rows = rows.map(|(metric, help, value)| (metric, help, value as f64));
        exposition(&[("identity", name)], &rows)
    }
}

async fn live(
    fleet: Arc<Fleet>,
    index: usize,
    (first, death): (Server, Arc<Notify>),
    begin: Duration,
    mut stopping: watch::Receiver<bool>,
) {
    tokio::select! {
        () = tokio::time::sleep(begin) => {}
        _ = stopping.wait_for(|stop| *stop) => return,
    }
    let ending = tokio::select! {
        ending = once(first, &fleet.counts.waiting, &mut stopping) => ending,
        // as of a power cut: dropped, with its connection
        () = death.notified() => Some(Ending::Shutdown),
    };
    match ending {
        Some(Ending::Restart) => {
            fleet.counts.provisioned.fetch_add(1, Ordering::Relaxed);
        }
        Some(Ending::Shutdown) => {
            fleet.counts.ended.fetch_add(1, Ordering::Relaxed);
            return;
        }
        Some(Ending::Stopped) | None => return,
    }
    if !fleet.options.come_back {
        return;
    }
    match fleet.member(index) {
        Ok(server) => {
            once(server, &fleet.counts.members, &mut stopping).await;
        }
        Err(e) => tracing::error!("{} did not come back: {e}", fleet.name(index)),
    }
}

/// One life, counted while it is connected; `None` where it never was.
async fn once(
    server: Server,
    connected: &AtomicUsize,
    stopping: &mut watch::Receiver<bool>,
) -> Option<Ending> {
    let node = server.node().clone();
    let running = server.run(stopping.clone());
    tokio::pin!(running);
    let mut look = tokio::time::interval(LOOK);
    let mut counted = None;
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            _ = look.tick(), if counted.is_none() => {
                if node.connected_server().is_some() {
                    counted = Some(One::of(connected));
                }
            }
        }
    };
    ended.inspect_err(|e| tracing::debug!("an emulated node ended: {e}")).ok()
}

/// Counts one for as long as it lives.
struct One<'a>(&'a AtomicUsize);

impl One<'_> {
    fn of(count: &AtomicUsize) -> One<'_> {
        count.fetch_add(1, Ordering::Relaxed);
        One(count)
    }
}

impl Drop for One<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Fleet {
    fn name(&self, index: usize) -> String {
        let doubled = self.options.faults.of(index, self.options.count) == Fault::Doubled;
        // the first has nobody before it
        let other = if index == 0 { 1 } else { index - 1 };
        name_of(&self.options.pattern, if doubled { other } else { index })
    }

    fn file(&self, index: usize) -> PathBuf {
        self.dir.path().join(index.to_string()).join("server.conf")
    }

    /// Where a node connects from, and when it may.
    fn place(&self, options: &mut ServerOptions, index: usize) {
        options.local_address = self.options.spread_addresses.then(|| loopback(index));
        options.turns = Some(self.turns.clone());
    }

    /// The node as it waits, and what it may die of.
    fn waiting(&self, index: usize) -> Result<(Server, Arc<Notify>), EmulatorError> {
        let fault = self.options.faults.of(index, self.options.count);
        let setup = if fault == Fault::WrongToken { &self.other } else { &self.setup };
        let (file, name) = (self.file(index), self.name(index));
        std::fs::create_dir_all(file.parent().unwrap_or(self.dir.path())).map_err(EmulatorError::Files)?;
        let config = setup.config(&file, Some(&name), &Fixed::default())?;
        let mut options = ServerOptions::waiting(config, setup, &JwtResolver)?;
        self.place(&mut options, index);
        let rehearse = Arc::new(|_: Config| Ok(()));
        let keys = Arc::new(self.keys.of(index, name)?);
        let agent = Arc::new(Provision::new(setup.clone(), keys, rehearse));
        let death = Arc::new(Notify::new());
        options.agents = faults::agents(built_in(), agent, fault, &death);
        Ok((Server::new(options)?, death))
    }

    /// The node as it was configured.
    fn member(&self, index: usize) -> Result<Server, EmulatorError> {
        let config = Config::load(Role::Server, Some(&self.file(index)), &System)?;
        let provider = Provider::new(&config, Role::Server, &System).map_err(ServerError::from)?;
        let mut options = ServerOptions::new(config, Arc::new(provider)).map_err(ServerError::from)?;
        self.place(&mut options, index);
        Ok(Server::new(options)?)
    }
}

/// A directory in memory, or else on disk.
fn place() -> Result<tempfile::TempDir, EmulatorError> {
    let memory = scratch(Path::new("/dev/shm"), "choria-emulate-");
    memory.or_else(|_| scratch(&std::env::temp_dir(), "choria-emulate-")).map_err(EmulatorError::Files)
}
