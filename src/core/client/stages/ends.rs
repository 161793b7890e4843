//! Runs of tasks that have not ended when a stage has answered: what became of them is asked for
//! until it is known, as nobody else is to be asked before.
//!
//! Only a status that says so is an end. Whoever does not answer, does not know of the run, or does not
//! let this caller look says nothing of the task.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::core::client::{Client, ClientError, RpcCall, RpcOptions, RpcReply};
use crate::core::rpc::{ReplyBody, StatusCode};
use crate::core::tasks::spool::is_id;

const AGENT: &str = "bolt_tasks";
/// The least and the most time between looks, and how long answers are waited for.
const PAUSE: Duration = Duration::from_secs(3);
const LONGEST: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(20);
/// Looks in a row that say nothing: a node may be restarting, or the broker be away.
pub(super) const MISSES: u32 = 10;

/// How often it is said who is waited for.
pub(super) const SAID: Duration = Duration::from_secs(600);

/// The time until the next look: each is a request to all nodes, and a task that took long takes longer.
pub(super) fn pause(waited: Duration) -> Duration {
    (waited / 10).clamp(PAUSE, LONGEST)
}

/// The id of a run that goes on where that is the answer.
pub fn goes_on(reply: &RpcReply) -> Option<&str> {
    let data = &reply.body.data;
    let of_task = reply.agent() == AGENT && reply.body.statuscode.is_ok();
    let unended = of_task && data.get("completed") == Some(&Value::Bool(false));
    data.get("task_id").and_then(Value::as_str).filter(|id| unended && is_id(id))
}

/// What an answer to a look says: whether the task has ended, or nothing of it.
pub(super) fn has_ended(ok: bool, data: &Map<String, Value>) -> Option<bool> {
    match data.get("completed").and_then(Value::as_bool)? {
        // a node that knows nothing of the run says this, too, and not that all is well
        false => ok.then_some(false),
        true => Some(true),
    }
}

/// Which of these nodes say that a run of that id was never begun there: only they may be asked to begin it again.
/// Who does not answer, or may not be looked at, is not among them.
///
/// # Errors
/// Nobody could be asked.
pub async fn never_begun(
    client: &Client,
    collective: &str,
    id: &str,
    nodes: Vec<String>,
) -> Result<Vec<String>, ClientError> {
    let mut call = look(client, collective, id, nodes).await?;
    let mut unknown = vec![];
    while let Some(reply) = call.next().await? {
        if is_unknown(&reply.body) {
            unknown.push(reply.sender);
        }
    }
    Ok(unknown)
}

/// Whether that is the answer of a node that does not know the run.
fn is_unknown(body: &ReplyBody) -> bool {
    body.statuscode == StatusCode::MissingData && body.data.get("completed") != Some(&Value::Bool(true))
}

/// Asks nodes what became of a run.
pub(super) async fn look<'c>(
    client: &'c Client,
    collective: &str,
    id: &str,
    nodes: Vec<String>,
) -> Result<RpcCall<'c>, ClientError> {
    let options = RpcOptions {
        agent: AGENT.to_owned(),
        action: "task_status".to_owned(),
        data: Map::from_iter([("task_id".to_owned(), id.into())]),
        collective: collective.to_owned(),
        timeout: PATIENCE,
        batch: None,
    };
    RpcCall::direct(client, options, nodes).await
}

/// Looks that said nothing, by node.
#[derive(Debug, Default)]
pub(super) struct Misses {
    in_a_row: BTreeMap<String, u32>,
    given_up: BTreeSet<String>,
}

impl Misses {
    /// A node said how its run is.
    pub(super) fn none(&mut self, node: &str) {
        self.in_a_row.remove(node);
    }

    /// It did not; true where it is waited for no more.
    pub(super) fn one_more(&mut self, node: &str) -> bool {
        let missed = self.in_a_row.entry(node.to_owned()).or_default();
        *missed += 1;
        *missed >= MISSES && self.given_up.insert(node.to_owned())
    }

    /// Runs that are waited for, by id, of these nodes.
    pub(super) fn waited_for(&self, running: &BTreeMap<String, String>) -> BTreeMap<String, Vec<String>> {
        let mut runs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (node, id) in running.iter().filter(|(node, _)| !self.given_up.contains(*node)) {
            runs.entry(id.clone()).or_default().push(node.clone());
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_who_says_so_has_not_begun() {
        let body = |code: i64, data: Value| ReplyBody {
            action: "task_status".to_owned(),
            statuscode: code.into(),
            statusmsg: String::new(),
            data: data.as_object().cloned().unwrap_or_default(),
        };
        for (code, data, unknown) in [
            (3, json!({"completed": false}), true),
            (3, json!({}), true),
            (3, json!({"completed": true}), false),
            (0, json!({"completed": false}), false),
            (1, json!({"completed": true}), false),
            (5, json!({"completed": false}), false),
            (2, json!({}), false),
        ] {
            assert_eq!(is_unknown(&body(code, data.clone())), unknown, "{code} {data}");
        }
    }
}
