//! The reply of a request that was accepted.

use serde_json::Value;

use crate::core::agents::Node;
use crate::core::nats::subject::{is_literal, valid_subject};
use crate::core::protocol::subjects::is_token;
use crate::core::protocol::v1::{Headers, Reply, ReplyEnvelope, SecureReply, Transport};
use crate::core::rpc::{ReplyBody, StatusCode};
use crate::core::server::NodeState;
use crate::core::text::shortened;

use super::stages::Accepted;

/// Longest reply subject; callers choose it.
const MAX_SUBJECT: usize = 1024;
/// Characters of a subject that are logged.
const SHOWN: usize = 200;
/// Hops that are copied from a request; callers and brokers add them.
const MAX_HOPS: usize = 32;

/// The reply is to go where replies do not go.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its reply would go to {subject}, and this node answers only below {collective}.reply. and to federation brokers"
)]
pub struct Elsewhere {
    subject: String,
    collective: String,
}

/// Where the reply goes; `None` when the caller wants none.
///
/// The reply subject is the one part of a request that its signature does not
/// cover and that makes a node publish: it is a subject of replies in a
/// collective of this node, or the one by which a federation broker carries
/// them on (spec 04 §4.4), or the request is not for this node to serve.
pub fn subject<'a>(headers: &'a Headers, collectives: &[String]) -> Result<Option<&'a str>, Elsewhere> {
    let Some(subject) = headers.reply_to.as_deref().filter(|subject| !subject.is_empty()) else {
        return Ok(None);
    };
    let is_subject = || subject.len() <= MAX_SUBJECT && valid_subject(subject) && is_literal(subject);
    let of_collective = |collective: &String| {
        subject.strip_prefix(collective.as_str()).is_some_and(|rest| rest.starts_with(".reply."))
    };
    let of_federation = || {
        let cluster = subject.strip_prefix("choria.federation.").and_then(|s| s.strip_suffix(".collective"));
        cluster.is_some_and(is_token)
    };
    if (collectives.iter().any(of_collective) || of_federation()) && is_subject() {
        return Ok(Some(subject));
    }
    let collective = collectives.first().cloned().unwrap_or_default();
    Err(Elsewhere { subject: shortened(subject, SHOWN), collective })
}

/// Bytes of an output that is told where a reply as a whole cannot be.
const BRIEF: usize = 256;
/// So many of them.
const MOST_BRIEF: usize = 32;

/// What is told instead of a reply that is larger than the broker takes: outputs that are short,
/// such as what the caller may ask for it by.
pub fn brief(payload: &str, message: String) -> ReplyBody {
    let whole = ReplyBody::decode(payload.as_bytes()).unwrap_or_default();
    let short = |value: &Value| value.to_string().len() <= BRIEF;
    let data = whole.data.into_iter().filter(|(_, value)| short(value)).take(MOST_BRIEF).collect();
    ReplyBody { action: whole.action, statuscode: StatusCode::UnknownError, statusmsg: message, data }
}

/// The transport text. Federation data and, for federated requests, the hops
/// go back with the reply (spec 01 §2.1).
pub fn encode(accepted: &Accepted, node: &NodeState, url: Option<&str>, payload: String, now: i64) -> String {
    let envelope = &accepted.request().envelope;
    let reply = Reply {
        message: payload.into(),
        envelope: ReplyEnvelope {
            requestid: envelope.requestid.as_str().into(),
            senderid: node.identity().into(),
            agent: envelope.agent.as_str().into(),
            time: now,
        },
    };
    let mut headers = accepted.headers().reply(node.identity());
    headers.seen_by.truncate(MAX_HOPS);
    headers.record_hop(url.unwrap_or("unknown"), node.identity());
    let data = SecureReply::of(&reply.encode()).encode().into_bytes();
    Transport { data, headers }.encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_go_where_replies_go() {
        let collectives = ["mcollective".to_owned(), "uk".to_owned()];
        let of = |reply_to: &str| {
            let reply_to = Some(reply_to.to_owned());
            let headers = Headers { reply_to, ..Headers::default() };
            subject(&headers, &collectives).map(|subject| subject.map(str::to_owned))
        };
        assert_eq!(of(""), Ok(None));
        for good in [
            "mcollective.reply.e33bf0376d4accbb4a8fd24b2f840b2e.77",
            "mcollective.reply.console.example.net.1",
            "uk.reply.x",
            "choria.federation.london.collective",
        ] {
            assert_eq!(of(good), Ok(Some(good.to_owned())), "{good}");
        }
        for bad in [
            "mcollective.reply",
            "mcollective.reply.",
            "mcollective.reply.*",
            "mcollective.reply.>",
            "mcollective.reply.a..b",
            "mcollective.reply.a b",
            "mcollectives.reply.x",
            "de.reply.x",
            "mcollective.node.n2.example.net",
            "mcollective.broadcast.agent.rpcutil",
            "choria.federation.london.federation",
            "choria.federation.a.b.collective",
            "choria.federation..collective",
            "choria.lifecycle.event.shutdown.server",
            "_INBOX.x",
            "dev.null",
            &format!("mcollective.reply.{}", "x".repeat(5000)),
        ] {
            let refused = of(bad).unwrap_err().to_string();
            assert!(refused.len() < 400 && refused.contains("below mcollective.reply."), "{refused}");
        }
    }
}

#[cfg(test)]
mod brief_tests {
    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn what_is_short_is_told_all_the_same() {
        let data: Map<String, Value> =
            serde_json::from_value(json!({"task_id": "1a", "exitcode": 0, "stdout": "x".repeat(9000)}))
                .unwrap();
        let body = ReplyBody {
            action: "run_and_wait".into(),
            statuscode: StatusCode::Ok,
            statusmsg: "OK".into(),
            data,
        };
        let told = brief(&body.encode(), "too large".into());
        assert_eq!(json!(told.data), json!({"task_id": "1a", "exitcode": 0}));
        assert_eq!(
            (told.statuscode, told.statusmsg.as_str(), told.action.as_str()),
            (StatusCode::UnknownError, "too large", "run_and_wait")
        );
        assert!(brief("", "too large".into()).data.is_empty());
    }
}
