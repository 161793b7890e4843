//! Thousands of nodes that wait to be provisioned, to size and to test provisioners.
//!
//! Each is a whole [`Server`] with the real agent and a directory of its own, in
//! memory where the system has a place for that. They share a few keys, since
//! finding keys is what real nodes do on processors of their own. After their
//! restart they come back as members of their network, or are done.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::misbehaviour::stride;
use super::{CONNECTING, EmulatorError, loopback, name_of};
use crate::core::agents::provision::keys::KeySource;
use crate::core::agents::{Agent, Call, Ending, Node, Provision, Running, built_in};
use crate::core::config::{Config, Fixed, Role, System};
use crate::core::ddl::AgentDdl;
use crate::core::nats::connect::Secret;
use crate::core::provisioning::{JwtResolver, Setup};
use crate::core::security::Provider;
use crate::core::server::{Server, ServerError, ServerOptions};

/// How often a node that connects is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Shares of the fleet, each between 0 and 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Faults {
    /// Are found and never answer.
    pub silent: f64,
    /// End once they are configured and before they are told to restart.
    pub dying: f64,
    /// Want another access token.
    pub wrong_token: f64,
    /// Claim the name of the node before them.
    pub doubled: f64,
}

/// What one node does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Silent,
    Dying,
    WrongToken,
    Doubled,
}

impl Faults {
    fn of(&self, index: usize, count: usize) -> Fault {
        let place = index * stride(count) % count.max(1);
        let mut bound = 0;
        for (share, fault) in [
            (self.silent, Fault::Silent),
            (self.dying, Fault::Dying),
            (self.wrong_token, Fault::WrongToken),
            (self.doubled, Fault::Doubled),
        ] {
            bound += (share * count as f64).round() as usize;
            if place < bound {
                return fault;
            }
        }
        Fault::None
    }
}

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
    counts: Arc<Counts>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

#[derive(Default)]
struct Counts {
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
    keys: Arc<Keys>,
    dir: tempfile::TempDir,
    turns: Arc<Semaphore>,
    counts: Arc<Counts>,
}

impl WaitingFleet {
    /// Makes the nodes and starts to connect them.
    ///
    /// # Errors
    /// [`EmulatorError`]: a token that cannot be waited with, or no place for files.
    pub fn start(options: WaitingOptions) -> Result<WaitingFleet, EmulatorError> {
        let (stop, stopping) = watch::channel(false);
        let counts = Arc::new(Counts::default());
        let setup = Arc::new(options.setup.clone());
        let fleet = Arc::new(Fleet {
            other: Arc::new(Setup { access: Secret::new("another access token"), ..options.setup.clone() }),
            keys: Arc::new(Keys::make(options.keys)?),
            setup,
            dir: place()?,
            turns: Arc::new(Semaphore::new(CONNECTING)),
            counts: counts.clone(),
            options,
        });
        let mut tasks = JoinSet::new();
        let rate = u32::try_from(fleet.options.rate.max(1)).unwrap_or(u32::MAX);
        let gap = Duration::from_secs(1) / rate;
        for index in 0..fleet.options.count {
            let first = fleet.waiting(index)?;
            let begin = gap * u32::try_from(index).unwrap_or(u32::MAX);
            tasks.spawn(live(fleet.clone(), index, first, begin, stopping.clone()));
        }
        Ok(WaitingFleet { counts, tasks, stop })
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let read = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        Progress {
            waiting: read(&self.counts.waiting),
            provisioned: read(&self.counts.provisioned),
            members: read(&self.counts.members),
            ended: read(&self.counts.ended),
        }
    }

    /// Disconnects all nodes in an orderly way.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn live(
    fleet: Arc<Fleet>,
    index: usize,
    first: Server,
    begin: Duration,
    mut stopping: watch::Receiver<bool>,
) {
    tokio::select! {
        () = tokio::time::sleep(begin) => {}
        _ = stopping.wait_for(|stop| *stop) => return,
    }
    match once(first, &fleet.counts.waiting, &mut stopping).await {
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
    let mut counted = false;
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            _ = look.tick(), if !counted => {
                if node.connected_server().is_some() {
                    counted = true;
                    connected.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    if counted {
        connected.fetch_sub(1, Ordering::Relaxed);
    }
    ended.inspect_err(|e| tracing::debug!("an emulated node ended: {e}")).ok()
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

    /// The node as it waits.
    fn waiting(&self, index: usize) -> Result<Server, EmulatorError> {
        let fault = self.options.faults.of(index, self.options.count);
        let setup = if fault == Fault::WrongToken { &self.other } else { &self.setup };
        let file = self.file(index);
        std::fs::create_dir_all(file.parent().unwrap_or(self.dir.path())).map_err(EmulatorError::Files)?;
        let config = setup.config(&file, Some(&self.name(index)), &Fixed::default())?;
        let mut options = ServerOptions::waiting(config, setup, &JwtResolver)?;
        self.place(&mut options, index);
        let rehearse = Arc::new(|_: Config| Ok(()));
        let agent: Arc<dyn Agent> = Arc::new(Provision::new(setup.clone(), self.keys.clone(), rehearse));
        options.agents = built_in();
        options.agents.push(match fault {
            Fault::Dying => Arc::new(Dying(agent)),
            _ => agent,
        });
        if fault == Fault::Silent {
            options.agents =
                options.agents.into_iter().map(|agent| Arc::new(Mute(agent)) as Arc<dyn Agent>).collect();
        }
        Ok(Server::new(options)?)
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
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("choria-emulate-");
        builder
    };
    let memory = builder().tempdir_in("/dev/shm");
    memory.or_else(|_| builder().tempdir()).map_err(EmulatorError::Files)
}

/// Keys by turns.
struct Keys {
    keys: Vec<Arc<KeyPair>>,
    next: AtomicUsize,
}

impl Keys {
    fn make(count: usize) -> Result<Keys, EmulatorError> {
        let make = |_| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map(Arc::new);
        let keys: Result<Vec<_>, _> = (0..count.max(1)).map(make).collect();
        Ok(Keys { keys: keys.map_err(|e| EmulatorError::Key(e.to_string()))?, next: AtomicUsize::new(0) })
    }
}

impl KeySource for Keys {
    fn key(&self) -> Result<Arc<KeyPair>, String> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.keys.len().max(1);
        self.keys.get(turn).cloned().ok_or_else(|| "there are no keys".to_owned())
    }
}

/// Never answers.
struct Mute(Arc<dyn Agent>);

impl Agent for Mute {
    fn ddl(&self) -> &AgentDdl {
        self.0.ddl()
    }

    fn run<'a>(&'a self, _: &'a Call, _: &'a dyn Node) -> Running<'a> {
        Box::pin(std::future::pending())
    }
}

/// Ends once it is configured.
struct Dying(Arc<dyn Agent>);

impl Agent for Dying {
    fn ddl(&self) -> &AgentDdl {
        self.0.ddl()
    }

    fn run<'a>(&'a self, call: &'a Call, node: &'a dyn Node) -> Running<'a> {
        Box::pin(async move {
            let outcome = self.0.run(call, node).await;
            if call.action == "configure" && outcome.code.is_ok() {
                node.control().end(Ending::Shutdown);
            }
            outcome
        })
    }
}
