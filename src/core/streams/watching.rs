//! Hearing what a stream stores, in its order and with nothing left out.
//!
//! An ordered consumer: the server pushes, nothing is acknowledged, and a gap, or silence where a
//! heartbeat is due, makes another consumer behind what was heard last. The server's flow control
//! bounds what is on its way.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::asking::Streams;
use super::error::{NO_STREAM, StreamError};
use super::message::Stored;
use crate::core::connection::{Message, Subscription};

/// How often the server says that there is nothing.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// For how long it is believed to be there without a word.
const SILENCE: Duration = Duration::from_secs(15);
/// After this long without anybody who hears it a consumer is gone; one that has a name of its own.
const FORGOTTEN: Duration = Duration::from_secs(60);
const OWN_FORGOTTEN: Duration = Duration::from_secs(10);
/// Pause before a consumer that could not be made is tried again, at first and at most.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(10);
/// Messages that wait here.
const WAITING: usize = 64;
/// A message that is no message, of the server; where it waits for a word since one was lost, and how many messages of
/// the consumer it has sent.
const CONTROL: u16 = 100;
const STALLED: &str = "Nats-Consumer-Stalled";
const DELIVERED: &str = "Nats-Last-Consumer";

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest message.
    Oldest,
    /// With the last one of each subject.
    Last,
    /// With what comes.
    New,
    /// With what was stored since then.
    Since(Timestamp),
}

/// What is heard.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Stored(Stored),
    /// All that was there at the beginning has been heard; said once.
    UpToDate,
}

/// Hears what a stream stores until it is dropped.
pub struct Watching {
    streams: Streams,
    stream: String,
    filter: String,
    start: Start,
    headers_only: bool,
    /// The filter stands in the subject of what is asked, so that permissions can go by it.
    named: bool,
    /// The name of the one consumer that may be made.
    own: Option<String>,
    consumer: Option<Consumer>,
    /// Number of the last message that was heard, or that was there before the first one to hear.
    last: Option<u64>,
    /// What is still to come until it is up to date; nothing once it was said.
    behind: Option<u64>,
    pause: Duration,
}

struct Consumer {
    messages: mpsc::Receiver<Message>,
    _subscription: Subscription,
    name: String,
    next: u64,
    heard: Instant,
    /// The connection it was made by: its broker alone knows whose it is.
    connection: u64,
}

impl Watching {
    /// What `stream` stores below `filter`. With `headers_only` payloads stay where they are.
    ///
    /// # Errors
    /// [`StreamError`]: it cannot be heard.
    pub async fn begin(
        streams: &Streams,
        stream: &str,
        filter: &str,
        start: Start,
        headers_only: bool,
    ) -> Result<Watching, StreamError> {
        Watching::asked(streams, stream, filter, (start, None), headers_only, (false, None)).await
    }

    /// All that `stream` has below `filter`, for those whose permissions go by what they hear.
    ///
    /// # Errors
    /// [`StreamError`]: it cannot be heard.
    pub async fn only(streams: &Streams, stream: &str, filter: &str) -> Result<Watching, StreamError> {
        Watching::asked(streams, stream, filter, (Start::Oldest, None), false, (true, None)).await
    }

    /// The same behind the message of this number, by a consumer of this name: for those who may make no other.
    ///
    /// # Errors
    /// [`StreamError`]: it cannot be heard.
    pub async fn own(
        streams: &Streams,
        stream: &str,
        filter: &str,
        name: &str,
        behind: u64,
    ) -> Result<Watching, StreamError> {
        let behind = (behind > 0).then_some(behind);
        Watching::asked(streams, stream, filter, (Start::Oldest, behind), false, (true, Some(name))).await
    }

    /// Ends it, and with it its consumer.
    pub async fn close(mut self) {
        if self.consumer.take().is_some() {
            let _ = self.forget_own().await;
        }
    }

    /// Has no consumer of that name be there any more.
    async fn forget_own(&self) -> Result<(), StreamError> {
        let Some(name) = &self.own else { return Ok(()) };
        match self.streams.api(&format!("CONSUMER.DELETE.{}.{name}", self.stream), &Value::Null).await {
            // mostly there was none
            Err(StreamError::Refused { refusal, .. }) if refusal.code == 404 => Ok(()),
            done => done.map(drop),
        }
    }

    async fn asked(
        streams: &Streams,
        stream: &str,
        filter: &str,
        (start, last): (Start, Option<u64>),
        headers_only: bool,
        (named, own): (bool, Option<&str>),
    ) -> Result<Watching, StreamError> {
        let mut watching = Watching {
            streams: streams.clone(),
            stream: stream.to_owned(),
            filter: filter.to_owned(),
            start,
            headers_only,
            named,
            own: own.map(str::to_owned),
            consumer: None,
            last,
            behind: None,
            pause: PAUSE,
        };
        let behind = watching.consume().await?;
        watching.behind = Some(behind);
        Ok(watching)
    }

    /// Makes a consumer; how much there is to hear.
    async fn consume(&mut self) -> Result<u64, StreamError> {
        self.end();
        self.forget_own().await?;
        let name = self.own.clone().unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string());
        let (deliver, forgotten) = match self.own {
            Some(_) => (self.streams.inbox(), OWN_FORGOTTEN),
            None => (self.streams.inbox(), FORGOTTEN),
        };
        let session = self.streams.session();
        let (sink, messages) = mpsc::channel(WAITING);
        let id = session.subscribe_into(deliver.clone(), None, sink).await;
        let subscription = session.ending(id);
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut configuration = json!({
            "name": name, "deliver_subject": deliver, "ack_policy": "none", "max_deliver": 1, "mem_storage": true,
            "num_replicas": 1, "replay_policy": "instant", "flow_control": true,
            "idle_heartbeat": nanoseconds(HEARTBEAT), "inactive_threshold": nanoseconds(forgotten),
            "filter_subject": self.filter,
        });
        let policy = match (self.last, self.start) {
            (None, Start::Oldest) => "all",
            (None, Start::Last) => "last_per_subject",
            (None, Start::New) => "new",
            (None, Start::Since(when)) => {
                configuration["opt_start_time"] = when.to_string().into();
                "by_start_time"
            }
            (Some(last), _) => {
                configuration["opt_start_seq"] = (last + 1).into();
                "by_start_sequence"
            }
        };
        configuration["deliver_policy"] = policy.into();
        if self.headers_only {
            configuration["headers_only"] = true.into();
        }
        let body = json!({"stream_name": self.stream, "config": configuration});
        let filter = if self.named { format!(".{}", self.filter) } else { String::new() };
        let made =
            self.streams.api(&format!("CONSUMER.CREATE.{}.{name}{filter}", self.stream), &body).await?;
        if self.start == Start::New && self.last.is_none() {
            // what comes while one is without a consumer is heard from the next
            self.last = made["delivered"]["stream_seq"].as_u64();
        }
        self.consumer = Some(Consumer {
            messages,
            _subscription: subscription,
            name,
            next: 1,
            heard: Instant::now(),
            connection: self.connection(),
        });
        Ok(made["num_pending"].as_u64().unwrap_or(0))
    }

    /// Whoever made a consumer says when it is not needed any more; one that nobody hears ends by itself, too.
    fn end(&mut self) {
        // the next one of that name waits until it is gone
        if let Some(Consumer { name, connection, .. }) = self.consumer.take()
            && self.own.is_none()
            && connection == self.connection()
        {
            let subject = self.streams.call(&format!("CONSUMER.DELETE.{}.{name}", self.stream));
            let session = self.streams.session().clone();
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move {
                    let _ = session.publish(subject, Bytes::new()).await;
                });
            }
        }
    }

    fn connection(&self) -> u64 {
        self.streams.session().stats().reconnections.load(Ordering::Relaxed)
    }

    /// The next message.
    ///
    /// # Errors
    /// The stream is gone, or may not be heard any more. Everything else is tried again.
    pub async fn next(&mut self) -> Result<Heard, StreamError> {
        loop {
            if self.behind == Some(0) {
                self.behind = None;
                return Ok(Heard::UpToDate);
            }
            let Some(consumer) = &mut self.consumer else {
                self.again().await?;
                continue;
            };
            let due = consumer.heard + SILENCE;
            let message = match tokio::time::timeout_at(due, consumer.messages.recv()).await {
                Ok(Some(message)) => message,
                // the consumer is gone, or the session is
                Ok(None) | Err(_) => {
                    self.end();
                    continue;
                }
            };
            consumer.heard = Instant::now();
            if message.status.is_some_and(|status| status.as_u16() == CONTROL) {
                let said = |name: &str| message.headers.as_ref().and_then(|headers| headers.get(name));
                // the server waits for a word, or for one that was lost with a connection
                let stalled = said(STALLED).map(|value| value.as_str());
                if let Some(back) = message.reply.as_deref().or(stalled) {
                    let _ = self.streams.session().publish(back.to_owned(), Bytes::new()).await;
                }
                let delivered = said(DELIVERED).and_then(|value| value.as_str().parse::<u64>().ok());
                if delivered.is_some_and(|delivered| delivered >= consumer.next) {
                    tracing::debug!(
                        stream = self.stream,
                        "the last messages are missing, hearing them again"
                    );
                    self.end();
                }
                continue;
            }
            let Some((number, stored)) = Stored::of_delivery(&message) else { continue };
            if number != consumer.next {
                tracing::debug!(stream = self.stream, "messages are missing, hearing them again");
                self.end();
                continue;
            }
            consumer.next += 1;
            self.last = Some(stored.sequence);
            self.pause = PAUSE;
            if self.behind.is_some() {
                self.behind = Some(stored.pending);
            }
            return Ok(Heard::Stored(stored));
        }
    }

    /// Another consumer behind the last one.
    async fn again(&mut self) -> Result<(), StreamError> {
        match self.consume().await {
            Ok(pending) => {
                if self.behind.is_some() {
                    self.behind = Some(pending);
                }
                Ok(())
            }
            Err(error @ (StreamError::Denied { .. } | StreamError::Odd(..))) => Err(error),
            Err(error) if error.code() == Some(NO_STREAM) => Err(error),
            Err(error) => {
                tracing::debug!(stream = self.stream, "cannot be heard yet: {error}");
                tokio::time::sleep(self.pause).await;
                self.pause = (self.pause * 2).min(LONGEST);
                Ok(())
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.end();
    }
}
