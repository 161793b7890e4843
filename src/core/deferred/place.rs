//! What is kept of a request for one node, and for its caller. Pure.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::core::protocol::v1::SecureRequest;
use crate::core::text::shortened;

/// Largest answer that is kept as it is, in bytes.
pub const LARGEST_ANSWER: usize = 256 * 1024;
/// Characters of a reason.
const REASON: usize = 400;

/// What has become of a request for one node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// It waits: a signed [`Deferred`](super::Deferred).
    Asked {
        /// As signed.
        request: String,
    },
    /// The node runs it, or had begun to and was not heard of since.
    Begun {
        /// Names this beginning.
        nonce: String,
        /// Unix seconds.
        at: i64,
    },
    /// It is over.
    Answered(Answer),
    /// Its caller wants it no longer.
    Cancelled {
        /// Unix seconds.
        at: i64,
    },
}

/// What a node says in the end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// Unix seconds.
    pub at: i64,
    /// What the agent answered, or why the node let it not: as in a reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Box<RawValue>>,
    /// Why there is no reply.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Whether it did not run at all.
    #[serde(default)]
    pub refused: bool,
}

impl Answer {
    /// Of a text that is the body of a reply.
    pub fn reply(text: String, at: i64) -> Answer {
        if text.len() > LARGEST_ANSWER {
            let reason =
                format!("it ran, and its answer of {} bytes is larger than what is kept", text.len());
            return Answer { at, reply: None, reason, refused: false };
        }
        match RawValue::from_string(text) {
            Ok(reply) => Answer { at, reply: Some(reply), reason: String::new(), refused: false },
            Err(_) => Answer::ran("it ran, and its answer cannot be kept", at),
        }
    }

    /// It ran, or may have.
    pub fn ran(reason: &str, at: i64) -> Answer {
        Answer { at, reply: None, reason: shortened(reason, REASON), refused: false }
    }

    /// It did not run.
    pub fn refused(reason: &str, at: i64) -> Answer {
        Answer { at, reply: None, reason: shortened(reason, REASON), refused: true }
    }
}

impl Place {
    /// Of a signed text.
    pub fn asked(secure: &SecureRequest) -> Place {
        Place::Asked { request: secure.encode() }
    }

    /// Reads one; nothing where it is none.
    pub fn decode(payload: &[u8]) -> Option<Place> {
        serde_json::from_slice(payload).ok()
    }

    /// As it is kept.
    pub fn encode(&self) -> Vec<u8> {
        // texts and numbers: it cannot fail
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What a caller keeps of all he asked by one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Who asked.
    pub caller: String,
    /// The agent.
    pub agent: String,
    /// Its action.
    pub action: String,
    /// Inputs as they were given.
    #[serde(default)]
    pub inputs: serde_json::Map<String, serde_json::Value>,
    /// Unix seconds when it was made.
    pub made: i64,
    /// Unix seconds when it is over.
    pub until: i64,
    /// Unix seconds when its caller wanted it no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<i64>,
    /// The nodes it waits for.
    pub nodes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        let reply = r#"{"action":"ping","statuscode":0,"statusmsg":"OK","data":{"n":1.50}}"#;
        for place in [
            Place::Asked { request: "x".to_owned() },
            Place::Begun { nonce: "n".to_owned(), at: 5 },
            Place::Answered(Answer::reply(reply.to_owned(), 7)),
            Place::Answered(Answer::refused("no", 7)),
            Place::Cancelled { at: 9 },
        ] {
            let text = place.encode();
            let read = Place::decode(&text).unwrap();
            assert_eq!(read.encode(), text);
            if let Place::Answered(Answer { reply: Some(kept), .. }) = &read {
                assert_eq!(kept.get(), reply);
            }
        }
        assert!(Place::decode(b"{}").is_none());
        assert!(Place::decode(br#"{"other":{}}"#).is_none());
        let large = Answer::reply(format!("\"{}\"", "x".repeat(LARGEST_ANSWER)), 1);
        assert!(large.reply.is_none() && !large.refused && large.reason.contains("larger"));
    }

    #[test]
    fn fuzz_places() {
        bolero::check!().with_type::<Vec<u8>>().for_each(|bytes| {
            let _ = Place::decode(bytes);
        });
    }
}
