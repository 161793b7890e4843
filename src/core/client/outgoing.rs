//! A request on its way out: to many nodes that takes a while, and the first of
//! them answer meanwhile.

use bytes::Bytes;

use super::conversation::ClientError;
use crate::core::connection::Session;
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
    Each { collective: String, nodes: Vec<String>, message: Bytes },
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
        for _ in 0..AT_ONCE {
            if !self.send_one().await? {
                self.session.flush().await;
                return Ok(false);
            }
            // Right behind the message, with nothing between that could wait.
            self.sent += 1;
        }
        // The connection writes, and reads, in tasks of its own.
        tokio::task::yield_now().await;
        Ok(true)
    }

    async fn send_one(&self) -> Result<bool, ClientError> {
        match &self.post {
            Post::All { subject, message } if self.sent == 0 => {
                let nobody = format!("{}.all.nodes", self.none);
                self.session.publish_asking(subject.clone(), nobody, message.clone()).await?;
            }
            Post::All { .. } => return Ok(false),
            Post::Each { collective, nodes, message } => {
                let Some(node) = nodes.get(self.sent) else { return Ok(false) };
                let nobody = format!("{}.node.{node}", self.none);
                let subject = subjects::node(collective, node);
                self.session.publish_asking(subject, nobody, message.clone()).await?;
            }
            Post::Carried(messages) => {
                let Some((subject, message)) = messages.get(self.sent) else { return Ok(false) };
                self.session.publish(subject.clone(), message.clone()).await?;
            }
        }
        Ok(true)
    }
}
