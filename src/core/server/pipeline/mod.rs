//! One request, one walk: decode → verify → collective → TTL → replay →
//! filter → authorize → audit → run → reply.
//!
//! Each stage is a function from one type to the next (`stages`); a stage
//! that refuses ends the walk with a [`Rejection`] that is counted and logged
//! here, in one place, with request id, caller and the one true reason. Nothing
//! is ever answered to a request that was not verified and meant for this node.
//!
//! What comes before the filter costs the same for every request; the filter is
//! the caller's, and is evaluated elsewhere (`filtering`) unless it is plain.
//! A panic ends the request it happens in, and nothing else.

mod auditing;
mod data_door;
mod deferring;
mod filtering;
mod judging;
mod pool;
mod reply;
mod stages;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use tokio::sync::{Semaphore, mpsc};

pub use pool::Pool;
pub use stages::Rejection;

use super::node::now;
use super::remembering::Remembering;
use super::{NodeState, ReplayGuard};
use crate::core::agents::{Outcome, discovery};
use crate::core::audit::AuditLog;
use crate::core::authz::Authorizer;
use crate::core::connection::{ByteBudget, Message, PublishError};
use crate::core::log::RefusalLog;
use crate::core::protocol::subjects;
use crate::core::rpc::{ReplyBody, StatusCode};
use crate::core::security::RequestTrust;
use crate::core::text::shortened;
use auditing::Auditing;
use data_door::DataDoor;
pub(super) use deferring::{Deferral, Place, Undone};
use filtering::{Filtering, Unfiltered};
use pool::{Full, Gate, Seat, Ticket};
pub(super) use stages::Accepted;
use stages::{Authorized, Denial, Fresh, Refused};

/// Characters of a caller's words in a log line.
const LOGGED: usize = 200;
/// Time between two looks whether the audit chain is to be signed.
const SIGNING: Duration = Duration::from_secs(60);
/// Requests read at once; there are no more threads to read them on.
const READ_AT_ONCE: usize = 4;

/// The pipeline of a node.
pub struct Pipeline {
    node: Arc<NodeState>,
    verifier: RequestTrust,
    replay: ReplayGuard,
    remembering: Arc<Remembering>,
    authorizer: Arc<Authorizer>,
    audit: Option<Arc<Auditing>>,
    gate: Gate,
    filtering: Filtering,
    data_door: Arc<DataDoor>,
    /// Requests that are read: each is held twice meanwhile.
    reading: Semaphore,
    refusals: RefusalLog,
}

impl Pipeline {
    pub(super) fn new(
        node: Arc<NodeState>,
        verifier: RequestTrust,
        authorizer: Arc<Authorizer>,
        audit: Option<AuditLog>,
        pool: Pool,
        replay: ReplayGuard,
        remembering: Arc<Remembering>,
    ) -> Pipeline {
        let gate = Gate::new(pool);
        let filtering = Filtering::new(node.config().choria_filter_timeout);
        let (reading, refusals) = (Semaphore::new(READ_AT_ONCE), RefusalLog::default());
        let audit = audit.map(|log| Arc::new(Auditing::new(log)));
        let (node_too, rules, record) = (node.clone(), authorizer.clone(), audit.clone());
        let data_door = Arc::new(DataDoor { node: node_too, authorizer: rules, audit: record });
        Pipeline {
            node,
            verifier,
            replay,
            remembering,
            authorizer,
            audit,
            gate,
            filtering,
            data_door,
            reading,
            refusals,
        }
    }

    /// Takes messages until the connection's side hangs up. Never waits for an
    /// action: what finds no room is dropped and counted, since the wire has no
    /// word for "busy" and a node must outlive its callers.
    pub async fn serve(self: Arc<Self>, mut intake: mpsc::Receiver<Message>, budget: Arc<ByteBudget>) {
        let mut lost = 0;
        while let Some(message) = intake.recv().await {
            budget.give_back(&message);
            let counters = self.node.counters();
            raise(&counters.total);
            let lost_now = budget.dropped();
            if lost_now > lost {
                counters.dropped.fetch_add(lost_now - lost, Ordering::Relaxed);
                counters.total.fetch_add(lost_now - lost, Ordering::Relaxed);
                lost = lost_now;
                self.refusals.note("dropped", || {
                    tracing::warn!("requests were dropped: more come than this node can look at");
                });
            }
            counters.last_message.store(u64::try_from(now()).unwrap_or(0), Ordering::Relaxed);
            match self.gate.enter(message.payload.len()) {
                Ok(ticket) => {
                    let pipeline = self.clone();
                    tokio::spawn(async move { pipeline.walk(message, ticket).await });
                }
                Err(Full) => {
                    raise(&counters.dropped);
                    self.refusals.note("dropped", || {
                        tracing::warn!("a request was dropped: too many are waiting on this node");
                    });
                }
            }
        }
    }

    /// Has the audit chain signed where records have waited for it, for ever: on a quiet node nobody
    /// writes the next record that would bring a checkpoint.
    pub async fn keep_signing(self: Arc<Self>) {
        let Some(audit) = &self.audit else { return };
        loop {
            tokio::time::sleep(SIGNING).await;
            audit.rest().await;
        }
    }

    /// Waits until nothing is queued or running; false when `limit` came first.
    /// Filters are not evaluated any more.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.filtering.end();
        tokio::time::timeout(limit, self.gate.idle()).await.is_ok()
    }

    async fn walk(&self, message: Message, ticket: Ticket) {
        let mut turn = ticket.turn().await;
        let reading = self.reading.acquire().await;
        let received = AssertUnwindSafe(self.receive(&message.payload)).catch_unwind().await;
        drop(reading);
        let fresh = match received {
            Ok(Ok(fresh)) => fresh,
            Ok(Err(refused)) => return self.refuse(&refused),
            Err(_) => return self.panicked("", ""),
        };
        let size = message.payload.len();
        let by_name = is_node_subject(&message.subject, &self.node);
        drop(message);
        let (request, caller) = fresh.about();
        let Ok(mut seat) = ticket.of(&caller) else {
            raise(&self.node.counters().dropped);
            return self.refusals.note_of("dropped", &caller, || {
                tracing::warn!(
                    request,
                    caller,
                    "a request was dropped: its caller has as many here as one may have"
                );
            });
        };
        let (mut fresh, mut elsewhere) = (Some(fresh), None);
        if let Some(costly) = fresh.take_if(|fresh| fresh.is_costly()) {
            // Held once, by whoever is at it.
            let costly = Arc::new(costly);
            drop(turn);
            elsewhere = Some(self.filtering.matches(&costly, size, &self.node, &self.data_door).await);
            turn = seat.turn().await;
            fresh = Arc::into_inner(costly);
        }
        // filters have bounds of their own
        let running = match seat.try_run() {
            Some(running) => Some(running),
            None => {
                drop(turn);
                let running = seat.run().await;
                turn = seat.turn().await;
                running
            }
        };
        let finished = match fresh {
            Some(fresh) => {
                AssertUnwindSafe(self.finish(fresh, elsewhere, by_name, &mut seat)).catch_unwind().await.ok()
            }
            None => None,
        };
        // a reply may wait for who reads slowly, and keeps nobody else from running meanwhile
        drop((running, turn));
        match finished {
            Some(Some(reply)) => self.send(reply).await,
            Some(None) => {}
            None => self.panicked(&request, &caller),
        }
    }

    /// What is left once it is known what came of a costly filter.
    async fn finish(
        &self,
        fresh: Fresh,
        elsewhere: Option<Result<bool, Unfiltered>>,
        by_name: bool,
        seat: &mut Seat,
    ) -> Option<Reply> {
        match stages::filter(fresh, elsewhere, by_name, &self.node) {
            Ok(accepted) => {
                raise(&self.node.counters().passed);
                raise(&self.node.counters().validated);
                let payload = self.answer(&accepted, seat).await?;
                self.reply(&accepted, payload)
            }
            Err(refused) => {
                self.refuse(&refused);
                None
            }
        }
    }

    /// The stages whose cost is the same for everybody, in the order in which
    /// they keep most away.
    async fn receive(&self, payload: &[u8]) -> Result<Fresh, Box<Refused>> {
        let decoded = stages::decode(payload)?;
        let verified = stages::verify(decoded, &self.verifier, now())?;
        let ours = stages::collective(verified, self.node.config())?;
        let timely = stages::ttl(ours, now())?;
        stages::replay(timely, &self.replay, now()).await
    }

    /// Counts and logs a panic within a request.
    fn panicked(&self, request: &str, caller: &str) {
        raise(&self.node.counters().panicked);
        self.refusals.note_of("panicked", caller, || {
            tracing::error!(
                request,
                caller,
                "a request ended in a fault of this program, please report it; others are not affected"
            );
        });
    }

    /// The stages that act: what comes out is always a reply, or silence where
    /// the protocol wants silence.
    async fn answer(&self, accepted: &Accepted, seat: &mut Seat) -> Option<String> {
        if accepted.agent() == discovery::NAME {
            return discovery::answer(&accepted.payload()).map(str::to_owned);
        }
        Some(self.outcome(accepted, seat).await?.encode())
    }

    /// What comes of a request: what the agent or the policy says of it, or nothing.
    async fn outcome(&self, accepted: &Accepted, seat: &mut Seat) -> Option<ReplyBody> {
        match self.allowed(accepted, seat).await {
            Ok(authorized) => {
                let outcome = self.run(&authorized).await?;
                Some(reply_body(&authorized.call.action, outcome))
            }
            Err(denial) => {
                if denial.counts_as_denied {
                    raise(&self.node.counters().denied);
                    let request = accepted.request();
                    self.refusals.note_of("denied", &request.envelope.callerid, || {
                        tracing::warn!(
                            request = request.envelope.requestid,
                            caller = request.envelope.callerid,
                            agent = request.envelope.agent,
                            action = denial.action,
                            "denied: {}",
                            denial.log
                        );
                    });
                } else {
                    let envelope = &accepted.request().envelope;
                    self.refusals.note_of("mistaken", &envelope.callerid, || {
                        tracing::info!(
                            request = envelope.requestid,
                            caller = envelope.callerid,
                            agent = envelope.agent,
                            action = shortened(&denial.action, LOGGED),
                            "not run: {}",
                            shortened(&denial.log, LOGGED)
                        );
                    });
                }
                Some(reply_body(&denial.action, denial.outcome))
            }
        }
    }

    /// Asks the policy and writes the audit record: first of the action, then of what else the
    /// call does.
    async fn allowed(&self, accepted: &Accepted, seat: &mut Seat) -> Result<Authorized, Box<Denial>> {
        let authorized = stages::authorize(accepted, &self.node, &self.authorizer, seat).await?;
        if let Some(until) = authorized.until {
            self.remember(&authorized, until).await?;
        }
        let unaudited = || Denial::unaudited(&authorized.call.action);
        if !self.record(&authorized, None).await {
            return Err(unaudited());
        }
        if let Some(deed) = authorized.agent.deed(&authorized.call) {
            stages::authorize_deed(accepted, &authorized.call, &deed, &self.node, &self.authorizer).await?;
            if !self.record(&authorized, deed.names.first().map(String::as_str)).await {
                return Err(unaudited());
            }
        }
        Ok(authorized)
    }

    /// Remembers what may wait for this node yet, although it has come: so that it runs once.
    async fn remember(&self, authorized: &Authorized, until: i64) -> Result<(), Box<Denial>> {
        let call = &authorized.call;
        match self.remembering.asked(&call.caller, &call.request_id, until, now()).await {
            Ok(()) => Ok(()),
            Err(why) => Err(Denial::mistake(&call.action, StatusCode::Aborted, why)),
        }
    }

    /// Writes the audit record; false when the call must not run without it.
    async fn record(&self, authorized: &Authorized, deed: Option<&str>) -> bool {
        let Some(audit) = &self.audit else { return true };
        let Err(e) = audit.record(authorized, deed).await else { return true };
        let runs = !audit.is_mandatory();
        let consequence = if runs { "the action runs all the same" } else { "the action does not run" };
        tracing::error!(
            request = authorized.call.request_id,
            caller = authorized.call.caller,
            agent = authorized.call.agent,
            action = authorized.call.action,
            "the audit record was not written, {consequence}: {e}"
        );
        runs
    }

    /// Runs the action within the agent's timeout; `None` means silence, which
    /// is what callers of the original know a timeout by.
    async fn run(&self, authorized: &Authorized) -> Option<Outcome> {
        let limit = authorized.agent.limit(&authorized.call.action);
        let running = authorized.agent.run(&authorized.call, &*self.node);
        match tokio::time::timeout(limit, running).await {
            Ok(outcome) => Some(outcome),
            Err(_) => {
                raise(&self.node.counters().timedout);
                self.refusals.note_of("timed out", &authorized.call.caller, || {
                    tracing::warn!(
                        request = authorized.call.request_id,
                        caller = authorized.call.caller,
                        agent = authorized.call.agent,
                        action = authorized.call.action,
                        "the action took longer than {} s, its caller gets no reply",
                        limit.as_secs()
                    );
                });
                None
            }
        }
    }

    /// The reply to a request, for its subject.
    fn reply(&self, accepted: &Accepted, payload: String) -> Option<Reply> {
        let Ok(Some(subject)) = reply::subject(accepted.headers(), &self.node.config().collectives) else {
            return None;
        };
        let session = self.node.session()?;
        let url = session.connected_server();
        // only what is long can be too long
        let spare = (payload.len() > session.max_payload() / 32).then(|| payload.clone());
        let mut text = reply::encode(accepted, &self.node, url.as_deref(), payload, now());
        if text.len() > session.max_payload() {
            let message = format!("the reply of {} bytes is larger than the broker takes", text.len());
            let body = reply::brief(spare.as_deref().unwrap_or_default(), message);
            text = reply::encode(accepted, &self.node, url.as_deref(), body.encode(), now());
        }
        let envelope = &accepted.request().envelope;
        let (request, caller) = (envelope.requestid.to_string(), envelope.callerid.to_string());
        Some(Reply { subject: subject.to_owned(), text: text.into(), request, caller })
    }

    async fn send(&self, reply: Reply) {
        let Some(session) = self.node.session() else { return };
        let Reply { subject, text, request, caller } = reply;
        match session.publish_for(&caller, subject, text).await {
            Ok(()) => raise(&self.node.counters().replies),
            Err(e) => self.unsent(&request, &caller, &e),
        }
    }

    fn unsent(&self, request: &str, caller: &str, why: &PublishError) {
        self.refusals
            .note_of("reply", caller, || tracing::warn!(request, caller, "the reply was not sent: {why}"));
    }

    fn refuse(&self, refused: &Refused) {
        let counters = self.node.counters();
        raise(match &refused.rejection {
            Rejection::Unreadable(_)
            | Rejection::Unverified(_)
            | Rejection::ForeignCollective(_)
            | Rejection::TooLong
            | Rejection::ReplyElsewhere(_) => &counters.unvalidated,
            Rejection::Unfiltered(Unfiltered::Panicked) => &counters.panicked,
            Rejection::Unfiltered(why) if why.is_over_budget() => &counters.overbudget,
            Rejection::Filtered | Rejection::Unfiltered(_) => &counters.filtered,
            Rejection::Expired { .. } => &counters.ttlexpired,
            Rejection::Replayed(_) => &counters.replayed,
        });
        if matches!(refused.rejection, Rejection::Filtered) {
            tracing::debug!(request = refused.request_id, caller = refused.caller, "not for this node");
            return;
        }
        // who is not believed to be the caller is none
        let who = if refused.believed { refused.caller.as_str() } else { "" };
        self.refusals.note_of(refused.rejection.kind(), who, || {
            tracing::warn!(
                request = refused.request_id,
                caller = refused.caller,
                sender = refused.sender,
                "refused a request: {}",
                refused.rejection
            );
        });
    }
}

/// Whether a message came by the name of this node, in whatever collective.
fn is_node_subject(subject: &str, node: &NodeState) -> bool {
    node.config()
        .collectives
        .iter()
        .any(|collective| subject == subjects::node(collective, node.identity_text()))
}

/// A reply on its way.
struct Reply {
    subject: String,
    text: Bytes,
    request: String,
    caller: String,
}

fn reply_body(action: &str, outcome: Outcome) -> ReplyBody {
    ReplyBody {
        action: action.to_owned(),
        statuscode: outcome.code,
        statusmsg: outcome.message,
        data: outcome.data,
    }
}

fn raise(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
