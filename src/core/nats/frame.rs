//! The bytes a broker sends: MSG and HMSG frames shared by all receivers, and control lines.
//!
//! A message is laid out once. Receivers differ in their subscription id only,
//! which stands between [`head`](Frame::head) and [`tail`](Frame::tail), so a
//! delivery is three slices and no allocation (spec 04 §6.5).

use super::codec::Publish;

/// PONG line.
pub const PONG: &[u8] = b"PONG\r\n";
/// PING line.
pub const PING: &[u8] = b"PING\r\n";
/// Acknowledgement of verbose clients.
pub const OK: &[u8] = b"+OK\r\n";

/// One message, ready for any number of receivers.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    bytes: Box<[u8]>,
    /// Length of `MSG <subject> `, with the space.
    head: usize,
    /// Where the subject starts: behind `MSG ` or `HMSG `.
    verb: usize,
    /// Length of the reply subject, which stands at the front of the tail behind one space.
    reply: usize,
    /// Length of the header block, which starts behind the first line.
    headers: usize,
    /// Where headers and payload start.
    body: usize,
}

impl Frame {
    /// Lays a published message out.
    pub fn of(message: &Publish<'_>) -> Self {
        let header_text = message.headers.map(|(_, text)| text);
        let headers = message.headers.map_or(0, |(length, _)| length);
        Self::lay_out(message.subject, message.reply, header_text, headers, message.size_text, message.body)
    }

    /// Lays a published message out for one receiver, without making a frame of it.
    pub fn lay_for(message: &Publish<'_>, sid: &[u8], with_headers: bool, out: &mut Vec<u8>) {
        let headers = message.headers.filter(|_| with_headers);
        let body = match message.headers {
            Some((length, _)) if !with_headers => message.body.get(length..).unwrap_or_default(),
            _ => message.body,
        };
        let counted;
        let size = match message.headers {
            Some(_) if !with_headers => {
                counted = body.len().to_string();
                counted.as_bytes()
            }
            _ => message.size_text,
        };
        out.extend_from_slice(if headers.is_some() { b"HMSG " } else { b"MSG " });
        out.extend_from_slice(message.subject);
        for part in
            [Some(sid), message.reply, headers.map(|(_, text)| text), Some(size)].into_iter().flatten()
        {
            out.push(b' ');
            out.extend_from_slice(part);
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
    }

    /// Lays this message out for one receiver.
    pub fn lay(&self, sid: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(self.head());
        out.extend_from_slice(sid);
        out.extend_from_slice(self.tail());
    }

    /// The same message for a receiver that did not announce headers.
    pub fn without_headers(&self) -> Self {
        let payload = self.payload();
        let size = payload.len().to_string();
        Self::lay_out(self.subject(), self.reply(), None, 0, size.as_bytes(), payload)
    }

    /// A message made by the broker itself.
    pub fn message(subject: &[u8], reply: Option<&[u8]>, payload: &[u8]) -> Self {
        let size = payload.len().to_string();
        Self::lay_out(subject, reply, None, 0, size.as_bytes(), payload)
    }

    /// Status 503 for a request nobody receives (spec 04 §6.8).
    pub fn no_responders(reply: &[u8], subject: &[u8]) -> Self {
        let mut block = b"NATS/1.0 503\r\nNats-Subject: ".to_vec();
        block.extend_from_slice(subject);
        block.extend_from_slice(b"\r\n\r\n");
        let size = block.len().to_string();
        Self::lay_out(reply, None, Some(size.as_bytes()), block.len(), size.as_bytes(), &block)
    }

    fn lay_out(
        subject: &[u8],
        reply: Option<&[u8]>,
        header_text: Option<&[u8]>,
        headers: usize,
        size_text: &[u8],
        body: &[u8],
    ) -> Self {
        let verb: &[u8] = if header_text.is_some() { b"HMSG " } else { b"MSG " };
        let mut bytes = Vec::with_capacity(
            verb.len()
                + subject.len()
                + 1
                + reply.map_or(0, |reply| reply.len() + 1)
                + header_text.map_or(0, |text| text.len() + 1)
                + 1
                + size_text.len()
                + 2
                + body.len()
                + 2,
        );
        bytes.extend_from_slice(verb);
        bytes.extend_from_slice(subject);
        bytes.push(b' ');
        let head = bytes.len();
        for part in [reply, header_text, Some(size_text)].into_iter().flatten() {
            bytes.push(b' ');
            bytes.extend_from_slice(part);
        }
        bytes.extend_from_slice(b"\r\n");
        let start = bytes.len();
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(b"\r\n");
        Self {
            bytes: bytes.into_boxed_slice(),
            head,
            verb: verb.len(),
            reply: reply.map_or(0, <[u8]>::len),
            headers,
            body: start,
        }
    }

    /// Everything before the subscription id.
    pub fn head(&self) -> &[u8] {
        self.bytes.get(..self.head).unwrap_or_default()
    }

    /// Everything after the subscription id.
    pub fn tail(&self) -> &[u8] {
        self.bytes.get(self.head..).unwrap_or_default()
    }

    /// The subject.
    pub fn subject(&self) -> &[u8] {
        self.bytes.get(self.verb..self.head.saturating_sub(1)).unwrap_or_default()
    }

    /// The reply subject.
    pub fn reply(&self) -> Option<&[u8]> {
        match self.reply {
            0 => None,
            length => self.bytes.get(self.head + 1..self.head + 1 + length),
        }
    }

    /// Whether there is a header block.
    pub fn has_headers(&self) -> bool {
        self.headers > 0 || self.verb == 5
    }

    /// The payload without headers.
    pub fn payload(&self) -> &[u8] {
        let end = self.bytes.len().saturating_sub(2);
        self.bytes.get(self.body + self.headers..end).unwrap_or_default()
    }

    /// Headers and payload.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.body..self.bytes.len().saturating_sub(2)).unwrap_or_default()
    }

    /// Length of the header block at their front.
    pub fn headers_len(&self) -> usize {
        self.headers
    }

    /// Bytes of headers and payload, as counted in statistics.
    pub fn body_len(&self) -> usize {
        self.bytes.len().saturating_sub(2 + self.body)
    }

    /// Bytes on the wire for a subscription id of this length.
    pub fn wire_len(&self, sid: usize) -> usize {
        self.bytes.len() + sid
    }

    /// Bytes held in memory.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// A frame is never empty.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// `-ERR '<text>'`: single quotes, which nats-py requires (spec 04 §6.1).
pub fn error_line(text: &str) -> Vec<u8> {
    format!("-ERR '{text}'\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::nats::codec::{Bounds, Event, Step, next};

    fn frame(bytes: &[u8]) -> Frame {
        match next(bytes, &Bounds::default()) {
            Ok(Step::Event(Event::Publish(message), _)) => Frame::of(&message),
            other => panic!("{other:?}"),
        }
    }

    fn wire(frame: &Frame, sid: &str) -> String {
        let bytes = [frame.head(), sid.as_bytes(), frame.tail()].concat();
        assert_eq!(bytes.len(), frame.wire_len(sid.len()));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn messages() {
        assert_eq!(wire(&frame(b"PUB a.b r.1 5\r\nhello\r\n"), "7"), "MSG a.b 7 r.1 5\r\nhello\r\n");
        assert_eq!(wire(&frame(b"PUB a 0001\r\nx\r\n"), "1"), "MSG a 1 0001\r\nx\r\n");
        assert_eq!(wire(&frame(b"PUB a 0\r\n\r\n"), "1"), "MSG a 1 0\r\n\r\n");
        let with_headers = frame(b"HPUB a r 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n");
        assert_eq!(wire(&with_headers, "1"), "HMSG a 1 r 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n");
        assert!(with_headers.has_headers());
        assert_eq!(wire(&with_headers.without_headers(), "1"), "MSG a 1 r 2\r\nhi\r\n");
        assert_eq!(
            (with_headers.subject(), with_headers.reply(), with_headers.payload()),
            (&b"a"[..], Some(&b"r"[..]), &b"hi"[..])
        );
    }

    #[test]
    fn nobody_there() {
        assert_eq!(
            wire(&Frame::no_responders(b"_INBOX.x.1", b"no.one"), "5"),
            "HMSG _INBOX.x.1 5 38 38\r\nNATS/1.0 503\r\nNats-Subject: no.one\r\n\r\n\r\n"
        );
        assert_eq!(error_line("x"), b"-ERR 'x'\r\n");
    }
}
