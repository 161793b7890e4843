//! Bytes of a hub to events, without copying.

use crate::core::nats::codec::{Bounds, Publish};

/// One complete thing a hub said.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Event<'a> {
    /// INFO with its JSON body, see [`HubInfo`](super::hello::HubInfo).
    Info(&'a [u8]),
    /// PING.
    Ping,
    /// PONG.
    Pong,
    /// `+OK`.
    Ignored,
    /// `-ERR`, its text without quotes: the hub closes next.
    Error(&'a [u8]),
    /// LS+: somebody behind the hub wants these.
    Wanted {
        /// Pattern.
        subject: &'a [u8],
        /// Queue group, and how many members it has there.
        queue: Option<(&'a [u8], u32)>,
    },
    /// LS-: nobody does any more.
    Unwanted {
        /// Pattern.
        subject: &'a [u8],
        /// Queue group.
        queue: Option<&'a [u8]>,
    },
    /// LMSG or HMSG.
    Message(Message<'a>),
}

/// A message, and the queue groups that are to have it beside all plain subscriptions.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Message<'a> {
    /// As somebody published it.
    pub publish: Publish<'a>,
    queues: &'a [u8],
}

impl<'a> Message<'a> {
    /// Names of the queue groups.
    pub fn queues(&self) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        words(self.queues)
    }
}

/// What the front of a buffer holds.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Step<'a> {
    /// An event and the number of bytes it took.
    Event(Event<'a>, usize),
    /// Nothing complete; no progress before the buffer holds this many bytes.
    Need(usize),
}

/// Why a connection to a hub must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// Not a verb, or not the bytes that must follow.
    #[error("the hub said something that is no leafnode protocol; is that a leafnode port?")]
    UnknownOperation,
    /// A line without end.
    #[error("the hub sent a line longer than {0} bytes")]
    Line(usize),
    /// A payload without end.
    #[error("the hub announced a payload of more than {0} bytes")]
    Payload(usize),
    /// Wrong number or form of arguments.
    #[error("arguments of the hub's {0} cannot be read")]
    Arguments(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Wanted,
    Unwanted,
    Message,
    WithHeaders,
    Info,
    Ping,
    Pong,
    Ok,
    Err,
}

const VERBS: [(&[u8], Verb); 9] = [
    (b"LMSG", Verb::Message),
    (b"HMSG", Verb::WithHeaders),
    (b"LS+", Verb::Wanted),
    (b"LS-", Verb::Unwanted),
    (b"PING", Verb::Ping),
    (b"PONG", Verb::Pong),
    (b"INFO", Verb::Info),
    (b"-ERR", Verb::Err),
    (b"+OK", Verb::Ok),
];

/// Reads the front of `buffer`; lines may be as long as [`Bounds::connect`], which is 64 KiB as on the other
/// side.
///
/// # Errors
/// Any [`LeafError`]; the connection must then be closed.
pub fn next<'a>(buffer: &'a [u8], bounds: &Bounds) -> Result<Step<'a>, LeafError> {
    let Some(verb) = verb(buffer)? else { return Ok(Step::Need(buffer.len() + 1)) };
    let longest = bounds.connect;
    // the search never runs past what a line may be
    let Some(end) = memchr::memchr(b'\n', buffer.get(..longest.saturating_add(2)).unwrap_or(buffer)) else {
        return match buffer.len() > longest {
            true => Err(LeafError::Line(longest)),
            false => Ok(Step::Need(buffer.len() + 1)),
        };
    };
    let line = buffer.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = line.iter().position(|byte| matches!(byte, b' ' | b'\t'));
    let text = text.and_then(|at| line.get(at..)).unwrap_or_default();
    let used = end + 1;
    let event = match verb {
        Verb::Ping => Event::Ping,
        Verb::Pong => Event::Pong,
        Verb::Ok => Event::Ignored,
        Verb::Info => Event::Info(text.trim_ascii()),
        Verb::Err => Event::Error(unquoted(text.trim_ascii())),
        Verb::Wanted => wanted(text)?,
        Verb::Unwanted => unwanted(text)?,
        Verb::Message | Verb::WithHeaders => {
            return message(verb == Verb::WithHeaders, text, buffer, used, bounds);
        }
    };
    Ok(Step::Event(event, used))
}

/// The verb at the front, `None` while it may still become one.
fn verb(buffer: &[u8]) -> Result<Option<Verb>, LeafError> {
    for (spelling, verb) in VERBS {
        let seen = buffer.get(..spelling.len()).unwrap_or(buffer);
        if spelling.get(..seen.len()).is_some_and(|front| front.eq_ignore_ascii_case(seen)) {
            return match (seen.len() == spelling.len(), buffer.get(spelling.len())) {
                (true, Some(b' ' | b'\t' | b'\r' | b'\n')) => Ok(Some(verb)),
                (true, Some(_)) => Err(LeafError::UnknownOperation),
                _ => Ok(None),
            };
        }
    }
    Err(LeafError::UnknownOperation)
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    text.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}

fn unquoted(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"'").and_then(|text| text.strip_suffix(b"'")).unwrap_or(text)
}

fn wanted(text: &[u8]) -> Result<Event<'_>, LeafError> {
    let error = LeafError::Arguments("LS+");
    let mut words = words(text);
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(subject), None, ..) => Ok(Event::Wanted { subject, queue: None }),
        (Some(subject), Some(queue), Some(weight), None) => {
            let weight = number(weight).and_then(|weight| u32::try_from(weight).ok()).ok_or(error)?;
            Ok(Event::Wanted { subject, queue: Some((queue, weight)) })
        }
        _ => Err(error),
    }
}

fn unwanted(text: &[u8]) -> Result<Event<'_>, LeafError> {
    let mut words = words(text);
    match (words.next(), words.next(), words.next()) {
        (Some(subject), queue, None) => Ok(Event::Unwanted { subject, queue }),
        _ => Err(LeafError::Arguments("LS-")),
    }
}

fn message<'a>(
    with_headers: bool,
    text: &'a [u8],
    buffer: &'a [u8],
    used: usize,
    bounds: &Bounds,
) -> Result<Step<'a>, LeafError> {
    let error = LeafError::Arguments(if with_headers { "HMSG" } else { "LMSG" });
    let text = text.trim_ascii();
    let (front, size_text) = last_word(text).ok_or(error)?;
    let (front, header_text) = match with_headers {
        false => (front, None),
        true => last_word(front).map(|(front, header)| (front, Some(header))).ok_or(error)?,
    };
    let (subject, behind) = first_word(front).ok_or(error)?;
    // `+ reply queue…`, `| queue…`, `reply`, or nothing
    let (reply, queues) = match first_word(behind) {
        None => (None, &[][..]),
        Some((b"+", behind)) => {
            let (reply, queues) = first_word(behind).ok_or(error)?;
            (Some(reply), queues)
        }
        Some((b"|", queues)) => (None, queues),
        Some((reply, behind)) if behind.trim_ascii().is_empty() => (Some(reply), &[][..]),
        Some(_) => return Err(error),
    };
    let total = number(size_text).ok_or(error)?;
    let headers = match header_text {
        None => None,
        Some(text) => match number(text) {
            Some(length) if length <= total => Some((length, text)),
            _ => return Err(error),
        },
    };
    if total > bounds.payload {
        return Err(LeafError::Payload(bounds.payload));
    }
    let rest = buffer.get(used..).unwrap_or_default();
    match (rest.get(total), rest.get(total + 1)) {
        (Some(b'\r'), Some(b'\n')) => {}
        (None, _) | (Some(b'\r'), None) => return Ok(Step::Need(used + total + 2)),
        _ => return Err(LeafError::UnknownOperation),
    }
    let body = rest.get(..total).unwrap_or_default();
    let publish = Publish { subject, reply, headers, size_text, body };
    Ok(Step::Event(Event::Message(Message { publish, queues }), used + total + 2))
}

/// The first word and what is behind it.
fn first_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start();
    let end = text.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(word, _)| !word.is_empty())
}

/// What is before the last word, and that.
fn last_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_end();
    let start = text.iter().rposition(|byte| matches!(byte, b' ' | b'\t')).map_or(0, |at| at + 1);
    text.split_at_checked(start).filter(|(_, word)| !word.is_empty())
}

/// A decimal of at most nine digits.
fn number(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    text.iter()
        .try_fold(0_usize, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + usize::from(byte - b'0')))
}
