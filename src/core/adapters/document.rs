//! What is handed on of a message (spec 04 §5.4).
//!
//! Signatures are looked at only where that is asked for: an adapter hands on what was
//! said, and who is believed is for whoever reads it. Messages of both protocol versions
//! are taken, whatever the process itself speaks.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::settings::{Format, Ingest, Settings};
use crate::core::admission::permissions::sha256_hex;
use crate::core::protocol::DecodeError;
use crate::core::protocol::json::Scratch;
use crate::core::protocol::v1::{Request, SecureReply, SecureRequest, Transport};
use crate::core::security::{RequestVerifier, VerifyError};

/// Largest message of version 2 that is read, in bytes.
const MOST: usize = 8 * 1024 * 1024;
/// Longest sender and request id.
const MOST_NAME: usize = 1024;

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    /// Its text, one line.
    pub(super) text: Arc<str>,
    /// The node it is of.
    pub(super) sender: String,
    /// The same for one message of one node, whenever it is told.
    pub(super) id: String,
}

/// Longest id that is told as it is; more is told by its hash.
const LONGEST_ID: usize = 256;

/// Why a message is not handed on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// A layer of version 1.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// A layer of version 2.
    #[error("the {layer} of protocol 2 cannot be read: {reason}")]
    Second { layer: &'static str, reason: String },
    /// It names nobody, or no subject can hold the name.
    #[error("its sender or request id is none")]
    Nobody,
    /// It is not from whom it says.
    #[error("{0}")]
    Unverified(#[from] VerifyError),
    /// One node tells of another.
    #[error("{caller} has signed what is said to be of {sender}")]
    Another { caller: String, sender: String },
    /// Nothing here can verify it.
    #[error("it is of protocol 2, whose signatures this version does not verify")]
    CannotVerify,
}

/// What a message says.
struct Said {
    data: String,
    sender: String,
    id: String,
    time: Timestamp,
}

/// Makes documents for one adapter.
pub(super) struct Reader {
    ingest: Ingest,
    format: Format,
    verifier: Option<Arc<RequestVerifier>>,
    scratch: [Scratch; 2],
}

impl Reader {
    pub(super) fn of(settings: &Settings, verifier: &Arc<RequestVerifier>) -> Reader {
        Reader {
            ingest: settings.ingest,
            format: settings.format,
            verifier: settings.verify.then(|| verifier.clone()),
            scratch: Default::default(),
        }
    }

    /// The document of a message, at `now` (unix seconds).
    pub(super) fn read(&mut self, message: &[u8], now: i64) -> Result<Document, Unusable> {
        let said = match Transport::decode(message) {
            Ok(transport) => self.first(&transport.data, now)?,
            Err(error @ DecodeError::Protocol { .. }) => match second_transport(message) {
                Some(data) if self.verifier.is_none() => self.second(&data)?,
                Some(_) => return Err(Unusable::CannotVerify),
                None => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        };
        if !is_name(&said.sender) || !is_name(&said.id) {
            return Err(Unusable::Nobody);
        }
        let time = said.time.to_string();
        let mut document = json!({
            "protocol": "choria:adapters:choria_streams:output:1",
            "data": said.data,
            "sender": said.sender,
            "time": time,
            "requestid": said.id,
        });
        let id = id_of(&said.id, &said.sender);
        if self.format == Format::CloudEvents {
            document = json!({
                "specversion": "1.0",
                "id": id,
                "source": "io.choria.adapter",
                "type": "io.choria.adapter.v1.output",
                "subject": said.sender,
                "time": time,
                "datacontenttype": "application/json",
                "data": document,
            });
        }
        Ok(Document { text: document.to_string().into(), sender: said.sender, id })
    }

    fn first(&mut self, data: &[u8], now: i64) -> Result<Said, Unusable> {
        let of = |second: i64| Timestamp::from_second(second).unwrap_or_default();
        match self.ingest {
            Ingest::Requests => {
                let secure = SecureRequest::decode(data)?;
                let request = match &self.verifier {
                    None => Request::decode(secure.message.as_bytes())?,
                    Some(verifier) => {
                        let verified = verifier.verify(&secure, now)?;
                        let (caller, sender) =
                            (verified.caller().name().to_string(), &verified.envelope.senderid);
                        // A privileged name speaks for others, here as everywhere.
                        if caller != *sender && !verified.privileged() {
                            return Err(Unusable::Another { caller, sender: sender.clone() });
                        }
                        verified.into_inner()
                    }
                };
                let envelope = request.envelope;
                let (sender, id) = (envelope.senderid, envelope.requestid);
                Ok(Said { data: request.message, sender, id, time: of(envelope.time) })
            }
            Ingest::Replies => {
                let [outer, inner] = &mut self.scratch;
                let secure = SecureReply::decode(data, outer)?;
                let reply = secure.open(inner)?;
                let envelope = &reply.envelope;
                Ok(Said {
                    data: reply.message.clone().into_owned(),
                    sender: envelope.senderid.clone().into_owned(),
                    id: envelope.requestid.clone().into_owned(),
                    time: of(envelope.time),
                })
            }
        }
    }

    /// Version 2 (spec 01 §3), as far as an adapter needs it.
    fn second(&self, data: &[u8]) -> Result<Said, Unusable> {
        #[derive(Deserialize)]
        struct Secure {
            protocol: String,
            #[serde(alias = "reply")]
            request: String,
        }
        #[derive(Deserialize)]
        struct Inner {
            protocol: String,
            message: String,
            #[serde(alias = "request")]
            id: String,
            sender: String,
            time: i64,
        }
        let (secure_protocol, protocol) = match self.ingest {
            Ingest::Requests => ("io.choria.protocol.v2.secure_request", "io.choria.protocol.v2.request"),
            Ingest::Replies => ("io.choria.protocol.v2.secure_reply", "io.choria.protocol.v2.reply"),
        };
        let wrong = |layer, reason: String| Unusable::Second { layer, reason };
        let secure: Secure =
            serde_json::from_slice(data).map_err(|e| wrong("secure message", e.to_string()))?;
        if secure.protocol != secure_protocol {
            return Err(wrong("secure message", format!("it is no {secure_protocol}")));
        }
        let inner = STANDARD.decode(&secure.request).map_err(|e| wrong("secure message", e.to_string()))?;
        let inner: Inner = serde_json::from_slice(&inner).map_err(|e| wrong("message", e.to_string()))?;
        if inner.protocol != protocol {
            return Err(wrong("message", format!("it is no {protocol}")));
        }
        let message = STANDARD.decode(&inner.message).map_err(|e| wrong("message", e.to_string()))?;
        Ok(Said {
            data: String::from_utf8_lossy(&message).into_owned(),
            sender: inner.sender,
            id: inner.id,
            time: Timestamp::from_nanosecond(inner.time.into()).unwrap_or_default(),
        })
    }
}

/// The data of a transport of version 2; `None` for what is none.
fn second_transport(message: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Outer<'a> {
        #[serde(borrow)]
        protocol: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        data: std::borrow::Cow<'a, str>,
    }
    if message.len() > MOST {
        return None;
    }
    let outer: Outer<'_> = serde_json::from_slice(message).ok()?;
    (outer.protocol == "io.choria.protocol.v2.transport").then(|| STANDARD.decode(&*outer.data).ok())?
}

/// What a message is known by: streams remember it, and brokers hand on none that is long.
fn id_of(request: &str, sender: &str) -> String {
    let id = format!("{request}.{sender}");
    if id.len() <= LONGEST_ID { id } else { sha256_hex(&id) }
}

/// Whether a name can be part of a subject, and of a header.
fn is_name(name: &str) -> bool {
    let tokens = || name.split('.').all(|token| !token.is_empty() && token != "*" && token != ">");
    name.len() <= MOST_NAME && tokens() && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// A document that was read from a spool.
pub(super) fn of_line(line: &str) -> Option<Document> {
    let value: Value = serde_json::from_str(line).ok()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (sender, id) = match text(&value["subject"]) {
        Some(subject) => (subject, text(&value["id"])?),
        None => {
            let sender = text(&value["sender"])?;
            let id = id_of(value["requestid"].as_str()?, &sender);
            (sender, id)
        }
    };
    Some(Document { text: line.into(), sender, id })
}
