//! Asking waiting nodes, all over one connection.
//!
//! Every answer arrives under one subscription; each node is given a subject
//! below it that no other knows (`awaited`). Requests that are
//! equal for many nodes are signed once a window and published to each: a
//! signature costs more than all else about them. A name that two machines
//! answer by is remembered as [doubled](Calls::doubled). What answers may take
//! is said in `intakes`.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::awaited::Awaited;
use super::intakes::{self, Intakes, Kept};
use crate::core::agents::discovery;
use crate::core::client::ReplyReader;
use crate::core::connection::{ByteBudget, HeldMessage, Message, NOBODY_LISTENS, PublishError, Session};
use crate::core::protocol::filter::Filter;
use crate::core::protocol::subjects;
use crate::core::protocol::v1::{Envelope, Headers, Request, SecureRequest, Transport, new_request_id};
use crate::core::provisioning::{AGENT, COLLECTIVE, Mark};
use crate::core::rpc::{ReplyBody, RequestBody, StatusCode};
use crate::core::security::{SecurityError, Signer};
use crate::core::text::shortened;

mod ask;
mod window;

pub use ask::{ACTIONS, ActionTimes, Ask, CallError, First};
use window::{To, Window};

/// Messages waiting to be handed to whoever waits for them, in bytes: that takes no time.
const UNSORTED: usize = 16 * 1024 * 1024;
/// Most names one discovery finds.
const MOST_FOUND: usize = 100_000;
/// Seconds a request is valid.
const TTL: i64 = 60;
/// Characters shown of what nodes and helpers say, in logs and pages.
pub(super) const MAX_TOLD: usize = 300;

/// See the module documentation. Clones share it.
#[derive(Clone)]
pub struct Calls(Arc<Inner>);

struct Inner {
    session: Session,
    /// None in networks without message security.
    signer: Option<Signer>,
    identity: String,
    caller: String,
    awaited: Awaited,
    intakes: Arc<Intakes>,
    kept: Kept,
    windows: Mutex<HashMap<String, Window>>,
    times: [ActionTimes; ACTIONS.len()],
}

impl Calls {
    /// Starts listening for answers. `identity` and `caller` are of this provisioner.
    pub async fn new(session: Session, signer: Option<Signer>, identity: &str, caller: &str) -> Calls {
        let subject = format!("{COLLECTIVE}.reply.{}.>", subjects::caller_hash(caller));
        let (sink, mut replies) = mpsc::channel::<Message>(intakes::MESSAGES);
        let unsorted = Arc::new(ByteBudget::new(UNSORTED));
        session.subscribe_within(subject, None, sink, unsorted.clone()).await;
        let intakes = Arc::new(Intakes::new(unsorted.clone()));
        let calls = Calls(Arc::new(Inner {
            session,
            signer,
            identity: identity.to_owned(),
            caller: caller.to_owned(),
            awaited: Awaited::default(),
            intakes,
            kept: Kept::default(),
            windows: Mutex::default(),
            times: Default::default(),
        }));
        let weak = Arc::downgrade(&calls.0);
        tokio::spawn(async move {
            while let Some(message) = replies.recv().await {
                unsorted.give_back(&message);
                let Some(inner) = weak.upgrade() else { return };
                inner.awaited.take(message, &inner.intakes, Instant::now());
            }
        });
        calls
    }

    /// Asks one node.
    ///
    /// # Errors
    /// [`CallError`]; a status other than 0 is [`CallError::Refused`].
    pub async fn ask(&self, node: &Arc<str>, ask: &Ask, limit: Duration) -> Result<ReplyBody, CallError> {
        let begun = Instant::now();
        let result = self.try_ask(node, ask, limit).await;
        if let Some(times) = self.times(ask) {
            times.count.fetch_add(1, Ordering::Relaxed);
            let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            times.micros.fetch_add(micros, Ordering::Relaxed);
            times.errors.fetch_add(u64::from(result.is_err()), Ordering::Relaxed);
        }
        result
    }

    async fn try_ask(&self, node: &Arc<str>, ask: &Ask, limit: Duration) -> Result<ReplyBody, CallError> {
        let Ask { agent, action, data, shared, filter, .. } = ask;
        let filtered = *filter != Filter::default();
        let body =
            RequestBody { agent: (*agent).into(), action: (*action).into(), data: data.clone() }.encode();
        let token: Arc<str> = new_request_id().into();
        let mut answers = self.0.awaited.expect(&token, node, filtered);
        let to = To { subject: subjects::node(COLLECTIVE, node), token: token.clone(), tell: true };
        let request_id = if *shared && !filtered {
            self.join_window(to, agent, body)
        } else {
            let request_id: Arc<str> = new_request_id().into();
            let sent = self.send(&request_id, agent, body, filter.clone(), &[to]).await;
            if let Err(error) = sent {
                self.0.awaited.forget(&token);
                return Err(error);
            }
            request_id
        };
        let answer = async {
            while let Some(answer) = answers.recv().await {
                if answer.status == Some(NOBODY_LISTENS) {
                    return Some(Err(CallError::Absent { agent, action }));
                }
                if let Some(body) = self.read(&answer, &request_id, node, ask) {
                    return Some(body);
                }
            }
            None
        };
        match tokio::time::timeout(limit, answer).await {
            Ok(Some(answer)) => answer,
            // a shared request that was not sent
            Ok(None) if !self.0.awaited.expects(&token) => Err(CallError::NoBroker),
            _ => {
                self.0.awaited.forget(&token);
                Err(CallError::Silent { agent, action, limit })
            }
        }
    }

    /// What a node has answered; `None` when the message is no answer to this request.
    fn read(
        &self,
        message: &HeldMessage,
        request_id: &str,
        node: &Arc<str>,
        ask: &Ask,
    ) -> Option<Result<ReplyBody, CallError>> {
        let Ask { agent, action, first, .. } = ask;
        let mut reader = ReplyReader::default();
        let reply = match reader.read(&message.payload) {
            Ok(reply) => reply,
            Err(dropped) => {
                tracing::debug!("dropped an answer: {dropped}");
                return None;
            }
        };
        if *reply.envelope.requestid != *request_id || *reply.envelope.senderid != **node {
            tracing::debug!(node = &**node, "an answer that is not to this request, or of another name");
            return None;
        }
        let unreadable = |reason| CallError::Unreadable { agent, action, reason };
        if reply.envelope.agent != *agent {
            let said = shortened(&reply.envelope.agent, MAX_TOLD);
            return Some(Err(unreadable(format!("it is of agent {said:?}"))));
        }
        if !self.0.kept.take(node, reply.message.as_bytes()) {
            return Some(Err(CallError::TooLarge { agent, action }));
        }
        let mut body = match ReplyBody::decode(reply.message.as_bytes()) {
            Ok(body) => body,
            Err(error) => return Some(Err(unreadable(error.to_string()))),
        };
        if body.statuscode != StatusCode::Ok {
            let text = shortened(&body.statusmsg, MAX_TOLD);
            return Some(Err(CallError::Refused { agent, action, code: body.statuscode.code(), text }));
        }
        let mark = Mark::take_from(&mut body.data);
        let is_first = match (first.get_or_init(|| mark.clone()), &mark) {
            (Some(first), Some(mark)) => first.is_same(mark),
            (first, mark) => first.is_none() && mark.is_none(),
        };
        if !is_first {
            return Some(Err(CallError::Another { agent, action }));
        }
        Some(Ok(body))
    }

    /// What a node said is needed no more.
    pub(super) fn done_with(&self, node: &str) {
        self.0.kept.release(node);
    }

    /// What waits to be looked at.
    pub fn intakes(&self) -> &Arc<Intakes> {
        &self.0.intakes
    }

    /// Whether two machines answered by this name lately: to requests with a filter, or to those without.
    pub fn doubled(&self, node: &str, filtered: bool) -> bool {
        self.0.awaited.doubled(node, filtered, Instant::now())
    }

    /// Another filter tells them apart from now on.
    pub fn forget_doubled_within(&self, node: &str) {
        self.0.awaited.forget_doubled_within(node);
    }

    /// Asks everybody in the waiting room; names arrive as they answer, until
    /// the receiver is dropped.
    ///
    /// # Errors
    /// The request could not be sent.
    pub async fn discover(&self) -> Result<mpsc::Receiver<String>, CallError> {
        let request_id = new_request_id();
        let token: Arc<str> = new_request_id().into();
        let (sink, mut answers) = mpsc::channel(intakes::MESSAGES);
        self.0.awaited.expect_all(&token, sink);
        let filter = Filter { agent: vec![AGENT.to_owned()], ..Filter::default() };
        let subject = subjects::broadcast(COLLECTIVE, discovery::NAME);
        let to = To { subject, token: token.clone(), tell: false };
        // `ping` in base64: discovery payloads really are
        let sent = self.send(&request_id, discovery::NAME, "cGluZw==".to_owned(), filter, &[to]).await;
        if let Err(error) = sent {
            self.0.awaited.forget_all(&token);
            return Err(error);
        }
        let (names, receiver) = mpsc::channel(intakes::MESSAGES);
        let calls = self.clone();
        tokio::spawn(async move {
            let (mut found, mut reader) = (HashSet::new(), ReplyReader::default());
            // an answer may come long after the last, and nobody be there to hear of it
            while let Some(answer) = tokio::select! {
                answer = answers.recv() => answer,
                () = names.closed() => None,
            } {
                let reply = match reader.read(&answer.payload) {
                    Ok(reply) if *reply.envelope.requestid == *request_id => reply,
                    _ => continue,
                };
                let name = &*reply.envelope.senderid;
                if found.contains(name) {
                    calls.0.awaited.answered_twice(name, Instant::now());
                } else if found.len() < MOST_FOUND {
                    found.insert(name.to_owned());
                    if names.send(name.to_owned()).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(receiver)
    }

    /// Tries and times by action, in the order of [`ACTIONS`].
    pub fn all_times(&self) -> &[ActionTimes] {
        &self.0.times
    }

    fn times(&self, ask: &Ask) -> Option<&ActionTimes> {
        let place = ACTIONS.iter().position(|name| name.split_once('#') == Some((ask.agent, ask.action)))?;
        self.0.times.get(place)
    }

    async fn send(
        &self,
        request_id: &str,
        agent: &str,
        payload: String,
        filter: Filter,
        to: &[To],
    ) -> Result<(), CallError> {
        let not_sent = |e: &dyn std::fmt::Display| CallError::NotSent(e.to_string());
        let Inner { session, identity, caller, .. } = &*self.0;
        let request = Request {
            message: payload,
            envelope: Envelope {
                requestid: request_id.to_owned(),
                senderid: identity.clone(),
                callerid: caller.clone(),
                collective: COLLECTIVE.to_owned(),
                agent: agent.to_owned(),
                ttl: TTL,
                time: jiff::Timestamp::now().as_second(),
                filter,
            },
        };
        let secure = self.sign(&request).map_err(|e| not_sent(&e))?;
        let url = session.connected_server().unwrap_or_else(|| "unknown".to_owned());
        let data = secure.encode().into_bytes();
        let mut headers = Headers {
            reply_to: None,
            sender: identity.clone(),
            seen_by: vec![[url.clone(), identity.clone(), url]],
            federation: None,
        };
        let unsent = |e: PublishError| match e {
            PublishError::NotConnected | PublishError::Stalled => CallError::NoBroker,
            e => not_sent(&e),
        };
        let line = session.line().await.map_err(unsent)?;
        for To { subject, token, tell } in to {
            // headers are not signed: each node is told a subject of its own
            let answer_to = subjects::reply(COLLECTIVE, caller, token);
            headers.reply_to = Some(answer_to.clone());
            let message = Transport { data: data.clone(), headers: headers.clone() }.encode();
            let sent = line.publish(subject.clone(), tell.then_some(answer_to), message.into()).await;
            sent.map_err(unsent)?;
        }
        Ok(())
    }

    fn sign(&self, request: &Request) -> Result<SecureRequest, SecurityError> {
        const NONE: &str = "insecure";
        match &self.0.signer {
            Some(signer) => signer.sign(request),
            None => Ok(SecureRequest {
                message: request.encode(),
                signature: NONE.to_owned(),
                pubcert: NONE.to_owned(),
            }),
        }
    }
}
