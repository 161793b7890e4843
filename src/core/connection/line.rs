//! Publishing on one connection.

use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{Client, Message, Subject};
use bytes::Bytes;
use futures::StreamExt;

use super::unwritten::Unwritten;
use crate::core::nats::headers::length;

/// How long a publish waits for a connection, and for room on it, before it
/// fails.
pub(super) const PUBLISH_WAIT: Duration = Duration::from_secs(5);

/// How often it is looked whether the broker has read more.
const LOOK: Duration = Duration::from_millis(5);
/// What a message takes beside its text, about.
const OVERHEAD: usize = 128;
/// Causes are told apart by a hash that nobody else can foresee.
static CAUSES: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Room that was taken, until it is written.
struct Room<'a> {
    unwritten: &'a Unwritten,
    cause: u64,
    bytes: usize,
    let_go: bool,
}

/// A message that waits for room.
struct Waits<'a> {
    unwritten: &'a Unwritten,
    cause: u64,
    bytes: usize,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.unwritten.waited(self.cause, self.bytes);
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.unwritten.give_up(self.cause, self.bytes, self.let_go);
    }
}

/// One connection of a [`Session`](super::Session), to publish on while it lasts.
pub struct Line {
    client: Client,
    unwritten: Arc<Unwritten>,
}

impl Line {
    pub(super) fn on(client: Client, unwritten: Arc<Unwritten>) -> Line {
        Line { client, unwritten }
    }

    /// Whether it is the connection whose messages these are.
    pub(super) fn is_of(&self, unwritten: &Arc<Unwritten>) -> bool {
        Arc::ptr_eq(&self.unwritten, unwritten)
    }

    /// Publishes what `cause` causes, such as a caller: when there is little of it that the broker has
    /// not read, which keeps only the messages of the same cause waiting, for five seconds at most.
    ///
    /// # Errors
    /// [`PublishError`]; [`PublishError::Behind`] where too much of it waits already.
    pub async fn publish_for(
        &self,
        cause: &str,
        subject: String,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        let (cause, bytes) = (CAUSES.hash_one(cause), payload.len() + subject.len() + OVERHEAD);
        let written = || self.client.statistics().out_messages.load(Ordering::Relaxed);
        let until = Instant::now() + PUBLISH_WAIT;
        let look_again = async || {
            if self.client.connection_state() != State::Connected {
                return Err(PublishError::Failed("the connection has ended".to_owned()));
            }
            if Instant::now() >= until {
                return Err(PublishError::Behind);
            }
            tokio::time::sleep(LOOK).await;
            Ok(())
        };
        if !self.unwritten.wait(cause, bytes) {
            return Err(PublishError::Behind);
        }
        let waits = Waits { unwritten: &self.unwritten, cause, bytes };
        while !self.unwritten.take(cause, bytes, written()) {
            look_again().await?;
        }
        drop(waits);
        let mut room = Room { unwritten: &self.unwritten, cause, bytes, let_go: false };
        while !self.unwritten.may_go(cause, bytes, written()) {
            look_again().await?;
        }
        room.let_go = true;
        self.hand_over(subject, None, payload).await?;
        std::mem::forget(room);
        self.unwritten.handed(Some((cause, bytes)));
        Ok(())
    }

    /// Publishes with headers; whoever takes it answers at `back`.
    pub async fn publish_with(
        &self,
        subject: String,
        back: Option<String>,
        headers: &[(String, String)],
        payload: Bytes,
    ) -> Result<(), PublishError> {
        let client = &self.client;
        // servers count both
        let said = length(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let size = said + payload.len();
        if size > client.max_payload() {
            return Err(PublishError::TooLarge { size, limit: client.max_payload() });
        }
        let mut map = async_nats::HeaderMap::new();
        for (name, value) in headers {
            map.insert(name.as_str(), value.as_str());
        }
        let (subject, back) = (Subject::from(subject), back.map(Subject::from));
        let publishing = async {
            match back {
                Some(back) => client.publish_with_reply_and_headers(subject, back, map, payload).await,
                None => client.publish_with_headers(subject, map, payload).await,
            }
        };
        match tokio::time::timeout(PUBLISH_WAIT, publishing).await {
            Ok(done) => done.map_err(|e| PublishError::Failed(e.to_string()))?,
            Err(_) => return Err(PublishError::Stalled),
        }
        self.unwritten.handed(None);
        Ok(())
    }

    /// Publishes with headers and waits for what is said to `inbox`, once; nothing when the
    /// connection ends before that. Whoever asks says how long: this waits for ever.
    pub async fn request(
        &self,
        subject: String,
        inbox: String,
        headers: &[(&str, String)],
        payload: Bytes,
    ) -> Result<Option<Message>, PublishError> {
        let client = &self.client;
        let failed = |e: String| PublishError::Failed(e);
        let heard = client.subscribe(inbox.clone()).await;
        // it unsubscribes when it is dropped, whatever becomes of the request
        let mut heard = heard.map_err(|e| failed(e.to_string()))?;
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        match headers.is_empty() {
            true => self.publish(subject, Some(inbox), payload).await?,
            false => self.publish_with(subject, Some(inbox), &headers, payload).await?,
        }
        Ok(heard.next().await)
    }

    /// Publishes. The broker tells `nobody`, a subject, when nobody listens: a
    /// message with status 503 arrives there then, for a subscription of this
    /// session.
    pub async fn publish(
        &self,
        subject: String,
        nobody: Option<String>,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        self.hand_over(subject, nobody, payload).await?;
        self.unwritten.handed(None);
        Ok(())
    }

    async fn hand_over(
        &self,
        subject: String,
        nobody: Option<String>,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        // made of the text, where a text would be copied
        let (subject, nobody) = (Subject::from(subject), nobody.map(Subject::from));
        let client = &self.client;
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
    /// More of the same cause waits than may, or waited for five seconds.
    #[error("who is to hear them does not keep up, and others like it wait already")]
    Behind,
    /// For five seconds the broker read nothing.
    #[error("the broker takes no messages")]
    Stalled,
    /// The client library refused it.
    #[error("publishing failed: {0}")]
    Failed(String),
}
