//! Keeps a broker connected to its hubs: one thread each.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::dial::{Dialed, Dialing};
use super::link::{Ended, LeafLink};
use super::options::{HubAddress, Leaf, LeafProof};
use crate::core::admission::{Grant, Peer, PeerKind};
use crate::core::broker::link::NewLink;
use crate::core::broker::shared::{Handover, ShardInboxes, Shared};
use crate::core::files;
use crate::core::nats::connect::ConnectOptions;
use crate::core::nats::credentials::Credentials;
use crate::core::nats::leaf::hello::{Connect, HubInfo};
use crate::core::nats::nkey::UserSeed;

/// From one round through all addresses to the next, at first and at most.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(8);
/// Largest file with credentials.
const LONGEST_CREDENTIALS: u64 = 64 * 1024;
/// A connection that has lived so long was a good one.
const GOOD: Duration = Duration::from_secs(10);
/// Addresses remembered that hubs have named.
const MOST: usize = 32;
/// How long an end waits for threads that look up a name or connect.
const PATIENCE: Duration = Duration::from_secs(1);

/// One hub of the options, and what is learnt of it.
pub struct Remote {
    /// The options.
    pub leaf: Leaf,
    /// Its place in them.
    pub order: usize,
    /// Addresses hubs have named, and the configured name that led there.
    learnt: Mutex<VecDeque<(HubAddress, String)>>,
    /// Configured name of the hub that is connected or was last.
    led: Mutex<String>,
}

impl Remote {
    /// Takes the addresses a hub names. Only a hub that has been let in is listened to: over TLS it is the hub.
    pub fn learn(&self, info: &HubInfo) {
        let led = lock(&self.led).clone();
        let named = info.leafnode_urls.iter().flatten().filter_map(|text| text.parse::<HubAddress>().ok());
        let new = named.filter(|address| !self.leaf.addresses.contains(address));
        let mut learnt = lock(&self.learnt);
        for address in new {
            if learnt.iter().all(|(known, _)| *known != address) {
                learnt.push_back((address, led.clone()));
            }
            while learnt.len() > MOST {
                learnt.pop_front();
            }
        }
    }

    /// All addresses to try, those of the configuration first.
    fn addresses(&self) -> Vec<(HubAddress, Option<String>)> {
        let found = self.leaf.whereabouts.iter().flat_map(|whereabouts| whereabouts());
        let configured = self.leaf.addresses.iter().cloned().chain(found).map(|address| (address, None));
        let learnt = lock(&self.learnt);
        configured.chain(learnt.iter().map(|(address, led)| (address.clone(), Some(led.clone())))).collect()
    }
}

/// All threads that keep connections to hubs.
pub struct Remotes {
    stop: Arc<Stop>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Stop {
    now: AtomicBool,
    lock: Mutex<()>,
    rung: Condvar,
}

impl Stop {
    /// Waits, unless the broker stops.
    fn wait(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut guard = lock(&self.lock);
        while !self.now.load(Ordering::Relaxed) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            guard = self.rung.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Remotes {
    /// Starts a thread for each hub.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(leaves: &[Leaf], shared: &Arc<Shared>, shards: &ShardInboxes) -> std::io::Result<Self> {
        let remotes = Self { stop: Arc::default(), threads: Mutex::default() };
        for (order, leaf) in leaves.iter().enumerate() {
            let led = leaf.addresses.first().map(|address| address.host.clone()).unwrap_or_default();
            let remote = Remote { leaf: leaf.clone(), order, learnt: Mutex::default(), led: Mutex::new(led) };
            let keeper = Keeper {
                remote: Arc::new(remote),
                shared: shared.clone(),
                shards: shards.clone(),
                stop: remotes.stop.clone(),
            };
            let thread = std::thread::Builder::new().name(format!("leaf-{order}"));
            lock(&remotes.threads).push(thread.spawn(move || keeper.run())?);
        }
        Ok(remotes)
    }

    /// Makes no new connection from now on.
    pub fn stop(&self) {
        let guard = lock(&self.stop.lock);
        self.stop.now.store(true, Ordering::Relaxed);
        self.stop.rung.notify_all();
        drop(guard);
    }

    /// Waits for the threads. One that looks up a name is not waited for: it ends by itself, and touches
    /// nothing any more.
    pub fn join(&self) {
        self.stop();
        let until = Instant::now() + PATIENCE;
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
            if thread.is_finished() && thread.join().is_err() {
                tracing::error!("a thread that keeps a connection to a hub had panicked");
            }
        }
    }
}

impl Drop for Remotes {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What one thread works with.
struct Keeper {
    remote: Arc<Remote>,
    shared: Arc<Shared>,
    shards: ShardInboxes,
    stop: Arc<Stop>,
}

/// Numbers of connections to hubs.
static SERIAL: AtomicU32 = AtomicU32::new(1);

impl Keeper {
    fn run(&self) {
        let name = &self.remote.leaf.name;
        let mut round: u32 = 0;
        let mut complained = String::new();
        while !self.stopping() {
            // the longest of what the addresses ask for
            let mut pause = Duration::ZERO;
            for (address, led) in self.remote.addresses() {
                if self.stopping() {
                    return;
                }
                match self.connect(&address, led.as_deref()) {
                    Ok(ended) => {
                        let Some((ended, lived)) = ended else { return };
                        tracing::warn!(hub = %name, %address, reason = %ended.reason, "the connection to the hub has ended");
                        complained.clear();
                        pause = ended.pause;
                        if lived >= GOOD {
                            round = 0;
                        }
                        // from the first address on: the configuration's order is a preference
                        break;
                    }
                    Err(Failed { reason, pause: keep_away }) => {
                        pause = pause.max(keep_away);
                        let complaint = format!("{address}: {reason}");
                        if complained.contains(&complaint) {
                            tracing::debug!(hub = %name, %address, %reason, "connecting to the hub failed again");
                        } else {
                            tracing::warn!(hub = %name, %address, %reason, "connecting to the hub failed");
                            if complained.len() > 4096 {
                                complained.clear();
                            }
                            complained.push_str(&complaint);
                        }
                    }
                }
            }
            let delay = FIRST.saturating_mul(1_u32.checked_shl(round).unwrap_or(u32::MAX)).min(LONGEST);
            round = round.saturating_add(1).min(8);
            // brokers that lost the same hub do not come back together
            let jitter = 0.75 + 0.5 * fastrand::f64();
            self.stop.wait(delay.mul_f64(jitter).max(pause));
        }
    }

    fn stopping(&self) -> bool {
        self.stop.now.load(Ordering::Relaxed)
    }

    /// Connects, and returns when that has ended: how, and how long it has lived. Nothing when the
    /// broker stops.
    fn connect(&self, address: &HubAddress, led: Option<&str>) -> Result<Option<(Ended, Duration)>, Failed> {
        let leaf = &self.remote.leaf;
        let identity = &self.shared.identity;
        let proof = Proof::of(leaf).map_err(|reason| Failed::at_once(&reason))?;
        let cluster = leaf.cluster.as_deref().unwrap_or(&identity.cluster);
        let connect = |info: &HubInfo| {
            if info.nonce.is_empty() && !matches!(proof, Proof::None) {
                return Err(
                    "the hub asks for no signature, so that the credentials of this remote prove nothing \
                            there; remove .credentials, or have the hub use accounts with tokens"
                        .to_owned(),
                );
            }
            let signature = proof.sign(&info.nonce);
            let key = proof.key();
            let connect = Connect {
                version: &identity.version,
                server_id: &identity.server_id,
                name: &identity.server_name,
                cluster,
                headers: true,
                remote_account: leaf.account.name(),
                protocol: 1,
                jwt: proof.token(),
                nkey: key.as_deref(),
                sig: signature.as_deref(),
            };
            Ok(connect.line())
        };
        let dialing = Dialing {
            address,
            also_named: led,
            tls: leaf.tls.as_ref(),
            cluster,
            connect: &connect,
            stop: &self.stop.now,
        };
        let dialed =
            dialing.run().map_err(|error| Failed { pause: error.pause(), reason: error.to_string() })?;
        *lock(&self.remote.led) = led.unwrap_or(&address.host).to_owned();
        self.remote.learn(&dialed.info);
        let begun = Instant::now();
        let server = dialed.info.server_name.clone();
        let ended = self.hand_in(dialed)?;
        tracing::info!(hub = %leaf.name, %address, %server, account = %leaf.account, "connected to the hub as a leaf");
        loop {
            match ended.recv_timeout(Duration::from_millis(200)) {
                Ok(ended) => return Ok(Some((ended, begun.elapsed()))),
                Err(RecvTimeoutError::Timeout) if !self.stopping() => {}
                Err(_) => return Ok(None),
            }
        }
    }

    /// Gives a connection to a shard, and returns where its end will be told.
    fn hand_in(&self, dialed: Dialed) -> Result<mpsc::Receiver<Ended>, Failed> {
        let (leaf, settings) = (&self.remote.leaf, self.shared.settings());
        let Dialed { stream, tls, remote, input, cipher, info } = dialed;
        stream.set_nonblocking(true).map_err(|error| Failed::at_once(&error))?;
        let cid = self.shared.next_cid();
        let peer = Peer { kind: PeerKind::Hub, identity: leaf.name.as_str().into() };
        let now = self.shared.start.elapsed();
        let slot = self.shared.holders.enter(leaf.account, &peer, (cid, remote.ip()), &settings.limits, now);
        let slot = slot.map_err(|reason| Failed::at_once(&reason))?;
        let (sender, ended) = mpsc::channel();
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let link = LeafLink::new(self.remote.clone(), serial, &info, sender);
        let grant = Grant { peer, ..Grant::unrestricted(leaf.account, leaf.name.as_str()) };
        let options = ConnectOptions {
            verbose: false,
            pedantic: false,
            headers: true,
            name: info.server_name,
            version: info.version,
            ..ConnectOptions::default()
        };
        let inbox = self.shards.get(self.remote.order % self.shards.len().max(1));
        let inbox = inbox.ok_or_else(|| Failed::at_once(&"the broker has no threads"))?;
        inbox.send_one(Handover::Link(Box::new(NewLink {
            cid,
            stream: mio::net::TcpStream::from_std(stream),
            tls,
            remote,
            listener: 0,
            nonce: "".into(),
            judged_by: self.shared.generation(),
            options,
            grant,
            input,
            cipher,
            unsent: Vec::new(),
            slot,
            leaf: Some(Box::new(link)),
        })));
        Ok(ended)
    }
}

/// Why there is no connection, and how long to keep away.
struct Failed {
    reason: String,
    pause: Duration,
}

impl Failed {
    fn at_once(reason: &impl ToString) -> Self {
        Self { reason: reason.to_string(), pause: Duration::ZERO }
    }
}

/// What is signed with.
enum Proof {
    None,
    Credentials(Credentials),
    Key(Arc<UserSeed>),
}

impl Proof {
    fn of(leaf: &Leaf) -> Result<Self, String> {
        Ok(match &leaf.proof {
            None => Self::None,
            Some(LeafProof::Credentials(file)) => Self::Credentials(read_credentials(file)?),
            Some(LeafProof::Key(seed)) => Self::Key(seed.clone()),
        })
    }

    fn sign(&self, nonce: &str) -> Option<String> {
        match self {
            Self::None => None,
            Self::Credentials(credentials) => Some(credentials.sign(nonce)),
            Self::Key(seed) => Some(seed.sign(nonce)),
        }
    }

    fn token(&self) -> Option<&str> {
        match self {
            Self::Credentials(credentials) => Some(credentials.token()),
            _ => None,
        }
    }

    fn key(&self) -> Option<String> {
        match self {
            Self::Key(seed) => Some(seed.public().to_string()),
            _ => None,
        }
    }
}

fn read_credentials(file: &Path) -> Result<Credentials, String> {
    let bytes = files::read_bounded(file, LONGEST_CREDENTIALS).map_err(|error| error.to_string())?;
    let text = Zeroizing::new(bytes);
    let text = std::str::from_utf8(&text).map_err(|_| format!("{} is no text", file.display()))?;
    Credentials::parse(text).map_err(|error| format!("{}: {error}", file.display()))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
