//! What a caller keeps for absent nodes: storing it, looking at it, ending it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::place::{Head, Place};
use crate::core::connection::{Fate, Storing, ToStore};
use crate::core::protocol::deferred::{HEAD, STREAM, head, is_id, of_caller, place, subject};
use crate::core::protocol::v1::SecureRequest;
use crate::core::streams::{Heard, StreamError, Streams, Watching};

/// Nodes of one request at most.
pub const MOST_NODES: usize = 10_000;
/// Requests of one caller that wait at a time.
pub const MOST_REQUESTS: usize = 100;
/// Messages on their way at once.
const AT_ONCE: usize = 256;
/// How long the next acknowledgement is waited for, and how often one that did not come is tried again.
const PATIENCE: Duration = Duration::from_secs(5);
const TRIES: usize = 4;
/// How long the next of all places may take to be read.
const READING: Duration = Duration::from_secs(60);
/// Stored only in place of what has this number; of nothing, where it is 0.
pub(super) const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";
/// Kept once, however often it is told.
const ONCE: &str = "Nats-Msg-Id";

/// Why something about kept requests did not work.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// No such stream.
    #[error(
        "no requests are kept for absent nodes on this network: its brokers need a \
         plugin.choria.network.stream.store and plugin.choria.network.stream.requests = true"
    )]
    Nowhere,
    /// Too many.
    #[error("{MOST_REQUESTS} requests of {0} wait already: cancel some, or let them end")]
    TooMany(String),
    /// The stream.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// It was not stored.
    #[error("it was not kept: {0}")]
    NotStored(String),
    /// Reading took too long.
    #[error("what is kept cannot be read, nothing came for {} s", READING.as_secs())]
    Slow,
}

/// A request that is kept, and what became of it.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its id.
    pub id: String,
    /// What was asked.
    pub head: Head,
    /// The number of the message that says so.
    pub number: u64,
    /// By node: the number of what is kept and what it says; nothing where nothing is kept for it.
    pub places: BTreeMap<String, Option<(u64, Place)>>,
}

impl Kept {
    /// Nodes whose places are so.
    pub fn count(&self, of: impl Fn(&Place) -> bool) -> usize {
        self.places.values().flatten().filter(|(_, place)| of(place)).count()
    }
}

/// One caller's way to what he keeps.
pub struct Keeping {
    streams: Streams,
    caller: String,
    inboxes: String,
}

impl Keeping {
    /// Of `caller`; answers come below `inboxes`.
    pub fn new(streams: &Streams, caller: &str, inboxes: &str) -> Keeping {
        Keeping { streams: streams.clone(), caller: caller.to_owned(), inboxes: inboxes.to_owned() }
    }

    /// Whether another request could be kept at `now`.
    ///
    /// # Errors
    /// Why not.
    pub async fn ready(&self, now: i64) -> Result<(), KeptError> {
        let heads = self.read(&head(&self.caller, "*")).await?;
        let waits = |(_, _, bytes): &(String, u64, Bytes)| {
            serde_json::from_slice::<Head>(bytes).is_ok_and(|head| head.until > now && head.ended.is_none())
        };
        match heads.iter().filter(|head| waits(head)).count() {
            waiting if waiting >= MOST_REQUESTS => Err(KeptError::TooMany(self.caller.clone())),
            _ => Ok(()),
        }
    }

    /// Keeps what was asked of all.
    ///
    /// # Errors
    /// [`KeptError`].
    pub async fn begin(&self, id: &str, head_of_it: &Head) -> Result<(), KeptError> {
        let payload = serde_json::to_vec(head_of_it).map_err(|e| KeptError::NotStored(e.to_string()))?;
        let message = self.message(head(&self.caller, id), 0, payload);
        match self.store(vec![message]).await.pop() {
            Some(Fate::Stored) => Ok(()),
            Some(Fate::Later(why) | Fate::Never(why)) => Err(KeptError::NotStored(why)),
            None => Err(KeptError::NotStored("nothing was sent".to_owned())),
        }
    }

    /// Keeps signed requests for their nodes; those that were not kept, and why.
    pub async fn keep(&self, id: &str, requests: &[(String, SecureRequest)]) -> Vec<(String, String)> {
        let messages = requests.iter().map(|(node, secure)| {
            self.message(subject(&self.caller, id, node), 0, Place::asked(secure).encode())
        });
        let fates = self.store(messages.collect()).await;
        let failed = requests.iter().zip(fates).filter_map(|((node, _), fate)| match fate {
            Fate::Stored => None,
            Fate::Later(why) | Fate::Never(why) => Some((node.clone(), why)),
        });
        failed.collect()
    }

    /// Ends what has not begun. What became of it all shows another look.
    pub async fn cancel(&self, kept: &Kept, now: i64) {
        let waiting = kept.places.iter().filter_map(|(node, place)| match place {
            Some((number, Place::Asked { .. })) => Some((node, *number)),
            _ => None,
        });
        let messages = waiting.map(|(node, number)| {
            let payload = Place::Cancelled { at: now }.encode();
            self.message(subject(&self.caller, &kept.id, node), number, payload)
        });
        let mut messages: Vec<ToStore> = messages.collect();
        // it is none of those any more of which one may have so many
        if kept.head.ended.is_none() {
            let ended = Head { ended: Some(now), ..kept.head.clone() };
            let payload = serde_json::to_vec(&ended).unwrap_or_default();
            messages.push(self.message(head(&self.caller, &kept.id), kept.number, payload));
        }
        self.store(messages).await;
    }

    fn message(&self, subject: String, instead_of: u64, payload: Vec<u8>) -> ToStore {
        // nobody else is to have told it before
        let once = uuid::Uuid::new_v4().simple().to_string();
        let headers = vec![(EXPECTED.to_owned(), instead_of.to_string()), (ONCE.to_owned(), once)];
        ToStore { subject, headers, payload: payload.into() }
    }

    async fn store(&self, messages: Vec<ToStore>) -> Vec<Fate> {
        let mut storing = Storing::new(self.streams.session().clone(), &self.inboxes);
        let mut fates = Vec::with_capacity(messages.len());
        for some in messages.chunks(AT_ONCE) {
            let mut done = storing.store(some, PATIENCE).await;
            for _ in 1..TRIES {
                let again: Vec<usize> = done
                    .iter()
                    .enumerate()
                    .filter(|(_, fate)| **fate != Fate::Stored)
                    .map(|(at, _)| at)
                    .collect();
                let messages: Vec<ToStore> = again.iter().filter_map(|at| some.get(*at).cloned()).collect();
                if messages.is_empty() {
                    break;
                }
                // it may come back
                let _ = tokio::time::timeout(READING, self.streams.session().connected()).await;
                for (at, fate) in again.into_iter().zip(storing.store(&messages, PATIENCE).await) {
                    if let Some(place) = done.get_mut(at) {
                        *place = fate;
                    }
                }
            }
            fates.append(&mut done);
        }
        fates
    }

    /// Ids of all requests that are kept, with what was asked, the oldest first.
    ///
    /// # Errors
    /// [`KeptError`].
    pub async fn heads(&self) -> Result<Vec<(String, Head)>, KeptError> {
        let read = self.read(&head(&self.caller, "*")).await?;
        let heads = read.into_iter().filter_map(|(subject, _, bytes)| {
            let id = subject.split('.').nth(4)?.to_owned();
            Some((id, serde_json::from_slice(&bytes).ok()?))
        });
        let mut heads: Vec<(String, Head)> = heads.collect();
        heads.sort_by_key(|(_, head)| head.made);
        Ok(heads)
    }

    /// What became of one; nothing where it is not kept.
    ///
    /// # Errors
    /// [`KeptError`].
    pub async fn find(&self, id: &str) -> Result<Option<Kept>, KeptError> {
        if !is_id(id) {
            return Ok(None);
        }
        Ok(self.kept(&of_caller(&self.caller, Some(id))).await?.pop())
    }

    /// All that is kept and what became of it, the oldest first.
    ///
    /// # Errors
    /// [`KeptError`].
    pub async fn all(&self) -> Result<Vec<Kept>, KeptError> {
        let mut all = self.kept(&of_caller(&self.caller, None)).await?;
        all.sort_by_key(|kept| (kept.head.made, kept.number));
        Ok(all)
    }

    /// One look, whatever number of requests it is about: looks are counted (spec 06 §15.1).
    async fn kept(&self, filter: &str) -> Result<Vec<Kept>, KeptError> {
        let mut heads: BTreeMap<String, (u64, Head)> = BTreeMap::new();
        let mut places: BTreeMap<String, BTreeMap<String, (u64, Place)>> = BTreeMap::new();
        for (subject, number, bytes) in self.read(filter).await? {
            let mut words = subject.split('.').skip(2);
            let (Some(of), Some(id)) = (words.next(), words.nth(1)) else { continue };
            if of == HEAD {
                let head = serde_json::from_slice(&bytes).ok();
                heads.extend(head.map(|head| (id.to_owned(), (number, head))));
            } else if let Some(place) = Place::decode(&bytes) {
                places.entry(id.to_owned()).or_default().insert(of.to_owned(), (number, place));
            }
        }
        let kept = heads.into_iter().map(|(id, (number, head))| {
            let mut known = places.remove(&id).unwrap_or_default();
            let places = head.nodes.iter().map(|node| (node.clone(), known.remove(&place(node)))).collect();
            Kept { id, head, number, places }
        });
        Ok(kept.collect())
    }

    /// All that is kept below a subject.
    async fn read(&self, filter: &str) -> Result<Vec<(String, u64, Bytes)>, KeptError> {
        let begun = tokio::time::timeout(READING, Watching::only(&self.streams, STREAM, filter)).await;
        let mut watching = begun.map_err(|_| KeptError::Slow)?.map_err(|error| match error {
            StreamError::Nobody(_) => KeptError::Nowhere,
            error if error.is_no_stream() => KeptError::Nowhere,
            error => error.into(),
        })?;
        let mut read = vec![];
        loop {
            match tokio::time::timeout(READING, watching.next()).await.map_err(|_| KeptError::Slow)?? {
                Heard::Stored(stored) => read.push((stored.subject, stored.sequence, stored.payload)),
                Heard::UpToDate => return Ok(read),
            }
        }
    }
}
