//! An action of an agent on given nodes, accounted for to the last node.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::TaskType;
use super::assertion::Assertion;
use crate::core::client::{ClientError, RpcCall, RpcOptions, RpcReply};
use crate::core::ddl::Action;
use crate::core::playbook::options::Options;
use crate::core::playbook::world::{World, result};
use crate::core::puppet::host::{Level, Outcome, Trouble};
use crate::core::text::shortened;

pub(super) const TYPE: TaskType = TaskType {
    name: "mcollective",
    options: &[
        "nodes",
        "action",
        "properties",
        "batch_size",
        "batch_sleep_time",
        "silent",
        "post",
        "assert",
        "timeout",
    ],
    run,
};

/// Bytes of one reply, and of all replies to one task, that a plan is given. A node that says
/// more has failed; it ends nobody else's plan.
const MOST_OF_ONE: usize = 512 << 10;
const MOST_OF_ALL: usize = 256 << 20;

/// Characters of a reply in a log line.
const SHOWN: usize = 400;

/// What is asked, checked before anything is sent.
struct Question {
    agent: String,
    action: Action,
    data: Map<String, Json>,
    nodes: Vec<String>,
    batch: Option<(usize, Duration)>,
    timeout: u64,
    assertion: Option<Assertion>,
    silent: bool,
    summarize: bool,
    description: String,
}

fn question(world: &World, options: &Options<'_>) -> Result<Question, Trouble> {
    let name = options.required("action")?;
    let Some((agent, action)) =
        name.split_once('.').filter(|(agent, action)| !agent.is_empty() && !action.is_empty())
    else {
        return Err(options.wrong(format!("the option 'action' is AGENT.ACTION, not '{name}'")));
    };
    let mut nodes = options.texts("nodes")?.unwrap_or_default();
    let mut seen = std::collections::HashSet::new();
    nodes.retain(|node| seen.insert(node.clone()));
    if nodes.is_empty() {
        return Err(options.wrong(format!("no nodes to run {agent}#{action} on; give them as 'nodes'")));
    }
    let ddl = world.resolver.agent(agent).map_err(|e| options.wrong(e))?;
    let known = || ddl.action_names().join(", ");
    let action = ddl
        .action(action)
        .ok_or_else(|| options.wrong(format!("{name} is no action; {agent} has {}", known())))?;
    let mut data = options.map("properties")?;
    action.input_defaults(&mut data);
    action.validate(&data).map_err(|e| options.wrong(format!("{name}: {e}")))?;
    let batch = usize::try_from(options.count("batch_size", 0)?).unwrap_or(usize::MAX);
    let assertion = options.text("assert")?.filter(|text| !text.trim().is_empty()).map(Assertion::parse);
    let post = options.texts("post")?.unwrap_or_default();
    if let Some(other) = post.iter().find(|post| *post != "summarize") {
        return Err(options.wrong(format!("the option 'post' knows 'summarize', not '{other}'")));
    }
    Ok(Question {
        agent: agent.to_owned(),
        action: action.clone(),
        data,
        nodes,
        batch: (batch > 0).then_some((batch, options.seconds("batch_sleep_time", 1)?)),
        timeout: options.count("timeout", ddl.metadata.client_timeout())?.clamp(1, 86_400),
        assertion: assertion.transpose().map_err(|e| options.wrong(format!("the option 'assert': {e}")))?,
        silent: options.flag("silent", false)?,
        summarize: !post.is_empty(),
        description: options.text("description")?.unwrap_or("mcollective task").to_owned(),
    })
}

/// Replies by node, who is silent, the id of the request, and how long it took.
struct Answered {
    replies: BTreeMap<String, RpcReply>,
    missing: Vec<String>,
    id: String,
    took: Duration,
}

async fn ask(
    client: &crate::core::client::Client,
    question: &Question,
    timeout: Duration,
    mut heard: impl FnMut(&RpcReply),
) -> Result<Answered, ClientError> {
    let options = RpcOptions {
        agent: question.agent.clone(),
        action: question.action.action.clone(),
        data: question.data.clone(),
        collective: client.collective(None)?,
        timeout,
        batch: question.batch,
    };
    let mut call = RpcCall::direct(client, options, question.nodes.clone()).await?;
    let mut replies = BTreeMap::new();
    while let Some(reply) = call.next().await? {
        heard(&reply);
        replies.insert(reply.sender.clone(), reply);
    }
    let stats = call.stats();
    let missing = question.nodes.iter().filter(|node| !replies.contains_key(*node)).cloned().collect();
    Ok(Answered { replies, missing, id: stats.requestid, took: stats.request_time })
}

fn run(world: &mut World, options: &Options<'_>) -> Result<Outcome, Trouble> {
    let question = question(world, options)?;
    let fail_ok = options.flag("fail_ok", false)?;
    let name = format!("{}#{}", question.agent, question.action.action);
    let client = world.client()?;
    // as long as for any request: what the agent says, and the time that finding nodes takes
    let usual = u64::try_from(client.config().discovery_timeout).unwrap_or(2);
    let timeout = Duration::from_secs(usual.saturating_add(question.timeout));
    let mut lines = vec![];
    let answered = world.wait(ask(&client, &question, timeout, |reply| {
        let ok = reply.body.statuscode.is_ok();
        if !ok || !question.silent {
            let data = Json::Object(reply.body.data.clone()).to_string();
            let what = if ok { "success".to_owned() } else { format!("failure: {}", reply.body.statusmsg) };
            let level = if ok { Level::Info } else { Level::Warning };
            lines.push((level, format!("{} {name} {what}: {}", reply.sender, shortened(&data, SHOWN))));
        }
    }))?;
    for (level, line) in &lines {
        world.say(*level, line);
    }
    let answered = match answered {
        Ok(answered) => answered,
        Err(e) => {
            let message = format!("Could not create request for {name}: {e}");
            return Ok(Outcome { message, success: false, fail_ok, results: vec![] });
        }
    };
    Ok(judged(&question, &name, answered, fail_ok))
}

/// A result for each node that was asked, and whether all is well.
fn judged(question: &Question, name: &str, answered: Answered, fail_ok: bool) -> Outcome {
    let (mut results, mut failed, mut unlike) = (vec![], 0, 0);
    let mut aggregator = question.action.aggregator();
    let mut left = MOST_OF_ALL;
    for node in &question.nodes {
        let details = |code: Option<i64>| {
            let mut details = Map::new();
            details.insert("agent".into(), question.agent.as_str().into());
            details.insert("action".into(), question.action.action.as_str().into());
            details.extend(code.map(|code| ("issue_code".to_owned(), code.into())));
            Json::Object(details)
        };
        let Some(reply) = answered.replies.get(node) else { continue };
        let code = reply.body.statuscode.code();
        if reply.message.len() > MOST_OF_ONE.min(left) {
            failed += 1;
            let message = format!("The reply of node {node} is too large: {} bytes", reply.message.len());
            results.push((
                node.clone(),
                result("mcollective", json!({}), fail_ok, Some((message, details(Some(code))))),
            ));
            continue;
        }
        left -= reply.message.len();
        aggregator.add(&reply.body.data);
        let value = json!({
            "agent": question.agent,
            "action": question.action.action,
            "sender": node,
            "statuscode": code,
            "statusmsg": reply.body.statusmsg,
            "data": reply.body.data,
            "requestid": answered.id,
        });
        let ok = reply.body.statuscode.is_ok();
        failed += usize::from(!ok);
        let data = Json::Object(reply.body.data.clone());
        unlike += usize::from(question.assertion.as_ref().is_some_and(|assertion| !assertion.holds(&data)));
        let error = (!ok).then(|| (reply.body.statusmsg.clone(), details(Some(code))));
        results.push((node.clone(), result("mcollective", value, fail_ok, error)));
    }
    for node in &answered.missing {
        let details = json!({"agent": question.agent, "action": question.action.action});
        let error = Some((format!("No response from node {node}"), details));
        results.push((node.clone(), result("mcollective", json!({}), fail_ok, error)));
    }
    failed += answered.missing.len();
    let (id, count) = (&answered.id, question.nodes.len());
    let success = failed == 0 && unlike == 0 && !answered.replies.is_empty();
    let message = if failed > 0 {
        format!("Failed request {id} for {name} on {failed} failed node(s)")
    } else if unlike > 0 {
        format!("Failed request {id} for {name} assertion failed on {unlike} node(s)")
    } else if question.summarize {
        format!("Summary for {}: {}", question.description, Json::Object(aggregator.json()))
    } else {
        format!(
            "Successful request {id} for {name} in {:.2}s against {count} node(s)",
            answered.took.as_secs_f64()
        )
    };
    Outcome { message, success, fail_ok, results }
}
