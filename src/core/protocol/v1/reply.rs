//! What a node answers.

use std::borrow::Cow;

use super::MAX_TRANSPORT;
use super::fields::{lenient, lenient_in, whole};
use crate::core::protocol::json::{JsonError, Place, Reader, Scratch, push_integer, push_string, same_key};
use crate::core::protocol::{DecodeError, Layer};

/// `choria:reply:1` (spec 01 §2.5). Borrows what it was read from: a client
/// reads one a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply<'a> {
    /// The agent's answer: an RPC body, or the word `pong` from discovery.
    pub message: Cow<'a, str>,
    /// Which request it answers, and who does.
    pub envelope: ReplyEnvelope<'a>,
}

/// Who answers what, when. Not authenticated in version 1.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplyEnvelope<'a> {
    /// Id of the request.
    pub requestid: Cow<'a, str>,
    /// Identity of the node.
    pub senderid: Cow<'a, str>,
    /// Agent that answered.
    pub agent: Cow<'a, str>,
    /// Unix seconds.
    pub time: i64,
}

impl<'a> Reply<'a> {
    /// Reads the message of a secure reply; escapes of its own message are
    /// resolved in `scratch`.
    ///
    /// Lenient as the original is: whatever is missing is empty, also
    /// everything (`{}`), and the protocol is not looked at.
    pub fn decode(document: &'a [u8], scratch: &'a mut Scratch) -> Result<Reply<'a>, DecodeError> {
        let mut message = Place::default();
        let mut read = ReplyEnvelope::default();
        whole(Layer::Reply, document, MAX_TRANSPORT, |reader| {
            reader.object(|key, reader| {
                if same_key(key, "message") {
                    message = lenient_in(reader, scratch)?;
                } else if same_key(key, "envelope") {
                    read = if reader.null()? { Default::default() } else { envelope(reader)? };
                } else if same_key(key, "protocol") {
                    lenient(reader)?;
                } else {
                    reader.skip()?;
                }
                Ok::<(), JsonError>(())
            })
        })?;
        Ok(Reply { message: message.text(scratch).into(), envelope: read })
    }

    /// The JSON text that is hashed.
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(self.message.len() * 5 / 4 + 256);
        out.push_str("{\"protocol\":\"choria:reply:1\",\"message\":");
        push_string(&mut out, &self.message);
        out.push_str(",\"envelope\":{\"requestid\":");
        push_string(&mut out, &self.envelope.requestid);
        out.push_str(",\"senderid\":");
        push_string(&mut out, &self.envelope.senderid);
        out.push_str(",\"agent\":");
        push_string(&mut out, &self.envelope.agent);
        out.push_str(",\"time\":");
        push_integer(&mut out, self.envelope.time);
        out.push_str("}}");
        out
    }
}

fn envelope<'a>(reader: &mut Reader<'a>) -> Result<ReplyEnvelope<'a>, JsonError> {
    let mut envelope = ReplyEnvelope::default();
    reader.object(|key, reader| {
        if same_key(key, "requestid") {
            envelope.requestid = lenient(reader)?;
        } else if same_key(key, "senderid") {
            envelope.senderid = lenient(reader)?;
        } else if same_key(key, "agent") {
            envelope.agent = lenient(reader)?;
        } else if same_key(key, "time") {
            envelope.time = if reader.null()? { 0 } else { reader.integer()? };
        } else {
            reader.skip()?;
        }
        Ok::<(), JsonError>(())
    })?;
    Ok(envelope)
}
