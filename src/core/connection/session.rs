//! A session outlives the connections that carry it.
//!
//! What its holders see: subscribing, publishing, ending. The work is done by
//! one [`Supervisor`] task; here are the words it is spoken to with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_nats::{Client, Message};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::line::{Line, PUBLISH_WAIT, PublishError};
use super::options::SessionOptions;
use super::supervisor::Supervisor;
use super::unwritten::Unwritten;
use super::{ByteBudget, ServerUrl};
use crate::core::log::RefusalLog;

/// How long a session that ends waits for what was published to be written: a
/// broker that reads nothing must not keep a process from stopping.
pub(super) const CLOSE_WAIT: Duration = Duration::from_secs(2);

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
    pub(super) unwritten: Arc<Unwritten>,
    pub(super) url: ServerUrl,
}

#[derive(Default)]
pub(super) struct Shared {
    pub(super) stats: SessionStats,
    pub(super) last_failures: Mutex<Vec<String>>,
    pub(super) refused: AtomicBool,
    pub(super) broker_errors: Mutex<Vec<String>>,
    /// How often complaints are logged.
    pub(super) complaints_log: RefusalLog,
    /// Who is told of each complaint as it comes; the end of one is its own.
    pub(super) listeners: Mutex<Vec<Weak<dyn ComplaintListener>>>,
}

/// Hears what the broker complains about, in its order.
pub trait ComplaintListener: Send + Sync {
    /// The text of an `-ERR`. Called where all of the connection waits: what it
    /// keeps is bounded, and it does not block.
    fn complained(&self, text: &str);
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

/// A subscription of somebody; it ends with this.
pub struct Subscription {
    session: Session,
    id: SubscriptionId,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription").field(&self.id).finish()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.session.unsubscribe(self.id);
    }
}

impl Session {
    /// Starts the supervisor and waits for the first connection.
    ///
    /// Without `give_up_after` this returns only once connected; dropping the
    /// future ends the tries.
    pub async fn connect(options: SessionOptions) -> Result<Session, ConnectError> {
        let give_up = options.give_up_after;
        let mut session = Session::start(options);
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

    /// Starts the supervisor and does not wait: for daemons that are at their
    /// work while brokers are still to come. Call it inside a tokio runtime.
    pub fn start(options: SessionOptions) -> Session {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (current_tx, current) = watch::channel(None);
        let shared = Arc::new(Shared::default());
        let supervisor = Supervisor {
            options: Arc::new(options),
            inbox,
            current: current_tx,
            shared: shared.clone(),
            wanted: BTreeMap::new(),
            ever_connected: false,
        };
        tokio::spawn(supervisor.run());
        Session { commands, current, shared }
    }

    /// Waits until there is a connection; for ever where there is none any more to come.
    pub async fn connected(&self) {
        if self.current.clone().wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
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

    /// The same as a thing that ends it when it is dropped.
    pub fn ending(&self, id: SubscriptionId) -> Subscription {
        Subscription { session: self.clone(), id }
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, id: SubscriptionId) {
        let _ = self.commands.send(Command::Unsubscribe(id));
    }

    /// Publishes, waiting up to 5 s for a connection where there is none.
    pub async fn publish(&self, subject: String, payload: Bytes) -> Result<(), PublishError> {
        self.line().await?.publish(subject, None, payload).await
    }

    /// Publishes what `cause` causes, see [`Line::publish_for`].
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn publish_for(
        &self,
        cause: &str,
        subject: String,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        let line = self.line().await?;
        let sent = line.publish_for(cause, subject.clone(), payload.clone()).await;
        if !matches!(sent, Err(PublishError::Failed(_))) {
            return sent;
        }
        // by the next connection, which may not be there yet
        let mut current = self.current.clone();
        let another = current.wait_for(|now| now.as_ref().is_some_and(|now| !line.is_of(&now.unwritten)));
        match tokio::time::timeout(PUBLISH_WAIT, another).await {
            Ok(Ok(_)) => {}
            _ => return sent,
        }
        self.line().await?.publish_for(cause, subject, payload).await
    }

    /// The connection of now, for many messages in a row; waits up to 5 s where
    /// there is none.
    pub async fn line(&self) -> Result<Line, PublishError> {
        let mut current = self.current.clone();
        let connected = tokio::time::timeout(PUBLISH_WAIT, current.wait_for(Option::is_some));
        let client = match connected.await {
            Ok(Ok(current)) => current.as_ref().map(|c| (c.client.clone(), c.unwritten.clone())),
            _ => None,
        };
        client.map(|(client, unwritten)| Line::on(client, unwritten)).ok_or(PublishError::NotConnected)
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

    /// Different `-ERR` texts of the broker so far, oldest first, but for
    /// permissions, which listeners hear of; at most 64.
    pub fn broker_errors(&self) -> Vec<String> {
        lock(&self.shared.broker_errors).clone()
    }

    /// Tells `listener` of every complaint from now on, for as long as somebody
    /// else holds it.
    pub fn hear_complaints(&self, listener: Weak<dyn ComplaintListener>) {
        let mut listeners = lock(&self.shared.listeners);
        listeners.retain(|other| other.strong_count() > 0);
        listeners.push(listener);
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A poisoned list of texts is still a list of texts.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
