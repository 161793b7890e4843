//! Where a message goes on the other side, and what its headers say there
//! (spec 04 §4.4).

use std::collections::HashSet;

use crate::core::nats::subject::{is_literal, valid_subject};
use crate::core::protocol::subjects::{self, is_token};
use crate::core::text::shortened;

use super::transport::{self, Federation, Headers, Members, Spans, Unreadable, push_text};

/// Longest subject that a message is carried to.
const MOST_SUBJECT: usize = 1024;
/// Hops after which a message is going round in circles.
const MOST_HOPS: usize = 64;
/// Bytes of a message times its targets.
const MOST: usize = 64 * 1024 * 1024;
/// Characters of a subject in an error.
const SHOWN: usize = 200;

/// A message for the other side.
#[derive(Debug)]
pub(super) struct Carried {
    /// Its text.
    pub(super) text: Vec<u8>,
    /// Where it goes.
    pub(super) targets: Vec<String>,
    /// Targets it does not go to.
    pub(super) refused: Vec<String>,
    /// Whose it is, by where answers go.
    pub(super) caller: String,
}

/// Why a message goes nowhere, and who of the original's stages counts that.
#[derive(Debug, thiserror::Error)]
pub(super) enum Dropped {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
    /// Its headers lack what is needed.
    #[error("{0}")]
    Incomplete(&'static str),
    /// An answer to somewhere else than where answers go.
    #[error("an answer would go to {0}, which is no subject of replies")]
    Elsewhere(String),
    /// It would be too much for all its targets together.
    #[error("it would be {0} bytes for all its targets together, {MOST} are carried at most")]
    TooMuch(usize),
}

/// One direction.
#[derive(Debug)]
pub(super) enum Carrier {
    /// From operators to nodes.
    Requests {
        /// What this process is in the hops.
        processor: String,
        /// Where nodes answer.
        back: String,
        /// Collectives that are served.
        collectives: Vec<String>,
    },
    /// From nodes to operators.
    Replies {
        /// What this process is in the hops.
        processor: String,
    },
}

/// `choria_nats_ingest` and so on are the original's workers, of which this is one each.
fn processor(identity: &str, transformer: &str) -> String {
    format!("{identity} (choria_nats_ingest:0, {transformer}:0, choria_nats_egest:0)")
}

impl Carrier {
    /// Requests into `collectives`, answers by way of `cluster`.
    pub(super) fn requests(identity: &str, cluster: &str, collectives: Vec<String>) -> Carrier {
        Carrier::Requests {
            processor: processor(identity, "choria_request_transformer"),
            back: subjects::federation_collective(cluster),
            collectives,
        }
    }

    /// Answers.
    pub(super) fn replies(identity: &str) -> Carrier {
        Carrier::Replies { processor: processor(identity, "choria_reply_transformer") }
    }

    /// What becomes of a message that came by the broker `from` and goes by `to`.
    pub(super) fn carry(&self, message: &[u8], from: &str, to: &str) -> Result<Carried, Dropped> {
        let Spans { before, after, version, headers } = transport::read(message)?;
        let Some(federation) = &headers.federation else { return Err(Unreadable::NotFederated.into()) };
        if headers.hops.len() >= MOST_HOPS {
            return Err(Dropped::Incomplete("it has gone through 64 processes already, which is a circle"));
        }
        let caller = match self {
            Carrier::Requests { .. } => caller(&headers.reply),
            Carrier::Replies { .. } => caller(&federation.reply),
        };
        let (processor, reply, targets, refused, federated) = match self {
            Carrier::Requests { processor, back, collectives } => {
                if federation.targets.is_empty() {
                    return Err(Dropped::Incomplete("it names no targets"));
                }
                if headers.reply.is_empty() {
                    return Err(Dropped::Incomplete("it does not say where answers go"));
                }
                let (good, bad): (Vec<_>, Vec<_>) =
                    federation.targets.iter().partition(|target| is_target(target, collectives));
                let text = |targets: Vec<&std::borrow::Cow<'_, str>>| -> Vec<String> {
                    let mut seen = HashSet::new();
                    targets
                        .into_iter()
                        .filter(|target| seen.insert(*target))
                        .map(ToString::to_string)
                        .collect()
                };
                (processor, back.as_str(), text(good), text(bad), Some(&*headers.reply))
            }
            Carrier::Replies { processor } => {
                let reply = &federation.reply;
                if reply.is_empty() {
                    return Err(Dropped::Incomplete("it does not say where it goes"));
                }
                if !is_reply(reply) {
                    return Err(Dropped::Elsewhere(shortened(reply, SHOWN)));
                }
                (processor, &*headers.reply, vec![reply.to_string()], vec![], None)
            }
        };
        let all = message.len().saturating_mul(targets.len());
        if all > MOST {
            return Err(Dropped::TooMuch(all));
        }
        let mut text = Vec::with_capacity(message.len() + processor.len() + 256);
        text.extend_from_slice(before);
        let mut out = Members::begin(text);
        let names = version.names();
        if !reply.is_empty() {
            push_text(out.key(names.reply), reply);
        }
        if let Some(sender) = headers.sender {
            out.key(names.sender).extend_from_slice(sender);
        }
        push_hops(out.key(names.hops), &headers, [from, processor, to]);
        if let Some(reply) = federated {
            let Federation { request, others, .. } = federation;
            let to = std::mem::take(out.key("federation"));
            let mut inner = Members::begin(to);
            if let Some(request) = request {
                inner.key(names.request).extend_from_slice(request);
            }
            push_text(inner.key(names.reply), reply);
            inner.others(others);
            out.text = inner.end();
        }
        out.others(&headers.others);
        let mut text = out.end();
        text.extend_from_slice(after);
        Ok(Carried { text, targets, refused, caller })
    }
}

/// The hops so far and one more.
fn push_hops(to: &mut Vec<u8>, headers: &Headers<'_>, hop: [&str; 3]) {
    to.push(b'[');
    for hop in &headers.hops {
        to.extend_from_slice(hop);
        to.push(b',');
    }
    for (place, part) in hop.into_iter().enumerate() {
        to.push(if place == 0 { b'[' } else { b',' });
        push_text(to, part);
    }
    to.extend_from_slice(b"]]");
}

fn is_one_subject(subject: &str) -> bool {
    subject.len() <= MOST_SUBJECT && valid_subject(subject) && is_literal(subject)
}

/// Whether requests go there: to a node, an agent or a service of a collective.
fn is_target(target: &str, collectives: &[String]) -> bool {
    let below = |collective: &String| {
        let rest = target.strip_prefix(collective.as_str())?.strip_prefix('.')?;
        let agent = rest.strip_prefix("broadcast.agent.").or(rest.strip_prefix("broadcast.service."));
        Some(rest.starts_with("node.") || agent.is_some_and(is_token))
    };
    collectives.iter().any(|collective| below(collective) == Some(true)) && is_one_subject(target)
}

/// Whose answers go there: what stands before the third dot, as in `COLLECTIVE.reply.CALLER.…`.
fn caller(reply: &str) -> String {
    let end = reply.match_indices('.').nth(2).map_or(reply.len(), |(at, _)| at);
    shortened(&reply[..end], SHOWN)
}

/// Whether answers go there: below `COLLECTIVE.reply.` of any collective of the operators.
fn is_reply(subject: &str) -> bool {
    let below = subject.split_once('.').is_some_and(|(_, rest)| rest.starts_with("reply."));
    below && is_one_subject(subject)
}
