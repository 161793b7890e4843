//! The reply of a request that was accepted.

use crate::core::agents::Node;
use crate::core::nats::subject::valid_subject;
use crate::core::protocol::v1::{Headers, Reply, ReplyEnvelope, SecureReply, Transport};
use crate::core::server::NodeState;

use super::stages::Accepted;

/// Longest reply subject; callers choose it.
const MAX_SUBJECT: usize = 1024;
/// Hops that are copied from a request; callers and brokers add them.
const MAX_HOPS: usize = 32;

/// The caller wrote something that is no subject.
#[derive(Debug, PartialEq, Eq)]
pub struct NoSubject;

/// Where the reply goes; `None` when the caller wants none.
pub fn subject(headers: &Headers) -> Result<Option<&str>, NoSubject> {
    match headers.reply_to.as_deref() {
        None | Some("") => Ok(None),
        Some(subject) if subject.len() <= MAX_SUBJECT && valid_subject(subject.as_bytes()) => {
            Ok(Some(subject))
        }
        Some(_) => Err(NoSubject),
    }
}

/// The transport text. Federation data and, for federated requests, the hops
/// go back with the reply (spec 01 §2.1).
pub fn encode(accepted: &Accepted, node: &NodeState, url: Option<&str>, payload: String, now: i64) -> String {
    let envelope = &accepted.request().envelope;
    let reply = Reply {
        message: payload.into(),
        envelope: ReplyEnvelope {
            requestid: envelope.requestid.as_str().into(),
            senderid: node.identity().into(),
            agent: envelope.agent.as_str().into(),
            time: now,
        },
    };
    let mut headers = accepted.headers().reply(node.identity());
    headers.seen_by.truncate(MAX_HOPS);
    headers.record_hop(url.unwrap_or("unknown"), node.identity());
    let data = SecureReply::of(&reply.encode()).encode().into_bytes();
    Transport { data, headers }.encode()
}
