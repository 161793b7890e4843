//! A session outlives the connections that carry it.
//!
//! One supervisor task owns the current async-nats client and the wanted
//! subscriptions. When a connection ends it asks DNS again, waits as the
//! back-off says, connects to the next broker and subscribes anew; holders of
//! the [`Session`] notice only that publishing waits.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_nats::{Client, ConnectOptions, Event, Message, ReconnectToServer};
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::{Backoff, ServerList, ServerUrl};

/// How long a publish waits for a connection, and for room on it, before it
/// fails.
const PUBLISH_WAIT: Duration = Duration::from_secs(5);
/// How long a session that ends waits for what was published to be written: a
/// broker that reads nothing must not keep a process from stopping.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// Error lines of the broker that are kept for whoever wants to explain a
/// failure; more are only logged.
const KEPT_ERRORS: usize = 16;
/// Messages that async-nats holds per subscription before it drops some.
const SUBSCRIPTION_CAPACITY: usize = 16_384;

/// What a session needs to know.
pub struct SessionOptions {
    /// Connection name shown by the broker: certname of a node, caller of a client.
    pub name: String,
    /// Where the brokers are.
    pub servers: ServerList,
    /// `None` connects without TLS: only for brokers that listen in plain text on loopback.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Inboxes are made under this subject, `<main collective>.reply`.
    pub inbox_prefix: String,
    /// Broker user and password, where configured.
    pub user: Option<(String, zeroize::Zeroizing<String>)>,
    /// Keep-alive: 2 minutes on nodes, 30 s elsewhere. Default 30 s.
    pub ping_interval: Duration,
    /// Limit of one connection attempt, TLS included. Default 2 s.
    pub connect_timeout: Duration,
    /// Address connections start from; default the system's choice. Emulators
    /// spread over many, so that ports do not run out.
    pub local_address: Option<IpAddr>,
    /// `None` tries for ever; else the first connection fails after this long.
    pub give_up_after: Option<Duration>,
}

impl SessionOptions {
    /// Options with the documented defaults.
    pub fn new(
        name: impl Into<String>,
        servers: ServerList,
        inbox_prefix: impl Into<String>,
    ) -> SessionOptions {
        SessionOptions {
            name: name.into(),
            servers,
            tls: None,
            inbox_prefix: inbox_prefix.into(),
            user: None,
            ping_interval: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(2),
            local_address: None,
            give_up_after: None,
        }
    }
}

/// The first connection did not come about.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot connect to a broker: {}", .reasons.join("; "))]
pub struct ConnectError {
    /// One text a broker tried last: `nats://host:port: reason`.
    pub reasons: Vec<String>,
}

/// A subscription of a session, for [`Session::unsubscribe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubscriptionId(u64);

/// Counters of a session since it was made (names as in spec 02 §12.3).
#[derive(Debug, Default)]
pub struct SessionStats {
    /// Tries to connect, also those that succeeded.
    pub attempts: AtomicU64,
    /// Connections after the first one.
    pub reconnections: AtomicU64,
    /// Connections that ended.
    pub closed: AtomicU64,
    /// `-ERR` lines from brokers and failures of the client library.
    pub errors: AtomicU64,
}

/// What one connection carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectionTraffic {
    /// Messages received.
    pub in_msgs: u64,
    /// Messages sent.
    pub out_msgs: u64,
    /// Bytes received.
    pub in_bytes: u64,
    /// Bytes sent.
    pub out_bytes: u64,
}

/// A connection that is made again whenever it breaks. Clones share it; it ends
/// with [`Session::close`] or with the last clone.
#[derive(Clone)]
pub struct Session {
    commands: mpsc::UnboundedSender<Command>,
    current: watch::Receiver<Option<Connected>>,
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Connected {
    client: Client,
    url: ServerUrl,
}

#[derive(Default)]
struct Shared {
    stats: SessionStats,
    last_failures: Mutex<Vec<String>>,
    broker_errors: Mutex<Vec<String>>,
}

struct Wanted {
    subject: String,
    queue: Option<String>,
    sink: mpsc::Sender<Message>,
    forwarder: Option<JoinHandle<()>>,
}

enum Command {
    Subscribe(SubscriptionId, Wanted, oneshot::Sender<()>),
    Unsubscribe(SubscriptionId),
    Close(oneshot::Sender<()>),
}

// === impl Session ===

impl Session {
    /// Starts the supervisor and waits for the first connection.
    ///
    /// Without `give_up_after` this returns only once connected; dropping the
    /// future ends the tries.
    pub async fn connect(options: SessionOptions) -> Result<Session, ConnectError> {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (current_tx, current) = watch::channel(None);
        let shared = Arc::new(Shared::default());
        let give_up = options.give_up_after;
        let supervisor = Supervisor {
            options: Arc::new(options),
            inbox,
            current: current_tx,
            shared: shared.clone(),
            wanted: BTreeMap::new(),
            ever_connected: false,
        };
        tokio::spawn(supervisor.run());
        let mut session = Session { commands, current, shared };
        let connected = session.current.wait_for(Option::is_some);
        let failed = match give_up {
            None => connected.await.is_err(),
            Some(limit) => !matches!(tokio::time::timeout(limit, connected).await, Ok(Ok(_))),
        };
        if failed {
            let mut reasons = lock(&session.shared.last_failures).clone();
            if reasons.is_empty() {
                reasons.push("no broker answered in time".to_owned());
            }
            return Err(ConnectError { reasons });
        }
        Ok(session)
    }

    /// URL of the broker connected to, `None` while there is none.
    pub fn connected_server(&self) -> Option<String> {
        self.current.borrow().as_ref().map(|c| c.url.to_string())
    }

    /// Largest payload the broker takes, in bytes.
    pub fn max_payload(&self) -> usize {
        self.current.borrow().as_ref().map_or(1024 * 1024, |c| c.client.max_payload())
    }

    /// Sends messages of `subject` to `sink` until unsubscribed, across
    /// reconnections. Returns once the broker connection carries the
    /// subscription, or at once while there is no connection.
    pub async fn subscribe_into(
        &self,
        subject: impl Into<String>,
        queue: Option<String>,
        sink: mpsc::Sender<Message>,
    ) -> SubscriptionId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = SubscriptionId(NEXT.fetch_add(1, Ordering::Relaxed));
        let (done, wait) = oneshot::channel();
        let wanted = Wanted { subject: subject.into(), queue, sink, forwarder: None };
        if self.commands.send(Command::Subscribe(id, wanted, done)).is_ok() {
            let _ = wait.await;
        }
        id
    }

    /// Subscribes and hands out the receiving end, which holds at most
    /// `capacity` messages.
    pub async fn subscribe(&self, subject: impl Into<String>, capacity: usize) -> mpsc::Receiver<Message> {
        let (sink, receiver) = mpsc::channel(capacity.max(1));
        self.subscribe_into(subject, None, sink).await;
        receiver
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, id: SubscriptionId) {
        let _ = self.commands.send(Command::Unsubscribe(id));
    }

    /// Publishes, waiting up to 5 s for a connection where there is none.
    pub async fn publish(&self, subject: String, payload: Bytes) -> Result<(), PublishError> {
        let mut current = self.current.clone();
        let connected = tokio::time::timeout(PUBLISH_WAIT, current.wait_for(Option::is_some));
        let client = match connected.await {
            Ok(Ok(current)) => current.as_ref().map(|c| c.client.clone()),
            _ => None,
        };
        let client = client.ok_or(PublishError::NotConnected)?;
        if payload.len() > client.max_payload() {
            return Err(PublishError::TooLarge { size: payload.len(), limit: client.max_payload() });
        }
        let publishing = tokio::time::timeout(PUBLISH_WAIT, client.publish(subject, payload));
        match publishing.await {
            Ok(done) => done.map_err(|e| PublishError::Failed(e.to_string())),
            Err(_) => Err(PublishError::Stalled),
        }
    }

    /// Waits until everything published so far is written to the socket.
    pub async fn flush(&self) {
        let client = self.current.borrow().as_ref().map(|c| c.client.clone());
        if let Some(client) = client {
            let _ = client.flush().await;
        }
    }

    /// Messages and bytes of the current connection, all zero while there is
    /// none.
    pub fn traffic(&self) -> ConnectionTraffic {
        let statistics = self.current.borrow().as_ref().map(|c| c.client.statistics());
        let Some(statistics) = statistics else { return ConnectionTraffic::default() };
        ConnectionTraffic {
            in_msgs: statistics.in_messages.load(Ordering::Relaxed),
            out_msgs: statistics.out_messages.load(Ordering::Relaxed),
            in_bytes: statistics.in_bytes.load(Ordering::Relaxed),
            out_bytes: statistics.out_bytes.load(Ordering::Relaxed),
        }
    }

    /// Counters.
    pub fn stats(&self) -> &SessionStats {
        &self.shared.stats
    }

    /// `-ERR` texts of the broker so far, oldest first, at most 16.
    pub fn broker_errors(&self) -> Vec<String> {
        lock(&self.shared.broker_errors).clone()
    }

    /// Writes out what was published, for two seconds at most, and ends the
    /// session.
    pub async fn close(&self) {
        let (done, wait) = oneshot::channel();
        if self.commands.send(Command::Close(done)).is_ok() {
            let _ = wait.await;
        }
    }
}

/// A message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// No broker for five seconds.
    #[error("not connected to a broker")]
    NotConnected,
    /// The broker would close the connection over it.
    #[error("message of {size} bytes is larger than the {limit} bytes the broker takes")]
    TooLarge {
        /// Bytes of the message.
        size: usize,
        /// Bytes the broker takes.
        limit: usize,
    },
    /// For five seconds the broker read nothing.
    #[error("the broker takes no messages")]
    Stalled,
    /// The client library refused it.
    #[error("publishing failed: {0}")]
    Failed(String),
}

// === impl Supervisor ===

struct Supervisor {
    options: Arc<SessionOptions>,
    inbox: mpsc::UnboundedReceiver<Command>,
    current: watch::Sender<Option<Connected>>,
    shared: Arc<Shared>,
    wanted: BTreeMap<SubscriptionId, Wanted>,
    ever_connected: bool,
}

impl Supervisor {
    async fn run(mut self) {
        loop {
            let Some((connected, mut ended)) = self.connect().await else { return };
            self.subscribe_all(&connected.client).await;
            let reconnected = std::mem::replace(&mut self.ever_connected, true);
            if reconnected {
                self.shared.stats.reconnections.fetch_add(1, Ordering::Relaxed);
            }
            tracing::info!(broker = %connected.url, name = self.options.name, "connected");
            let client = connected.client.clone();
            self.current.send_replace(Some(connected));
            let closing = self.serve(&client, &mut ended).await;
            self.current.send_replace(None);
            for wanted in self.wanted.values_mut() {
                if let Some(forwarder) = wanted.forwarder.take() {
                    forwarder.abort();
                }
            }
            self.shared.stats.closed.fetch_add(1, Ordering::Relaxed);
            if closing {
                return;
            }
            tracing::warn!(name = self.options.name, "the broker connection ended, reconnecting");
        }
    }

    /// Commands while connected; true when the session is to end.
    async fn serve(&mut self, client: &Client, ended: &mut mpsc::Receiver<()>) -> bool {
        loop {
            tokio::select! {
                // An event, or the end of whoever sends events: async-nats drops
                // some when many come at once, the one that tells of the end
                // among them.
                _ = ended.recv() => return false,
                command = self.inbox.recv() => match command {
                    None => {
                        let _ = tokio::time::timeout(CLOSE_WAIT, client.flush()).await;
                        return true;
                    }
                    Some(Command::Close(done)) => {
                        let _ = tokio::time::timeout(CLOSE_WAIT, client.flush()).await;
                        let _ = done.send(());
                        return true;
                    }
                    Some(Command::Unsubscribe(id)) => self.forget(id),
                    Some(Command::Subscribe(id, mut wanted, done)) => {
                        wanted.forwarder = forward(client, &wanted).await;
                        self.wanted.insert(id, wanted);
                        let _ = done.send(());
                    }
                }
            }
        }
    }

    fn forget(&mut self, id: SubscriptionId) {
        // Dropping the forwarder drops its subscriber, which unsubscribes.
        if let Some(Wanted { forwarder: Some(task), .. }) = self.wanted.remove(&id) {
            task.abort();
        }
    }

    async fn subscribe_all(&mut self, client: &Client) {
        self.wanted.retain(|_, wanted| !wanted.sink.is_closed());
        for wanted in self.wanted.values_mut() {
            wanted.forwarder = forward(client, wanted).await;
        }
    }

    /// Tries brokers until one accepts; `None` when the session is to end.
    async fn connect(&mut self) -> Option<(Connected, mpsc::Receiver<()>)> {
        let backoff = if self.ever_connected { Backoff::TwentySeconds } else { Backoff::FiveSeconds };
        let mut pass = 0;
        if self.ever_connected {
            // A broker that went away took everybody along: spread the return.
            self.wait(backoff.wait(0, fastrand::f64())).await?;
        }
        loop {
            pass += 1;
            let mut failures = vec![];
            let servers = match self.options.servers.resolve().await {
                Ok(servers) => servers,
                Err(e) => {
                    failures.push(e.to_string());
                    vec![]
                }
            };
            if servers.is_empty() && failures.is_empty() {
                failures.push("no broker is configured and DNS names none".to_owned());
            }
            for url in servers {
                self.shared.stats.attempts.fetch_add(1, Ordering::Relaxed);
                match self.attempt(&url).await? {
                    Ok(connected) => return Some(connected),
                    Err(reason) => failures.push(format!("{url}: {reason}")),
                }
            }
            let wait = backoff.wait(pass, fastrand::f64());
            tracing::warn!(try = pass, wait_ms = wait.as_millis(), "cannot connect: {}", failures.join("; "));
            *lock(&self.shared.last_failures) = failures;
            self.wait(wait).await?;
        }
    }

    async fn wait(&mut self, duration: Duration) -> Option<()> {
        self.or_closed(tokio::time::sleep(duration)).await
    }

    async fn attempt(&mut self, url: &ServerUrl) -> Option<Result<(Connected, mpsc::Receiver<()>), String>> {
        let (ended_tx, ended) = mpsc::channel(1);
        let attempt = one_life(self.options.clone(), url.clone(), self.shared.clone(), ended_tx);
        let outcome = self.or_closed(attempt).await?;
        Some(outcome.map(|client| (Connected { client, url: url.clone() }, ended)))
    }

    /// Runs `work`, taking commands meanwhile; `None` when the session is to
    /// end first.
    async fn or_closed<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                command = self.inbox.recv() => match command? {
                    Command::Close(done) => {
                        let _ = done.send(());
                        return None;
                    }
                    Command::Unsubscribe(id) => self.forget(id),
                    Command::Subscribe(id, wanted, done) => {
                        self.wanted.insert(id, wanted);
                        let _ = done.send(());
                    }
                }
            }
        }
    }
}

/// One connection to one broker.
///
/// async-nats would reconnect by itself. It is made to stop instead: a second
/// pool entry is a port nobody can listen on, the callback sends every
/// reconnect there, and one failed try is the limit.
async fn one_life(
    options: Arc<SessionOptions>,
    url: ServerUrl,
    shared: Arc<Shared>,
    ended: mpsc::Sender<()>,
) -> Result<Client, String> {
    let started = Instant::now();
    let address: async_nats::ServerAddr = url.to_string().parse().map_err(|e| format!("{e}"))?;
    let nowhere: async_nats::ServerAddr = "nats://127.0.0.1:0".parse().map_err(|e| format!("{e}"))?;
    let first = Arc::new(AtomicU64::new(0));
    let pool = vec![address.clone(), nowhere.clone()];
    let mut connect = ConnectOptions::new()
        .name(&options.name)
        .custom_inbox_prefix(&options.inbox_prefix)
        .ping_interval(options.ping_interval)
        .connection_timeout(options.connect_timeout)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .ignore_discovered_servers()
        .max_reconnects(1)
        .reconnect_to_server_callback(move |_, _| {
            let again = first.fetch_add(1, Ordering::Relaxed) > 0;
            let addr = if again { nowhere.clone() } else { address.clone() };
            async move { Some(ReconnectToServer { addr, delay: Some(Duration::ZERO) }) }
        })
        .event_callback(move |event| {
            note(&shared, &event);
            if matches!(event, Event::Disconnected | Event::Closed) {
                let _ = ended.try_send(());
            }
            async {}
        });
    if let Some(tls) = &options.tls {
        connect = connect.require_tls(true).tls_client_config((**tls).clone());
    }
    if let Some(address) = options.local_address {
        connect = connect.local_address(SocketAddr::new(address, 0));
    }
    if let Some((user, password)) = &options.user {
        connect = connect.user_and_password(user.clone(), password.to_string());
    }
    match connect.connect(pool).await {
        Ok(client) => Ok(client),
        Err(e) => {
            // The outer texts only repeat that it failed; the innermost cause
            // is what a person can act on.
            let mut text = e.to_string();
            let mut cause = e.source();
            while let Some(inner) = cause {
                text = inner.to_string();
                cause = inner.source();
            }
            if e.kind() == async_nats::ConnectErrorKind::TimedOut {
                text = format!("no answer within {} ms", started.elapsed().as_millis());
            }
            Err(text)
        }
    }
}

fn note(shared: &Shared, event: &Event) {
    let text = match event {
        Event::ServerError(error) => error.to_string(),
        Event::ClientError(async_nats::ClientError::MaxReconnects) => return,
        Event::ClientError(error) => error.to_string(),
        Event::SlowConsumer(_) => {
            "messages were dropped, they arrived faster than they were taken".to_owned()
        }
        _ => return,
    };
    shared.stats.errors.fetch_add(1, Ordering::Relaxed);
    tracing::warn!("broker: {text}");
    let mut errors = lock(&shared.broker_errors);
    if errors.len() < KEPT_ERRORS {
        errors.push(text);
    }
}

async fn forward(client: &Client, wanted: &Wanted) -> Option<JoinHandle<()>> {
    let subject = wanted.subject.clone();
    let subscribed = match &wanted.queue {
        Some(queue) => client.queue_subscribe(subject, queue.clone()).await,
        None => client.subscribe(subject).await,
    };
    let mut subscriber = match subscribed {
        Ok(subscriber) => subscriber,
        Err(e) => {
            tracing::error!(subject = wanted.subject, "cannot subscribe: {e}");
            return None;
        }
    };
    let sink = wanted.sink.clone();
    Some(tokio::spawn(async move {
        while let Some(message) = subscriber.next().await {
            if sink.send(message).await.is_err() {
                return;
            }
        }
    }))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A poisoned list of texts is still a list of texts.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
