//! The outermost layer: what travels, who sent it, where the answer goes.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use memchr::memchr2;

use super::MAX_TRANSPORT;
use super::fields::{Field, lenient, lenient_text, whole};
use crate::core::protocol::json::{JsonError, Problem, Reader, push_string, same_key};
use crate::core::protocol::{DecodeError, Layer};

const PROTOCOL: &str = "choria:transport:1";

/// Standard base64 with padding; unused bits at the end may be set, since the
/// original does not look at them.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Base64 as every peer reads it: CR and LF anywhere are skipped, because Ruby
/// wraps its lines; nothing else is (spec 01 §2.1). Replaces what is in `to`.
pub(super) fn decode_base64(text: &[u8], to: &mut Vec<u8>) -> Result<(), base64::DecodeError> {
    let text = match memchr2(b'\r', b'\n', text) {
        None => Cow::Borrowed(text),
        Some(_) => Cow::Owned(text.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect()),
    };
    to.clear();
    LENIENT.decode_vec(text, to)
}

/// `choria:transport:1`: a secure message and its route (spec 01 §2.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transport {
    /// The JSON text of a secure request or secure reply, base64 removed.
    pub data: Vec<u8>,
    /// Where it came from and where the answer goes.
    pub headers: Headers,
}

/// The route of a transport. Nothing here is authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers {
    /// Subject for replies; absent in replies.
    pub reply_to: Option<String>,
    /// Identity of the sending process (`mc_sender`); may be empty.
    pub sender: String,
    /// Hops so far: `[server in, processor, server out]`.
    pub seen_by: Vec<[String; 3]>,
    /// Set while a message crosses federation brokers.
    pub federation: Option<Federation>,
}

/// What a federation broker needs to carry a message on (spec 01 §7).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Federation {
    /// Id of the request.
    pub request: String,
    /// Where the client waits, while `reply-to` names the federation broker.
    pub reply_to: String,
    /// Subjects to publish to on the far side. On the wire the key is `target`.
    pub targets: Vec<String>,
}

impl Transport {
    /// Reads a message off the wire.
    ///
    /// Missing `headers` are empty headers. `"headers":null`, which ends the
    /// original's process, is refused.
    pub fn decode(message: &[u8]) -> Result<Transport, DecodeError> {
        let (mut data, mut seen_by) = (Vec::new(), Vec::new());
        let route = read(message, &mut data, Some(&mut seen_by))?;
        Ok(Transport {
            data,
            headers: Headers {
                reply_to: route.reply_to.map(Cow::into_owned),
                sender: route.sender.into_owned(),
                seen_by,
                federation: route.federation,
            },
        })
    }

    /// Reads a reply off the wire, by the same rules: its data into `data`; the
    /// sender that it names, or nothing. A client reads one a node.
    pub fn decode_reply<'a>(message: &'a [u8], data: &mut Vec<u8>) -> Result<Cow<'a, str>, DecodeError> {
        read(message, data, None).map(|route| route.sender)
    }

    /// The JSON text to publish.
    pub fn encode(&self) -> String {
        self.encode_with_gap().0
    }

    /// The JSON text, and where in it the subject for replies ends, so that a
    /// message to many can tell each another one; `None` without such a subject.
    pub fn encode_with_gap(&self) -> (String, Option<usize>) {
        let mut out = String::with_capacity(self.data.len() / 3 * 4 + 512);
        out.push_str("{\"protocol\":\"choria:transport:1\",\"data\":\"");
        STANDARD.encode_string(&self.data, &mut out);
        out.push_str("\",\"headers\":");
        let gap = self.headers.push(&mut out);
        out.push('}');
        (out, gap)
    }
}

impl Headers {
    /// The headers of the answer to a request that came with these, sent by
    /// `sender`. An answer to a federated request carries the whole way and
    /// the federation header back, or federated clients see no answer
    /// (spec 01 §§2.1, 7); any other starts with no hops.
    pub fn reply(&self, sender: &str) -> Headers {
        let mut reply = Headers { sender: sender.into(), ..Headers::default() };
        if let Some(federation) = &self.federation {
            reply.federation = Some(federation.clone());
            reply.seen_by = self.seen_by.clone();
        }
        reply
    }

    /// Notes that `processor`, connected to `server`, publishes this message.
    /// Servers are URLs; one that is not connected says `unknown`.
    pub fn record_hop(&mut self, server: &str, processor: &str) {
        self.seen_by.push([server.into(), processor.into(), server.into()]);
    }

    /// Gives the place of the quote after `reply-to`.
    fn push(&self, out: &mut String) -> Option<usize> {
        let mut object = Members::start(out);
        let mut gap = None;
        if let Some(reply_to) = self.reply_to.as_deref().filter(|r| !r.is_empty()) {
            let out = object.key("reply-to");
            push_string(out, reply_to);
            gap = out.len().checked_sub(1);
        }
        if !self.sender.is_empty() {
            push_string(object.key("mc_sender"), &self.sender);
        }
        if !self.seen_by.is_empty() {
            let out = object.key("seen-by");
            for (i, hop) in self.seen_by.iter().enumerate() {
                out.push(if i == 0 { '[' } else { ',' });
                push_list(out, hop);
            }
            out.push(']');
        }
        if let Some(federation) = &self.federation {
            federation.push(object.key("federation"));
        }
        out.push('}');
        gap
    }
}

impl Federation {
    fn push(&self, out: &mut String) {
        let mut object = Members::start(out);
        if !self.request.is_empty() {
            push_string(object.key("req"), &self.request);
        }
        if !self.reply_to.is_empty() {
            push_string(object.key("reply-to"), &self.reply_to);
        }
        if !self.targets.is_empty() {
            push_list(object.key("target"), &self.targets);
        }
        out.push('}');
    }
}

/// An object whose members come and go: puts the commas where they belong.
struct Members<'a> {
    out: &'a mut String,
    first: bool,
}

impl<'a> Members<'a> {
    fn start(out: &'a mut String) -> Members<'a> {
        out.push('{');
        Members { out, first: true }
    }

    fn key(&mut self, key: &str) -> &mut String {
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        self.out.push('"');
        self.out.push_str(key);
        self.out.push_str("\":");
        self.out
    }
}

/// Appends a list of strings.
pub(super) fn push_list(out: &mut String, items: &[String]) {
    out.push('[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push_string(out, item);
    }
    out.push(']');
}

/// What headers say beside the hops.
#[derive(Default)]
struct Route<'a> {
    reply_to: Option<Cow<'a, str>>,
    sender: Cow<'a, str>,
    federation: Option<Federation>,
}

/// Reads a transport: its data into `data`, the hops into `hops` if they are
/// wanted.
fn read<'a>(
    message: &'a [u8],
    data: &mut Vec<u8>,
    mut hops: Option<&mut Vec<[String; 3]>>,
) -> Result<Route<'a>, DecodeError> {
    let layer = Layer::Transport;
    let mut protocol = Field::new("protocol");
    let mut headers = Field::new("headers");
    data.clear();
    whole(layer, message, MAX_TRANSPORT, |reader| {
        reader.object(|key, reader| {
            if protocol.is(key) {
                protocol.set(lenient(reader)?)
            } else if same_key(key, "data") {
                read_data(reader, data)
            } else if headers.is(key) {
                headers.set(read_headers(reader, hops.as_deref_mut())?)
            } else {
                reader.skip()
            }
        })
    })?;
    if protocol.optional().as_deref() != Some(PROTOCOL) {
        return Err(DecodeError::Protocol { layer, expected: PROTOCOL });
    }
    Ok(headers.optional().unwrap_or_default())
}

fn read_data(reader: &mut Reader<'_>, data: &mut Vec<u8>) -> Result<(), JsonError> {
    if reader.null()? {
        data.clear();
        return Ok(());
    }
    let at = reader.offset();
    decode_base64(&reader.string_bytes()?, data).map_err(|_| JsonError { at, problem: Problem::Base64 })
}

fn read_headers<'a>(
    reader: &mut Reader<'a>,
    mut hops: Option<&mut Vec<[String; 3]>>,
) -> Result<Route<'a>, JsonError> {
    let mut route = Route::default();
    hops.as_deref_mut().map(Vec::clear);
    reader.object(|key, reader| {
        if same_key(key, "reply-to") {
            route.reply_to = Some(lenient(reader)?).filter(|r| !r.is_empty());
        } else if same_key(key, "mc_sender") {
            route.sender = lenient(reader)?;
        } else if same_key(key, "seen-by") {
            read_hops(reader, hops.as_deref_mut())?;
        } else if same_key(key, "federation") {
            route.federation = if reader.null()? { None } else { Some(read_federation(reader)?) };
        } else {
            reader.skip()?;
        }
        Ok::<(), JsonError>(())
    })?;
    Ok(route)
}

/// Most hops and targets that are kept of a message, as federation brokers carry: the empty ones of
/// a long list are many times what they are on the wire.
const MOST_HOPS: usize = 64;
const MOST_TARGETS: usize = 1_000;

fn read_hops(reader: &mut Reader<'_>, mut hops: Option<&mut Vec<[String; 3]>>) -> Result<(), JsonError> {
    hops.as_deref_mut().map(Vec::clear);
    if reader.null()? {
        return Ok(());
    }
    reader.array(|reader| {
        let hop = read_hop(reader)?;
        if let Some(hops) = hops.as_deref_mut().filter(|hops| hops.len() < MOST_HOPS) {
            hops.push(hop.map(Cow::into_owned));
        }
        Ok::<(), JsonError>(())
    })
}

/// One hop, of any length: Ruby's have two elements.
fn read_hop<'a>(reader: &mut Reader<'a>) -> Result<[Cow<'a, str>; 3], JsonError> {
    let mut hop = <[Cow<'_, str>; 3]>::default();
    if reader.null()? {
        return Ok(hop);
    }
    let mut places = hop.iter_mut();
    reader.array(|reader| {
        match places.next() {
            Some(place) => *place = lenient(reader)?,
            None => reader.skip()?,
        }
        Ok::<(), JsonError>(())
    })?;
    Ok(hop)
}

fn read_federation(reader: &mut Reader<'_>) -> Result<Federation, JsonError> {
    let mut federation = Federation::default();
    reader.object(|key, reader| {
        if same_key(key, "req") {
            federation.request = lenient_text(reader)?;
        } else if same_key(key, "reply-to") {
            federation.reply_to = lenient_text(reader)?;
        } else if same_key(key, "target") {
            federation.targets.clear();
            if !reader.null()? {
                reader.array(|reader| {
                    let target = lenient_text(reader)?;
                    if federation.targets.len() < MOST_TARGETS {
                        federation.targets.push(target);
                    }
                    Ok::<(), JsonError>(())
                })?;
            }
        } else {
            reader.skip()?;
        }
        Ok::<(), JsonError>(())
    })?;
    Ok(federation)
}
