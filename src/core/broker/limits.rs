//! Bounds of a broker, and what each kind of peer may hold.

use std::time::Duration;

use crate::core::admission::PeerKind;
use crate::core::nats::codec::Bounds;

/// What peers of a kind may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindLimits {
    /// Connections of one identity.
    pub connections: usize,
    /// Subscriptions of one connection.
    pub subscriptions: usize,
    /// Bytes one identity may make the broker hold: what waits to be sent to it, messages it has
    /// begun, its subscriptions.
    pub memory: usize,
    /// Consumers of streams one identity may make in ten minutes, unless it may make lasting ones.
    pub consumers: usize,
}

const MIB: usize = 1024 * 1024;

/// Why a setting is no limits of a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Not `name=number`.
    #[error("'{0}' is not of the form name=number, as in connections=64,subscriptions=4000,memory=32M")]
    Form(String),
    /// A name that is none.
    #[error("'{0}' is no limit, there are connections, subscriptions, memory and consumers")]
    Name(String),
    /// A number that is none, or too small to be meant.
    #[error("'{0}' is no number above 0; memory takes K, M and G behind it")]
    Number(String),
}

impl KindLimits {
    /// Reads `connections=64,subscriptions=4000,memory=32M`; what is not named stays.
    ///
    /// # Errors
    /// [`LimitError`].
    pub fn read(mut self, text: &str) -> Result<Self, LimitError> {
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, number) = part.split_once('=').ok_or_else(|| LimitError::Form(part.to_owned()))?;
            let place = match name.trim() {
                "connections" => &mut self.connections,
                "subscriptions" => &mut self.subscriptions,
                "consumers" => &mut self.consumers,
                "memory" => {
                    self.memory = bytes(number)?;
                    continue;
                }
                other => return Err(LimitError::Name(other.to_owned())),
            };
            let number = number.trim();
            *place = number
                .parse()
                .ok()
                .filter(|count| *count > 0)
                .ok_or_else(|| LimitError::Number(number.to_owned()))?;
        }
        Ok(self)
    }
}

/// A number of bytes, with K, M or G behind it for the 1,024, 1,048,576 and 1,073,741,824 of it.
///
/// # Errors
/// [`LimitError::Number`].
pub fn bytes(text: &str) -> Result<usize, LimitError> {
    let text = text.trim();
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 1024),
        Some(b'M' | b'm') => (&text[..text.len() - 1], MIB),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 1024 * MIB),
        _ => (text, 1),
    };
    let number = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    number.filter(|number| *number > 0).ok_or_else(|| LimitError::Number(text.to_owned()))
}

/// Defaults by kind, in the order of [`PeerKind::ALL`]. A node has one connection and some ten
/// subscriptions a collective and agent; it is sent requests. A client is sent the replies of a
/// whole fleet. One identity of any kind leaves four fifths of the connections to others. Subscriptions of
/// a hub are subjects it wants.
const KINDS: [KindLimits; PeerKind::ALL.len()] = [
    KindLimits { connections: 64, subscriptions: 4_000, memory: 32 * MIB, consumers: 600 },
    KindLimits { connections: 4, subscriptions: 64, memory: 4 * MIB, consumers: 1 },
    KindLimits { connections: 10_000, subscriptions: 50_000, memory: 128 * MIB, consumers: 2_000 },
    KindLimits { connections: 10_000, subscriptions: 200_000, memory: 256 * MIB, consumers: 6_000 },
    // what fifty thousand machines behind a hub want to hear, and what waits for it
    KindLimits { connections: 4, subscriptions: 500_000, memory: 384 * MIB, consumers: 1 },
];

/// Bounds of the broker. The defaults are NATS's where it has one (spec 04 §6.11).
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time; default 50,000. Each takes a file descriptor: whoever starts the
    /// broker raises that limit of the process.
    pub max_connections: usize,
    /// Payload in bytes, headers included; default 1 MiB.
    pub max_payload: usize,
    /// Payload in bytes of an event of a node, of one that waits, or of a client; default 64 KiB.
    pub max_event: usize,
    /// Unsent bytes of one connection: at three quarters it loses what others send, and is cut when it
    /// causes more itself; default 64 MiB.
    pub max_pending: usize,
    /// Memory for what is held for all peers together; default 512 MiB. Above it nobody is read from,
    /// and connections of those who hold the most are cut.
    pub max_pending_total: usize,
    /// Control line arguments in bytes; default 4096.
    pub max_control_line: usize,
    /// Body of CONNECT in bytes; default 64 KiB.
    pub max_connect: usize,
    /// Subscriptions of one connection, whatever its kind; by default the kind decides.
    pub max_subscriptions: Option<usize>,
    /// Tokens of a subject or pattern that is subscribed to; default 64.
    pub max_tokens: usize,
    /// What peers may hold, in the order of [`PeerKind::ALL`].
    pub kinds: [KindLimits; PeerKind::ALL.len()],
    /// Connections up to which all are served by one thread: messages between them need no other;
    /// default 32.
    pub one_shard: usize,
    /// From the first byte of a message to its last; default 60 s.
    pub message_deadline: Duration,
    /// Time between pings; default 2 minutes.
    pub ping_interval: Duration,
    /// Unanswered pings before a connection is stale; default 2.
    pub ping_max: u32,
    /// From INFO to the end of the TLS handshake; default 2 s.
    pub tls_timeout: Duration,
    /// From there to CONNECT; default 2 s.
    pub auth_timeout: Duration,
    /// Longest time a write may be blocked; default 10 s.
    pub write_deadline: Duration,
    /// Connections in TLS or CONNECT at a time; more wait, by turns of their addresses. Default 512.
    pub max_handshakes: usize,
    /// Those among them from one address (IPv6: one /64 network). Eight times as many wait until
    /// it is their turn, more are closed at once. Default 384: a whole fleet may stand behind one
    /// address, and still leaves room for others.
    pub max_handshakes_per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 50_000,
            max_payload: 1024 * 1024,
            max_event: 64 * 1024,
            max_pending: 64 * 1024 * 1024,
            max_pending_total: 512 * 1024 * 1024,
            max_control_line: 4096,
            max_connect: 64 * 1024,
            max_subscriptions: None,
            max_tokens: 64,
            kinds: KINDS,
            one_shard: 32,
            message_deadline: Duration::from_secs(60),
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            tls_timeout: Duration::from_secs(2),
            auth_timeout: Duration::from_secs(2),
            write_deadline: Duration::from_secs(10),
            max_handshakes: 512,
            max_handshakes_per_address: 384,
        }
    }
}

impl Limits {
    /// What a peer of a kind may hold.
    pub fn of(&self, kind: PeerKind) -> &KindLimits {
        &self.kinds[kind as usize]
    }

    /// The same, to be changed.
    pub fn of_mut(&mut self, kind: PeerKind) -> &mut KindLimits {
        &mut self.kinds[kind as usize]
    }

    /// Connections all peers of a kind may have together: waiting nodes, of which anybody who has
    /// the token can be any number, leave a quarter to others.
    pub fn most_links(&self, kind: PeerKind) -> usize {
        match kind {
            PeerKind::WaitingNode => self.max_connections - self.max_connections / 4,
            _ => self.max_connections,
        }
    }

    /// Bytes all peers of a kind may make the broker hold: waiting nodes no more than a quarter.
    pub fn most_bytes(&self, kind: PeerKind) -> usize {
        match kind {
            PeerKind::WaitingNode => self.max_pending_total / 4,
            _ => self.max_pending_total,
        }
    }

    /// The part the codec needs.
    pub fn bounds(&self) -> Bounds {
        Bounds { control_line: self.max_control_line, connect: self.max_connect, payload: self.max_payload }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_mistakes_told() {
        let before = KindLimits { connections: 1, subscriptions: 2, memory: 3, consumers: 4 };
        for (text, expected) in [
            ("", Ok(before)),
            ("connections=5", Ok(KindLimits { connections: 5, ..before })),
            (
                " memory=2M , subscriptions=7,connections= 9",
                Ok(KindLimits { connections: 9, subscriptions: 7, memory: 2 * MIB, ..before }),
            ),
            ("consumers=9", Ok(KindLimits { consumers: 9, ..before })),
            ("memory=1k", Ok(KindLimits { memory: 1024, ..before })),
            ("connections", Err(LimitError::Form("connections".to_owned()))),
            ("links=3", Err(LimitError::Name("links".to_owned()))),
            ("connections=0", Err(LimitError::Number("0".to_owned()))),
            ("connections=1M", Err(LimitError::Number("1M".to_owned()))),
            ("memory=M", Err(LimitError::Number("M".to_owned()))),
            ("memory=99999999999G", Err(LimitError::Number("99999999999G".to_owned()))),
        ] {
            assert_eq!(before.read(text), expected, "{text}");
        }
    }
}
