//! Messages that a stream stores and acknowledges.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{Message, NOBODY_LISTENS, PublishError, Session, Subscription};

/// Acknowledgements that may wait here: more than anybody stores at once.
const WAITING: usize = 1024;
/// Error code of a stream whose messages are to be smaller.
const TOO_LARGE: u64 = 10_054;

/// A message to be stored.
#[derive(Debug, Clone)]
pub struct ToStore {
    /// Subject that a stream listens to.
    pub subject: String,
    /// Headers; `Nats-Msg-Id` makes that it is kept once however often it is told.
    pub headers: Vec<(String, String)>,
    /// What it says.
    pub payload: Bytes,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// A stream has it.
    Stored,
    /// It may be stored another time.
    Later(String),
    /// No stream will ever take it.
    Never(String),
}

/// What a stream answers.
#[derive(Debug, Deserialize)]
struct Ack {
    #[serde(default)]
    stream: String,
    error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// Has messages stored by streams.
pub struct Storing {
    session: Session,
    /// Below this, each message has an address for its acknowledgement.
    inbox: String,
    heard: Option<(mpsc::Receiver<Message>, Subscription)>,
    /// Number of the next message.
    next: u64,
}

impl Storing {
    /// By a session whose owner may hear what is below `inboxes`.
    pub fn new(session: Session, inboxes: &str) -> Storing {
        let inbox = format!("{inboxes}.{}", uuid::Uuid::new_v4().simple());
        Storing { session, inbox, heard: None, next: 0 }
    }

    /// Has all of them stored, on their way at once and in order; `patience` is how long the
    /// next acknowledgement is waited for. At most 1,024 at a time.
    pub async fn store(&mut self, messages: &[ToStore], patience: Duration) -> Vec<Fate> {
        let mut fates: Vec<Option<Fate>> = vec![None; messages.len()];
        self.attempt(messages, patience, &mut fates).await;
        let silent = || Fate::Later("the stream did not acknowledge in time".to_owned());
        fates.into_iter().map(|fate| fate.unwrap_or_else(silent)).collect()
    }

    async fn attempt(&mut self, messages: &[ToStore], patience: Duration, fates: &mut [Option<Fate>]) {
        let Storing { session, inbox, heard, next } = self;
        let (acks, _subscription) = match heard {
            Some(heard) => heard,
            None => {
                let (sink, receiver) = mpsc::channel(WAITING);
                let id = session.subscribe_into(format!("{inbox}.*"), None, sink).await;
                heard.insert((receiver, session.ending(id)))
            }
        };
        // Of earlier tries, which count no more.
        while acks.try_recv().is_ok() {}
        let first = *next;
        *next += messages.len() as u64;
        let line = match session.line().await {
            Ok(line) => line,
            Err(error) => return fates.fill(Some(Fate::Later(error.to_string()))),
        };
        let mut on_their_way = 0;
        for (at, (message, fate)) in messages.iter().zip(fates.iter_mut()).enumerate() {
            let back = format!("{inbox}.{}", first + at as u64);
            match line
                .publish_with(message.subject.clone(), Some(back), &message.headers, message.payload.clone())
                .await
            {
                Ok(()) => on_their_way += 1,
                Err(error @ PublishError::TooLarge { .. }) => *fate = Some(Fate::Never(error.to_string())),
                Err(error) => {
                    *fate = Some(Fate::Later(error.to_string()));
                    break;
                }
            }
        }
        session.flush().await;
        while on_their_way > 0 {
            let Ok(Some(message)) = tokio::time::timeout(patience, acks.recv()).await else { return };
            let number = message.subject.rsplit('.').next().and_then(|number| number.parse::<u64>().ok());
            let at = number.and_then(|number| usize::try_from(number.checked_sub(first)?).ok());
            let Some((at, fate)) = at.and_then(|at| Some((at, fates.get_mut(at)?))) else { continue };
            if fate.is_none() {
                on_their_way -= 1;
                *fate = messages.get(at).map(|to_store| fate_of(&message, &to_store.subject));
            }
        }
    }
}

fn fate_of(message: &Message, subject: &str) -> Fate {
    if message.status == Some(NOBODY_LISTENS) {
        return Fate::Later(format!("no stream takes {subject}"));
    }
    match serde_json::from_slice::<Ack>(&message.payload) {
        Ok(Ack { error: None, stream }) if !stream.is_empty() => Fate::Stored,
        Ok(Ack { error: Some(Refusal { err_code: TOO_LARGE, description }), .. }) => Fate::Never(description),
        Ok(Ack { error: Some(refusal), .. }) => {
            Fate::Later(format!("the stream refuses: {} ({})", refusal.description, refusal.err_code))
        }
        _ => Fate::Later("something else than a stream answers".to_owned()),
    }
}
