//! Publishes what programs of this machine have submitted (spec 06 §13).
//!
//! A second after it came at the latest, the first of each priority. What has to be stored
//! and is not keeps its place and all that come after it, of its priority.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::task::JoinSet;

use super::NodeState;
use crate::core::connection::{Fate, PublishError, Session, Storing, ToStore};
use crate::core::log::RefusalLog;
use crate::core::protocol::subjects;
use crate::core::submission::{PRIORITIES, Spool, Spooled, Submission, SubmissionError};

/// How often the directories are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Messages that are read at once, a MiB each at most.
const AT_ONCE: usize = 16;
/// How long an acknowledgement is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pauses between tries, at first and at most; and after so many, as nobody who keeps it is there for long.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(5)];
const OFTEN: u64 = 20;
const SELDOM: Duration = Duration::from_secs(120);

/// Starts a task for each priority, where there is a spool.
pub(super) fn spawn(tasks: &mut JoinSet<()>, node: &Arc<NodeState>, session: &Session) {
    let config = node.config();
    if config.choria_submission_spool.is_empty() {
        return;
    }
    let most = usize::try_from(config.choria_submission_max_spool_size).unwrap_or(0).max(1);
    let spool = Spool::new(&config.choria_submission_spool, most);
    if let Err(error) = spool.prepare() {
        tracing::error!("nothing can be submitted, plugin.choria.submission.spool: {error}");
        return;
    }
    for priority in 0..PRIORITIES {
        let inboxes = subjects::caller_inbox_prefix(&config.main_collective, node.identity_text());
        let worker = Worker {
            spool: spool.clone(),
            priority,
            prefix: format!("{}.submission.in", config.main_collective),
            storing: Storing::new(session.clone(), &inboxes),
            session: session.clone(),
            log: RefusalLog::default(),
        };
        tasks.spawn(worker.run());
    }
}

struct Worker {
    spool: Spool,
    priority: usize,
    prefix: String,
    storing: Storing,
    session: Session,
    log: RefusalLog,
}

impl Worker {
    async fn run(mut self) {
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.session.connected().await;
            while self.some().await {}
        }
    }

    /// Works on the first few; whether there are more to work on now.
    async fn some(&mut self) -> bool {
        let (spool, priority) = (self.spool.clone(), self.priority);
        let read = tokio::task::spawn_blocking(move || spool.first(priority, AT_ONCE)).await;
        let spooled = match read {
            Ok(Ok(spooled)) => spooled,
            Ok(Err(error)) => {
                self.log.note("spool", || tracing::error!("the submission spool cannot be read: {error}"));
                return false;
            }
            Err(_) => return false,
        };
        let mut all = spooled.len();
        for Spooled { path, message } in spooled {
            let now = Timestamp::now();
            let done = match message {
                Err(error @ SubmissionError::Unread(_)) => {
                    self.log
                        .note("file", || tracing::error!("a submitted message stays where it is: {error}"));
                    all -= 1;
                    false
                }
                Err(error) => {
                    self.log.note("file", || tracing::error!("{} is thrown away: {error}", path.display()));
                    true
                }
                Ok(message) if message.is_over(now) => {
                    let (id, tries) = (&message.id, message.tries);
                    tracing::warn!(
                        id,
                        subject = message.subject,
                        tries,
                        "a submitted message is given up, its time or tries are over"
                    );
                    true
                }
                Ok(message) if message.next_try.is_some_and(|time| time > now) => return false,
                Ok(mut message) => match self.publish(&message).await {
                    Fate::Stored => true,
                    Fate::Never(reason) => {
                        tracing::error!(
                            id = message.id,
                            subject = message.subject,
                            "a submitted message is given up: {reason}"
                        );
                        true
                    }
                    Fate::Later(reason) => {
                        self.log.note("later", || {
                            tracing::warn!(
                                subject = message.subject,
                                tries = message.tries + 1,
                                "a submitted message waits: {reason}"
                            )
                        });
                        message.tries += 1;
                        let doubled = PAUSES[0].saturating_mul(1 << message.tries.min(4));
                        let longest = if message.tries < OFTEN { doubled.min(PAUSES[1]) } else { SELDOM };
                        let pause = longest.mul_f64(0.5 + fastrand::f64());
                        message.next_try = now.checked_add(pause).ok();
                        let renew = move || Spool::renew(&path, &message);
                        if let Ok(Err(error)) = tokio::task::spawn_blocking(renew).await {
                            self.log.note("spool", || {
                                tracing::error!("the submission spool cannot be written: {error}")
                            });
                        }
                        return false;
                    }
                },
            };
            if done {
                // Gone, or a program has taken it back.
                let _ = tokio::task::spawn_blocking(move || std::fs::remove_file(path)).await;
            }
        }
        all == AT_ONCE
    }

    async fn publish(&mut self, message: &Submission) -> Fate {
        let subject = format!("{}.{}", self.prefix, message.subject);
        let payload = Bytes::from(message.payload.clone());
        let headers = message.published_headers();
        if message.reliable {
            let to_store = ToStore { subject, headers, payload };
            return self.storing.store(&[to_store], PATIENCE).await.pop().unwrap_or(Fate::Stored);
        }
        let sent = match self.session.line().await {
            Ok(line) => line.publish_with(subject, None, &headers, payload).await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) => {
                self.session.flush().await;
                Fate::Stored
            }
            Err(error @ PublishError::TooLarge { .. }) => Fate::Never(error.to_string()),
            Err(error) => Fate::Later(error.to_string()),
        }
    }
}
