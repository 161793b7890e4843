//! The layers that prove where a message comes from, or at least that nobody
//! changed it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use std::fmt;

use super::fields::{Field, lenient, lenient_in, text, whole};
use super::{MAX_TRANSPORT, Reply};
use crate::core::protocol::json::{Scratch, push_string};
use crate::core::protocol::{DecodeError, Layer};

const REQUEST: &str = "choria:secure:request:1";
const REPLY: &str = "choria:secure:reply:1";

/// `choria:secure:request:1`: a request, who signed it, and how (spec 01 §2.2).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecureRequest {
    /// The JSON text of the [`Request`](super::Request): the signed bytes.
    pub message: String,
    /// Base64 text of an RSA PKCS#1 v1.5 signature with SHA-256, or the word
    /// `insecure`. Whoever verifies skips CR and LF in it, nothing else.
    pub signature: String,
    /// PEM certificate of the signer and, after it, intermediates.
    pub pubcert: String,
}

/// Without the message, which holds what the caller typed.
impl fmt::Debug for SecureRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecureRequest").field("message_bytes", &self.message.len()).finish_non_exhaustive()
    }
}

impl SecureRequest {
    /// Reads the data of a transport. All keys are required and not empty.
    pub fn decode(document: &[u8]) -> Result<SecureRequest, DecodeError> {
        let layer = Layer::SecureRequest;
        let mut protocol = Field::new("protocol");
        let mut message = Field::new("message");
        let mut signature = Field::new("signature");
        let mut pubcert = Field::new("pubcert");
        whole(layer, document, MAX_TRANSPORT, |reader| {
            reader.object(|key, reader| {
                if protocol.is(key) {
                    protocol.set(reader.string()?)
                } else if message.is(key) {
                    message.set(text(reader)?)
                } else if signature.is(key) {
                    signature.set(text(reader)?)
                } else if pubcert.is(key) {
                    pubcert.set(text(reader)?)
                } else {
                    reader.skip()
                }
            })
        })?;
        if protocol.required(layer)? != REQUEST {
            return Err(DecodeError::Protocol { layer, expected: REQUEST });
        }
        Ok(SecureRequest {
            message: message.filled(layer)?,
            signature: signature.filled(layer)?,
            pubcert: pubcert.filled(layer)?,
        })
    }

    /// The JSON text that becomes the data of a transport.
    pub fn encode(&self) -> String {
        let length = self.message.len() * 5 / 4 + self.signature.len() + self.pubcert.len() + 256;
        let mut out = String::with_capacity(length);
        out.push_str("{\"protocol\":\"choria:secure:request:1\",\"message\":");
        push_string(&mut out, &self.message);
        out.push_str(",\"signature\":");
        push_string(&mut out, &self.signature);
        out.push_str(",\"pubcert\":");
        push_string(&mut out, &self.pubcert);
        out.push('}');
        out
    }
}

/// `choria:secure:reply:1`: a reply and its hash (spec 01 §2.4). Borrows what it
/// was read from: a client reads one a node.
///
/// The hash guards against accidents only; anybody can make one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecureReply<'a> {
    /// The JSON text of the [`Reply`].
    pub message: &'a str,
    /// Base64 of the SHA-256 of `message`.
    pub hash: Cow<'a, str>,
}

impl<'a> SecureReply<'a> {
    /// The hash that belongs to the text of a reply.
    pub fn of(message: &'a str) -> SecureReply<'a> {
        SecureReply { message, hash: STANDARD.encode(digest(message)).into() }
    }

    /// Reads the data of a transport. A missing `protocol` passes, another one
    /// does not; the hash is checked by [`open`](SecureReply::open).
    pub fn decode(document: &'a [u8], scratch: &'a mut Scratch) -> Result<SecureReply<'a>, DecodeError> {
        let layer = Layer::SecureReply;
        let mut protocol = Field::new("protocol");
        let mut message = Field::new("message");
        let mut hash = Field::new("hash");
        whole(layer, document, MAX_TRANSPORT, |reader| {
            reader.object(|key, reader| {
                if protocol.is(key) {
                    protocol.set(lenient(reader)?)
                } else if message.is(key) {
                    message.set(lenient_in(reader, scratch)?)
                } else if hash.is(key) {
                    hash.set(lenient(reader)?)
                } else {
                    reader.skip()
                }
            })
        })?;
        if protocol.optional().is_some_and(|p| !p.is_empty() && p != REPLY) {
            return Err(DecodeError::Protocol { layer, expected: REPLY });
        }
        Ok(SecureReply {
            message: message.optional().unwrap_or_default().text(scratch),
            hash: hash.optional().unwrap_or_default(),
        })
    }

    /// Checks the hash, text against text as the original does, and reads the
    /// reply inside.
    pub fn open(&self, scratch: &'a mut Scratch) -> Result<Reply<'a>, DecodeError> {
        // Base64 of 32 bytes, on the stack: this runs for each of a fleet's replies.
        let mut expected = [0; 44];
        let written = STANDARD.encode_slice(digest(self.message), &mut expected);
        if written.is_err() || self.hash.as_bytes() != expected {
            return Err(DecodeError::Hash);
        }
        Reply::decode(self.message.as_bytes(), scratch)
    }

    /// The JSON text that becomes the data of a transport.
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(self.message.len() * 5 / 4 + 128);
        out.push_str("{\"protocol\":\"choria:secure:reply:1\",\"message\":");
        push_string(&mut out, self.message);
        out.push_str(",\"hash\":");
        push_string(&mut out, &self.hash);
        out.push('}');
        out
    }
}

fn digest(message: &str) -> aws_lc_rs::digest::Digest {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, message.as_bytes())
}
