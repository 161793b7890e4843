//! What is asked, of whom, by whom: the signed part.

use super::fields::{Field, text, whole};
use super::transport::decode_base64;
use super::{MAX_TRANSPORT, MIN_TTL, REQUEST_ID_LENGTH};
use crate::core::protocol::filter::{Filter, read_filter};
use crate::core::protocol::json::{JsonError, Reader, push_integer, push_string};
use crate::core::protocol::{DecodeError, Layer};

const PROTOCOL: &str = "choria:request:1";
const LAYER: Layer = Layer::Request;

/// `choria:request:1` (spec 01 §2.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// What the agent is asked, as carried; [`payload`](Request::payload) is
    /// what the agent gets.
    pub message: String,
    /// Everything around it.
    pub envelope: Envelope,
}

/// The frame of a request. Ruby peers refuse any further key, so there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope {
    /// 32 characters.
    pub requestid: String,
    /// Identity of the machine that sent it; may be empty.
    pub senderid: String,
    /// Who asks, `kind=name`.
    pub callerid: String,
    /// The collective that is asked.
    pub collective: String,
    /// The agent that is asked.
    pub agent: String,
    /// Life in seconds, from 30.
    pub ttl: i64,
    /// Unix seconds when it was made.
    pub time: i64,
    /// The nodes it is for.
    pub filter: Filter,
}

impl Request {
    /// Reads the message of a secure request, holding it to every rule of the
    /// published schema.
    pub fn decode(document: &[u8]) -> Result<Request, DecodeError> {
        let mut protocol = Field::new("protocol");
        let mut message = Field::new("message");
        let mut envelope = Field::new("envelope");
        whole(LAYER, document, MAX_TRANSPORT, |reader| {
            reader.object(|key, reader| {
                if protocol.is(key) {
                    protocol.set(text(reader)?)
                } else if message.is(key) {
                    message.set(text(reader)?)
                } else if envelope.is(key) {
                    envelope.set(EnvelopeFields::read(reader)?)
                } else {
                    reader.skip()
                }
            })
        })?;
        if protocol.required(LAYER)? != PROTOCOL {
            return Err(DecodeError::Protocol { layer: LAYER, expected: PROTOCOL });
        }
        let message = message.filled(LAYER)?;
        let envelope = envelope.required(LAYER)?.check()?;
        Ok(Request { message, envelope })
    }

    /// The JSON text that is signed.
    pub fn encode(&self) -> String {
        let envelope = &self.envelope;
        let mut out = String::with_capacity(self.message.len() * 5 / 4 + 512);
        out.push_str("{\"protocol\":\"choria:request:1\",\"message\":");
        push_string(&mut out, &self.message);
        for (key, value) in [
            (",\"envelope\":{\"requestid\":", &envelope.requestid),
            (",\"senderid\":", &envelope.senderid),
            (",\"callerid\":", &envelope.callerid),
            (",\"collective\":", &envelope.collective),
            (",\"agent\":", &envelope.agent),
        ] {
            out.push_str(key);
            push_string(&mut out, value);
        }
        out.push_str(",\"ttl\":");
        push_integer(&mut out, envelope.ttl);
        out.push_str(",\"time\":");
        push_integer(&mut out, envelope.time);
        out.push_str(",\"filter\":");
        envelope.filter.push_json(&mut out);
        out.push_str("}}");
        out
    }

    /// What the agent is given: the message decoded from base64 if it happens
    /// to be valid base64, or else as it is.
    ///
    /// A message such as `ping` or `1234` is changed by this, on every node
    /// alike (spec 01 §2.3).
    pub fn payload(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        match decode_base64(self.message.as_bytes(), &mut payload) {
            Ok(()) => payload,
            Err(_) => self.message.clone().into_bytes(),
        }
    }

    /// Whether the request is young enough at `now_unix`, and not from further
    /// in the future than it may live: the TTL is the allowed clock skew too.
    pub fn age_ok(&self, now_unix: i64) -> bool {
        let Envelope { ttl, time, .. } = self.envelope;
        let age = i128::from(now_unix) - i128::from(time);
        age.abs() < i128::from(ttl)
    }
}

/// A fresh request id: 32 lower-case hex digits.
pub fn new_request_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

struct EnvelopeFields {
    requestid: Field<String>,
    senderid: Field<String>,
    callerid: Field<String>,
    collective: Field<String>,
    agent: Field<String>,
    ttl: Field<i64>,
    time: Field<i64>,
    filter: Field<Filter>,
}

impl EnvelopeFields {
    fn read(reader: &mut Reader<'_>) -> Result<EnvelopeFields, JsonError> {
        let mut fields = EnvelopeFields {
            requestid: Field::new("requestid"),
            senderid: Field::new("senderid"),
            callerid: Field::new("callerid"),
            collective: Field::new("collective"),
            agent: Field::new("agent"),
            ttl: Field::new("ttl"),
            time: Field::new("time"),
            filter: Field::new("filter"),
        };
        reader.object(|key, reader| {
            for field in [
                &mut fields.requestid,
                &mut fields.senderid,
                &mut fields.callerid,
                &mut fields.collective,
                &mut fields.agent,
            ] {
                if field.is(key) {
                    return field.set(text(reader)?);
                }
            }
            if fields.ttl.is(key) {
                fields.ttl.set(reader.integer()?)
            } else if fields.time.is(key) {
                fields.time.set(reader.integer()?)
            } else if fields.filter.is(key) {
                fields.filter.set(read_filter(reader)?)
            } else {
                reader.skip()
            }
        })?;
        Ok(fields)
    }

    fn check(self) -> Result<Envelope, DecodeError> {
        let requestid = self.requestid.required(LAYER)?;
        if requestid.chars().count() != REQUEST_ID_LENGTH {
            let rule = "must have 32 characters";
            return Err(DecodeError::Rule { layer: LAYER, key: "requestid", rule });
        }
        let ttl = self.ttl.required(LAYER)?;
        if ttl < MIN_TTL {
            return Err(DecodeError::Rule { layer: LAYER, key: "ttl", rule: "must be at least 30" });
        }
        Ok(Envelope {
            requestid,
            senderid: self.senderid.required(LAYER)?,
            callerid: self.callerid.filled(LAYER)?,
            collective: self.collective.filled(LAYER)?,
            agent: self.agent.filled(LAYER)?,
            ttl,
            time: self.time.required(LAYER)?,
            filter: self.filter.required(LAYER)?,
        })
    }
}
