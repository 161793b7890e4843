//! Asking whoever keeps the streams: JSON over `$JS.API` (spec 06 §15.6).
//!
//! A layer of our own and not that of async-nats, which holds on to one of its connections: ours
//! are replaced when they break, and answers have to go below the caller's own reply subject.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::denials::Denials;
use super::error::{NO_MESSAGE, NO_STREAM, Refusal, StreamError};
use super::message::Stored;
use crate::core::connection::{ComplaintListener, Message, NOBODY_LISTENS, Session};

/// How long an answer is waited for where nothing else is said.
const PATIENCE: Duration = Duration::from_secs(5);
/// Names one listing brings, beyond which nothing is asked for any more.
const MOST_NAMES: usize = 100_000;

/// Somebody's way to the streams of his network. Clones share it.
#[derive(Clone)]
pub struct Streams {
    session: Session,
    /// `$JS.API.`, or what stands for it in another account.
    api: Arc<str>,
    /// Subjects below `api` are subjects of streams, too.
    foreign: bool,
    /// Answers come below this.
    inboxes: Arc<str>,
    denials: Arc<Denials>,
    patience: Duration,
    /// What goes on after whoever wanted it has gone.
    errands: TaskTracker,
}

/// What is answered to a message that was stored.
#[derive(Debug, Deserialize)]
struct Ack {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    seq: u64,
    error: Option<Refusal>,
}

impl Streams {
    /// By a session whose owner may hear what is below `inboxes`.
    pub fn new(session: Session, inboxes: &str) -> Streams {
        Streams::below(session, inboxes, "$JS.API")
    }

    /// The same in an account where they are called something else: `choria.streams`, where machines wait to be
    /// provisioned (spec 05 §6.3).
    pub fn below(session: Session, inboxes: &str, api: &str) -> Streams {
        let denials = Denials::new();
        let listener: Arc<dyn ComplaintListener> = denials.clone();
        session.hear_complaints(Arc::downgrade(&listener));
        Streams {
            session,
            api: format!("{api}.").into(),
            foreign: api != "$JS.API",
            inboxes: inboxes.into(),
            denials,
            patience: PATIENCE,
            errands: TaskTracker::new(),
        }
    }

    /// The same with another time for answers.
    pub fn within(&self, patience: Duration) -> Streams {
        Streams { patience, ..self.clone() }
    }

    /// Has something done that nobody waits for. Without a runtime the program ends, and nothing is done.
    pub(super) fn go_on(&self, errand: impl Future<Output = ()> + Send + 'static) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.errands.spawn_on(errand, &runtime);
        }
    }

    /// Waits until nothing is done any more that nobody waits for, such as giving back a slot of a governor; whether
    /// that was so within `limit`. Before the session is closed.
    pub async fn settled(&self, limit: Duration) -> bool {
        self.errands.close();
        tokio::time::timeout(limit, self.errands.wait()).await.is_ok()
    }

    /// The connection below.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// A subject that only this one hears.
    pub(super) fn inbox(&self) -> String {
        format!("{}.{}", self.inboxes, uuid::Uuid::new_v4().simple())
    }

    /// The subject of a call.
    pub(super) fn call(&self, call: &str) -> String {
        format!("{}{call}", self.api)
    }

    /// What is stored as `subject` is published as this.
    pub(super) fn published_as(&self, subject: &str) -> String {
        match self.foreign {
            true => format!("{}{subject}", self.api),
            false => subject.to_owned(),
        }
    }

    /// Asks and waits for one answer.
    pub(super) async fn ask(
        &self,
        subject: &str,
        headers: &[(&str, String)],
        payload: Bytes,
    ) -> Result<Message, StreamError> {
        let mut denied = self.denials.listen();
        let line = self.session.line().await;
        let line = line.map_err(|error| StreamError::Publish(subject.to_owned(), error))?;
        let answer = line.request(subject.to_owned(), self.inbox(), headers, payload);
        tokio::select! {
            answer = tokio::time::timeout(self.patience, answer) => match answer {
                Err(_) => Err(StreamError::Silent {
                    subject: subject.to_owned(),
                    seconds: self.patience.as_secs(),
                }),
                Ok(Err(error)) => Err(StreamError::Publish(subject.to_owned(), error)),
                Ok(Ok(None)) => Err(StreamError::Broken(
                    subject.to_owned(),
                    "the connection to the broker broke".to_owned(),
                )),
                Ok(Ok(Some(message))) if message.status == Some(NOBODY_LISTENS) => {
                    Err(StreamError::Nobody(subject.to_owned()))
                }
                Ok(Ok(Some(message))) => Ok(message),
            },
            () = denied.of(subject) => Err(StreamError::Denied { subject: subject.to_owned() }),
        }
    }

    /// Asks a subject that is not about streams; whoever answers first is heard.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn ask_anybody(&self, subject: &str) -> Result<Bytes, StreamError> {
        Ok(self.ask(subject, &[], Bytes::new()).await?.payload)
    }

    /// Asks by JSON; null asks with nothing.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn api(&self, call: &str, body: &Value) -> Result<Value, StreamError> {
        let payload = if body.is_null() { String::new() } else { body.to_string() };
        let subject = self.call(call);
        let answer = self.ask(&subject, &[], payload.into()).await?;
        let answer: Value = serde_json::from_slice(&answer.payload)
            .map_err(|error| StreamError::Odd(subject.clone(), error.to_string()))?;
        match answer.get("error") {
            None | Some(Value::Null) => Ok(answer),
            Some(error) => Err(StreamError::Refused {
                what: call.to_owned(),
                refusal: Refusal::deserialize(error).unwrap_or_else(|_| Refusal {
                    code: 0,
                    err_code: 0,
                    description: error.to_string(),
                }),
            }),
        }
    }

    /// Has something stored; the answer is its number in the stream.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn store(
        &self,
        subject: &str,
        headers: &[(&str, String)],
        payload: Bytes,
    ) -> Result<u64, StreamError> {
        let answer = self.ask(subject, headers, payload).await?;
        match serde_json::from_slice::<Ack>(&answer.payload) {
            Ok(Ack { error: Some(refusal), .. }) => {
                Err(StreamError::Refused { what: subject.to_owned(), refusal })
            }
            Ok(Ack { stream, seq, .. }) if !stream.is_empty() && seq > 0 => Ok(seq),
            Ok(_) => Err(StreamError::Odd(subject.to_owned(), "it is no answer of a stream".to_owned())),
            Err(error) => Err(StreamError::Odd(subject.to_owned(), error.to_string())),
        }
    }

    /// Configuration and state of a stream; nothing where there is none of that name.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn info(&self, stream: &str) -> Result<Option<Value>, StreamError> {
        some(self.api(&format!("STREAM.INFO.{stream}"), &Value::Null).await, NO_STREAM)
    }

    /// Names of streams that have such a subject, all of them where none is named. At most 100,000.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn names(&self, subject: Option<&str>) -> Result<Vec<String>, StreamError> {
        let mut names = vec![];
        loop {
            let mut body = json!({"offset": names.len()});
            if let Some(subject) = subject {
                body["subject"] = subject.into();
            }
            let answer = self.api("STREAM.NAMES", &body).await?;
            let before = names.len();
            let some = answer["streams"].as_array().map_or(&[][..], Vec::as_slice);
            names.extend(some.iter().filter_map(|name| name.as_str().map(str::to_owned)));
            let total = answer["total"].as_u64().and_then(|total| usize::try_from(total).ok()).unwrap_or(0);
            // a page without a name, whatever it says, is the last
            if names.len() == before || names.len() >= total.min(MOST_NAMES) {
                return Ok(names);
            }
        }
    }

    /// Makes a stream, as it is described.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn create(&self, stream: &str, configuration: &Value) -> Result<Value, StreamError> {
        self.api(&format!("STREAM.CREATE.{stream}"), configuration).await
    }

    /// Changes it.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn update(&self, stream: &str, configuration: &Value) -> Result<Value, StreamError> {
        self.api(&format!("STREAM.UPDATE.{stream}"), configuration).await
    }

    /// Removes it; whether there was one.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn delete(&self, stream: &str) -> Result<bool, StreamError> {
        let done = self.api(&format!("STREAM.DELETE.{stream}"), &Value::Null).await;
        Ok(some(done, NO_STREAM)?.is_some())
    }

    /// Removes what it holds, of one subject or of all; how much that was.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn purge(&self, stream: &str, subject: Option<&str>) -> Result<u64, StreamError> {
        let body = subject.map_or(Value::Null, |subject| json!({"filter": subject}));
        let answer = self.api(&format!("STREAM.PURGE.{stream}"), &body).await?;
        Ok(answer["purged"].as_u64().unwrap_or(0))
    }

    /// Removes one message; whether there was one.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn remove(&self, stream: &str, sequence: u64) -> Result<bool, StreamError> {
        let body = json!({"seq": sequence, "no_erase": true});
        let done = self.api(&format!("STREAM.MSG.DELETE.{stream}"), &body).await;
        // what a server says of one that is gone depends on its release
        match done {
            Err(error) if matches!(error.code(), Some(NO_MESSAGE | 10_057 | 10_043)) => Ok(false),
            done => done.map(|_| true),
        }
    }

    /// One message by its number.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn message(&self, stream: &str, sequence: u64) -> Result<Option<Stored>, StreamError> {
        self.get(stream, &json!({"seq": sequence})).await
    }

    /// The last message of a subject.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn last(&self, stream: &str, subject: &str) -> Result<Option<Stored>, StreamError> {
        self.get(stream, &json!({"last_by_subj": subject})).await
    }

    async fn get(&self, stream: &str, which: &Value) -> Result<Option<Stored>, StreamError> {
        let call = format!("STREAM.MSG.GET.{stream}");
        match some(self.api(&call, which).await, NO_MESSAGE)? {
            None => Ok(None),
            Some(answer) => match Stored::of_answer(&answer["message"]) {
                Some(stored) => Ok(Some(stored)),
                None => Err(StreamError::Odd(call, "it is no message".to_owned())),
            },
        }
    }

    /// The last message of a subject, from whichever machine is nearest. For streams that allow it.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn direct(&self, stream: &str, subject: &str) -> Result<Option<Stored>, StreamError> {
        let call = self.call(&format!("DIRECT.GET.{stream}.{subject}"));
        let answer = self.ask(&call, &[], Bytes::new()).await?;
        match answer.status.map(|status| status.as_u16()) {
            Some(404) => Ok(None),
            Some(code) => Err(StreamError::Refused {
                what: call,
                refusal: Refusal {
                    code: code.into(),
                    err_code: 0,
                    description: answer.description.unwrap_or_default().to_string(),
                },
            }),
            None => match Stored::of_direct(&answer) {
                Some(stored) => Ok(Some(stored)),
                None => Err(StreamError::Odd(call, "it is no message of a stream".to_owned())),
            },
        }
    }
}

/// Nothing for a refusal that says that there is none.
fn some<T>(answer: Result<T, StreamError>, none: u64) -> Result<Option<T>, StreamError> {
    match answer {
        Err(error) if error.code() == Some(none) => Ok(None),
        answer => answer.map(Some),
    }
}
