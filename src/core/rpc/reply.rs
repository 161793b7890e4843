//! What an agent answers.

use serde_json::{Map, Value};

use super::StatusCode;
use super::request::{integer, push_object, read_body, text, weight};
use crate::core::protocol::json::{Numbers, push_integer, push_string, same_key};
use crate::core::protocol::{DecodeError, Layer};

/// What the outputs of one reply may take in memory, copies included: some two hundred
/// thousand values. A message of them can hold three times as many.
const MOST_OUTPUTS: usize = 64 * 1024 * 1024;

/// `{"action":…,"statuscode":0,"statusmsg":"OK","data":{…}}`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReplyBody {
    /// The action as it was asked for; Ruby agents leave it away.
    pub action: String,
    /// How it ended.
    pub statuscode: StatusCode,
    /// `OK`, or what went wrong.
    pub statusmsg: String,
    /// Outputs by name.
    pub data: Map<String, Value>,
}

impl ReplyBody {
    /// Reads the payload of a reply. Absent keys are empty and an unknown code
    /// is kept.
    ///
    /// What would take too much of a person's machine is an error. Data that is no object is read as no data: agents that answer with
    /// nothing make the original send the string `"{}"`, and it forwards
    /// whatever an external agent prints.
    pub fn decode(payload: &[u8]) -> Result<ReplyBody, DecodeError> {
        let mut body = ReplyBody::default();
        let mut heavy = 0;
        read_body(payload, |key, reader| {
            if same_key(key, "action") {
                body.action = text(reader)?;
            } else if same_key(key, "statuscode") {
                body.statuscode = integer(reader)?.into();
            } else if same_key(key, "statusmsg") {
                body.statusmsg = text(reader)?;
            } else if same_key(key, "data") {
                heavy = weight(reader.ahead()?);
                if heavy > MOST_OUTPUTS {
                    return reader.skip();
                }
                body.data = match reader.value(Numbers::Exact)? {
                    Value::Object(map) => map,
                    _ => Map::new(),
                };
            } else {
                reader.skip()?;
            }
            Ok(())
        })?;
        match heavy {
            size if size > MOST_OUTPUTS => {
                Err(DecodeError::TooLarge { layer: Layer::Outputs, size, limit: MOST_OUTPUTS })
            }
            _ => Ok(body),
        }
    }

    /// The JSON text to send. `data` is always an object.
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(256);
        out.push_str("{\"action\":");
        push_string(&mut out, &self.action);
        out.push_str(",\"statuscode\":");
        push_integer(&mut out, self.statuscode.code());
        out.push_str(",\"statusmsg\":");
        push_string(&mut out, &self.statusmsg);
        out.push_str(",\"data\":");
        push_object(&mut out, &self.data);
        out.push('}');
        out
    }
}
