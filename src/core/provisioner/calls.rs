//! Asking waiting nodes, all over one connection.
//!
//! Every answer arrives under one subscription and is told apart by request id
//! and sender. Requests that are equal for many nodes are signed once a
//! window and published to each: a signature costs more than all else about
//! them. A name that two machines answer by is remembered as
//! [doubled](Calls::doubled).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use super::awaited::{Answer, Awaited};
use crate::core::agents::discovery;
use crate::core::client::ReplyReader;
use crate::core::connection::{Message, PublishError, Session};
use crate::core::protocol::filter::Filter;
use crate::core::protocol::subjects;
use crate::core::protocol::v1::{Envelope, Headers, Request, SecureRequest, Transport, new_request_id};
use crate::core::provisioning::{AGENT, COLLECTIVE};
use crate::core::rpc::{ReplyBody, RequestBody, StatusCode};
use crate::core::security::{SecurityError, Signer};
use crate::core::text::shortened;

/// How long equal requests are gathered.
const WINDOW: Duration = Duration::from_millis(20);
/// Most nodes of one window.
const WINDOW_NODES: usize = 200;
/// Answers waiting to be looked at.
const INTAKE: usize = 16_384;
/// Seconds a request is valid.
const TTL: i64 = 60;
/// Characters shown of what nodes and helpers say, in logs and pages.
pub(super) const MAX_TOLD: usize = 300;

/// A node was asked and gave no good answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// Nothing came in time.
    #[error("{agent}#{action}: no answer within {} s", .limit.as_secs_f32())]
    Silent {
        /// Agent.
        agent: &'static str,
        /// Action.
        action: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// The agent said no.
    #[error("{agent}#{action}: {text} ({code})")]
    Refused {
        /// Agent.
        agent: &'static str,
        /// Action.
        action: &'static str,
        /// Status code.
        code: i64,
        /// Its words, shortened.
        text: String,
    },
    /// The answer is none.
    #[error("{agent}#{action}: the answer cannot be read: {reason}")]
    Unreadable {
        /// Agent.
        agent: &'static str,
        /// Action.
        action: &'static str,
        /// Why.
        reason: String,
    },
    /// It did not leave this machine.
    #[error("the request was not sent: {0}")]
    NotSent(String),
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Agent.
    pub agent: &'static str,
    /// Action.
    pub action: &'static str,
    /// Inputs.
    pub data: Map<String, Value>,
    /// Equal for many nodes and without side effects that must not be repeated: may be gathered.
    /// Requests with a filter are not.
    pub shared: bool,
    /// Which machines of the node's name it is for; by default all of them.
    pub filter: Filter,
}

/// Tries, failures and time of one action, for metrics.
#[derive(Debug, Default)]
pub struct ActionTimes {
    /// Tries.
    pub count: AtomicU64,
    /// Time of all tries, microseconds.
    pub micros: AtomicU64,
    /// Tries without a good answer.
    pub errors: AtomicU64,
}

/// Actions the provisioner uses, as metrics name them.
pub const ACTIONS: [&str; 8] = [
    "choria_provision#jwt",
    "choria_provision#gen25519",
    "rpcutil#inventory",
    "choria_provision#gencsr",
    "choria_provision#shutdown",
    "choria_provision#release_update",
    "choria_provision#configure",
    "choria_provision#restart",
];

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
    windows: Mutex<HashMap<String, Window>>,
    times: [ActionTimes; ACTIONS.len()],
}

struct Window {
    request_id: Arc<str>,
    nodes: Vec<Arc<str>>,
}

impl Calls {
    /// Starts listening for answers. `identity` and `caller` are of this provisioner.
    pub async fn new(session: Session, signer: Option<Signer>, identity: &str, caller: &str) -> Calls {
        let subject = format!("{COLLECTIVE}.reply.{}.>", subjects::caller_hash(caller));
        let (sink, mut replies) = mpsc::channel::<Message>(INTAKE);
        session.subscribe_into(subject, None, sink).await;
        let calls = Calls(Arc::new(Inner {
            session,
            signer,
            identity: identity.to_owned(),
            caller: caller.to_owned(),
            awaited: Awaited::default(),
            windows: Mutex::default(),
            times: Default::default(),
        }));
        let weak = Arc::downgrade(&calls.0);
        tokio::spawn(async move {
            let mut reader = ReplyReader::default();
            while let Some(message) = replies.recv().await {
                let Some(inner) = weak.upgrade() else { return };
                match reader.read(&message.payload) {
                    Ok(reply) => inner.awaited.take(&reply, Instant::now()),
                    Err(dropped) => tracing::debug!("dropped an answer: {dropped}"),
                }
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
        let Ask { agent, action, data, shared, filter } = ask;
        let filtered = *filter != Filter::default();
        let body =
            RequestBody { agent: (*agent).into(), action: (*action).into(), data: data.clone() }.encode();
        let (sender, answer) = oneshot::channel();
        let request_id = if *shared && !filtered {
            self.join_window(node, agent, body, sender)
        } else {
            let request_id: Arc<str> = new_request_id().into();
            self.0.awaited.expect(&request_id, node, sender, filtered);
            let subjects = [subjects::node(COLLECTIVE, node)];
            let sent = self.send(&request_id, agent, body, filter.clone(), &subjects).await;
            if let Err(error) = sent {
                self.0.awaited.forget(&request_id, node);
                return Err(CallError::NotSent(error));
            }
            request_id
        };
        let Ok(Ok(reply)) = tokio::time::timeout(limit, answer).await else {
            self.0.awaited.forget(&request_id, node);
            return Err(CallError::Silent { agent, action, limit });
        };
        let unreadable = |reason| CallError::Unreadable { agent, action, reason };
        if reply.agent != *agent {
            return Err(unreadable(format!("it is of agent {:?}", shortened(&reply.agent, MAX_TOLD))));
        }
        let body = ReplyBody::decode(reply.message.as_bytes()).map_err(|e| unreadable(e.to_string()))?;
        if body.statuscode != StatusCode::Ok {
            let text = shortened(&body.statusmsg, MAX_TOLD);
            return Err(CallError::Refused { agent, action, code: body.statuscode.code(), text });
        }
        Ok(body)
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
        let (names, receiver) = mpsc::channel(INTAKE);
        self.0.awaited.expect_all(&request_id, names);
        let filter = Filter { agent: vec![AGENT.to_owned()], ..Filter::default() };
        let subject = subjects::broadcast(COLLECTIVE, discovery::NAME);
        // `ping` in base64: discovery payloads really are
        let sent = self.send(&request_id, discovery::NAME, "cGluZw==".to_owned(), filter, &[subject]).await;
        match sent {
            Ok(()) => Ok(receiver),
            Err(error) => {
                self.0.awaited.forget_all(&request_id);
                Err(CallError::NotSent(error))
            }
        }
    }

    /// Tries and times by action, in the order of [`ACTIONS`].
    pub fn all_times(&self) -> &[ActionTimes] {
        &self.0.times
    }

    fn times(&self, ask: &Ask) -> Option<&ActionTimes> {
        let place = ACTIONS.iter().position(|name| name.split_once('#') == Some((ask.agent, ask.action)))?;
        self.0.times.get(place)
    }

    /// Joins or opens the window of an equal request.
    fn join_window(
        &self,
        node: &Arc<str>,
        agent: &'static str,
        body: String,
        sender: oneshot::Sender<Answer>,
    ) -> Arc<str> {
        let mut windows = self.0.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let full = windows.get(&body).is_some_and(|window| window.nodes.len() >= WINDOW_NODES);
        if full && let Some(window) = windows.remove(&body) {
            self.send_window(agent, body.clone(), window);
        }
        if let Some(window) = windows.get_mut(&body) {
            window.nodes.push(node.clone());
            self.0.awaited.expect(&window.request_id, node, sender, false);
            return window.request_id.clone();
        }
        let request_id: Arc<str> = new_request_id().into();
        self.0.awaited.expect(&request_id, node, sender, false);
        let window = Window { request_id: request_id.clone(), nodes: vec![node.clone()] };
        windows.insert(body.clone(), window);
        let (calls, opened) = (self.clone(), request_id.clone());
        tokio::spawn(async move {
            tokio::time::sleep(WINDOW).await;
            let mut windows = calls.0.windows.lock().unwrap_or_else(PoisonError::into_inner);
            // it may have been full, and another be open by now
            if windows.get(&body).is_some_and(|window| window.request_id == opened)
                && let Some(window) = windows.remove(&body)
            {
                drop(windows);
                calls.send_window(agent, body, window);
            }
        });
        request_id
    }

    fn send_window(&self, agent: &'static str, body: String, window: Window) {
        let calls = self.clone();
        tokio::spawn(async move {
            let subjects: Vec<String> =
                window.nodes.iter().map(|node| subjects::node(COLLECTIVE, node)).collect();
            if let Err(error) =
                calls.send(&window.request_id, agent, body, Filter::default(), &subjects).await
            {
                tracing::warn!("requests to {} nodes were not sent: {error}", window.nodes.len());
            }
        });
    }

    async fn send(
        &self,
        request_id: &str,
        agent: &str,
        payload: String,
        filter: Filter,
        subjects: &[String],
    ) -> Result<(), String> {
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
        let secure = self.sign(&request).map_err(|e| e.to_string())?;
        let url = session.connected_server().unwrap_or_else(|| "unknown".to_owned());
        let headers = Headers {
            reply_to: Some(subjects::reply(COLLECTIVE, caller, request_id)),
            sender: identity.clone(),
            seen_by: vec![[url.clone(), identity.clone(), url]],
            federation: None,
        };
        let message = Bytes::from(Transport { data: secure.encode().into_bytes(), headers }.encode());
        for subject in subjects {
            session
                .publish(subject.clone(), message.clone())
                .await
                .map_err(|e: PublishError| e.to_string())?;
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
