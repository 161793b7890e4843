//! One direction at work: takes messages in, one after the other, and hands them on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::carry::{Carried, Carrier, Dropped};
use super::counters::Counters;
use crate::core::connection::{Message, PublishError, Session};
use crate::core::log::RefusalLog;
use crate::core::text::shortened;

/// Messages that wait between the connection and the lane; their bytes are the real bound.
const INTAKE: usize = 16_384;
/// How long what was taken in is carried on once it is to end.
const ENDING: Duration = Duration::from_secs(2);
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
        let (sink, mut intake) = mpsc::channel::<Message>(INTAKE);
        let budget = self.counters.waiting.clone();
        let queue = Some(self.queue.clone());
        let subscription = self.from.subscribe_within(self.subject.clone(), queue, sink, budget).await;
        let log = RefusalLog::default();
        loop {
            let message = tokio::select! {
                biased;
                message = intake.recv() => message,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let Some(message) = message else { return };
            // What has come waits for the other side, within its budget.
            let connected = tokio::select! {
                biased;
                () = self.to.connected() => true,
                _ = stop.wait_for(|stop| *stop) => false,
            };
            if !connected {
                self.lose(&message);
                break;
            }
            self.pass(message, &log).await;
        }
        self.from.unsubscribe(subscription);
        let until = Instant::now() + ENDING;
        while let Ok(message) = intake.try_recv() {
            if Instant::now() >= until || self.to.connected_server().is_none() {
                self.lose(&message);
                continue;
            }
            self.pass(message, &log).await;
        }
        self.to.flush().await;
    }

    /// Gives a message up.
    fn lose(&self, message: &Message) {
        self.counters.egest.fail();
        self.counters.waiting.give_back(message);
    }

    /// Carries one message on.
    async fn pass(&self, message: Message, log: &RefusalLog) {
        let begun = Instant::now();
        let Counters { ingest, transformer, egest, waiting } = &*self.counters;
        let server = |session: &Session| session.connected_server().unwrap_or_else(|| "unknown".to_owned());
        let carried = self.carrier.carry(&message.payload, &server(&self.from), &server(&self.to));
        let Carried { text, targets, refused } = match carried {
            Ok(carried) => carried,
            Err(dropped) => {
                waiting.give_back(&message);
                // As the original counts: what cannot be read is not received.
                match &dropped {
                    Dropped::Unreadable(_) => ingest.fail(),
                    Dropped::Incomplete(_) | Dropped::Elsewhere(_) => {
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
        let text = Bytes::from(text);
        for target in targets {
            match self.publish(target, text.clone()).await {
                Ok(()) => egest.publish(),
                Err(e) => {
                    egest.fail();
                    log.note("publish", || tracing::warn!("a message to {} is lost: {e}", self.subject));
                }
            }
        }
        egest.receive(begun.elapsed());
        waiting.give_back(&message);
    }

    /// Hands one on; by the next connection where this one has just ended.
    async fn publish(&self, target: String, text: Bytes) -> Result<(), PublishError> {
        match self.to.line().await?.publish(target.clone(), None, text.clone()).await {
            Err(PublishError::Failed(_)) => self.to.line().await?.publish(target, None, text).await,
            sent => sent,
        }
    }
}
