//! Runs of tasks that have not ended when a stage has answered: what became of them is asked for
//! until it is known, as nobody else is to be asked before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::core::client::{Client, ClientError, RpcCall, RpcOptions, RpcReply};
use crate::core::tasks::spool::is_id;

const AGENT: &str = "bolt_tasks";
/// The time between looks, and how long answers are waited for.
const PAUSE: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(20);
/// Looks in a row that a node does not answer: it may be restarting.
const MISSES: u32 = 10;

/// The id of a run that goes on where that is the answer.
pub fn goes_on(reply: &RpcReply) -> Option<&str> {
    let data = &reply.body.data;
    let of_task = reply.agent() == AGENT && reply.body.statuscode.is_ok();
    let unended = of_task && data.get("completed") == Some(&Value::Bool(false));
    data.get("task_id").and_then(Value::as_str).filter(|id| unended && is_id(id))
}

/// Runs that go on, by node.
#[derive(Debug, Default)]
pub(super) struct Ends {
    runs: BTreeMap<String, Run>,
}

#[derive(Debug)]
struct Run {
    id: String,
    missed: u32,
}

impl Ends {
    pub(super) fn wait_for(&mut self, node: &str, id: &str) {
        self.runs.insert(node.to_owned(), Run { id: id.to_owned(), missed: 0 });
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    /// Looks at all of them: what those that have ended answer, and who does not answer any more.
    pub(super) async fn look(
        &mut self,
        client: &Client,
        collective: &str,
    ) -> Result<(Vec<RpcReply>, Vec<String>), ClientError> {
        tokio::time::sleep(PAUSE).await;
        let ids: BTreeSet<String> = self.runs.values().map(|run| run.id.clone()).collect();
        let (mut ended, mut lost) = (vec![], vec![]);
        for id in ids {
            let nodes: Vec<String> =
                self.runs.iter().filter(|(_, run)| run.id == id).map(|(node, _)| node.clone()).collect();
            let options = RpcOptions {
                agent: AGENT.to_owned(),
                action: "task_status".to_owned(),
                data: Map::from_iter([("task_id".to_owned(), id.into())]),
                collective: collective.to_owned(),
                timeout: PATIENCE,
                batch: None,
            };
            let mut call = RpcCall::direct(client, options, nodes.clone()).await?;
            let mut silent: BTreeSet<String> = nodes.into_iter().collect();
            while let Some(reply) = call.next().await? {
                silent.remove(&reply.sender);
                if reply.body.statuscode.is_ok()
                    && reply.body.data.get("completed") == Some(&Value::Bool(false))
                {
                    if let Some(run) = self.runs.get_mut(&reply.sender) {
                        run.missed = 0;
                    }
                } else if self.runs.remove(&reply.sender).is_some() {
                    ended.push(reply);
                }
            }
            for node in silent {
                let Some(run) = self.runs.get_mut(&node) else { continue };
                run.missed += 1;
                if run.missed >= MISSES {
                    self.runs.remove(&node);
                    lost.push(node);
                }
            }
        }
        Ok((ended, lost))
    }
}
