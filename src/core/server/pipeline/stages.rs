//! The stages and the types between them. Each type can only be made by the
//! stage before it, so a request cannot skip one.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::judging::{Wanted, judged_as};
use crate::core::agents::{Agent, Call, Deed, Outcome};
use crate::core::audit::AuditRecord;
use crate::core::authz::{self, Authorizer, Decision};
use crate::core::config::Config;
use crate::core::protocol::DecodeError;
use crate::core::protocol::deferred::{Deferred, place};
use crate::core::protocol::filter::Filter;
use crate::core::protocol::v1::{Envelope, Headers, Request, SecureRequest, Transport};
use crate::core::rpc::{Heading, Inputs, NOT_AUTHORIZED, RequestBody, StatusCode};
use crate::core::security::{RequestTrust, Verified, VerifyError};
use crate::core::server::pipeline::deferring::Deferral;
use crate::core::server::pipeline::filtering::{self, Unfiltered};
use crate::core::server::pipeline::pool::{Full, Seat};
use crate::core::server::pipeline::reply::{self, Elsewhere};
use crate::core::server::replay::Replay;
use crate::core::server::{NodeState, ReplayGuard};
use crate::core::text::shortened;

/// Longest life of a request that counts, in seconds: that of the longest the
/// original makes, a batch that shares one signature (spec 01 §7). What says it
/// lives longer is believed for so long.
pub const LONGEST_TTL: i64 = 5 * 3600;
/// Seconds a request may be dated ahead: the TTL it usually has, however long
/// the one it says.
pub const MOST_AHEAD: i64 = 60;
/// Longest request id and name of a sender, in bytes: they are written to log and audit.
const LONGEST_NAME: usize = 1024;
/// What the inputs of one request may take in memory.
const MOST_INPUTS: usize = 16 * 1024 * 1024;
/// Longest reason that is logged, in characters; filters are quoted in them.
const LONGEST_REASON: usize = 400;

/// What a caller is told whose call would leave no trace.
const UNAUDITED: &str = "this node cannot write its audit log and runs nothing unaudited";

/// Why a request ends before it acts.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the texts say it
pub enum Rejection {
    #[error("{0}")]
    Unreadable(#[from] DecodeError),
    #[error("{0}")]
    Unverified(#[from] VerifyError),
    #[error("this node is not part of its collective '{0}'")]
    ForeignCollective(String),
    #[error("its id, or the name of its sender, caller or agent, has more than {LONGEST_NAME} bytes")]
    TooLong,
    #[error("{0}")]
    ReplyElsewhere(#[from] Elsewhere),
    #[error("the filter does not match this node")]
    Filtered,
    #[error("its filter cannot be evaluated here: {}", beginning(.0))]
    Unfiltered(#[from] Unfiltered),
    #[error("it was made {} and is valid for {ttl} s; check the clocks of both machines", ago(*.age))]
    Expired { age: i64, ttl: i64 },
    #[error("{0}")]
    Replayed(#[from] Replay),
}

fn ago(seconds: i64) -> String {
    match seconds {
        ..0 => format!("{seconds} s ago, which is in the future here,"),
        _ => format!("{seconds} s ago"),
    }
}

fn beginning(reason: &Unfiltered) -> String {
    let text = reason.to_string();
    match text.char_indices().nth(LONGEST_REASON) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

impl Rejection {
    /// One word, for limiting the log by kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Rejection::Unreadable(_) => "unreadable",
            Rejection::Unverified(refusal) => refusal.kind(),
            Rejection::ForeignCollective(_) => "collective",
            Rejection::TooLong => "unreadable",
            Rejection::ReplyElsewhere(_) => "reply subject",
            Rejection::Filtered => "filtered",
            Rejection::Unfiltered(Unfiltered::Panicked) => "panicked",
            Rejection::Unfiltered(why) if why.is_over_budget() => "filter cost",
            Rejection::Unfiltered(_) => "filter",
            Rejection::Expired { .. } => "expired",
            Rejection::Replayed(_) => "replayed",
        }
    }
}

/// A rejection and as much as is known of the request it ended.
#[derive(Debug)]
pub struct Refused {
    pub rejection: Rejection,
    pub request_id: String,
    pub caller: String,
    pub sender: String,
    /// The request is of that caller.
    pub believed: bool,
}

impl Refused {
    fn early(rejection: Rejection, sender: &str) -> Box<Refused> {
        let sender = sender.to_owned();
        Box::new(Refused {
            rejection,
            request_id: String::new(),
            caller: String::new(),
            sender,
            believed: false,
        })
    }

    fn late(rejection: Rejection, incoming: &Incoming) -> Box<Refused> {
        let envelope = &incoming.request.envelope;
        Box::new(Refused {
            rejection,
            request_id: envelope.requestid.clone(),
            caller: envelope.callerid.clone(),
            sender: envelope.senderid.clone(),
            believed: true,
        })
    }
}

/// Read, not yet believed.
pub struct Decoded {
    headers: Headers,
    secure: SecureRequest,
}

/// From who it says it is.
pub struct Incoming {
    headers: Headers,
    request: Verified<Request>,
}

/// Addressed to a collective of this node, and answered there.
pub struct Ours(Incoming);
/// In time.
pub struct Timely(Incoming);
/// Not seen before.
pub struct Fresh(Incoming);
/// Meant for this node, and to be acted on, once.
pub struct Accepted(Incoming);

pub fn decode(payload: &[u8]) -> Result<Decoded, Box<Refused>> {
    let transport = Transport::decode(payload).map_err(|e| Refused::early(e.into(), ""))?;
    let secure = SecureRequest::decode(&transport.data)
        .map_err(|e| Refused::early(e.into(), &transport.headers.sender))?;
    Ok(Decoded { headers: transport.headers, secure })
}

pub fn verify(decoded: Decoded, verifier: &RequestTrust, now: i64) -> Result<Incoming, Box<Refused>> {
    let Decoded { headers, secure } = decoded;
    match verifier.judge(&secure, now) {
        Ok(request) => Ok(Incoming { headers, request }),
        Err(refusal) => {
            // What it claims to be, so that people can look for it; nothing
            // else is done with it.
            let claimed = Request::decode(secure.message.as_bytes()).ok().map(|request| request.envelope);
            let (request_id, caller) = claimed.map(|c| (c.requestid, c.callerid)).unwrap_or_default();
            let (rejection, sender) = (refusal.into(), headers.sender);
            Err(Box::new(Refused { rejection, request_id, caller, sender, believed: false }))
        }
    }
}

pub fn collective(incoming: Incoming, config: &Config) -> Result<Ours, Box<Refused>> {
    let envelope = &incoming.request.envelope;
    // what a reply and a log say again of a request is short, whoever asks
    let names = [&envelope.requestid, &envelope.senderid, &envelope.callerid, &envelope.agent];
    if names.iter().any(|name| name.len() > LONGEST_NAME) {
        let mut refused = Refused::late(Rejection::TooLong, &incoming);
        refused.request_id = shortened(&refused.request_id, LONGEST_NAME);
        refused.sender = shortened(&refused.sender, LONGEST_NAME);
        refused.caller = shortened(&refused.caller, LONGEST_NAME);
        return Err(refused);
    }
    let name = &incoming.request.envelope.collective;
    if !config.collectives.contains(name) {
        return Err(Refused::late(Rejection::ForeignCollective(name.clone()), &incoming));
    }
    match reply::subject(&incoming.headers, &config.collectives) {
        Ok(_) => Ok(Ours(incoming)),
        Err(elsewhere) => Err(Refused::late(elsewhere.into(), &incoming)),
    }
}

pub fn ttl(ours: Ours, now: i64) -> Result<Timely, Box<Refused>> {
    let Ours(incoming) = ours;
    let envelope = &incoming.request.envelope;
    let age = now.saturating_sub(envelope.time);
    if incoming.request.age_ok(now) && (1 - MOST_AHEAD..LONGEST_TTL).contains(&age) {
        return Ok(Timely(incoming));
    }
    let rejection = Rejection::Expired { age, ttl: envelope.ttl.min(LONGEST_TTL) };
    Err(Refused::late(rejection, &incoming))
}

pub async fn replay(timely: Timely, guard: &ReplayGuard, now: i64) -> Result<Fresh, Box<Refused>> {
    let Timely(incoming) = timely;
    let envelope = &incoming.request.envelope;
    let ttl = envelope.ttl.min(LONGEST_TTL);
    match guard.admit(&envelope.callerid, &envelope.requestid, envelope.time, ttl, now).await {
        Ok(()) => Ok(Fresh(incoming)),
        Err(replay) => Err(Refused::late(replay.into(), &incoming)),
    }
}

/// Judges a request that waited for this node, as of now: in place of what `decode` to `filter` do for others. It was
/// read at a place of `caller` and `id`, hashed and plain.
pub fn deferred(
    text: &str,
    (caller, id): (&str, &str),
    verifier: &RequestTrust,
    config: &Config,
    now: i64,
) -> Result<(Deferred, Accepted), Deferral> {
    let refused = |why: &str| Deferral::Refused(why.to_owned());
    let secure = SecureRequest::decode(text.as_bytes()).map_err(|e| Deferral::Refused(e.to_string()))?;
    let verified = verifier.judge_deferred(&secure, now).map_err(|e| Deferral::Refused(e.to_string()))?;
    if verified.node != config.identity {
        return Err(refused("it is for another node"));
    }
    if verified.id != id || place(&verified.caller) != caller {
        return Err(refused("it is not where its caller keeps it"));
    }
    if !config.collectives.contains(&verified.collective) {
        return Err(refused("this node is not part of its collective"));
    }
    let most = i64::try_from(config.choria_requests_max_age.as_secs()).unwrap_or(i64::MAX);
    verified.check_time(now, most).map_err(|e| Deferral::Refused(e.to_string()))?;
    let accepted = Accepted(Incoming { headers: Headers::default(), request: verified.request() });
    Ok((verified.into_inner(), accepted))
}

impl Fresh {
    pub fn filter(&self) -> &Filter {
        &self.0.request.envelope.filter
    }

    /// Whether its filter has to be evaluated elsewhere.
    pub fn is_costly(&self) -> bool {
        let filter = self.filter();
        !filter.is_empty() && !filter.is_plain()
    }

    pub fn caller(&self) -> &str {
        &self.0.request.envelope.callerid
    }

    /// A call of this caller, in place of what was asked.
    pub fn call(&self, agent: &str, action: &str, data: Map<String, Value>) -> Call {
        let envelope = &self.0.request.envelope;
        Call {
            agent: agent.to_owned(),
            action: action.to_owned(),
            data,
            request_id: envelope.requestid.clone(),
            sender: envelope.senderid.clone(),
            caller: envelope.callerid.clone(),
            collective: envelope.collective.clone(),
            ttl: envelope.ttl,
            time: envelope.time,
        }
    }

    /// Its id and its caller.
    pub fn about(&self) -> (String, String) {
        let envelope = &self.0.request.envelope;
        (envelope.requestid.clone(), envelope.callerid.clone())
    }
}

/// Ends the walk of a request that is not for this node; `elsewhere` is what
/// was found out about a filter that is evaluated on another thread.
///
/// A request to this node by its name whose agent is not here is answered: the
/// original is silent, and its callers wait for the whole timeout to guess.
pub fn filter(
    fresh: Fresh,
    elsewhere: Option<Result<bool, Unfiltered>>,
    by_name: bool,
    node: &NodeState,
) -> Result<Accepted, Box<Refused>> {
    let Fresh(incoming) = fresh;
    let filter = &incoming.request.envelope.filter;
    let matched = match elsewhere {
        Some(matched) => matched,
        None if filter.is_empty() => Ok(true),
        None => filtering::evaluate_plain(filter, node).map_err(Into::into),
    };
    match matched {
        Ok(true) => Ok(Accepted(incoming)),
        Ok(false) if by_name && lacks_only_agent(&incoming.request.envelope, node) => Ok(Accepted(incoming)),
        Ok(false) => Err(Refused::late(Rejection::Filtered, &incoming)),
        Err(why) => Err(Refused::late(why.into(), &incoming)),
    }
}

/// Whether a filter asks for nothing but the agent of the request, which is not
/// here, and perhaps this node.
fn lacks_only_agent(envelope: &Envelope, node: &NodeState) -> bool {
    let Filter { fact, cf_class, agent, identity, compound } = &envelope.filter;
    let here = identity.is_empty() || identity.iter().any(|name| name == node.identity_text());
    let nothing_else = fact.is_empty() && cf_class.is_empty() && compound.is_empty();
    here && nothing_else
        && *agent == [envelope.agent.as_str()]
        && !node.hosted().names().contains(&envelope.agent)
}

impl Accepted {
    pub fn headers(&self) -> &Headers {
        &self.0.headers
    }

    pub fn request(&self) -> &Request {
        &self.0.request
    }

    pub fn agent(&self) -> &str {
        &self.0.request.envelope.agent
    }

    pub fn payload(&self) -> Vec<u8> {
        self.0.request.payload()
    }
}

/// A call the caller may make.
pub struct Authorized {
    pub agent: Arc<dyn Agent>,
    pub call: Call,
    /// Until when it may wait for this node yet, although it has come.
    pub until: Option<i64>,
}

/// A call that is not made; the caller gets `outcome`, the log gets `log`.
pub struct Denial {
    pub action: String,
    pub outcome: Outcome,
    pub log: String,
    /// False for mistakes such as an unknown action.
    pub counts_as_denied: bool,
}

impl Denial {
    pub fn mistake(action: &str, code: StatusCode, message: String) -> Box<Denial> {
        Box::new(Denial {
            action: action.to_owned(),
            log: message.clone(),
            outcome: Outcome::failed(code, message),
            counts_as_denied: false,
        })
    }

    /// Of a call that would leave no trace.
    pub fn unaudited(action: &str) -> Box<Denial> {
        let outcome = Outcome::failed(StatusCode::Aborted, UNAUDITED);
        let log = "its audit record was not written".to_owned();
        Box::new(Denial { action: action.to_owned(), outcome, log, counts_as_denied: true })
    }

    fn denied(action: &str, log: String) -> Box<Denial> {
        let outcome = Outcome::failed(StatusCode::Aborted, NOT_AUTHORIZED);
        Box::new(Denial { action: action.to_owned(), outcome, log, counts_as_denied: true })
    }
}

/// Reads the body, finds the action, asks the policy and checks the inputs
/// against the DDL, in this order (spec 02 §2.2).
pub async fn authorize(
    accepted: &Accepted,
    node: &Arc<NodeState>,
    authorizer: &Arc<Authorizer>,
    seat: &mut Seat,
) -> Result<Authorized, Box<Denial>> {
    let envelope = &accepted.request().envelope;
    let unreadable = |e: DecodeError| {
        Denial::mistake("", StatusCode::InvalidData, format!("Could not process request: {e}"))
    };
    let payload = accepted.payload();
    let Heading { agent: body_agent, action, until } = RequestBody::heading(&payload).map_err(unreadable)?;
    let unknown = || {
        // it is told twice, to who has no rights yet
        let action = shortened(&action, LONGEST_NAME);
        let message = format!("Unknown action {action} for agent {}", envelope.agent);
        Denial::mistake(&action, StatusCode::UnknownAction, message)
    };
    // A request whose filter names no agent can reach a node without it.
    let agent = node.hosted().agent(&envelope.agent).ok_or_else(|| {
        let message = format!("Unknown agent {}, this node does not have it", envelope.agent);
        Denial::mistake(&shortened(&action, LONGEST_NAME), StatusCode::UnknownAction, message)
    })?;
    let interface = agent.ddl().action(&action).ok_or_else(unknown)?;
    if body_agent != envelope.agent {
        return Err(Denial::denied(
            &action,
            format!("the body is for agent '{}'", shortened(&body_agent, LONGEST_NAME)),
        ));
    }
    if !authorizer.reads_inputs() {
        decide(accepted, &action, None, node, authorizer).await?;
    }
    // Compiled-in agents of the original ignore inputs they do not declare, and clients rely
    // on it, such as those of Ruby with their flag `process_results`.
    let all = agent.judges_inputs() || interface.open_inputs;
    let wanted = |name: &str| {
        interface.input.contains_key(name) || all && (agent.judges_inputs() || name != "process_results")
    };
    let Inputs { data, weight } = RequestBody::inputs(&payload, MOST_INPUTS, wanted).map_err(unreadable)?;
    drop(payload);
    seat.grow(weight).map_err(|Full| {
        let message = "Could not process request: this node has no room for its inputs now, ask again";
        Denial::mistake(&action, StatusCode::UnknownError, message.to_owned())
    })?;
    if authorizer.reads_inputs() {
        decide(accepted, &action, Some(data.clone()), node, authorizer).await?;
    }
    if !agent.judges_inputs() {
        interface.validate(&data).map_err(|e| {
            Denial::mistake(&action, StatusCode::InvalidData, format!("Validation failed: {e}"))
        })?;
    }
    let call = Call {
        agent: envelope.agent.clone(),
        action,
        data,
        request_id: envelope.requestid.clone(),
        sender: envelope.senderid.clone(),
        caller: envelope.callerid.clone(),
        collective: envelope.collective.clone(),
        ttl: envelope.ttl,
        time: envelope.time,
    };
    Ok(Authorized { agent, call, until })
}

/// Asks the policy for what else a call does: one spelling that is allowed is enough, one that
/// a rule denies is too much (spec 07 §A5).
pub async fn authorize_deed(
    accepted: &Accepted,
    call: &Call,
    deed: &Deed,
    node: &Arc<NodeState>,
    authorizer: &Arc<Authorizer>,
) -> Result<(), Box<Denial>> {
    let inputs = || authorizer.reads_inputs().then(|| call.data.clone());
    let (mut allowed, mut why) = (false, None);
    for name in &deed.names {
        let decision = judged(accepted, name, inputs(), node, authorizer).await;
        allowed |= decision.allowed;
        let by_rule = decision.outcome == authz::Outcome::DenyRule;
        if by_rule || !decision.allowed && why.is_none() {
            why = Some(decision.reason);
        }
        if by_rule {
            allowed = false;
            break;
        }
    }
    if allowed {
        return Ok(());
    }
    let name = deed.names.first().map(String::as_str).unwrap_or_default();
    let log = format!("{name}: {}", why.unwrap_or_default());
    let outcome = Outcome::failed(StatusCode::Aborted, deed.refusal.clone());
    Err(Box::new(Denial { action: call.action.clone(), outcome, log, counts_as_denied: true }))
}

/// Asks the policy for an action.
async fn decide(
    accepted: &Accepted,
    action: &str,
    data: Option<Map<String, Value>>,
    node: &Arc<NodeState>,
    authorizer: &Arc<Authorizer>,
) -> Result<(), Box<Denial>> {
    match judged(accepted, action, data, node, authorizer).await {
        Decision { allowed: true, .. } => Ok(()),
        denied => Err(Denial::denied(action, denied.reason)),
    }
}

/// Asks the policy, by its files and those of facts and classes as they are now.
async fn judged(
    accepted: &Accepted,
    action: &str,
    data: Option<Map<String, Value>>,
    node: &Arc<NodeState>,
    authorizer: &Arc<Authorizer>,
) -> Decision {
    let envelope = &accepted.request().envelope;
    judged_as(Wanted::of(envelope, action, data), node, authorizer).await
}

impl Authorized {
    /// What the audit log gets; `data` are the inputs as a value.
    pub fn audit_record<'a>(call: &'a Call, data: &'a Value) -> AuditRecord<'a> {
        AuditRecord {
            request_id: &call.request_id,
            request_time: call.time,
            caller: &call.caller,
            sender: &call.sender,
            agent: &call.agent,
            action: &call.action,
            data,
        }
    }
}
