//! A request on its way out: to many nodes that takes a while, and the first of
//! them answer meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::addresses::{Addresses, TAG};
use super::complaints::Complaints;
use super::error::ClientError;
use crate::core::connection::{PublishError, Session};
use crate::core::protocol::subjects;

/// Messages between two looks at what has come back: at a microsecond or two
/// each, answers do not wait for them.
const AT_ONCE: usize = 256;

/// The same once the broker has refused one. async-nats keeps 128 complaints
/// that were not looked at and drops the others, and each of these has to be
/// heard, or the node would be waited for: so many are sent, and the next when
/// the broker has worked through them.
const AT_ONCE_IF_DENIED: usize = 64;
/// How long the broker's word on them is waited for.
const FENCED: Duration = Duration::from_secs(1);

/// What is left to send of one request.
pub(super) struct Outgoing {
    session: Session,
    addresses: Addresses,
    post: Post,
    fence: Fence,
    sent: usize,
    /// Until when no more is sent, unless the broker's word comes before.
    held: Option<Instant>,
}

/// Who knows whether something was refused, and the subject to ask at.
pub(super) struct Fence {
    pub(super) nowhere: String,
    pub(super) denied: Arc<Complaints>,
}

/// What goes where.
pub(super) enum Post {
    /// One message to one subject; the broker tells when nobody listens there.
    All { subject: String, message: Bytes },
    /// One message to each of these nodes of a collective.
    Each { collective: String, nodes: Arc<[String]>, letter: Letter },
    /// Messages to brokers of these federations, which carry them on.
    Carried(Vec<(String, Bytes)>),
}

/// What single nodes are sent.
pub(super) enum Letter {
    /// All the same.
    Same(Bytes),
    /// The same but for where each is to answer: what makes that its own goes
    /// in at `gap`.
    Own { text: String, gap: usize },
}

impl Letter {
    /// The message to `node`: one piece of memory, one copy.
    fn to(&self, node: &str, addresses: &Addresses) -> Bytes {
        let (text, gap) = match self {
            Letter::Same(message) => return message.clone(),
            Letter::Own { text, gap } => (text.as_bytes(), *gap),
        };
        let (head, tail) = text.split_at_checked(gap).unwrap_or((text, &[]));
        let mut message = Vec::with_capacity(text.len() + TAG + 1);
        message.extend_from_slice(head);
        addresses.push_node(node, &mut message);
        message.extend_from_slice(tail);
        message.into()
    }
}

impl Outgoing {
    pub(super) fn new(session: Session, addresses: Addresses, post: Post, fence: Fence) -> Outgoing {
        Outgoing { session, addresses, post, fence, sent: 0, held: None }
    }

    /// Whether anything was sent at all.
    pub(super) fn begun(&self) -> bool {
        self.sent > 0
    }

    /// Nodes that nothing was sent to yet.
    pub(super) fn unsent(&self) -> &[String] {
        match &self.post {
            Post::Each { nodes, .. } => nodes.get(self.sent..).unwrap_or_default(),
            Post::All { .. } | Post::Carried(_) => &[],
        }
    }

    /// Until when the broker's word on what was sent is waited for.
    pub(super) fn held(&self) -> Option<Instant> {
        self.held
    }

    /// The broker has worked through what was sent.
    pub(super) fn release(&mut self) {
        self.held = None;
    }

    /// Sends the next few messages; false when all are sent and written out.
    /// Dropping the future loses nothing and sends nothing twice.
    pub(super) async fn send_some(&mut self) -> Result<bool, ClientError> {
        let (mut line, mut again) = (self.session.line().await?, false);
        let careful = self.fence.denied.any() && matches!(self.post, Post::Each { .. });
        for _ in 0..if careful { AT_ONCE_IF_DENIED } else { AT_ONCE } {
            let Some((subject, nobody, message)) = self.next() else {
                self.session.flush().await;
                return Ok(false);
            };
            match line.publish(subject, nobody, message).await {
                // it broke, the rest goes by the next one
                Err(PublishError::Failed(_)) if !again => {
                    again = true;
                    line = self.session.line().await?;
                    continue;
                }
                sent => sent?,
            }
            // Right behind the message, with nothing between that could wait.
            self.sent += 1;
        }
        if careful {
            let back = self.addresses.probe(0);
            line.publish(self.fence.nowhere.clone(), Some(back), Bytes::new()).await?;
            self.held = Some(Instant::now() + FENCED);
        }
        // The connection writes, and reads, in tasks of its own.
        tokio::task::yield_now().await;
        Ok(true)
    }

    /// The subject of the next message, the one to tell when nobody listens, and
    /// the message.
    fn next(&self) -> Option<(String, Option<String>, Bytes)> {
        match &self.post {
            Post::All { subject, message } => (self.sent == 0)
                .then(|| (subject.clone(), Some(self.addresses.nobody_at_all()), message.clone())),
            Post::Each { collective, nodes, letter } => {
                let node = nodes.get(self.sent)?;
                let nobody = self.addresses.nobody_at(node);
                Some((subjects::node(collective, node), Some(nobody), letter.to(node, &self.addresses)))
            }
            Post::Carried(messages) => {
                let (federation, message) = messages.get(self.sent)?;
                let nobody = self.addresses.nobody_carries(federation);
                Some((subjects::federation(federation), Some(nobody), message.clone()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::protocol::v1::{Headers, Transport};

    #[test]
    fn each_node_is_told_its_own_address_and_else_the_same() {
        let addresses = Addresses::new("c\"ol.reply.x.id".into()).unwrap();
        let headers = Headers {
            reply_to: Some(addresses.shared().to_owned()),
            sender: "console".into(),
            seen_by: vec![["a".into(), "b".into(), "a".into()]],
            federation: None,
        };
        let transport = Transport { data: b"signed".to_vec(), headers };
        let (text, gap) = transport.encode_with_gap();
        assert_eq!(text, transport.encode());
        let letter = Letter::Own { text, gap: gap.unwrap() };
        for node in ["n1.example.net", "n2"] {
            let mut told = Transport::decode(&letter.to(node, &addresses)).unwrap();
            assert_eq!(
                told.headers.reply_to.replace(addresses.shared().to_owned()),
                Some(addresses.node(node))
            );
            assert_eq!(told, transport);
        }
        let nowhere = Transport { headers: Headers::default(), ..transport };
        assert_eq!(nowhere.encode_with_gap().1, None);
    }
}
