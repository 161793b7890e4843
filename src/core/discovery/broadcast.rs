//! Asking the fleet: every node whose filter matches answers (spec 03 §4.2).

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::Discovered;
use crate::core::agents::discovery;
use crate::core::client::{Client, ClientError, ReplyChecker, Targets};
use crate::core::connection::Message;
use crate::core::protocol::filter::Filter;

/// `ping` in base64: discovery payloads really are.
const PING: &str = "cGluZw==";
/// A sliding window closes this long after the last answer at the soonest.
const QUIET: Duration = Duration::from_millis(300);

/// When to stop waiting for answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// After this long.
    Fixed(Duration),
    /// When no answer came for max(300 ms, 3 × the slowest answer so far), or
    /// after this long.
    Sliding(Duration),
}

impl Window {
    fn limit(self) -> Duration {
        match self {
            Window::Fixed(limit) | Window::Sliding(limit) => limit,
        }
    }

    /// When to stop, given when asking began and when the last answer came.
    fn deadline(self, begun: Instant, last: Option<Instant>) -> Instant {
        let limit = begun + self.limit();
        match (self, last) {
            (Window::Sliding(_), Some(last)) => {
                let slowest = last.duration_since(begun);
                limit.min(last + QUIET.max(slowest * 3))
            }
            _ => limit,
        }
    }
}

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
    let begun = Instant::now();
    conversation.send(Targets::Broadcast).await?;
    let mut nodes = vec![];
    let mut last = None;
    while let Some(message) = conversation.next(window.deadline(begun, last)).await {
        match checker.check(&message.payload) {
            Ok(reply) => {
                last = Some(Instant::now());
                let more = found(&reply.sender, begun.elapsed());
                nodes.push(reply.sender);
                if !more {
                    break;
                }
            }
            Err(dropped) => tracing::warn!("dropped a discovery answer: {dropped}"),
        }
    }
    let took = begun.elapsed();
    let late = LateAnswers(Some((checker, conversation.into_replies())));
    Ok(Discovered { nodes, took, late })
}

/// Answers that came after the window closed. A window that follows the answers
/// may close on a slow node; whoever asked must be able to say so.
#[derive(Debug, Default)]
pub struct LateAnswers(Option<(ReplyChecker, mpsc::Receiver<Message>)>);

impl LateAnswers {
    /// Names of the nodes that answered since, sorted.
    pub fn names(&mut self) -> Vec<String> {
        let Some((checker, replies)) = &mut self.0 else { return vec![] };
        let mut names = vec![];
        while let Ok(message) = replies.try_recv() {
            names.extend(checker.check(&message.payload).map(|reply| reply.sender));
        }
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sliding_window_follows_the_slowest_answer() {
        let begun = Instant::now();
        let ms = Duration::from_millis;
        let sliding = Window::Sliding(ms(2000));
        let left = |window: Window, last: Option<u64>| {
            window.deadline(begun, last.map(|l| begun + ms(l))).duration_since(begun)
        };
        assert_eq!(left(sliding, None), ms(2000));
        assert_eq!(left(sliding, Some(10)), ms(310));
        assert_eq!(left(sliding, Some(200)), ms(800));
        assert_eq!(left(sliding, Some(900)), ms(2000), "never beyond the timeout");
        assert_eq!(left(Window::Fixed(ms(2000)), Some(10)), ms(2000));
    }
}
