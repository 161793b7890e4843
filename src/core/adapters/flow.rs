//! One adapter at work: a task that takes in, and one that hands on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::Surroundings;
use super::counters::Counters;
use super::document::{Document, Reader, Unusable};
use super::outlets::{Outlet, Sent, Trouble};
use super::queue::{Put, Queue};
use super::settings::Settings;
use crate::core::connection::{ByteBudget, Message, Session};
use crate::core::log::RefusalLog;

/// Messages, and their bytes, between the connection and the adapter.
const INTAKE: usize = 16_384;
const INTAKE_BYTES: usize = 32 * 1024 * 1024;
/// Messages and documents that are worked on in one go.
const AT_ONCE: usize = 256;
/// Pauses between tries: from this long to that long.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(10)];
/// Longest pause that an outlet can ask for.
const LONGEST: Duration = Duration::from_secs(300);

/// Reasons that are told of while documents wait.
const REASONS: usize = 8;

/// One adapter.
pub(super) struct Flow {
    pub(super) settings: Settings,
    pub(super) around: Arc<Surroundings>,
    /// Where it hears.
    pub(super) hears: Session,
    pub(super) queue: Arc<Queue>,
    pub(super) counters: Arc<Counters>,
}

impl Flow {
    pub(super) fn spawn(
        self,
        flows: &mut JoinSet<()>,
        outlet: Box<dyn Outlet>,
        stopping: &watch::Receiver<bool>,
    ) {
        let flow = Arc::new(self);
        // Dropped when nothing more comes.
        let (all_in, ended) = watch::channel(());
        flows.spawn(flow.clone().take_in(stopping.clone(), all_in));
        flows.spawn(flow.hand_on(outlet, ended));
    }

    async fn take_in(self: Arc<Self>, mut stop: watch::Receiver<bool>, _all_in: watch::Sender<()>) {
        let (sink, mut intake) = mpsc::channel::<Message>(INTAKE);
        let budget = Arc::new(ByteBudget::new(INTAKE_BYTES));
        let Settings { name, topic, .. } = &self.settings;
        let group = Some(format!("nats_ingest_{name}"));
        let id = self.hears.subscribe_within(topic.clone(), group, sink, budget.clone()).await;
        let mut reader = Reader::of(&self.settings, &self.around.verifier);
        let log = Arc::new(RefusalLog::default());
        let mut messages = Vec::with_capacity(AT_ONCE);
        let mut dropped = 0;
        loop {
            let came = tokio::select! {
                biased;
                came = intake.recv_many(&mut messages, AT_ONCE) => Some(came),
                _ = stop.wait_for(|stop| *stop) => None,
            };
            let came = match came {
                Some(came) => came,
                None => {
                    self.hears.unsubscribe(id);
                    intake.close();
                    intake.recv_many(&mut messages, AT_ONCE).await
                }
            };
            if came == 0 {
                return;
            }
            for message in &messages {
                budget.give_back(message);
            }
            let begun = Instant::now();
            let taken = std::mem::take(&mut messages);
            let bytes: usize = taken.iter().map(|message| message.payload.len()).sum();
            // Signatures take their time.
            let read = tokio::task::spawn_blocking(move || {
                let now = jiff::Timestamp::now().as_second();
                let read: Vec<Result<Document, Unusable>> =
                    taken.iter().map(|message| reader.read(&message.payload, now)).collect();
                (reader, read)
            });
            let Ok((again, read)) = read.await else { return };
            reader = again;
            let each = begun.elapsed() / u32::try_from(read.len()).unwrap_or(1).max(1);
            let size = bytes / read.len().max(1);
            let mut documents = Vec::with_capacity(read.len());
            for document in read {
                match document {
                    Ok(document) => {
                        self.counters.input.done(size, each);
                        documents.push(document);
                    }
                    Err(why) => {
                        self.counters.input.fail();
                        log.note("message", || {
                            tracing::warn!("adapter {name}: a message is not handed on: {why}")
                        });
                    }
                }
            }
            let Put { lost, error } = self.queue.put(documents).await;
            self.lose(lost + usize::try_from(budget.dropped() - dropped).unwrap_or(0));
            dropped = budget.dropped();
            if let Some(error) = error {
                log.note("spool", || tracing::error!("adapter {name}: {error}"));
            } else if lost > 0 {
                log.note("full", || {
                    tracing::warn!(
                        "adapter {name}: {lost} documents found no room, more come in than are taken or one sender has more than its share"
                    )
                });
            }
        }
    }

    fn lose(&self, lost: usize) {
        self.counters.lost.fetch_add(lost as u64, Ordering::Relaxed);
    }

    async fn hand_on(self: Arc<Self>, mut outlet: Box<dyn Outlet>, mut ended: watch::Receiver<()>) {
        let name = &self.settings.name;
        let log = RefusalLog::default();
        let mut pause = PAUSES[0];
        // Reasons that were told of since documents were last taken.
        let mut told: Vec<String> = vec![];
        loop {
            let documents = tokio::select! {
                biased;
                documents = self.queue.look(AT_ONCE) => documents,
                _ = ended.changed() => self.queue.first(AT_ONCE).await,
            };
            let documents = match documents {
                Ok(documents) if documents.is_empty() => break,
                Ok(documents) => documents,
                Err(error) => {
                    log.note("spool", || tracing::error!("adapter {name}: {error}"));
                    tokio::time::sleep(PAUSES[1]).await;
                    continue;
                }
            };
            let begun = Instant::now();
            let Sent { taken, trouble } = outlet.send(&documents).await;
            let each = begun.elapsed() / u32::try_from(taken).unwrap_or(1).max(1);
            for document in documents.iter().take(taken) {
                self.counters.output.done(document.text.len(), each);
            }
            match trouble {
                None => {
                    self.queue.advance(taken).await;
                    self.counters.works.store(true, Ordering::Relaxed);
                    if !std::mem::take(&mut told).is_empty() {
                        tracing::info!("adapter {name}: documents are taken again");
                    }
                    pause = PAUSES[0];
                }
                Some(Trouble::Never(reason)) => {
                    self.queue.advance(taken + 1).await;
                    self.counters.output.fail();
                    self.lose(1);
                    log.note("never", || tracing::error!("adapter {name}: a document is given up: {reason}"));
                }
                Some(Trouble::Later(reason, asked)) => {
                    self.queue.advance(taken).await;
                    // Where some go through, a little patience does it.
                    if taken > 0 {
                        pause = PAUSES[0];
                    }
                    self.counters.output.fail();
                    let again = (documents.len() - taken) as u64;
                    self.counters.retries.fetch_add(again, Ordering::Relaxed);
                    self.counters.works.store(false, Ordering::Relaxed);
                    // The same with other numbers is the same.
                    let bare: String = reason.chars().filter(|c| !c.is_ascii_digit()).collect();
                    if told.len() < REASONS && !told.contains(&bare) {
                        tracing::warn!("adapter {name}: documents wait: {reason}");
                        told.push(bare);
                    } else {
                        tracing::debug!("adapter {name}: documents still wait: {reason}");
                    }
                    let wait = asked.unwrap_or(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).min(LONGEST);
                    pause = (pause * 2).min(PAUSES[1]);
                    // What waits on disk can wait for the next start.
                    let over = self.queue.outlives() && ended.has_changed().is_err();
                    if over {
                        break;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        _ = ended.changed(), if ended.has_changed().is_ok() => {}
                    }
                }
            }
        }
        self.queue.settle().await;
    }
}
