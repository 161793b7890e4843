//! Starting, steering and stopping the threads of a broker.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Poll, Waker};

use super::acceptor::{self, Acceptor};
use super::gate::ConnectionGate;
use super::handshake::{Arrival, HandshakeThread};
use super::handshake_queue::Arrived;
use super::inbox::Inbox;
use super::leaf::Remotes;
use super::limits::Limits;
use super::options::{AdoptError, BrokerError, Listener, Options};
use super::shard::{self, Shard, Shards, WAKER};
use super::shared::{Handover, Identity, Settings, ShardInboxes, Shared};
use super::slow_checks::SlowChecks;
use super::stats::{ConnectionInfo, Stats};
use super::view::View;
use crate::core::admission::Authenticator;

/// A running broker. Dropping it stops it as [`shutdown`](Broker::shutdown) does.
pub struct Broker {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    shards: ShardInboxes,
    listeners: Vec<Listener>,
    gate: Arc<ConnectionGate>,
    handshakes: Vec<Arc<Inbox<Arrival>>>,
    accepting: Mutex<Option<Accepting>>,
    remotes: Option<Remotes>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Accepting {
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: JoinHandle<()>,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Broker {
    /// Starts threads and returns when all sockets listen.
    ///
    /// # Errors
    /// [`BrokerError`] when the options contradict each other or an address cannot be bound.
    pub fn start(options: Options) -> Result<Self, BrokerError> {
        check(&options)?;
        let sockets = acceptor::bind(&options.listeners)?;
        let addresses = sockets
            .iter()
            .zip(&options.listeners)
            .map(|(socket, listener)| socket.as_ref().map_or(Ok(listener.address), |s| s.local_addr()))
            .collect::<Result<Vec<_>, _>>()?;
        let identity = Identity {
            server_id: server_id(),
            server_name: options.server_name.clone(),
            cluster: options.cluster_name.clone(),
            version: options.version.clone(),
            advertised: addresses.iter().map(|address| advertised(&options, *address)).collect(),
        };
        let settings =
            Settings::new(options.tls.clone(), options.authenticator.clone(), options.limits.clone());
        let count = options.shards.clamp(1, 64);
        let shared = Arc::new(Shared::new(identity, settings, count, options.buffered_tls));

        let (polls, shards): (Vec<Poll>, Vec<Arc<Inbox<Handover>>>) =
            (0..count).map(|_| event_queue()).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let shards: ShardInboxes = shards.into();
        // from here on, dropping `broker` ends what has been started
        let mut broker = Self {
            shared: shared.clone(),
            addresses,
            shards: shards.clone(),
            listeners: options.listeners.clone(),
            gate: Arc::new(ConnectionGate::new(shared.clone(), Vec::new())),
            handshakes: Vec::new(),
            accepting: Mutex::new(None),
            remotes: None,
            threads: Mutex::new(Vec::new()),
        };
        // after `broker`, so that it is dropped before: the judges end with the slow_checks
        let (slow_checks, queue) = SlowChecks::new();
        let mut cells = Vec::new();
        for ((id, poll), inbox) in (0_u16..).zip(&polls).zip(shards.iter()) {
            let registry = poll.registry().try_clone()?;
            cells.push(Mutex::new(Shard::new(id, shared.clone(), registry, inbox.clone(), shards.clone())));
        }
        let cells: Shards = cells.into();
        for (id, poll) in (0_u16..).zip(polls) {
            let cells = cells.clone();
            broker.spawn(format!("broker-{id}"), move || shard::run(&cells, id, poll))?;
        }
        let next_shard = Arc::new(AtomicUsize::new(0));
        for number in 0..options.handshake_threads.clamp(1, 64) {
            let (poll, inbox) = event_queue()?;
            broker.handshakes.push(Arc::clone(&inbox));
            let handshakes = HandshakeThread::new(
                shared.clone(),
                poll,
                inbox,
                shards.clone(),
                next_shard.clone(),
                slow_checks.clone(),
            );
            broker.spawn(format!("handshake-{number}"), move || handshakes.run())?;
            let (queue, shared) = (queue.clone(), shared.clone());
            broker.spawn(format!("password-{number}"), move || queue.run(&shared))?;
        }
        // the judges end when the last handshake thread has
        drop(slow_checks);
        broker.gate = Arc::new(ConnectionGate::new(shared.clone(), broker.handshakes.clone()));
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let stop = Arc::new(AtomicBool::new(false));
        let sockets = sockets
            .into_iter()
            .zip(&options.listeners)
            .enumerate()
            .filter_map(|(number, (socket, listener))| Some((number, socket?, listener.tls)))
            .collect();
        let acceptor = Acceptor::new(poll, sockets, broker.gate.clone(), stop.clone())?;
        let (watched, stopped) = (Lost(shared.clone()), stop.clone());
        let thread = std::thread::Builder::new().name("accept".to_owned()).spawn(move || {
            acceptor.run();
            if stopped.load(Ordering::Acquire) {
                // not lost, but told to
                std::mem::forget(watched);
            }
        })?;
        broker.remotes = Some(Remotes::start(&options.leaves, &shared, &shards)?);
        *lock(&broker.accepting) = Some(Accepting { stop, waker, thread });
        tracing::debug!(addresses = ?broker.addresses, shards = count, "broker listens");
        Ok(broker)
    }

    fn spawn(&self, name: String, run: impl FnOnce() + Send + 'static) -> Result<(), BrokerError> {
        let watched = Lost(self.shared.clone());
        let run = move || {
            let _watched = watched;
            run();
        };
        lock(&self.threads).push(std::thread::Builder::new().name(name).spawn(run)?);
        Ok(())
    }

    /// Addresses listened on, in the order of [`Options::listeners`].
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Takes in a connection somebody else has accepted, as if it had come by listener number
    /// `listener` of [`Options::listeners`], which is one made with [`Listener::handed_in`]. All
    /// limits apply. Does not wait: this is for the accepting loop of a service manager's
    /// socket, or of a program that looks at connections first.
    ///
    /// ```no_run
    /// use choria::core::broker::{AdoptError, Broker, Listener, Options};
    /// # fn options() -> Options { Options::default() }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let socket = std::net::TcpListener::bind("127.0.0.1:4222")?;
    /// let listener = Listener::plaintext(socket.local_addr()?).handed_in();
    /// let broker = Broker::start(Options { listeners: vec![listener], ..options() })?;
    /// for stream in socket.incoming() {
    ///     let mut stream = stream?;
    ///     while let Err(AdoptError::Busy(back)) = broker.adopt(0, stream) {
    ///         std::thread::sleep(std::time::Duration::from_millis(5));
    ///         stream = back;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`AdoptError`]; but for [`AdoptError::Busy`] the connection is closed then.
    pub fn adopt(&self, listener: usize, stream: std::net::TcpStream) -> Result<(), AdoptError> {
        let settings = self.listeners.get(listener).filter(|listener| listener.handed_in);
        let tls = settings.ok_or(AdoptError::NoListener(listener))?.tls;
        let remote = stream.peer_addr()?;
        if !tls && !remote.ip().to_canonical().is_loopback() {
            return Err(AdoptError::PlaintextNotLoopback(remote));
        }
        // held, so that nobody stops the threads that are about to get it
        let accepting = lock(&self.accepting);
        if accepting.is_none() {
            return Err(AdoptError::Stopping);
        }
        if self.gate.is_busy() {
            self.gate.complain();
            return Err(AdoptError::Busy(stream));
        }
        stream.set_nonblocking(true)?;
        let stream = mio::net::TcpStream::from_std(stream);
        self.gate.pass(Arrived { stream, remote, listener, tls }).map_err(AdoptError::Refused)
    }

    /// The first address listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses.first().copied().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Whether all threads run. If one has failed, connections are lost that nobody serves:
    /// end the process and let it be started anew.
    pub fn is_healthy(&self) -> bool {
        !lock(&self.threads).iter().any(JoinHandle::is_finished)
            && lock(&self.accepting).as_ref().is_none_or(|accepting| !accepting.thread.is_finished())
    }

    /// Counters now.
    pub fn stats(&self) -> Stats {
        self.view().stats()
    }

    /// See [`View::connections`].
    pub fn connections(&self, limit: usize) -> Vec<ConnectionInfo> {
        self.view().connections(limit)
    }

    /// What others may look at while this broker runs, and after.
    pub fn view(&self) -> View {
        View::new(self.shared.clone(), self.shards.clone(), self.addresses.clone())
    }

    /// Replaces certificate, rules and limits for connections made from now on,
    /// and judges existing ones by them: those that would not be let in any
    /// more, or with other permissions, are cut within a few seconds.
    pub fn reload(
        &self,
        tls: Option<Arc<rustls::ServerConfig>>,
        authenticator: Arc<dyn Authenticator>,
        limits: Limits,
    ) {
        self.shared.replace_settings(Settings::new(tls, authenticator, limits));
        for shard in self.shards.iter() {
            shard.send_one(Handover::Reload);
        }
    }

    /// Ends the connection to the engine behind this broker, which is made anew: the engine has forgotten what it
    /// was to tell of itself.
    pub fn redial_engine(&self) {
        for shard in self.shards.iter() {
            shard.send_one(Handover::RedialEngine);
        }
    }

    /// Judges all connections again by the rules there are: some certificates
    /// may have expired meanwhile.
    pub fn judge_again(&self) {
        for shard in self.shards.iter() {
            shard.send_one(Handover::Reload);
        }
    }

    /// Stops listening, tells clients, and closes connections spread over `duration`, so that those
    /// who come back elsewhere do not come all at once. A tenth of the time is for clients to go by
    /// themselves. Returns when all are closed or the time is over; call
    /// [`shutdown`](Broker::shutdown) next.
    pub fn lame_duck(&self, duration: Duration) {
        self.stop_accepting();
        if let Some(remotes) = &self.remotes {
            remotes.stop();
        }
        for shard in self.shards.iter() {
            shard.send_one(Handover::LameDuck(duration));
        }
        let until = Instant::now() + duration;
        while self.shared.open.load(Ordering::Relaxed) > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn stop_accepting(&self) {
        let accepting = lock(&self.accepting).take();
        if let Some(accepting) = accepting {
            accepting.stop.store(true, Ordering::Release);
            if let Err(error) = accepting.waker.wake() {
                tracing::error!(%error, "waking the accepting thread failed");
            }
            // it does nothing that could keep it
            let _ = accepting.thread.join();
        }
        // nobody is let in to wait from here on
        self.shared.send_waiting_away();
    }

    /// Closes all sockets and joins the threads. Once is enough; more often does no harm.
    pub fn shutdown(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.stop_accepting();
        for inbox in &self.handshakes {
            inbox.send_one(Arrival::Stop);
        }
        for shard in self.shards.iter() {
            shard.send_one(Handover::Stop);
        }
        if let Some(remotes) = &self.remotes {
            remotes.join();
        }
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a broker thread had panicked");
            }
        }
    }
}

/// Counts a thread that ends before the broker does, for those who only have a [`View`].
struct Lost(Arc<Shared>);

impl Drop for Lost {
    fn drop(&mut self) {
        if !self.0.stopping.load(Ordering::Relaxed) {
            self.0.threads_lost.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                thread = std::thread::current().name().unwrap_or_default(),
                "a thread of the broker has ended, its connections are lost; the process should end too"
            );
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check(options: &Options) -> Result<(), BrokerError> {
    if options.listeners.is_empty() {
        return Err(BrokerError::NoListener);
    }
    for listener in &options.listeners {
        if listener.tls && options.tls.is_none() {
            return Err(BrokerError::NoTls(listener.address));
        }
        if !listener.tls && !listener.address.ip().to_canonical().is_loopback() {
            return Err(BrokerError::PlaintextNotLoopback(listener.address));
        }
    }
    let parts: Vec<&str> = options.version.split('.').collect();
    let number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if parts.len() != 3 || !parts.iter().all(number) {
        return Err(BrokerError::Version(options.version.clone()));
    }
    Ok(())
}

fn event_queue<T>() -> Result<(Poll, Arc<Inbox<T>>), BrokerError> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), WAKER)?;
    Ok((poll, Arc::new(Inbox::new(waker))))
}

/// Host and port for INFO: what is configured, else the server's name and the port listened on.
fn advertised(options: &Options, address: SocketAddr) -> (String, u16) {
    let configured = options.advertise.as_deref().map(|advertise| {
        match advertise.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) {
            Some((host, Ok(port))) => (host.trim_matches(['[', ']']).to_owned(), port),
            _ => (advertise.to_owned(), address.port()),
        }
    });
    configured.unwrap_or_else(|| (options.server_name.clone(), address.port()))
}

/// `N` and 55 random characters, as server ids look on the wire.
fn server_id() -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bytes = [0; 55];
    // an id that is not random is still an id
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    let letters = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
    std::iter::once('N').chain(letters).collect()
}
