//! What a node answers.

use super::MAX_TRANSPORT;
use super::fields::{lenient, lenient_text, whole};
use crate::core::protocol::json::{JsonError, Reader, push_integer, push_string, same_key};
use crate::core::protocol::{DecodeError, Layer};

/// `choria:reply:1` (spec 01 §2.5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// The agent's answer: an RPC body, or the word `pong` from discovery.
    pub message: String,
    /// Which request it answers, and who does.
    pub envelope: ReplyEnvelope,
}

/// Who answers what, when. Not authenticated in version 1.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplyEnvelope {
    /// Id of the request.
    pub requestid: String,
    /// Identity of the node.
    pub senderid: String,
    /// Agent that answered.
    pub agent: String,
    /// Unix seconds.
    pub time: i64,
}

impl Reply {
    /// Reads the message of a secure reply.
    ///
    /// Lenient as the original is: whatever is missing is empty, also
    /// everything (`{}`), and the protocol is not looked at.
    pub fn decode(document: &[u8]) -> Result<Reply, DecodeError> {
        let mut reply = Reply::default();
        whole(Layer::Reply, document, MAX_TRANSPORT, |reader| {
            reader.object(|key, reader| {
                if same_key(key, "message") {
                    reply.message = lenient_text(reader)?;
                } else if same_key(key, "envelope") {
                    reply.envelope = if reader.null()? { Default::default() } else { envelope(reader)? };
                } else if same_key(key, "protocol") {
                    lenient(reader)?;
                } else {
                    reader.skip()?;
                }
                Ok::<(), JsonError>(())
            })
        })?;
        Ok(reply)
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

fn envelope(reader: &mut Reader<'_>) -> Result<ReplyEnvelope, JsonError> {
    let mut envelope = ReplyEnvelope::default();
    reader.object(|key, reader| {
        if same_key(key, "requestid") {
            envelope.requestid = lenient_text(reader)?;
        } else if same_key(key, "senderid") {
            envelope.senderid = lenient_text(reader)?;
        } else if same_key(key, "agent") {
            envelope.agent = lenient_text(reader)?;
        } else if same_key(key, "time") {
            envelope.time = if reader.null()? { 0 } else { reader.integer()? };
        } else {
            reader.skip()?;
        }
        Ok::<(), JsonError>(())
    })?;
    Ok(envelope)
}
