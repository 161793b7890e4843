//! A request on its way out: to many nodes that takes a while, and the first of
//! them answer meanwhile.

use std::sync::Arc;

use bytes::Bytes;

use super::conversation::ClientError;
use crate::core::connection::{PublishError, Session};
use crate::core::protocol::subjects;

/// Messages between two looks at what has come back: at a microsecond or two
/// each, answers do not wait for them.
const AT_ONCE: usize = 256;

/// What is left to send of one request.
pub(super) struct Outgoing {
    session: Session,
    /// Below it the broker says that nobody listens.
    none: String,
    post: Post,
    sent: usize,
}

/// What goes where.
pub(super) enum Post {
    /// One message to one subject; the broker tells when nobody listens there.
    All { subject: String, message: Bytes },
    /// One message to each of these nodes of a collective, the same.
    Each { collective: String, nodes: Arc<[String]>, message: Bytes },
    /// Messages to federation brokers, which carry them on.
    Carried(Vec<(String, Bytes)>),
}

impl Outgoing {
    pub(super) fn new(session: Session, none: String, post: Post) -> Outgoing {
        Outgoing { session, none, post, sent: 0 }
    }

    /// Sends the next few messages; false when all are sent and written out.
    /// Dropping the future loses nothing and sends nothing twice.
    pub(super) async fn send_some(&mut self) -> Result<bool, ClientError> {
        let (mut line, mut again) = (self.session.line().await?, false);
        for _ in 0..AT_ONCE {
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
        // The connection writes, and reads, in tasks of its own.
        tokio::task::yield_now().await;
        Ok(true)
    }

    /// The subject of the next message, the one to tell when nobody listens, and
    /// the message.
    fn next(&self) -> Option<(String, Option<String>, Bytes)> {
        match &self.post {
            Post::All { subject, message } => (self.sent == 0)
                .then(|| (subject.clone(), Some(format!("{}.all.nodes", self.none)), message.clone())),
            Post::Each { collective, nodes, message } => {
                let node = nodes.get(self.sent)?;
                let nobody = [&self.none, ".node.", node].concat();
                Some((subjects::node(collective, node), Some(nobody), message.clone()))
            }
            Post::Carried(messages) => {
                let (subject, message) = messages.get(self.sent)?;
                Some((subject.clone(), None, message.clone()))
            }
        }
    }
}
