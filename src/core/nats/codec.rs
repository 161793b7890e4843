//! Bytes from a client to events, without copying (spec 04 §6.1, §6.5).
//!
//! [`next`] looks at the front of a buffer and answers one event, a demand for
//! more bytes, or the error the connection ends with. It keeps no state: the
//! caller keeps the unread bytes, so that an idle link owns nothing.

/// Bounds that the broker sets on what a client may send.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Largest argument part of a control line, in bytes; default 4096.
    pub control_line: usize,
    /// Largest body of CONNECT, in bytes; default 64 KiB, as tokens are large (spec 04 §6.4).
    pub connect: usize,
    /// Largest payload, headers included, in bytes; default 1 MiB.
    pub payload: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { control_line: 4096, connect: 64 * 1024, payload: 1024 * 1024 }
    }
}

/// One complete thing a client said.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Event<'a> {
    /// CONNECT with its JSON body, not yet read: see `connect::ConnectOptions::decode`.
    Connect(&'a [u8]),
    /// PING.
    Ping,
    /// PONG.
    Pong,
    /// `+OK` or INFO, which a server ignores.
    Ignored,
    /// PUB or HPUB.
    Publish(Publish<'a>),
    /// SUB.
    Subscribe {
        /// Pattern.
        subject: &'a [u8],
        /// Queue group.
        queue: Option<&'a [u8]>,
        /// Subscription id, chosen by the client.
        sid: &'a [u8],
    },
    /// UNSUB; `max` counts from the SUB, absent or not positive means now.
    Unsubscribe {
        /// Subscription id.
        sid: &'a [u8],
        /// Deliveries after which the subscription ends.
        max: Option<u64>,
    },
}

/// A message as published.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Publish<'a> {
    /// Subject, literal text.
    pub subject: &'a [u8],
    /// Reply subject, literal text.
    pub reply: Option<&'a [u8]>,
    /// HPUB: length of the header block at the front of `body`, and its text as sent.
    pub headers: Option<(usize, &'a [u8])>,
    /// Total size as sent: leading zeros are passed on.
    pub size_text: &'a [u8],
    /// Headers and payload.
    pub body: &'a [u8],
}

/// What the front of a buffer holds.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Step<'a> {
    /// An event and the number of bytes it took.
    Event(Event<'a>, usize),
    /// Nothing complete; no progress before the buffer holds this many bytes.
    Need(usize),
}

/// Why a connection must end. [`wire_text`](ProtocolError::wire_text) is what the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Not a verb, or not the bytes that must follow.
    #[error("unknown protocol operation")]
    UnknownOperation,
    /// Argument part too long.
    #[error("control line is longer than the limit")]
    ControlLine,
    /// Announced payload too large.
    #[error("announced payload is larger than the limit")]
    Payload,
    /// Wrong number or form of arguments.
    #[error("arguments of {0} cannot be read")]
    Arguments(&'static str),
    /// The client sent `-ERR`.
    #[error("client reported an error")]
    ClientError,
}

impl ProtocolError {
    /// Text of the `-ERR` before the close; some errors close in silence (spec 04 §6.5).
    pub fn wire_text(self) -> Option<&'static str> {
        match self {
            Self::UnknownOperation => Some("Unknown Protocol Operation"),
            Self::ControlLine => Some("maximum control line exceeded"),
            Self::Payload => Some("Maximum Payload Violation"),
            Self::Arguments(_) | Self::ClientError => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Connect,
    Ping,
    Pong,
    Pub,
    Hpub,
    Sub,
    Unsub,
    Info,
    Ok,
    Err,
}

/// Spelling, verb, and whether a space or tab must follow.
const VERBS: [(&[u8], Verb, bool); 10] = [
    (b"PUB", Verb::Pub, true),
    (b"HPUB", Verb::Hpub, true),
    (b"SUB", Verb::Sub, true),
    (b"UNSUB", Verb::Unsub, true),
    (b"PING", Verb::Ping, false),
    (b"PONG", Verb::Pong, false),
    (b"CONNECT", Verb::Connect, false),
    (b"INFO", Verb::Info, true),
    (b"+OK", Verb::Ok, false),
    (b"-ERR", Verb::Err, true),
];

/// Reads the front of `buffer`.
///
/// # Errors
/// Any [`ProtocolError`]; the connection must then be closed.
pub fn next<'a>(buffer: &'a [u8], bounds: &Bounds) -> Result<Step<'a>, ProtocolError> {
    let Some((verb, at)) = verb(buffer)? else {
        return Ok(Step::Need(buffer.len() + 1));
    };
    let rest = buffer.get(at..).unwrap_or_default();
    let blank = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let line = rest.get(blank..).unwrap_or_default();
    let limit = if verb == Verb::Connect { bounds.connect } else { bounds.control_line };
    // the limit is on arguments without line end; the search never runs past it
    let Some(end) = memchr::memchr(b'\n', line.get(..limit.saturating_add(2)).unwrap_or(line)) else {
        // blanks count too, or a client could send them for ever
        if line.len() > limit.saturating_add(1) || blank > limit || overfull(line, limit) {
            return Err(ProtocolError::ControlLine);
        }
        return Ok(Step::Need(buffer.len() + 1));
    };
    let text = line.get(..end).unwrap_or_default();
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if text.len() > limit {
        return Err(ProtocolError::ControlLine);
    }
    let used = at + blank + end + 1;
    let event = match verb {
        Verb::Connect => Event::Connect(text.trim_ascii()),
        Verb::Ping => Event::Ping,
        Verb::Pong => Event::Pong,
        Verb::Info | Verb::Ok => Event::Ignored,
        Verb::Err => return Err(ProtocolError::ClientError),
        Verb::Sub => subscribe(text)?,
        Verb::Unsub => unsubscribe(text)?,
        Verb::Pub | Verb::Hpub => return publish(verb == Verb::Hpub, text, buffer, used, bounds),
    };
    Ok(Step::Event(event, used))
}

/// Without a line end yet: one byte over the limit may still be the `\r` of it.
fn overfull(line: &[u8], limit: usize) -> bool {
    line.len() == limit.saturating_add(1) && line.last() != Some(&b'\r')
}

/// The verb at the front and the length of its spelling, `None` while it may still become one.
fn verb(buffer: &[u8]) -> Result<Option<(Verb, usize)>, ProtocolError> {
    for (spelling, verb, blank) in VERBS {
        let seen = buffer.get(..spelling.len()).unwrap_or(buffer);
        if !spelling.get(..seen.len()).is_some_and(|front| front.eq_ignore_ascii_case(seen)) {
            continue;
        }
        return match (seen.len() == spelling.len(), buffer.get(spelling.len())) {
            (false, _) => Ok(None),
            (true, None) if blank => Ok(None),
            (true, Some(b' ' | b'\t')) => Ok(Some((verb, spelling.len()))),
            (true, _) if !blank => Ok(Some((verb, spelling.len()))),
            _ => Err(ProtocolError::UnknownOperation),
        };
    }
    Err(ProtocolError::UnknownOperation)
}

/// Up to five arguments; one more than any verb takes shows as too many.
fn arguments(text: &[u8]) -> ([&[u8]; 5], usize) {
    let mut found: [&[u8]; 5] = [&[]; 5];
    let mut count = 0;
    let mut start = 0;
    // one pass: this is done for each message
    for (place, byte) in text.iter().chain([&b' ']).enumerate() {
        if !matches!(byte, b' ' | b'\t') {
            continue;
        }
        if place > start
            && let (Some(free), Some(argument)) = (found.get_mut(count), text.get(start..place))
        {
            *free = argument;
            count += 1;
        }
        start = place + 1;
    }
    (found, count)
}

fn subscribe(text: &[u8]) -> Result<Event<'_>, ProtocolError> {
    match arguments(text) {
        ([subject, sid, ..], 2) => Ok(Event::Subscribe { subject, queue: None, sid }),
        ([subject, queue, sid, ..], 3) => Ok(Event::Subscribe { subject, queue: Some(queue), sid }),
        _ => Err(ProtocolError::Arguments("SUB")),
    }
}

fn unsubscribe(text: &[u8]) -> Result<Event<'_>, ProtocolError> {
    match arguments(text) {
        ([sid, ..], 1) => Ok(Event::Unsubscribe { sid, max: None }),
        // anything that is no positive number ends the subscription now
        ([sid, max, ..], 2) => Ok(Event::Unsubscribe { sid, max: size(max).map(|max| max as u64) }),
        // `UNSUB ` with nothing is told, three arguments are not (measured)
        (_, 0) => Err(ProtocolError::UnknownOperation),
        _ => Err(ProtocolError::Arguments("UNSUB")),
    }
}

fn publish<'a>(
    with_headers: bool,
    text: &'a [u8],
    buffer: &'a [u8],
    used: usize,
    bounds: &Bounds,
) -> Result<Step<'a>, ProtocolError> {
    let (subject, reply, header_text, size_text) = match (with_headers, arguments(text)) {
        (false, ([subject, size, ..], 2)) => (subject, None, None, size),
        (false, ([subject, reply, size, ..], 3)) => (subject, Some(reply), None, size),
        (true, ([subject, headers, size, ..], 3)) => (subject, None, Some(headers), size),
        (true, ([subject, reply, headers, size, ..], 4)) => (subject, Some(reply), Some(headers), size),
        (false, _) => return Err(ProtocolError::Arguments("PUB")),
        (true, _) => return Err(ProtocolError::Arguments("HPUB")),
    };
    let name = if with_headers { "HPUB" } else { "PUB" };
    let total = size(size_text).ok_or(ProtocolError::Arguments(name))?;
    let headers = match header_text {
        None => None,
        Some(text) => match size(text) {
            Some(length) if length <= total => Some((length, text)),
            _ => return Err(ProtocolError::Arguments(name)),
        },
    };
    if total > bounds.payload {
        return Err(ProtocolError::Payload);
    }
    let rest = buffer.get(used..).unwrap_or_default();
    // wrong bytes after the payload show as soon as they are there
    match (rest.get(total), rest.get(total + 1)) {
        (Some(b'\r'), Some(b'\n')) => {}
        (None, _) | (Some(b'\r'), None) => return Ok(Step::Need(used + total + 2)),
        _ => return Err(ProtocolError::UnknownOperation),
    }
    let body = rest.get(..total).unwrap_or_default();
    Ok(Step::Event(Event::Publish(Publish { subject, reply, headers, size_text, body }), used + total + 2))
}

/// A decimal of at most nine digits.
fn size(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    text.iter()
        .try_fold(0_usize, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + usize::from(byte - b'0')))
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
