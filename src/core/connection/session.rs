//! A session outlives the connections that carry it.
//!
//! What its holders see: subscribing, publishing, ending. The work is done by
//! one [`Supervisor`] task; here are the words it is spoken to with.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_nats::{Client, Message, Subject};
use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::supervisor::Supervisor;
use super::{ByteBudget, ServerList, ServerUrl};

/// How long a publish waits for a connection, and for room on it, before it
/// fails.
const PUBLISH_WAIT: Duration = Duration::from_secs(5);
/// How long a session that ends waits for what was published to be written: a
/// broker that reads nothing must not keep a process from stopping.
pub(super) const CLOSE_WAIT: Duration = Duration::from_secs(2);

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
    /// The token shown to the broker, read anew for every try; `None` for no token.
    pub token: Option<Arc<dyn Fn() -> zeroize::Zeroizing<String> + Send + Sync>>,
    /// Broker user and password, where configured.
    pub user: Option<(String, zeroize::Zeroizing<String>)>,
    /// Keep-alive: 2 minutes on nodes, 30 s elsewhere. Default 30 s.
    pub ping_interval: Duration,
    /// Limit of one connection attempt, TLS included. Default 2 s.
    pub connect_timeout: Duration,
    /// Address connections start from; default the system's choice. Emulators
    /// spread over many, so that ports do not run out.
    pub local_address: Option<IpAddr>,
    /// Tries under way at once, shared by the sessions of a process that has
    /// thousands: more of them than its processors can carry all time out.
    pub turns: Option<Arc<Semaphore>>,
    /// Bytes the buffer for what is read begins with, and is made anew with. Default 64 KiB, which
    /// suits whoever hears thousands. Of a connection by TLS async-nats 0.51 keeps to it until TLS
    /// begins, and reads by small pieces after that.
    pub read_buffer: u16,
    /// `None` tries for ever; else the first connection fails after this long,
    /// and at once when every broker refuses this process for what it is.
    pub give_up_after: Option<Duration>,
    /// Told the reasons when the first pass over the brokers failed and there
    /// will be another; without it, that goes to the log like all later ones.
    pub first_failure: Option<FirstFailure>,
}

/// Hears one text a broker tried: `nats://host:port: reason`.
pub type FirstFailure = Arc<dyn Fn(&[String]) + Send + Sync>;

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
            token: None,
            user: None,
            ping_interval: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(2),
            local_address: None,
            turns: None,
            read_buffer: u16::MAX,
            give_up_after: None,
            first_failure: None,
        }
    }
}

/// The first connection did not come about.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot connect to a broker: {}", .reasons.join("; "))]
pub struct ConnectError {
    /// One text a broker tried last: `nats://host:port: reason`.
    pub reasons: Vec<String>,
    /// Every broker said no to who this process is: trying again is no use.
    pub refused: bool,
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
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) url: ServerUrl,
}

#[derive(Default)]
pub(super) struct Shared {
    pub(super) stats: SessionStats,
    pub(super) last_failures: Mutex<Vec<String>>,
    pub(super) refused: AtomicBool,
    pub(super) broker_errors: Mutex<Vec<String>>,
    /// Counts complaints, so that whoever waits for an answer hears of one.
    pub(super) complained: watch::Sender<u64>,
}

pub(super) struct Wanted {
    pub(super) subject: String,
    pub(super) queue: Option<String>,
    pub(super) sink: mpsc::Sender<Message>,
    /// `None` waits for room in the sink; else what finds none is dropped.
    pub(super) budget: Option<Arc<ByteBudget>>,
    pub(super) forwarder: Option<JoinHandle<()>>,
}

pub(super) enum Command {
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
            let refused = session.shared.refused.load(Ordering::Relaxed);
            return Err(ConnectError { reasons, refused });
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
        self.want(subject.into(), queue, sink, None).await
    }

    /// [`Session::subscribe_into`] within a budget: what finds no room in it, or
    /// in `sink`, is dropped and counted there. Whoever takes messages out gives
    /// their room back.
    pub async fn subscribe_within(
        &self,
        subject: impl Into<String>,
        queue: Option<String>,
        sink: mpsc::Sender<Message>,
        budget: Arc<ByteBudget>,
    ) -> SubscriptionId {
        self.want(subject.into(), queue, sink, Some(budget)).await
    }

    async fn want(
        &self,
        subject: String,
        queue: Option<String>,
        sink: mpsc::Sender<Message>,
        budget: Option<Arc<ByteBudget>>,
    ) -> SubscriptionId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = SubscriptionId(NEXT.fetch_add(1, Ordering::Relaxed));
        let (done, wait) = oneshot::channel();
        let wanted = Wanted { subject, queue, sink, budget, forwarder: None };
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
        self.line().await?.publish(subject, None, payload).await
    }

    /// The connection of now, for many messages in a row; waits up to 5 s where
    /// there is none.
    pub async fn line(&self) -> Result<Line, PublishError> {
        let mut current = self.current.clone();
        let connected = tokio::time::timeout(PUBLISH_WAIT, current.wait_for(Option::is_some));
        let client = match connected.await {
            Ok(Ok(current)) => current.as_ref().map(|c| c.client.clone()),
            _ => None,
        };
        client.map(Line).ok_or(PublishError::NotConnected)
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

    /// `-ERR` texts of the broker so far, oldest first, at most 4,096.
    pub fn broker_errors(&self) -> Vec<String> {
        self.broker_errors_from(0)
    }

    /// The same without the first `known` of them.
    pub fn broker_errors_from(&self, known: usize) -> Vec<String> {
        lock(&self.shared.broker_errors).get(known..).unwrap_or_default().to_vec()
    }

    /// Changes whenever the broker complains, see [`Session::broker_errors`].
    pub fn complaints(&self) -> watch::Receiver<u64> {
        self.shared.complained.subscribe()
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

/// One connection of a [`Session`], to publish on while it lasts.
pub struct Line(Client);

impl Line {
    /// Publishes. The broker tells `nobody`, a subject, when nobody listens: a
    /// message with status 503 arrives there then, for a subscription of this
    /// session.
    pub async fn publish(
        &self,
        subject: String,
        nobody: Option<String>,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        // made of the text, where a text would be copied
        let (subject, nobody) = (Subject::from(subject), nobody.map(Subject::from));
        let Line(client) = self;
        if payload.len() > client.max_payload() {
            return Err(PublishError::TooLarge { size: payload.len(), limit: client.max_payload() });
        }
        let mut publishing = pin!(async {
            match nobody {
                Some(nobody) => client.publish_with_reply(subject, nobody, payload).await,
                None => client.publish(subject, payload).await,
            }
        });
        // no timer is set where there is room
        let done = match futures::poll!(&mut publishing) {
            Poll::Ready(done) => Ok(done),
            Poll::Pending => tokio::time::timeout(PUBLISH_WAIT, publishing).await,
        };
        match done {
            Ok(done) => done.map_err(|e| PublishError::Failed(e.to_string())),
            Err(_) => Err(PublishError::Stalled),
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A poisoned list of texts is still a list of texts.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
