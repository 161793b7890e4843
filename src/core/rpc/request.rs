//! What an agent is asked.

use serde_json::{Map, Value};

use super::MAX_BODY;
use crate::core::protocol::json::{
    JsonError, Kind, Numbers, Problem, Reader, push_string, push_value, same_key,
};
use crate::core::protocol::{DecodeError, Layer};

/// Says that a request waits, and until when.
const UNTIL: &str = "choria_until";

/// `{"agent":…,"action":…,"data":{…}}`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestBody {
    /// The agent; it has to be the one the request was sent to.
    pub agent: String,
    /// The action.
    pub action: String,
    /// Inputs by name.
    pub data: Map<String, Value>,
}

impl RequestBody {
    /// Reads the payload of a request. Unknown keys, such as Ruby's `caller`,
    /// are ignored; absent ones are empty.
    ///
    /// The original also knows the envelope's names here and overwrites them;
    /// the two that are numbers make it refuse a body when they are not, and
    /// so they do here.
    pub fn decode(payload: &[u8]) -> Result<RequestBody, DecodeError> {
        let Heading { agent, action, .. } = RequestBody::heading(payload)?;
        let Inputs { data, .. } = RequestBody::inputs(payload, usize::MAX, |_| true)?;
        Ok(RequestBody { agent, action, data })
    }

    /// Which action of which agent the payload of a request is for. What else is in it has
    /// been looked at, and not kept.
    ///
    /// # Errors
    /// As [`RequestBody::decode`].
    pub fn heading(payload: &[u8]) -> Result<Heading, DecodeError> {
        let mut heading = Heading::default();
        read_body(payload, |key, reader| {
            if same_key(key, "agent") {
                heading.agent = text(reader)?;
            } else if same_key(key, "action") {
                heading.action = text(reader)?;
            } else if key == UNTIL.as_bytes() {
                heading.until = Some(integer(reader)?);
            } else if same_key(key, "ttl") || same_key(key, "time") {
                integer(reader)?;
            } else {
                reader.skip()?;
            }
            Ok(())
        })?;
        Ok(heading)
    }

    /// Those inputs of the payload of a request that are `wanted`; nothing is kept of others.
    /// What they take in memory is known before it is taken.
    ///
    /// # Errors
    /// As [`RequestBody::decode`], and where they weigh more than `most`.
    pub fn inputs(payload: &[u8], most: usize, wanted: impl Fn(&str) -> bool) -> Result<Inputs, DecodeError> {
        let mut inputs = Inputs::default();
        read_body(payload, |key, reader| {
            if !same_key(key, "data") {
                return reader.skip();
            }
            inputs = Inputs::default();
            match reader.peek()? {
                Kind::Object => {}
                Kind::Null => return reader.skip(),
                _ => return Err(reader.error(Problem::Type("an object of inputs"))),
            }
            reader.object(|key, reader| {
                let name = String::from_utf8_lossy(key);
                if !wanted(&name) {
                    return reader.skip();
                }
                let text = reader.ahead()?;
                inputs.weight += weight(text) + OF_VALUE + name.len();
                if inputs.weight <= most {
                    let value = reader.value(Numbers::Exact)?;
                    inputs.data.insert(name.into_owned(), value);
                    return Ok(());
                }
                reader.skip()
            })
        })?;
        match inputs.weight {
            size if size > most => Err(DecodeError::TooLarge { layer: Layer::Inputs, size, limit: most }),
            _ => Ok(inputs),
        }
    }

    /// The text of a body, with until when its request waits for nodes that are absent, unix seconds. Who does not
    /// know of that passes over it.
    pub fn waiting_until(mut body: String, until: i64) -> String {
        if body.pop() == Some('}') {
            body.push_str(&format!(",\"{UNTIL}\":{until}}}"));
        }
        body
    }

    /// The JSON text to send.
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(128);
        out.push_str("{\"agent\":");
        push_string(&mut out, &self.agent);
        out.push_str(",\"action\":");
        push_string(&mut out, &self.action);
        out.push_str(",\"data\":");
        push_object(&mut out, &self.data);
        out.push('}');
        out
    }
}

/// Which action of which agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heading {
    /// The agent; it has to be the one the request was sent to.
    pub agent: String,
    /// The action.
    pub action: String,
    /// Until when it waits for nodes that are absent, unix seconds; nothing where it does not.
    pub until: Option<i64>,
}

/// Inputs of a request, and what they take.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Inputs {
    /// By name.
    pub data: Map<String, Value>,
    /// Bytes of memory they may take, copies for audit and validation included.
    pub weight: usize,
}

/// Bytes a value may take with its key, beside its text: lists and maps grow to the double,
/// and what runs is copied for those who check and record it.
const OF_VALUE: usize = 4 * size_of::<Value>();

/// What a value of this text may take. Signs within strings count, too.
pub(super) fn weight(text: &[u8]) -> usize {
    let values = text.iter().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count();
    3 * text.len() + values * OF_VALUE
}

pub(super) fn read_body(
    payload: &[u8],
    entry: impl FnMut(&[u8], &mut Reader<'_>) -> Result<(), JsonError>,
) -> Result<(), DecodeError> {
    let layer = Layer::Body;
    if payload.len() > MAX_BODY {
        return Err(DecodeError::TooLarge { layer, size: payload.len(), limit: MAX_BODY });
    }
    let mut reader = Reader::new(payload);
    reader.object(entry).and_then(|()| reader.end()).map_err(|source| DecodeError::Json { layer, source })
}

pub(super) fn text(reader: &mut Reader<'_>) -> Result<String, JsonError> {
    if reader.null()? { Ok(String::new()) } else { Ok(reader.string()?.into_owned()) }
}

pub(super) fn integer(reader: &mut Reader<'_>) -> Result<i64, JsonError> {
    if reader.null()? { Ok(0) } else { reader.integer() }
}

pub(super) fn push_object(out: &mut String, map: &Map<String, Value>) {
    out.push('{');
    for (i, (key, value)) in map.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push_string(out, key);
        out.push(':');
        push_value(out, value);
    }
    out.push('}');
}
