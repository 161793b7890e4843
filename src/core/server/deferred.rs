//! Requests that were made while this node was away: found, run once, answered
//! ([`core::deferred`](crate::core::deferred) says how that is kept safe).
//!
//! One after the other, in the order they were kept in, beside the requests that come. What is begun here is
//! first in the stream, then on the disk, then runs; what came of it is first on the disk, then in the stream.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::NodeState;
use super::node::now;
use super::pipeline::{self, Accepted, Deferral, Pipeline, Undone};
use super::remembering::Forgetful;
use crate::core::connection::Session;
use crate::core::deferred::ledger::{Entry, Known, LedgerError};
use crate::core::deferred::{Answer, Place};
use crate::core::log::RefusalLog;
use crate::core::protocol::deferred::{STREAM, of_node, subject};
use crate::core::protocol::subjects;
use crate::core::streams::{Heard, StreamError, Streams, Watching};

/// Requests of one look, and their bytes; the next look takes the next.
const AT_ONCE: usize = 64;
const AT_ONCE_BYTES: usize = 4 * 1024 * 1024;
/// After a connection nodes look within this, each at another time.
const SPLAY: Duration = Duration::from_secs(3);
/// Pause before what did not work is tried again, at first and at most.
const AGAIN: Duration = Duration::from_secs(2);
const LONGEST_AGAIN: Duration = Duration::from_secs(60);
/// How long a look may take to read what waits.
const READING: Duration = Duration::from_secs(30);
/// How often it is looked whether the connection is another one.
const TICK: Duration = Duration::from_millis(500);
/// Seconds the clocks of caller and node may differ by.
const SKEW: i64 = 60;
/// Stored only in place of what has this number.
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// What was lost with the process.
const INTERRUPTED: &str = "it was begun, and this node ended before its end was known";
const NEVER_BEGUN: &str = "this node ended just before it began";
const RAN_BEFORE: &str = "it ran here when it was first asked, its answer went to its caller then";

/// Looks for requests for as long as the node runs, where it is to.
pub(super) fn spawn(
    tasks: &mut JoinSet<()>,
    node: &Arc<NodeState>,
    session: &Session,
    pipeline: &Arc<Pipeline>,
) {
    let config = node.config();
    if !config.choria_requests_enabled || node.provider().is_none() {
        return;
    }
    if !pipeline.remembering().is_possible() {
        return tracing::error!(
            "plugin.choria.requests.enabled: {}; requests that wait are not run",
            Forgetful::Nowhere
        );
    }
    let inboxes = subjects::caller_inbox_prefix(&config.main_collective, node.identity_text());
    let worker = Worker {
        node: node.clone(),
        streams: Streams::new(session.clone(), &inboxes),
        session: session.clone(),
        pipeline: pipeline.clone(),
        seen: 0,
        log: RefusalLog::default(),
    };
    tasks.spawn(worker.run());
}

struct Worker {
    node: Arc<NodeState>,
    streams: Streams,
    session: Session,
    pipeline: Arc<Pipeline>,
    /// The last message in this node's places that nothing is to be done about.
    seen: u64,
    log: RefusalLog,
}

/// Why a look did not come to its end.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Memory(#[from] Forgetful),
    #[error("reading what waits took longer than {} s", READING.as_secs())]
    Slow,
    #[error("{0}")]
    Later(String),
}

/// A request that waits, and the number of its message.
struct Waiting {
    subject: String,
    number: u64,
    text: String,
}

impl Worker {
    async fn run(mut self) {
        let interval = self.node.config().choria_requests_interval.max(Duration::from_secs(1));
        let mut again = AGAIN;
        // made at once, so that it is known since when everything is remembered
        if let Err(e) = self.pipeline.remembering().with(now(), |_| Ok(())).await {
            tracing::error!("requests that wait are not run until this works: {e}");
        }
        loop {
            self.session.connected().await;
            let connection = self.connection();
            tokio::time::sleep(SPLAY.min(interval).mul_f64(fastrand::f64())).await;
            let pause = match self.look().await {
                Ok(()) => {
                    again = AGAIN;
                    interval.mul_f64(0.75 + 0.5 * fastrand::f64())
                }
                // a network that keeps none
                Err(Trouble::Stream(e @ (StreamError::Denied { .. } | StreamError::Nobody(_)))) => {
                    self.log.note("requests", || {
                        tracing::info!("the broker keeps no requests for this node: {e}")
                    });
                    interval.mul_f64(0.75 + 0.5 * fastrand::f64())
                }
                Err(e) => {
                    self.log.note("requests", || {
                        tracing::warn!("requests that wait for this node: {e}; trying again")
                    });
                    let pause = again;
                    again = (again * 2).min(LONGEST_AGAIN);
                    pause.min(interval.max(AGAIN))
                }
            };
            let until = Instant::now() + pause;
            while Instant::now() < until && self.connection() == connection {
                tokio::time::sleep(TICK.min(pause)).await;
            }
        }
    }

    fn connection(&self) -> u64 {
        self.session.stats().reconnections.load(Ordering::Relaxed)
    }

    /// Finishes what was begun, and begins what waits.
    async fn look(&mut self) -> Result<(), Trouble> {
        self.finish().await?;
        let own = of_node(self.node.identity_text());
        // costs next to nothing, and is all there is to do mostly
        match self.streams.direct(STREAM, &own).await? {
            None => return Ok(()),
            Some(last) if last.sequence == self.seen => return Ok(()),
            Some(_) => {}
        }
        // what is not to run now holds nothing up that comes behind it
        let (mut later, mut why) = (HashSet::new(), None);
        loop {
            let reading = tokio::time::timeout(READING, self.waiting(&own, &later)).await;
            let (waiting, seen) = reading.map_err(|_| Trouble::Slow)??;
            if waiting.is_empty() {
                return match why {
                    Some(why) => Err(Trouble::Later(why)),
                    None => {
                        self.seen = seen;
                        Ok(())
                    }
                };
            }
            for waiting in waiting {
                let number = waiting.number;
                match self.take(waiting).await {
                    Err(Trouble::Later(reason)) => {
                        later.insert(number);
                        why = Some(reason);
                    }
                    taken => taken?,
                }
            }
        }
    }

    /// The next few that wait, and the number of the last message there is.
    async fn waiting(&self, own: &str, later: &HashSet<u64>) -> Result<(Vec<Waiting>, u64), Trouble> {
        let mut watching = Watching::only(&self.streams, STREAM, own).await?;
        let (mut waiting, mut last, mut bytes) = (Vec::new(), 0, 0);
        while let Heard::Stored(stored) = watching.next().await? {
            last = stored.sequence;
            if later.contains(&stored.sequence) {
                continue;
            }
            if let Some(Place::Asked { request }) = Place::decode(&stored.payload) {
                bytes += request.len();
                waiting.push(Waiting { subject: stored.subject, number: stored.sequence, text: request });
                if waiting.len() >= AT_ONCE || bytes >= AT_ONCE_BYTES {
                    break;
                }
            }
        }
        Ok((waiting, last))
    }

    /// Runs one, or says why not.
    async fn take(&self, waiting: Waiting) -> Result<(), Trouble> {
        let tokens: Vec<&str> = waiting.subject.split('.').collect();
        let &[_, _, _, caller, id] = tokens.as_slice() else { return Ok(()) };
        let (deferred, accepted) = match self.pipeline.judge_deferred(&waiting.text, (caller, id)) {
            Ok(judged) => judged,
            Err(Deferral::Later(why)) => return Err(Trouble::Later(why)),
            Err(Deferral::Refused(why)) => return self.refuse(&waiting, id, &why).await,
        };
        // whatever keeps it from running now has to be known before it begins
        let place = self.pipeline.place_deferred(&accepted).await;
        let place = place.map_err(|(Deferral::Later(why) | Deferral::Refused(why))| Trouble::Later(why))?;
        let (who, which, now) = (deferred.caller.clone(), deferred.id.clone(), now());
        let (until, asked, made) = (deferred.until, deferred.asked, deferred.made);
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let entry = |known| Entry { caller: who.clone(), id: which.clone(), until, known };
        let claim = entry(Known::Claiming { nonce: nonce.clone() });
        let admitted = self.pipeline.remembering().with(now, move |ledger| {
            let refusal = match ledger.known(&claim.caller, &claim.id) {
                Some(Known::Ran) => Some(RAN_BEFORE),
                Some(_) => Some("it ran here already"),
                None if ledger.may_be_forgotten(until) => Some("it may have run here already, before the clock was set back"),
                None if asked && made < ledger.since().saturating_add(SKEW) => {
                    Some("it cannot be known here whether it ran when it was first asked: what this node remembers began after that")
                }
                None => None,
            };
            match refusal {
                None => ledger.note(claim, now).map(|()| None),
                refusal => Ok(refusal),
            }
        });
        let admitted = match admitted.await {
            // of this caller, maybe
            Err(e @ Forgetful::Ledger(LedgerError::Full)) => return Err(Trouble::Later(e.to_string())),
            admitted => admitted?,
        };
        if let Some(why) = admitted {
            return self.refuse(&waiting, &which, why).await;
        }
        // what becomes of a claim that is not answered is found at the next look
        let Some(begun) = self.claim(&waiting, &nonce, until).await? else {
            let (who, which) = (who.clone(), which.clone());
            return Ok(self
                .pipeline
                .remembering()
                .with(now, move |ledger| ledger.unclaim(&who, &which))
                .await?);
        };
        let running = entry(Known::Running { nonce: nonce.clone() });
        // a node that ends meanwhile waits for it as for those that came
        let over = tokio::spawn(run(self.pipeline.clone(), accepted, place, running)).await;
        let over = over.map_err(|e| Trouble::Later(e.to_string()))?;
        tracing::info!(
            request = which,
            caller = who,
            agent = deferred.agent,
            "a request that waited for this node has run"
        );
        self.tell(over, Some(begun)).await
    }

    /// Has the stream say that it begins, and nobody else begin it or end it; its number then. Nothing where it waits no
    /// longer.
    async fn claim(&self, waiting: &Waiting, nonce: &str, until: i64) -> Result<Option<u64>, Trouble> {
        let patience = Instant::now() + READING;
        let begun = || Place::Begun { nonce: nonce.to_owned(), at: now() };
        let mut pause = AGAIN / 4;
        while now() < until {
            if let Ok(number) = self.replace(&waiting.subject, waiting.number, &begun()).await {
                return Ok(Some(number));
            }
            // the answer may have been lost: what is there now says so
            match self.there(&waiting.subject).await {
                Ok(Some((number, Place::Begun { nonce: there, .. }))) if there == nonce => {
                    return Ok(Some(number));
                }
                Ok(Some((number, Place::Asked { .. }))) if number == waiting.number => {}
                Ok(_) => return Ok(None),
                Err(e) => tracing::debug!("what is kept for this node cannot be read: {e}"),
            }
            // nothing else that waits is held up by it for long
            if Instant::now() >= patience {
                return Err(Trouble::Later("the stream does not take that it begins".to_owned()));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_AGAIN);
        }
        Ok(None)
    }

    /// Says that one does not run.
    async fn refuse(&self, waiting: &Waiting, id: &str, why: &str) -> Result<(), Trouble> {
        self.log.note("refused", || {
            tracing::warn!(request = id, "a request that waited for this node does not run: {why}");
        });
        let answer = Place::Answered(Answer::refused(why, now()));
        match self.replace(&waiting.subject, waiting.number, &answer).await {
            // cancelled meanwhile
            Err(e) if e.is_conflict() => Ok(()),
            done => Ok(done.map(drop)?),
        }
    }

    /// Tells what an earlier life of this process has left, and what could not be told yet.
    async fn finish(&self) -> Result<(), Trouble> {
        let unfinished = self.pipeline.remembering().with(now(), |ledger| Ok(ledger.unfinished())).await?;
        for entry in unfinished {
            let over = |nonce: &String, answer| {
                let known = Known::Over { nonce: nonce.clone(), answer };
                Entry { known, ..entry.clone() }
            };
            match &entry.known {
                Known::Over { .. } => self.tell_later(entry).await,
                Known::Running { nonce } => {
                    self.tell_later(over(nonce, Answer::ran(INTERRUPTED, now()))).await;
                }
                Known::Claiming { nonce } => match self.place_of(&entry).await? {
                    Some((_, Place::Begun { nonce: there, .. })) if there == *nonce => {
                        self.tell_later(over(nonce, Answer::refused(NEVER_BEGUN, now()))).await;
                    }
                    _ => {
                        let (caller, id) = (entry.caller, entry.id);
                        self.pipeline
                            .remembering()
                            .with(now(), move |ledger| ledger.unclaim(&caller, &id))
                            .await?;
                    }
                },
                Known::Ran | Known::Told => {}
            }
        }
        Ok(())
    }

    /// Tells of an earlier one; an answer that the stream does not take keeps no other request waiting.
    async fn tell_later(&self, entry: Entry) {
        let id = entry.id.clone();
        if let Err(e) = self.tell(entry, None).await {
            self.log.note("untold", || {
                tracing::warn!(request = id, "what became of a request that waited is not told yet: {e}");
            });
        }
    }

    /// Remembers how one ended, and has the stream say so in place of what it says now.
    async fn tell(&self, entry: Entry, begun: Option<u64>) -> Result<(), Trouble> {
        let Known::Over { nonce, answer } = &entry.known else { return Ok(()) };
        let (at, note) = (now(), entry.clone());
        let noted =
            self.pipeline.remembering().with(at, move |ledger| match ledger.known(&note.caller, &note.id) {
                Some(Known::Over { .. }) => Ok(()),
                _ => ledger.note(note, at),
            });
        noted.await?;
        let place = Place::Answered(answer.clone());
        let subject = subject(&entry.caller, &entry.id, self.node.identity_text());
        let told = match begun {
            Some(number) => self.replace(&subject, number, &place).await.is_ok(),
            None => false,
        };
        if !told {
            match self.there(&subject).await? {
                Some((number, Place::Begun { nonce: there, .. })) if there == *nonce => {
                    self.replace(&subject, number, &place).await?;
                }
                // as it was put back
                Some((number, Place::Asked { .. })) => {
                    self.replace(&subject, number, &place).await?;
                }
                // told already, or gone
                _ => {}
            }
        }
        let entry = Entry { known: Known::Told, ..entry };
        Ok(self.pipeline.remembering().with(at, move |ledger| ledger.note(entry, at)).await?)
    }

    async fn place_of(&self, entry: &Entry) -> Result<Option<(u64, Place)>, StreamError> {
        self.there(&subject(&entry.caller, &entry.id, self.node.identity_text())).await
    }

    async fn there(&self, subject: &str) -> Result<Option<(u64, Place)>, StreamError> {
        let stored = self.streams.direct(STREAM, subject).await?;
        Ok(stored.and_then(|stored| Some((stored.sequence, Place::decode(&stored.payload)?))))
    }

    /// Has a place say something else, if it still says what has this number.
    async fn replace(&self, subject: &str, number: u64, place: &Place) -> Result<u64, StreamError> {
        let headers = [(EXPECTED, number.to_string())];
        self.streams.store(subject, &headers, Bytes::from(place.encode())).await
    }
}

/// Runs it, once it is remembered that it does; how it ended is remembered before its room is given back.
async fn run(
    pipeline: Arc<Pipeline>,
    accepted: Accepted,
    mut place: pipeline::Place,
    running: Entry,
) -> Entry {
    let (at, noted) = (now(), running.clone());
    let answer = match pipeline.remembering().with(at, move |ledger| ledger.note(noted, at)).await {
        Err(e) => Answer::refused(&format!("it cannot be remembered here that it runs: {e}"), at),
        Ok(()) => match pipeline.run_deferred(&accepted, &mut place).await {
            Ok(text) => Answer::reply(text, now()),
            Err(Undone::Ran) => Answer::ran(RAN_BEFORE, now()),
            Err(Undone::TooLong) => Answer::ran("it took longer than its agent may", now()),
            Err(Undone::Panicked) => Answer::ran("it ended in a fault of this node's program", now()),
        },
    };
    let known = match &running.known {
        Known::Running { nonce } => Known::Over { nonce: nonce.clone(), answer },
        other => other.clone(),
    };
    let over = Entry { known, ..running };
    let noted = over.clone();
    // whoever tells it does so again
    let _ = pipeline.remembering().with(now(), move |ledger| ledger.note(noted, now())).await;
    drop(place);
    over
}
