//! One direction at work: takes messages in as they come, and hands them on by turns.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::carry::{Carried, Carrier, Dropped};
use super::counters::Counters;
use super::turns::Turns;
use crate::core::connection::{Message, PublishError, Session};
use crate::core::log::RefusalLog;
use crate::core::text::shortened;

/// Messages that wait between the connection and the lane; their bytes are the real bound.
const INTAKE: usize = 16_384;
/// How long what was taken in is carried on once it is to end.
const ENDING: Duration = Duration::from_secs(2);
/// Between two looks for what has waited too long.
const LOOK: Duration = Duration::from_secs(1);
/// Characters of a subject in a log.
const SHOWN: usize = 200;

/// One direction.
pub(super) struct Lane {
    pub(super) carrier: Carrier,
    /// What it hears, and with whom it shares that.
    pub(super) subject: String,
    pub(super) queue: String,
    pub(super) from: Session,
    pub(super) to: Session,
    pub(super) counters: Arc<Counters>,
}

impl Lane {
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        let (sink, intake) = mpsc::channel::<Message>(INTAKE);
        let budget = self.counters.waiting.clone();
        let queue = Some(self.queue.clone());
        let subscription = self.from.subscribe_within(self.subject.clone(), queue, sink, budget).await;
        let mut work = Work {
            lane: &self,
            intake,
            turns: Turns::default(),
            log: RefusalLog::default(),
            looked: Instant::now(),
        };
        while !*stop.borrow() {
            work.expire();
            let waits = work.turns.is_empty();
            if !waits && self.to.connected_server().is_some() {
                work.hand_on().await;
                continue;
            }
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                message = work.intake.recv() => match message {
                    Some(message) => work.take(message),
                    None => return,
                },
                // what has come waits for the other side
                () = self.to.connected(), if !waits => {}
                () = tokio::time::sleep(LOOK), if !waits => {}
            }
        }
        self.from.unsubscribe(subscription);
        let until = Instant::now() + ENDING;
        work.take_all();
        while Instant::now() < until && self.to.connected_server().is_some() && !work.turns.is_empty() {
            work.hand_on().await;
        }
        while work.turns.next().is_some() {
            self.counters.egest.fail();
        }
        self.to.flush().await;
    }

    /// What becomes of a message that came: it waits for its turn, or is refused.
    fn take(&self, message: Message, turns: &mut Turns, log: &RefusalLog) {
        let begun = Instant::now();
        let Counters { ingest, transformer, egest, waiting, given_up } = &*self.counters;
        let server = |session: &Session| session.connected_server().unwrap_or_else(|| "unknown".to_owned());
        let carried = self.carrier.carry(&message.payload, &server(&self.from), &server(&self.to));
        waiting.give_back(&message);
        let Carried { text, targets, refused, caller } = match carried {
            Ok(carried) => carried,
            Err(dropped) => {
                // As the original counts: what cannot be read is not received.
                match &dropped {
                    Dropped::Unreadable(_) => ingest.fail(),
                    Dropped::Incomplete(_) | Dropped::Elsewhere(_) | Dropped::TooMuch(_) => {
                        ingest.receive(Duration::ZERO);
                        transformer.fail();
                    }
                }
                let subject = &self.subject;
                log.note("message", || tracing::warn!("a message to {subject} is not carried on: {dropped}"));
                return;
            }
        };
        ingest.receive(Duration::ZERO);
        transformer.receive(begun.elapsed());
        for target in &refused {
            egest.fail();
            log.note("target", || {
                let target = shortened(target, SHOWN);
                tracing::warn!("a request is not carried to {target}: no node, agent or service of a collective that is served");
            });
        }
        if targets.is_empty() {
            egest.receive(begun.elapsed());
            return;
        }
        let lost = turns.add(caller, Bytes::from(text), targets, begun);
        if lost > 0 {
            given_up.fetch_add(lost, Ordering::Relaxed);
            let subject = &self.subject;
            log.note("crowded", || {
                tracing::warn!("too much waits to be carried from {subject}: what asks for most is given up");
            });
        }
    }

    /// Hands one on: little of it at a time, so that whose turn comes is not behind what was handed over before.
    async fn publish(&self, target: String, text: Bytes) -> Result<(), PublishError> {
        self.to.publish_for(&self.subject, target, text).await
    }
}

/// What a lane is at.
struct Work<'a> {
    lane: &'a Lane,
    intake: mpsc::Receiver<Message>,
    turns: Turns,
    log: RefusalLog,
    /// When it was looked last for what has waited too long.
    looked: Instant,
}

impl Work<'_> {
    fn take(&mut self, message: Message) {
        self.lane.take(message, &mut self.turns, &self.log);
    }

    fn take_all(&mut self) {
        while let Ok(message) = self.intake.try_recv() {
            self.take(message);
        }
    }

    /// Hands on what is next, and takes in what comes meanwhile.
    async fn hand_on(&mut self) {
        self.take_all();
        let Some(next) = self.turns.next() else { return };
        let mut publish = std::pin::pin!(self.lane.publish(next.target, next.text));
        let sent = loop {
            tokio::select! {
                biased;
                sent = &mut publish => break sent,
                Some(message) = self.intake.recv() => self.lane.take(message, &mut self.turns, &self.log),
            }
        };
        let (egest, subject) = (&self.lane.counters.egest, &self.lane.subject);
        match sent {
            Ok(()) => egest.publish(),
            Err(e) => {
                egest.fail();
                self.log.note("publish", || tracing::warn!("a message to {subject} is lost: {e}"));
            }
        }
        if let Some(begun) = next.done {
            egest.receive(begun.elapsed());
        }
    }

    /// Gives up what nobody waits for any more.
    fn expire(&mut self) {
        if self.looked.elapsed() < LOOK {
            return;
        }
        self.looked = Instant::now();
        let late = self.turns.expire(self.looked);
        if late > 0 {
            self.lane.counters.given_up.fetch_add(late, Ordering::Relaxed);
            let subject = &self.lane.subject;
            self.log.note("late", || {
                tracing::warn!("{late} messages from {subject} waited for a minute, and are given up");
            });
        }
    }
}
