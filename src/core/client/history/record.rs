//! What one request came to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::is_secret;
use crate::core::client::{Class, RequestRef, RequestStats, RpcReply};
use crate::core::ddl::Action;
use crate::core::protocol::v1::{Reply, ReplyEnvelope};
use crate::core::rpc::{NOT_AUTHORIZED, ReplyBody, StatusCode};
use crate::core::tasks::{input, outcome};
use crate::core::text::shortened;

/// Bytes of outputs that are kept of one request.
const MAX_DATA: usize = 8 * 1024 * 1024;
/// Characters of a node's words, and of an input in a heading.
const MAX_WORDS: usize = 1000;
const MAX_INPUT: usize = 60;
/// Inputs in a heading.
const MAX_INPUTS: usize = 20;

/// A request and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Agent.
    pub agent: String,
    /// Action.
    pub action: String,
    /// Collective.
    pub collective: String,
    /// Inputs that are no secrets.
    pub inputs: Map<String, Value>,
    /// Inputs whose values were not kept, because they are.
    pub withheld: Vec<String>,
    /// Who answered what.
    pub replies: Vec<Answer>,
    /// Whether the outputs of some were not kept: they were too many, or go with secrets.
    pub without_data: bool,
    /// Nodes that answered well, of which a check then said something else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unwell: Vec<String>,
    /// Ended by a person before everybody had answered.
    pub interrupted: bool,
    /// Statistics, names of the silent among them.
    pub stats: RequestStats,
}

/// One node's answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Node.
    pub sender: String,
    /// Status code.
    pub statuscode: i64,
    /// What it said about that.
    pub statusmsg: String,
    /// Outputs.
    pub data: Map<String, Value>,
    /// When, by its clock.
    pub time_utc: jiff::Timestamp,
}

/// What a list shows of a request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heading {
    /// Request id.
    pub id: String,
    /// When it was made.
    pub time: jiff::Timestamp,
    /// Agent.
    pub agent: String,
    /// Action.
    pub action: String,
    /// Inputs as words, long ones cut.
    pub inputs: Vec<String>,
    /// Nodes that were to be asked.
    pub nodes: usize,
    /// Those that answered well.
    pub ok: usize,
    /// Those that answered that they failed, or do not allow it.
    pub failed: usize,
    /// Those that did not answer.
    pub missed: usize,
    /// Ended by a person.
    pub interrupted: bool,
}

/// Nodes of a request, by what became of it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Answered well.
    Ok,
    /// Answered that they failed, or a check says so of them.
    Failed,
    /// Did not answer, or were not asked any more. Those that were found too late are none of
    /// them: a late answer is anybody's word.
    Missed,
    /// Do not allow it, or the broker does not.
    Denied,
}

impl Which {
    /// All, by the words people type.
    pub const WORDS: [(&'static str, Which); 4] =
        [("ok", Which::Ok), ("failed", Which::Failed), ("missed", Which::Missed), ("denied", Which::Denied)];
}

impl Answer {
    fn is_denial(&self) -> bool {
        self.statuscode == StatusCode::Aborted.code() && self.statusmsg == NOT_AUTHORIZED
    }
}

impl Record {
    /// Request id.
    pub fn id(&self) -> &str {
        &self.stats.requestid
    }

    /// Names of nodes, sorted.
    pub fn nodes(&self, which: Which) -> Vec<String> {
        let of = |wanted: &dyn Fn(&Answer) -> bool| -> Vec<String> {
            self.replies.iter().filter(|answer| wanted(answer)).map(|answer| answer.sender.clone()).collect()
        };
        let stats = &self.stats;
        let mut nodes = match which {
            Which::Ok => of(&|answer| answer.statuscode == 0 && !self.unwell.contains(&answer.sender)),
            Which::Failed => of(&|answer| match answer.statuscode {
                0 => self.unwell.contains(&answer.sender),
                _ => !answer.is_denial(),
            }),
            Which::Denied => [of(&Answer::is_denial), stats.denied_by_broker.clone()].concat(),
            Which::Missed => {
                let silent = stats
                    .no_responses
                    .iter()
                    .filter(|node| stats.denied_by_broker.binary_search(node).is_err());
                silent.chain(&stats.not_asked).cloned().collect()
            }
        };
        nodes.sort();
        nodes.dedup();
        nodes
    }

    /// The replies again.
    pub fn replies(&self) -> Vec<RpcReply> {
        let request = std::sync::Arc::new(RequestRef { id: self.id().to_owned(), agent: self.agent.clone() });
        let reply = |answer: &Answer| {
            let body = ReplyBody {
                action: self.action.clone(),
                statuscode: answer.statuscode.into(),
                statusmsg: answer.statusmsg.clone(),
                data: answer.data.clone(),
            };
            let envelope = ReplyEnvelope {
                requestid: self.id().into(),
                senderid: answer.sender.as_str().into(),
                agent: self.agent.as_str().into(),
                time: answer.time_utc.as_second(),
            };
            RpcReply::new(request.clone(), &Reply { message: body.encode().into(), envelope })
        };
        self.replies.iter().map(reply).collect()
    }

    /// What a list shows of it.
    pub fn heading(&self) -> Heading {
        let word = |(name, value): (&String, &Value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{}={}", shortened(name, MAX_INPUT), shortened(&value, MAX_INPUT))
        };
        let all = self.withheld.iter().filter(|name| !self.inputs.contains_key(*name));
        let withheld = all.map(|name| format!("{}=*****", shortened(name, MAX_INPUT)));
        Heading {
            id: self.id().to_owned(),
            time: self.stats.start_time_utc,
            agent: self.agent.clone(),
            action: self.action.clone(),
            inputs: self.inputs.iter().map(word).chain(withheld).take(MAX_INPUTS).collect(),
            nodes: self.stats.discovered,
            ok: self.stats.ok,
            failed: self.stats.failed,
            missed: self.nodes(Which::Missed).len(),
            interrupted: self.interrupted,
        }
    }

    /// The file: its heading on a line, then all of it.
    pub(super) fn to_text(&self) -> serde_json::Result<String> {
        let mut text = serde_json::to_string(&self.heading())?;
        text.push('\n');
        text.push_str(&serde_json::to_string(self)?);
        text.push('\n');
        Ok(text)
    }

    pub(super) fn parse(content: &[u8]) -> serde_json::Result<Record> {
        let start = content.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        serde_json::from_slice(content.get(start..).unwrap_or_default())
    }
}

/// The agent of tasks.
const TASKS: &str = "bolt_tasks";
/// What stands for a secret.
pub const HIDDEN: &str = outcome::HIDDEN;

/// Names of the secret inputs of a task, by the inputs of its agent.
pub fn secrets_of_task(data: &Map<String, Value>) -> Vec<String> {
    serde_json::from_str(sensitive(data)).unwrap_or_default()
}

fn sensitive(data: &Map<String, Value>) -> &str {
    data.get("sensitive").and_then(Value::as_str).unwrap_or_default()
}

/// Hides what a task answers and nobody is shown.
pub fn veil(agent: &str, data: &mut Map<String, Value>) {
    let stdout = data.get("stdout").and_then(Value::as_str).filter(|_| agent == TASKS);
    if let Some(veiled) = stdout.and_then(outcome::veiled) {
        data.insert("stdout".to_owned(), veiled.into());
    }
}

/// A record that is being made.
#[derive(Debug)]
pub struct Recorder {
    record: Record,
    /// No outputs are kept: what goes with a secret may be one.
    secret: bool,
    bytes: usize,
    /// Who did badly in the end, and had answered well.
    ended: BTreeMap<String, Class>,
}

impl Recorder {
    /// Of a request with these inputs.
    pub fn new(agent: &str, action: &Action, data: &Map<String, Value>, collective: &str) -> Recorder {
        let mut inputs = data.clone();
        let mut within = vec![];
        let of_task = agent == TASKS && !["", "[]"].contains(&sensitive(data));
        if of_task {
            // the other inputs of a task are kept, to go on with
            input::hide_secrets(&mut inputs);
            within.extend(Some("input".to_owned()).filter(|name| inputs.get(name) != data.get(name)));
        }
        let names = data.keys().filter(|name| is_secret(agent, action, name));
        let withheld: Vec<String> = names.cloned().collect();
        inputs.retain(|name, _| !withheld.contains(name));
        let withheld = [withheld, within].concat();
        let secret = of_task || !withheld.is_empty();
        let record = Record {
            agent: agent.to_owned(),
            action: action.action.clone(),
            collective: collective.to_owned(),
            inputs,
            withheld,
            without_data: secret,
            ..Record::default()
        };
        Recorder { record, secret, bytes: 0, ended: BTreeMap::new() }
    }

    /// Keeps nothing of an input that has secrets in it, though no interface says so.
    pub fn withholding(mut self, input: &str) -> Recorder {
        if self.record.inputs.shift_remove(input).is_some() {
            self.record.withheld.retain(|name| name != input);
            self.record.withheld.push(input.to_owned());
            (self.secret, self.record.without_data) = (true, true);
        }
        self
    }

    /// What was asked, as far as it is kept.
    pub fn asked(&self) -> &Record {
        &self.record
    }

    /// A reply came.
    pub fn add(&mut self, reply: &RpcReply) {
        self.bytes = self.bytes.saturating_add(reply.message.len());
        let kept = !self.secret && self.bytes <= MAX_DATA;
        self.record.without_data |= !kept;
        let message = &reply.body.statusmsg;
        self.record.replies.push(Answer {
            sender: reply.sender.clone(),
            statuscode: reply.body.statuscode.code(),
            // A denial is known by its words.
            statusmsg: if self.secret && message != NOT_AUTHORIZED {
                String::new()
            } else {
                shortened(message, MAX_WORDS)
            },
            data: if kept { self.kept(reply) } else { Map::new() },
            time_utc: reply.time,
        });
    }

    /// What a node says in the end, for what it said before.
    pub fn replace(&mut self, reply: &RpcReply) {
        let before = self.record.replies.len();
        self.record.replies.retain(|answer| answer.sender != reply.sender);
        if self.record.replies.len() < before && !reply.body.statuscode.is_ok() {
            self.ended.insert(reply.sender.clone(), Class::of(&reply.body, false));
        }
        self.add(reply);
    }

    /// Counts what nodes said in the end, where the request counts what they said before.
    pub fn recount(&self, stats: &mut RequestStats) {
        for class in self.ended.values() {
            stats.ok = stats.ok.saturating_sub(1);
            stats.failed += 1;
            let late = stats.accounting.ok == 0;
            let counted = if late { &mut stats.accounting.late } else { &mut stats.accounting.ok };
            *counted = counted.saturating_sub(1);
            stats.accounting.count(*class);
        }
    }

    fn kept(&self, reply: &RpcReply) -> Map<String, Value> {
        let mut data = reply.body.data.clone();
        veil(&self.record.agent, &mut data);
        data
    }

    /// All have answered, or will not.
    pub fn finish(mut self, stats: &RequestStats, interrupted: bool) -> Record {
        self.record.stats = stats.clone();
        self.record.interrupted = interrupted;
        self.record
    }
}
