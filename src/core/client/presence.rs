//! Whether nodes that do not answer are there at all, by the word of the broker.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::conversation::Conversation;
use crate::core::protocol::presence::{Answer, Presence, Question, SERVICE};
use crate::core::protocol::subjects;
use crate::core::protocol::v1::new_request_id;

/// How long the broker's word is waited for, all of it. A broker of another make says at once that
/// nobody answers; where the caller may not ask, nothing comes.
const PATIENCE: Duration = Duration::from_millis(500);

impl Conversation<'_> {
    /// What the broker knows of these nodes; of whom it does not tell, nothing. Where requests are
    /// carried by federations, theirs are other brokers, and nothing is asked. `nodes` are sorted.
    pub(super) async fn presence(&self, nodes: &[String]) -> BTreeMap<String, Presence> {
        let mut known = BTreeMap::new();
        let config = self.client.config();
        if nodes.is_empty() || !config.choria_federation_collectives.is_empty() {
            return known;
        }
        let asking = async {
            let Ok(line) = self.client.session().line().await else { return };
            let subject = subjects::service(&self.collective, SERVICE);
            let mut answers: FuturesUnordered<_> = Question::about(nodes)
                .iter()
                .map(|question| {
                    let inbox = subjects::reply(&self.collective, self.client.caller(), &new_request_id());
                    line.request(subject.clone(), inbox, &[], Bytes::from(question.encode()))
                })
                .collect();
            while let Some(answer) = answers.next().await {
                let answer = answer.ok().flatten().and_then(|message| Answer::parse(&message.payload));
                known.extend(answer.unwrap_or_default().nodes);
            }
        };
        if tokio::time::timeout(PATIENCE, asking).await.is_err() {
            tracing::debug!("the broker does not say which nodes are connected");
        }
        // nobody is told of who was not asked about
        known.retain(|node, _| nodes.binary_search(node).is_ok());
        known
    }
}
