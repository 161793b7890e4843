//! The way of a message to one node and back, from the hops in its answer (spec 01 §7).

use std::time::{Duration, Instant};

use super::broadcast::PING;
use crate::core::agents::discovery;
use crate::core::client::{Client, ClientError, Heard, ReplyChecker, Targets};
use crate::core::protocol::filter::Filter;
use crate::core::protocol::v1::Transport;

/// What is known of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trace {
    /// The node answered: broker in, process and broker out of each hop, and how long it took.
    Way(Vec<[String; 3]>, Duration),
    /// Nobody carries requests to these federations, and the node did not answer.
    Down(Vec<String>),
    /// Nobody listens as this node.
    Nobody,
    /// No answer in time.
    Silence,
}

/// Asks `node` for a sign of life, and which way it came.
///
/// # Errors
/// [`ClientError`]
pub async fn trace(
    client: &Client,
    collective: String,
    node: &str,
    timeout: Duration,
) -> Result<Trace, ClientError> {
    let filter = Filter::default();
    let mut conversation = client.converse(discovery::NAME, PING.to_owned(), collective, filter).await?;
    let nodes = [node.to_owned()];
    let mut checker = ReplyChecker::direct(conversation.request_id(), discovery::NAME, &nodes);
    let begun = Instant::now();
    conversation.send(Targets::Direct(nodes.into())).await?;
    loop {
        match conversation.next(begun + timeout).await {
            None if !conversation.down().is_empty() => {
                return Ok(Trace::Down(conversation.down().iter().cloned().collect()));
            }
            None => return Ok(Trace::Silence),
            Some(Heard::NobodyAtAll) => {
                return Ok(Trace::Down(conversation.down().iter().cloned().collect()));
            }
            Some(Heard::NobodyAt(_)) => return Ok(Trace::Nobody),
            Some(Heard::Denied(what)) => return Err(conversation.denied(what)),
            Some(Heard::DeniedAt(node)) => return Err(conversation.denied(format!("ask {node}"))),
            Some(Heard::Reply(message)) => {
                let hops = Transport::decode(&message.payload).map(|transport| transport.headers.seen_by);
                if let (Ok(_), Ok(hops)) = (checker.check(&message.subject, &message.payload), hops) {
                    return Ok(Trace::Way(hops, begun.elapsed()));
                }
            }
            Some(
                Heard::NobodyCarries(_)
                | Heard::ProbeDenied
                | Heard::Myself
                | Heard::Complaint(_)
                | Heard::Probed(_),
            ) => {}
        }
    }
}
