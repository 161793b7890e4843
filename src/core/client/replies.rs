//! What comes back to a conversation: replies, and the broker's word that
//! nobody hears.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::addresses::{Addresses, Nobody};
use crate::core::connection::{ByteBudget, Message, NOBODY_LISTENS, Session, Subscription};

/// Replies that wait to be looked at; a fleet's answer to one broadcast.
const MESSAGES: usize = 65_536;
/// Bytes of them. A broker, or whoever may publish replies, decides how large
/// they are; a person's machine has to live with it.
const BYTES: usize = 128 * 1024 * 1024;

/// What arrived.
#[derive(Debug)]
pub enum Heard {
    /// A message on the reply subject.
    Reply(Message),
    /// Nobody listens on the subject of this node.
    NobodyAt(String),
    /// No node at all listens where everybody was asked.
    NobodyAtAll,
    /// No federation broker carries requests to this federation.
    NobodyCarries(String),
    /// The broker does not let this caller ask this node.
    DeniedAt(String),
    /// The broker does not let this caller ask at all, or hear the answer: what
    /// it may not do.
    Denied(String),
    /// The broker has worked through what was sent before a probe, and does not
    /// let this caller ask a node that cannot be.
    ProbeDenied,
    /// What this conversation sent to itself.
    Myself,
    /// What else the broker complained about on this connection.
    Complaint(String),
    /// The broker has worked through what was sent before this probe, and we
    /// have read what it had for us then.
    Probed(u64),
}

/// The receiving end of a conversation.
#[derive(Debug)]
pub struct Replies {
    receiver: mpsc::Receiver<Message>,
    budget: Arc<ByteBudget>,
    addresses: Addresses,
    /// Where they come by; nobody hears there when this is gone.
    heard: Vec<Subscription>,
}

impl Replies {
    /// The end that is read, and the one that subscriptions fill.
    pub(super) fn new(addresses: Addresses) -> (Replies, mpsc::Sender<Message>) {
        let (sink, receiver) = mpsc::channel(MESSAGES);
        (Replies { receiver, budget: Arc::new(ByteBudget::new(BYTES)), addresses, heard: vec![] }, sink)
    }

    /// Hears what comes by a subject, for as long as these replies are wanted.
    pub(super) async fn hear(
        &mut self,
        session: &Session,
        subject: String,
        queue: Option<String>,
        sink: &mpsc::Sender<Message>,
    ) {
        let id = session.subscribe_within(subject, queue, sink.clone(), self.budget.clone()).await;
        self.heard.push(session.ending(id));
    }

    /// Messages dropped because too many bytes waited.
    pub fn overflowed(&self) -> u64 {
        self.budget.dropped()
    }

    /// What arrives next, `None` at `deadline`. What has arrived is handed out
    /// however late it is asked for.
    pub async fn next(&mut self, deadline: Instant) -> Option<Heard> {
        loop {
            // no timer is set for what is there already
            if let Some(heard) = self.try_next() {
                return Some(heard);
            }
            let message = tokio::time::timeout_at(deadline.into(), self.receiver.recv()).await.ok()??;
            if let Some(heard) = self.sort(message) {
                return Some(heard);
            }
        }
    }

    /// What has arrived and was not handed out.
    pub fn try_next(&mut self) -> Option<Heard> {
        loop {
            let message = self.receiver.try_recv().ok()?;
            if let Some(heard) = self.sort(message) {
                return Some(heard);
            }
        }
    }

    fn sort(&self, message: Message) -> Option<Heard> {
        self.budget.give_back(&message);
        let subject = message.subject.as_str();
        let Some(word) = self.addresses.word(subject) else { return Some(Heard::Reply(message)) };
        if matches!(word, Some(Nobody::Myself)) {
            return Some(Heard::Myself);
        }
        // Whoever may publish here could say anything; only the broker's status
        // counts, and only where nobody but the node it is about could send it.
        if message.status != Some(NOBODY_LISTENS) {
            return None;
        }
        Some(match word? {
            Nobody::At(name) => Heard::NobodyAt(name.to_owned()),
            Nobody::Probed(number) => Heard::Probed(number),
            Nobody::AtAll => Heard::NobodyAtAll,
            Nobody::Carries(federation) => Heard::NobodyCarries(federation.to_owned()),
            Nobody::Myself => Heard::Myself,
        })
    }
}
