//! A transport message as spans of its text.
//!
//! A federation broker changes three headers. Everything else, the data above all,
//! stays the bytes that came: nothing is decoded, and keys of later versions survive.

use std::borrow::Cow;

use crate::core::protocol::DecodeError;
use crate::core::protocol::Layer;
use crate::core::protocol::json::{JsonError, Kind, Problem, Reader, push_string, same_key};

/// Most bytes of a message; brokers take one MiB by default.
const MOST: usize = 8 * 1024 * 1024;
/// Targets that are read; clients send 200.
pub(super) const MOST_TARGETS: usize = 1000;

/// The two versions of a transport (spec 01 §§2.1, 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// `choria:transport:1`
    One,
    /// `io.choria.protocol.v2.transport`
    Two,
}

/// Names of the headers of a version.
pub(super) struct Names {
    pub(super) reply: &'static str,
    pub(super) sender: &'static str,
    pub(super) hops: &'static str,
    pub(super) request: &'static str,
    pub(super) targets: &'static str,
}

const ONE: Names =
    Names { reply: "reply-to", sender: "mc_sender", hops: "seen-by", request: "req", targets: "target" };
const TWO: Names =
    Names { reply: "reply", sender: "sender", hops: "trace", request: "request", targets: "targets" };

impl Version {
    pub(super) fn names(self) -> &'static Names {
        match self {
            Version::One => &ONE,
            Version::Two => &TWO,
        }
    }

    fn of(protocol: &str) -> Option<Version> {
        match protocol {
            "choria:transport:1" => Some(Version::One),
            "io.choria.protocol.v2.transport" => Some(Version::Two),
            _ => None,
        }
    }
}

/// A member that goes through as it came: its key and the text of its value.
type Other<'a> = (String, &'a [u8]);

/// A message, read.
pub(super) struct Spans<'a> {
    /// The text before the headers' value, and after it.
    pub(super) before: &'a [u8],
    pub(super) after: &'a [u8],
    pub(super) version: Version,
    pub(super) headers: Headers<'a>,
}

/// What its headers say.
#[derive(Default)]
pub(super) struct Headers<'a> {
    pub(super) reply: Cow<'a, str>,
    /// Text of the sender's value.
    pub(super) sender: Option<&'a [u8]>,
    /// Texts of the hops.
    pub(super) hops: Vec<&'a [u8]>,
    pub(super) federation: Option<Federation<'a>>,
    pub(super) others: Vec<Other<'a>>,
}

/// What its federation header says.
#[derive(Default)]
pub(super) struct Federation<'a> {
    /// Text of the request id.
    pub(super) request: Option<&'a [u8]>,
    pub(super) reply: Cow<'a, str>,
    pub(super) targets: Vec<Cow<'a, str>>,
    pub(super) others: Vec<Other<'a>>,
}

/// Why a message cannot be carried.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// Not a transport.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// No header says where it is to go.
    #[error("it has no federation header")]
    NotFederated,
}

/// Reads a message.
pub(super) fn read(message: &[u8]) -> Result<Spans<'_>, Unreadable> {
    let layer = Layer::Transport;
    if message.len() > MOST {
        return Err(DecodeError::TooLarge { layer, size: message.len(), limit: MOST }.into());
    }
    let json = |source| Unreadable::Decode(DecodeError::Json { layer, source });
    let (mut protocol, mut headers, mut data) = (None, None, false);
    let mut reader = Reader::new(message);
    let read = reader.object(|key, reader| {
        if same_key(key, "protocol") {
            once(reader, protocol.is_some())?;
            protocol = Some(text(reader)?);
        } else if same_key(key, "headers") {
            once(reader, headers.is_some())?;
            headers = Some(span(reader)?);
        } else {
            if same_key(key, "data") {
                once(reader, std::mem::replace(&mut data, true))?;
            }
            reader.skip()?;
        }
        Ok::<(), JsonError>(())
    });
    read.and_then(|()| reader.end()).map_err(json)?;
    let expected = "choria:transport:1";
    let version = protocol
        .as_deref()
        .and_then(Version::of)
        .ok_or(Unreadable::Decode(DecodeError::Protocol { layer, expected }))?;
    let (from, to) = headers.ok_or(Unreadable::NotFederated)?;
    let parts = (message.get(..from), message.get(from..to), message.get(to..));
    let (Some(before), Some(inside), Some(after)) = parts else { return Err(Unreadable::NotFederated) };
    let headers =
        headers_of(inside, version.names()).map_err(|e| json(JsonError { at: e.at + from, ..e }))?;
    Ok(Spans { before, after, version, headers })
}

/// A key that comes twice would be read in two ways by two peers.
fn once(reader: &Reader<'_>, known: bool) -> Result<(), JsonError> {
    if known { Err(reader.error(Problem::Rule("a key that is there twice"))) } else { Ok(()) }
}

/// Text, or nothing for `null`.
fn text<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, str>, JsonError> {
    if reader.null()? { Ok(Cow::Borrowed("")) } else { reader.string() }
}

/// Where a value is.
fn span(reader: &mut Reader<'_>) -> Result<(usize, usize), JsonError> {
    reader.peek()?;
    let from = reader.offset();
    reader.skip()?;
    Ok((from, reader.offset()))
}

/// The text of a value.
fn raw<'a>(reader: &mut Reader<'_>, text: &'a [u8]) -> Result<&'a [u8], JsonError> {
    let (from, to) = span(reader)?;
    Ok(text.get(from..to).unwrap_or_default())
}

/// The text of a text; nothing for `null` and where it is empty.
fn raw_text<'a>(reader: &mut Reader<'_>, text: &'a [u8]) -> Result<Option<&'a [u8]>, JsonError> {
    if reader.null()? {
        return Ok(None);
    }
    if reader.peek()? != Kind::String {
        return Err(reader.error(Problem::Type("text")));
    }
    Ok(Some(raw(reader, text)?).filter(|text| *text != b"\"\""))
}

fn headers_of<'a>(inside: &'a [u8], names: &Names) -> Result<Headers<'a>, JsonError> {
    let mut headers = Headers::default();
    let mut seen = [false; 4];
    let mut reader = Reader::new(inside);
    if reader.null()? {
        return Ok(headers);
    }
    reader.object(|key, reader| {
        let known = [names.reply, names.sender, names.hops, "federation"];
        let place = known.iter().position(|name| same_key(key, name));
        if let Some(seen) = place.and_then(|place| seen.get_mut(place)) {
            once(reader, std::mem::replace(seen, true))?;
        }
        match place {
            Some(0) => headers.reply = text(reader)?,
            Some(1) => headers.sender = raw_text(reader, inside)?,
            Some(2) if reader.null()? => {}
            Some(2) => reader.array(|reader| {
                headers.hops.push(raw(reader, inside)?);
                Ok::<(), JsonError>(())
            })?,
            Some(_) if reader.null()? => {}
            Some(_) => headers.federation = Some(federation_of(reader, inside, names)?),
            None => headers.others.push((String::from_utf8_lossy(key).into_owned(), raw(reader, inside)?)),
        }
        Ok::<(), JsonError>(())
    })?;
    Ok(headers)
}

fn federation_of<'a>(
    reader: &mut Reader<'a>,
    inside: &'a [u8],
    names: &Names,
) -> Result<Federation<'a>, JsonError> {
    let mut federation = Federation::default();
    let mut seen = [false; 3];
    reader.object(|key, reader| {
        let known = [names.request, names.reply, names.targets];
        let place = known.iter().position(|name| same_key(key, name));
        if let Some(seen) = place.and_then(|place| seen.get_mut(place)) {
            once(reader, std::mem::replace(seen, true))?;
        }
        match place {
            Some(0) => federation.request = raw_text(reader, inside)?,
            Some(1) => federation.reply = text(reader)?,
            Some(_) if reader.null()? => {}
            Some(_) => reader.array(|reader| {
                if federation.targets.len() >= MOST_TARGETS {
                    return Err(reader.error(Problem::Rule("more than 1,000 targets")));
                }
                federation.targets.push(text(reader)?);
                Ok::<(), JsonError>(())
            })?,
            None => federation.others.push((String::from_utf8_lossy(key).into_owned(), raw(reader, inside)?)),
        }
        Ok::<(), JsonError>(())
    })?;
    Ok(federation)
}

/// An object that is written.
pub(super) struct Members {
    pub(super) text: Vec<u8>,
    first: bool,
}

impl Members {
    /// Begins one at the end of `text`.
    pub(super) fn begin(mut text: Vec<u8>) -> Members {
        text.push(b'{');
        Members { text, first: true }
    }

    /// A member, whose value the caller appends.
    pub(super) fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.first) {
            self.text.push(b',');
        }
        push_text(&mut self.text, key);
        self.text.push(b':');
        &mut self.text
    }

    /// Members that go through as they came.
    pub(super) fn others(&mut self, others: &[Other<'_>]) {
        for (key, value) in others {
            self.key(key).extend_from_slice(value);
        }
    }

    /// Ends it.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.text.push(b'}');
        self.text
    }
}

/// Appends a text.
pub(super) fn push_text(to: &mut Vec<u8>, text: &str) {
    let mut quoted = String::with_capacity(text.len() + 2);
    push_string(&mut quoted, text);
    to.extend_from_slice(quoted.as_bytes());
}
