//! One action on many nodes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::accounting::Class;
use super::caller::Client;
use super::checker::{ReplyChecker, RequestRef};
use super::conversation::{Conversation, Targets};
use super::error::ClientError;
use super::outgoing::Outgoing;
use super::replies::Heard;
use super::stats::RequestStats;
use crate::core::log::RefusalLog;
use crate::core::protocol::filter::Filter;
use crate::core::protocol::presence::Presence;
use crate::core::protocol::v1::{Reply, ReplyEnvelope};
use crate::core::rpc::{ReplyBody, RequestBody, StatusCode};

/// Longer than anything is sent; publishing has limits of its own.
const A_DAY: Duration = Duration::from_secs(86_400);

/// How a request is run.
#[derive(Debug, Clone)]
pub struct RpcOptions {
    /// Agent.
    pub agent: String,
    /// Action.
    pub action: String,
    /// Inputs, validated.
    pub data: Map<String, Value>,
    /// Collective.
    pub collective: String,
    /// How long to wait for the replies of one batch.
    pub timeout: Duration,
    /// Nodes per batch and the pause between batches; `None` asks all at once.
    pub batch: Option<(usize, Duration)>,
}

/// One node's answer.
#[derive(Debug, Clone)]
pub struct RpcReply {
    /// Node.
    pub sender: String,
    /// Body.
    pub body: ReplyBody,
    /// When the node answered, by its own clock.
    pub time: jiff::Timestamp,
    /// The text of the body, as the node wrote it.
    pub message: String,
    /// It came when the node was no longer waited for, and others were already asked.
    pub late: bool,
    request: Arc<RequestRef>,
}

impl RpcReply {
    /// A reply to `request` that was checked.
    pub fn new(request: Arc<RequestRef>, reply: &Reply<'_>) -> RpcReply {
        RpcReply {
            sender: reply.envelope.senderid.clone().into_owned(),
            body: decode(reply.message.as_bytes()),
            time: jiff::Timestamp::from_second(reply.envelope.time).unwrap_or_default(),
            message: reply.message.clone().into_owned(),
            late: false,
            request,
        }
    }

    /// The agent that answers.
    pub fn agent(&self) -> &str {
        &self.request.agent
    }

    /// The protocol message the body came in.
    pub fn protocol(&self) -> Reply<'_> {
        Reply {
            message: self.message.as_str().into(),
            envelope: ReplyEnvelope {
                requestid: self.request.id.as_str().into(),
                senderid: self.sender.as_str().into(),
                agent: self.request.agent.as_str().into(),
                time: self.time.as_second(),
            },
        }
    }
}

/// Why a node is known not to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silence {
    NobodyListens,
    Denied,
}

/// A running request; [`RpcCall::next`] yields each reply when it is checked.
pub struct RpcCall<'a> {
    conversation: Conversation<'a>,
    checker: ReplyChecker,
    groups: VecDeque<Arc<[String]>>,
    /// Who is being asked, where that is not everybody at once.
    current: Option<HashSet<String>>,
    /// What is left to send to them, and since when.
    outgoing: Option<(Outgoing, Instant)>,
    /// Asked nodes that are known not to answer.
    silent: HashMap<String, Silence>,
    /// How many of them because the broker does not let this caller ask.
    denied: usize,
    /// What the broker said of those that had not answered in the end.
    absent: Option<BTreeMap<String, Presence>>,
    outstanding: usize,
    deadline: Instant,
    timeout: Duration,
    pause: Duration,
    /// Whether the next group waits for the caller's word.
    held: Option<bool>,
    service: bool,
    first: bool,
    /// Whether anything of it was sent.
    sent: bool,
    started: Instant,
    stats: RequestStats,
    /// Whoever lies does it more than once.
    drops: RefusalLog,
}

impl<'a> RpcCall<'a> {
    /// Prepares a request to `nodes`; nothing is sent before the first
    /// [`RpcCall::next`].
    ///
    /// The request's filter holds only the agent: discovery has decided, and
    /// the node is named by its subject.
    pub async fn direct(
        client: &'a Client,
        options: RpcOptions,
        nodes: Vec<String>,
    ) -> Result<Self, ClientError> {
        let mut filter = Filter::default();
        // An agent name from a DDL is never empty.
        let _ = filter.add_agent(&options.agent);
        let batch = options.batch;
        let mut call = Self::prepare(client, options, filter).await?;
        call.checker =
            ReplyChecker::direct(call.conversation.request_id(), call.conversation.agent(), &nodes)
                .addressed(call.conversation.own_addresses());
        call.stats.discovered = nodes.len();
        call.groups = match batch {
            Some((size, _)) if size < nodes.len() => nodes.chunks(size.max(1)).map(Arc::from).collect(),
            _ if nodes.is_empty() => VecDeque::new(),
            _ => VecDeque::from([nodes.into()]),
        };
        Ok(call)
    }

    /// [`RpcCall::direct`] to groups of these sizes, of which [`RpcCall::next`] yields nothing at the beginning and
    /// after each group, until the caller lets it go on.
    ///
    /// # Errors
    /// Those of [`RpcCall::direct`].
    pub async fn held(
        client: &'a Client,
        options: RpcOptions,
        nodes: Vec<String>,
        groups: Vec<usize>,
    ) -> Result<Self, ClientError> {
        let mut call = Self::direct(client, RpcOptions { batch: None, ..options }, nodes.clone()).await?;
        let mut rest = nodes.as_slice();
        call.groups = VecDeque::new();
        for size in groups {
            let (group, behind) = rest.split_at(size.min(rest.len()));
            call.groups.push_back(Arc::from(group));
            rest = behind;
        }
        call.held = Some(true);
        Ok(call)
    }

    /// Who is asked when the caller says so, where it waits for that.
    pub fn upcoming(&self) -> Option<&[String]> {
        if self.held != Some(true) { None } else { self.groups.front().map(|group| &**group) }
    }

    /// Lets the next group be asked.
    pub fn go_on(&mut self) {
        self.held = self.held.map(|_| false);
    }

    /// Says with the request that it waits for nodes that are absent, until then, unix seconds: a node that runs it now,
    /// however late, does not run it again. Before anything is sent.
    pub fn waits_until(&mut self, until: i64) {
        self.conversation.wait_until(until);
    }

    /// Prepares a request to whichever node offers the service.
    pub async fn service(client: &'a Client, options: RpcOptions) -> Result<Self, ClientError> {
        let mut call = Self::prepare(client, options, Filter::default()).await?;
        call.service = true;
        call.stats.discovered = 1;
        call.groups = VecDeque::from([Arc::default()]);
        Ok(call)
    }

    async fn prepare(client: &'a Client, options: RpcOptions, filter: Filter) -> Result<Self, ClientError> {
        let RpcOptions { agent, action, data, collective, timeout, batch } = options;
        let body = RequestBody { agent: agent.clone(), action, data }.encode();
        let conversation = client.converse(&agent, body, collective, filter).await?;
        let stats = RequestStats {
            requestid: conversation.request_id().to_owned(),
            start_time_utc: jiff::Timestamp::now(),
            ..RequestStats::default()
        };
        let now = Instant::now();
        Ok(RpcCall {
            checker: ReplyChecker::broadcast(conversation.request_id(), &agent),
            conversation,
            groups: VecDeque::new(),
            current: None,
            outgoing: None,
            silent: HashMap::new(),
            denied: 0,
            absent: None,
            outstanding: 0,
            deadline: now,
            timeout,
            pause: batch.map_or(Duration::ZERO, |(_, pause)| pause),
            held: None,
            service: false,
            first: true,
            sent: false,
            started: now,
            stats,
            drops: RefusalLog::default(),
        })
    }

    /// The next reply; `None` when everybody answered or time is up, and where the next group
    /// waits for the caller's word.
    pub async fn next(&mut self) -> Result<Option<RpcReply>, ClientError> {
        loop {
            while self.outstanding == 0 && self.outgoing.is_none() {
                if !self.next_group().await? {
                    self.look_for_the_silent().await;
                    return Ok(None);
                }
            }
            let heard = match &mut self.outgoing {
                None => self.conversation.next(self.deadline).await,
                Some((outgoing, _)) if let Some(until) = outgoing.held() => {
                    match self.conversation.next(until).await {
                        None | Some(Heard::Probed(_) | Heard::ProbeDenied) => {
                            outgoing.release();
                            continue;
                        }
                        heard => heard,
                    }
                }
                // Whoever answers while others are still being asked is shown.
                Some((outgoing, since)) => tokio::select! {
                    biased;
                    heard = self.conversation.next(*since + A_DAY) => heard,
                    more = outgoing.send_some() => {
                        if !more? {
                            self.stats.publish_time += since.elapsed();
                            // The clock starts when the request is out: the original's
                            // starts before, so that a slow publish eats into the wait.
                            self.deadline = Instant::now() + self.timeout;
                            self.sent = true;
                            self.outgoing = None;
                        }
                        continue;
                    }
                },
            };
            let message = match heard {
                Some(Heard::Reply(message)) => message,
                Some(Heard::NobodyAt(node)) => {
                    self.give_up(node, Silence::NobodyListens);
                    continue;
                }
                Some(Heard::DeniedAt(node)) => {
                    self.give_up(node, Silence::Denied);
                    self.all_denied()?;
                    continue;
                }
                Some(Heard::Denied(what)) => return Err(self.conversation.denied(what)),
                Some(Heard::NobodyAtAll) if self.service || self.conversation.all_down() => {
                    self.outstanding = 0;
                    continue;
                }
                Some(
                    Heard::NobodyAtAll
                    | Heard::NobodyCarries(_)
                    | Heard::Probed(_)
                    | Heard::ProbeDenied
                    | Heard::Myself
                    | Heard::Complaint(_),
                ) => continue,
                None => {
                    // Whoever of this group is silent stays missing.
                    self.outstanding = 0;
                    self.outgoing = None;
                    continue;
                }
            };
            let request = self.checker.request().clone();
            let checked = match self.checker.check(&message.subject, &message.payload) {
                Ok(checked) => checked,
                Err(dropped) => {
                    self.drops.note("reply", || tracing::warn!("dropped a reply: {dropped}"));
                    continue;
                }
            };
            let sender = &*checked.envelope.senderid;
            let counted = self.current.as_ref().is_none_or(|current| current.contains(sender));
            // A node that came while it was asked is no longer nobody.
            let given_up = if self.silent.is_empty() { None } else { self.silent.remove(sender) };
            self.denied -= usize::from(given_up == Some(Silence::Denied));
            if counted && given_up.is_none() {
                self.outstanding = self.outstanding.saturating_sub(1);
            }
            let reply = RpcReply { late: !counted, ..RpcReply::new(request, &checked) };
            self.count(&reply);
            return Ok(Some(reply));
        }
    }

    /// Takes it that `node` of this group will not answer.
    fn give_up(&mut self, node: String, why: Silence) {
        if self.current.as_ref().is_none_or(|current| current.contains(&node))
            && self.checker.waits_for(&node)
            && self.silent.insert(node, why).is_none()
        {
            self.denied += usize::from(why == Silence::Denied);
            self.outstanding = self.outstanding.saturating_sub(1);
        }
    }

    /// A caller who may ask none of its nodes learns that instead of their names.
    fn all_denied(&self) -> Result<(), ClientError> {
        if self.denied < self.stats.discovered {
            return Ok(());
        }
        Err(self.conversation.denied("ask any of the nodes".to_owned()))
    }

    fn count(&mut self, reply: &RpcReply) {
        self.stats.responses += 1;
        self.stats.accounting.count(Class::of(&reply.body, reply.late));
        match reply.body.statuscode {
            StatusCode::Ok => self.stats.ok += 1,
            _ => self.stats.failed += 1,
        }
        self.stats.request_time = self.started.elapsed();
    }

    /// Sends to the next group; false when there is none left.
    async fn next_group(&mut self) -> Result<bool, ClientError> {
        if self.groups.is_empty() || self.held == Some(true) {
            self.stats.request_time = self.started.elapsed();
            return Ok(false);
        }
        self.held = self.held.map(|_| true);
        if std::mem::take(&mut self.first) {
            self.started = Instant::now();
            self.stats.start_time_utc = jiff::Timestamp::now();
        } else {
            // Whoever is ended meanwhile has not asked the next.
            tokio::time::sleep(self.pause).await;
        }
        let Some(group) = self.groups.pop_front() else { return Ok(false) };
        let targets = if self.service { Targets::Service } else { Targets::Direct(group.clone()) };
        self.outgoing = Some((self.conversation.outgoing(targets)?, Instant::now()));
        if self.service {
            self.outstanding = 1;
        } else {
            self.outstanding = group.iter().filter(|node| self.checker.waits_for(node)).count();
            self.current = (group.len() < self.stats.discovered).then(|| group.iter().cloned().collect());
        }
        Ok(true)
    }

    /// Asks the broker, once and at the end, which of those that did not answer are there at all.
    async fn look_for_the_silent(&mut self) {
        if self.groups.is_empty() {
            self.conclude().await;
        }
    }

    /// The same where the caller does not let it go on: nobody else is asked.
    pub async fn conclude(&mut self) {
        if self.service || self.absent.is_some() {
            return;
        }
        let denied = |node: &String| self.silent.get(node) == Some(&Silence::Denied);
        let to_come: HashSet<&String> = self.groups.iter().flat_map(|group| group.iter()).collect();
        let missing = self.checker.missing().into_iter();
        let silent: Vec<String> = missing.filter(|node| !denied(node) && !to_come.contains(node)).collect();
        let known = self.conversation.presence(&silent).await;
        self.absent = Some(known.into_iter().filter(|(_, presence)| !presence.connected).collect());
    }

    /// Whether anything was sent to a node that may have acted on it: what goes
    /// wrong then is no refusal of the request.
    pub fn sent(&self) -> bool {
        let begun = self.sent || self.outgoing.as_ref().is_some_and(|(outgoing, _)| outgoing.begun());
        begun && (self.service || self.denied < self.stats.discovered)
    }

    /// Statistics so far; `discover_time` is the caller's to fill.
    pub fn stats(&self) -> RequestStats {
        let of = |why: Silence| {
            let silent = self.silent.iter().filter(|(_, silence)| **silence == why);
            let mut names: Vec<String> = silent.map(|(name, _)| name.clone()).collect();
            names.sort();
            names
        };
        let unsent = self.outgoing.iter().flat_map(|(outgoing, _)| outgoing.unsent());
        let mut not_asked: Vec<String> =
            unsent.chain(self.groups.iter().flat_map(|group| group.iter())).cloned().collect();
        not_asked.sort();
        let asked = |node: &String| not_asked.binary_search(node).is_err();
        let no_responses: Vec<String> = self.checker.missing().into_iter().filter(asked).collect();
        let nobody_listens = of(Silence::NobodyListens);
        let mut not_connected: BTreeSet<String> = nobody_listens.iter().cloned().collect();
        let absent =
            self.absent.iter().flatten().filter(|(node, _)| no_responses.binary_search(node).is_ok());
        let since = |(node, presence): (&String, &Presence)| Some((node.clone(), presence.since?));
        let not_connected_since = absent.clone().filter_map(since).collect();
        not_connected.extend(absent.map(|(node, _)| node.clone()));
        let mut stats = RequestStats {
            no_responses,
            nobody_listens,
            not_connected: not_connected.into_iter().collect(),
            not_connected_since,
            federations_down: self.conversation.down().iter().cloned().collect(),
            denied_by_broker: of(Silence::Denied),
            not_asked,
            overflowed_responses: self.conversation.overflowed(),
            unexpected_responses: self.checker.unexpected(),
            dropped_responses: self.checker.dropped(),
            ..self.stats.clone()
        };
        stats.accounting = stats.accounting.with_silent(&stats);
        stats
    }

    /// Nodes this request is for, in all its batches, whether or not they have
    /// been asked yet or have answered.
    pub fn targets(&self) -> usize {
        self.stats.discovered
    }
}

/// A body that cannot be read is an answer all the same.
fn decode(payload: &[u8]) -> ReplyBody {
    ReplyBody::decode(payload).unwrap_or_else(|e| ReplyBody {
        action: String::new(),
        statuscode: StatusCode::UnknownError,
        statusmsg: format!("the node's reply cannot be read: {e}"),
        data: Map::new(),
    })
}
