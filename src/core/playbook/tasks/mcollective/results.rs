//! A result for each node, and whether all is well.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::asking::Asked;
use super::question::Question;
use crate::core::client::stages::goes_on;
use crate::core::client::{Accounting, Class, RequestStats};
use crate::core::playbook::world::result;
use crate::core::puppet::host::Outcome;

/// Bytes of one reply, and of all replies to one task, that a plan is given. A node that says
/// more has failed; it ends nobody else's plan.
pub(super) const MOST_OF_ONE: usize = 512 << 10;
const MOST_OF_ALL: usize = 256 << 20;

/// What is known of a change in stages that did not come to a good end: it goes on from there.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    /// Who did well, in which class, and the result.
    good: BTreeMap<String, (Class, Map<String, Json>)>,
    /// Who was asked and did not do well, or whose answer is not known.
    bad: BTreeSet<String>,
    /// Where a task goes on, or its end is not known: the id of the run.
    #[serde(default)]
    pub(super) running: BTreeMap<String, String>,
    /// Those of them who were asked to begin it and never said that they did.
    #[serde(default)]
    unheard: BTreeSet<String>,
}

impl Before {
    pub(super) fn of(kept: &Json) -> Result<Before, String> {
        Before::deserialize(kept).map_err(|e| format!("what was done before is not understood: {e}"))
    }

    pub(super) fn is_good(&self, node: &str) -> bool {
        self.good.contains_key(node)
    }

    /// Runs that may never have begun, by id, with the nodes of each.
    pub(super) fn unheard(&self) -> BTreeMap<String, Vec<String>> {
        let mut runs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (node, id) in self.running.iter().filter(|(node, _)| self.unheard.contains(*node)) {
            runs.entry(id.clone()).or_default().push(node.clone());
        }
        runs
    }

    /// These say that they never began it: they may be asked again.
    pub(super) fn never_began(&mut self, nodes: Vec<String>) {
        for node in nodes {
            self.unheard.remove(&node);
            if self.running.remove(&node).is_some() {
                self.bad.insert(node);
            }
        }
    }

    pub(super) fn was_asked(&self, node: &str) -> bool {
        self.bad.contains(node) || self.is_good(node)
    }
}

/// What a task came to.
pub(super) struct Judged {
    pub(super) outcome: Outcome,
    pub(super) accounting: Accounting,
    /// A [`Before`], where there is something to go on with.
    pub(super) change: Option<Json>,
}

/// Every node in one class, with a result.
pub(super) fn judged(question: &Question, asked: Asked, mut before: Before, fail_ok: bool) -> Judged {
    let Asked { replies, stats, running, unwell, stopped, trouble, interrupted } = asked;
    let mut accounting = Accounting::default();
    let (mut results, mut failed, mut unlike) = (vec![], 0, 0);
    let mut aggregator = question.action.aggregator();
    let mut left = MOST_OF_ALL;
    let mut after = Before { running, ..Before::default() };
    for node in &question.nodes {
        let found = unwell.get(node).filter(|_| before.is_good(node));
        if let Some(words) = found {
            // it did well in an earlier try, and the check says something else by now
            accounting.count(Class::Failed);
            failed += 1;
            after.bad.insert(node.clone());
            let message = format!("The check says of node {node}: {words}");
            let error = Some((message, json!({"class": Class::Failed.name()})));
            results.push((node.clone(), result("mcollective", json!({}), fail_ok, error)));
            continue;
        }
        if let Some((class, result)) = before.good.remove(node) {
            accounting.count(class);
            if let Some(Json::Object(data)) = result.get("value").and_then(|value| value.get("data")) {
                aggregator.add(data);
            }
            after.good.insert(node.clone(), (class, result.clone()));
            results.push((node.clone(), result));
            continue;
        }
        let details = |code: Option<i64>, class: Class| {
            let mut details = Map::new();
            details.insert("agent".into(), question.agent.as_str().into());
            details.insert("action".into(), question.action.action.as_str().into());
            details.extend(code.map(|code| ("issue_code".to_owned(), code.into())));
            details.insert("class".into(), class.name().into());
            Json::Object(details)
        };
        let Some(reply) = replies.get(node) else {
            // nobody was asked by a request that was never made
            let made = !stats.requestid.is_empty();
            let run = after.running.get(node);
            let class = if made || run.is_some() { stats.silence(node) } else { Class::NotAsked };
            accounting.count(class);
            failed += 1;
            if let Some(id) = run {
                if before.unheard.contains(node) {
                    after.unheard.insert(node.clone());
                }
                let words = unwell.get(node).map_or("what became of it is not known", String::as_str);
                let error = Some((format!("The task {id} on node {node}: {words}"), details(None, class)));
                results.push((node.clone(), result("mcollective", json!({}), fail_ok, error)));
                continue;
            }
            if question.may_have_begun(node, class, &stats) {
                // it may be at it, or have done it: that is looked at before it is asked again
                after.running.insert(node.clone(), stats.requestid.clone());
                after.unheard.insert(node.clone());
            } else if class != Class::NotAsked || before.bad.contains(node) {
                after.bad.insert(node.clone());
            }
            let error = Some((silence(node, class, &stats), details(None, class)));
            results.push((node.clone(), result("mcollective", json!({}), fail_ok, error)));
            continue;
        };
        let code = reply.body.statuscode.code();
        let mut class = Class::of(&reply.body, reply.late);
        let large = reply.message.len() > MOST_OF_ONE.min(left);
        let (value, error) = if large {
            class = Class::Failed;
            let message = format!("The reply of node {node} is too large: {} bytes", reply.message.len());
            (json!({}), Some((message, details(Some(code), class))))
        } else {
            left -= reply.message.len();
            aggregator.add(&reply.body.data);
            let value = json!({
                "agent": question.agent,
                "action": question.action.action,
                "sender": node,
                "statuscode": code,
                "statusmsg": reply.body.statusmsg,
                "data": reply.body.data,
                "requestid": stats.requestid,
            });
            let message = match unwell.get(node) {
                _ if !reply.body.statuscode.is_ok() => Some(reply.body.statusmsg.clone()),
                Some(words) if goes_on(reply).is_some() => Some(format!("The task on node {node}: {words}")),
                Some(words) => Some(format!("The check says of node {node}: {words}")),
                None => None,
            };
            unlike += usize::from(!question.holds(&reply.body.data));
            (value, message.map(|message| (message, details(Some(code), class))))
        };
        accounting.count(class);
        failed += usize::from(error.is_some());
        let good = error.is_none() && question.is_well(reply);
        let of_node = result("mcollective", value, fail_ok, error);
        match good {
            true => drop(after.good.insert(node.clone(), (class, of_node.clone()))),
            false if after.running.contains_key(node) => {}
            false => drop(after.bad.insert(node.clone())),
        }
        results.push((node.clone(), of_node));
    }
    let (id, name, count) = (&stats.requestid, question.name(), question.nodes.len());
    let success = failed == 0 && unlike == 0 && trouble.is_none() && stopped.is_none() && !interrupted;
    let message = if let Some((trouble, sent)) = &trouble {
        match sent {
            true => format!("Failed request {id} for {name}: {trouble}"),
            false => format!("Could not create request for {name}: {trouble}"),
        }
    } else if let Some(stopped) = &stopped {
        format!("Failed request {id} for {name}: {stopped}")
    } else if failed > 0 {
        format!("Failed request {id} for {name} on {failed} failed node(s)")
    } else if unlike > 0 {
        format!("Failed request {id} for {name} assertion failed on {unlike} node(s)")
    } else if question.summarize {
        format!("Summary for {}: {}", question.description, Json::Object(aggregator.json()))
    } else {
        format!(
            "Successful request {id} for {name} in {:.2}s against {count} node(s)",
            stats.request_time.as_secs_f64()
        )
    };
    let change = (question.stages.is_some() && !success).then(|| json!(after));
    Judged { outcome: Outcome { message, success, fail_ok, results }, accounting, change }
}

/// What is said of a node that did not answer.
fn silence(node: &str, class: Class, stats: &RequestStats) -> String {
    let no = format!("No response from node {node}");
    match (class, stats.not_connected_since.get(node)) {
        (Class::NotConnected, Some(since)) => format!("{no}: it is not connected since {since}"),
        (Class::NotConnected, None) => format!("{no}: it is not connected"),
        (Class::DeniedByBroker, _) => format!("{no}: the broker does not let this caller ask it"),
        (Class::NotAsked, _) => format!("{no}: it was not asked"),
        _ => no,
    }
}
