//! Asking the fleet: every node whose filter matches answers (spec 03 §4.2).

use std::time::{Duration, Instant};

use super::Discovered;
use super::window::{OpenWindow, Step, Window};
use crate::core::agents::discovery;
use crate::core::client::{Client, ClientError, Heard, Replies, ReplyChecker, Targets};
use crate::core::log::RefusalLog;
use crate::core::protocol::filter::Filter;

/// `ping` in base64: discovery payloads really are.
pub(super) const PING: &str = "cGluZw==";

/// Asks the nodes of `collective` and hands each name and its round-trip time
/// to `found` as it answers; `found` returns false to stop early.
pub async fn broadcast(
    client: &Client,
    collective: String,
    filter: Filter,
    window: Window,
    mut found: impl FnMut(&str, Duration) -> bool,
) -> Result<Discovered, ClientError> {
    let mut conversation = client.converse(discovery::NAME, PING.to_owned(), collective, filter).await?;
    let mut checker = ReplyChecker::broadcast(conversation.request_id(), discovery::NAME);
    let drops = RefusalLog::default();
    let begun = Instant::now();
    conversation.send(Targets::Broadcast).await?;
    let mut open = OpenWindow::new(window, Instant::now());
    open.slow_as(conversation.round_trip());
    let mut nodes = vec![];
    let mut nobody_listens = false;
    let mut step = open.step(Instant::now());
    loop {
        let deadline = match step {
            Step::Close => break,
            Step::Probe(number) => {
                conversation.probe(number).await?;
                step = open.step(Instant::now());
                continue;
            }
            Step::Wait(deadline) => deadline,
        };
        let heard = conversation.next(deadline).await;
        let now = Instant::now();
        step = match heard {
            None => open.step(now),
            Some(Heard::Probed(number)) => open.probed(number, now),
            Some(Heard::Denied(what)) => return Err(conversation.denied(what)),
            // Nobody will come either: whoever connects now missed the question.
            Some(Heard::NobodyAtAll) => {
                nobody_listens = true;
                Step::Close
            }
            Some(
                Heard::NobodyAt(_)
                | Heard::NobodyCarries(_)
                | Heard::DeniedAt(_)
                | Heard::ProbeDenied
                | Heard::Myself
                | Heard::Complaint(_),
            ) => step,
            Some(Heard::Reply(message)) => match checker.check(&message.subject, &message.payload) {
                Ok(reply) => {
                    open.answered(now);
                    let name = reply.envelope.senderid.into_owned();
                    let more = found(&name, now.duration_since(begun));
                    nodes.push(name);
                    if more { open.step(now) } else { Step::Close }
                }
                Err(dropped) => {
                    drops.note("answer", || tracing::warn!("dropped a discovery answer: {dropped}"));
                    step
                }
            },
        };
    }
    let took = begun.elapsed();
    let overflowed = conversation.overflowed();
    let federations_down = conversation.down().iter().cloned().collect();
    let late = LateAnswers(Some((checker, conversation.into_replies())));
    Ok(Discovered { nodes, named: false, took, late, nobody_listens, federations_down, overflowed })
}

/// Answers that came after the window closed. A window that follows the answers
/// may close on a slow node; whoever asked must be able to say so.
#[derive(Debug, Default)]
pub struct LateAnswers(Option<(ReplyChecker, Replies)>);

impl LateAnswers {
    /// Whether the network was asked at all; a list of names is not.
    pub fn asked(&self) -> bool {
        self.0.is_some()
    }

    /// Names of the nodes that answered since, sorted.
    pub fn names(&mut self) -> Vec<String> {
        let Some((checker, replies)) = &mut self.0 else { return vec![] };
        let mut names = vec![];
        while let Some(heard) = replies.try_next() {
            if let Heard::Reply(message) = heard {
                names.extend(
                    checker
                        .check(&message.subject, &message.payload)
                        .map(|reply| reply.envelope.senderid.into_owned()),
                );
            }
        }
        names.sort();
        names
    }
}
