//! Why a connection ends, what the peer is told, and what is counted.

use std::borrow::Cow;
use std::time::Duration;

/// A reason to close a link.
#[derive(Debug, Clone)]
pub enum Close {
    /// The peer went.
    ClientClosed,
    /// The peer went, by a reset: some programs know no other way.
    Gone(String),
    /// The socket or TLS failed on reading.
    Read(String),
    /// The socket or TLS failed on writing.
    Write(String),
    /// The peer broke the protocol.
    Protocol {
        /// For the log.
        reason: Cow<'static, str>,
        /// Text of the `-ERR`, if any.
        told: Option<&'static str>,
    },
    /// A second CONNECT was refused.
    Refused(String),
    /// It would not be let in any more.
    Revoked(String),
    /// It would be let in with other permissions.
    Changed,
    /// Too much waits to be sent.
    SlowPending,
    /// A write was blocked too long.
    SlowWrite,
    /// Pings were not answered.
    Stale,
    /// The connection to a hub is of no use, and would not be one right away.
    Hub {
        /// For the log.
        reason: String,
        /// How long to keep away.
        pause: Duration,
    },
    /// The broker ends.
    Shutdown,
}

impl Close {
    /// Text of the `-ERR` before the close. A slow reader is told nothing (spec 04 §6.14).
    pub fn told(&self) -> Option<&'static str> {
        match self {
            Self::Protocol { told, .. } => *told,
            Self::Refused(_) => Some("Authorization Violation"),
            Self::Revoked(_) => Some("User Authentication Revoked"),
            Self::Stale => Some("Stale Connection"),
            _ => None,
        }
    }

    /// Whether what is queued should still be tried to send.
    pub fn flushes(&self) -> bool {
        matches!(
            self,
            Self::Protocol { .. }
                | Self::Refused(_)
                | Self::Revoked(_)
                | Self::Changed
                | Self::Stale
                | Self::Shutdown
        )
    }

    /// Under which name it is counted in the log.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ClientClosed => "client closed",
            Self::Gone(_) | Self::Read(_) => "read error",
            Self::Write(_) => "write error",
            Self::Protocol { .. } => "protocol violation",
            Self::Refused(_) => "second CONNECT",
            Self::Revoked(_) => "revoked",
            Self::Changed => "permissions changed",
            Self::SlowPending => "slow consumer, pending bytes",
            Self::SlowWrite => "slow consumer, write deadline",
            Self::Stale => "stale connection",
            Self::Hub { .. } => "hub",
            Self::Shutdown => "shutdown",
        }
    }

    /// Reason in the words of connection reports.
    pub fn reason(&self) -> Cow<'_, str> {
        match self {
            Self::ClientClosed => "Client Closed".into(),
            Self::Gone(error) | Self::Read(error) => format!("Read Error: {error}").into(),
            Self::Write(error) => format!("Write Error: {error}").into(),
            Self::Protocol { reason, .. } => format!("Protocol Violation: {reason}").into(),
            Self::Refused(reason) => format!("Authentication Failure: {reason}").into(),
            Self::Revoked(reason) => format!("Authentication Revoked: {reason}").into(),
            Self::Changed => "Permissions Changed".into(),
            Self::SlowPending => "Slow Consumer (Pending Bytes)".into(),
            Self::SlowWrite => "Slow Consumer (Write Deadline)".into(),
            Self::Stale => "Stale Connection".into(),
            Self::Hub { reason, .. } => reason.as_str().into(),
            Self::Shutdown => "Server Shutdown".into(),
        }
    }
}
