//! The last connections that ended: who, when, and why.
//!
//! Reports show them after the fact, which is when somebody asks. Memory is
//! bounded: so many entries, and texts that clients chose cut short.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::close::Close;
use super::stats::{ClosedInfo, ConnectionInfo};

/// Connections remembered, about a kilobyte each at most.
const REMEMBERED: usize = 1000;
/// Bytes kept of a text that a client chose.
const TEXT: usize = 128;
/// Reasons that are counted from the start, so that an alert can see the first one.
const COUNTED: [&str; 4] =
    ["Client Closed", "Slow Consumer (Pending Bytes)", "Slow Consumer (Write Deadline)", "Stale Connection"];

/// See the module documentation.
#[derive(Debug)]
pub struct Closed(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    last: VecDeque<ClosedInfo>,
    /// Connections that had been let in, by reason.
    counts: BTreeMap<String, u64>,
}

impl Default for Closed {
    fn default() -> Self {
        let counts = COUNTED.iter().map(|reason| ((*reason).to_owned(), 0)).collect();
        Self(Mutex::new(Kept { last: VecDeque::new(), counts }))
    }
}

impl Closed {
    /// Remembers a connection that had been let in. `stop` is on the broker's clock.
    pub fn link(&self, connection: ConnectionInfo, why: &Close, stop: Duration) {
        let reason = why.reason();
        // what is behind the colon is for the log: it may hold names and addresses
        let reason = reason.split(": ").next().unwrap_or_default();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *kept.counts.entry(reason.to_owned()).or_default() += 1;
        kept.remember(connection, reason, stop);
    }

    /// Remembers one that had not; `counted` is the name refusals have.
    pub fn refused(&self, connection: ConnectionInfo, counted: &str, stop: Duration) {
        let reason = match counted {
            "" => "Client Closed",
            "tls handshake" | "tls timeout" => "TLS Handshake Failure",
            "authentication timeout" => "Authentication Timeout",
            "protocol" => "Protocol Violation",
            "crowded out" => "Full Out",
            _ => "Authentication Failure",
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remember(connection, reason, stop);
    }

    /// Those remembered that `wanted` picks, the longest gone first.
    pub fn list(&self, wanted: impl Fn(&ConnectionInfo) -> bool) -> Vec<ClosedInfo> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.last.iter().filter(|closed| wanted(&closed.connection)).cloned().collect()
    }

    /// Connections that had been let in, by the reason of their end.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).counts.clone()
    }
}

impl Kept {
    fn remember(&mut self, mut connection: ConnectionInfo, reason: &str, stop: Duration) {
        for text in
            [&mut connection.user, &mut connection.name, &mut connection.lang, &mut connection.version]
        {
            if text.len() > TEXT {
                let end = (0..=TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
                text.truncate(end);
                text.shrink_to_fit();
            }
        }
        if self.last.len() >= REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(ClosedInfo { connection, reason: reason.to_owned(), stop });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_details_stay_in_the_log() {
        let closed = Closed::default();
        for cid in 0..REMEMBERED as u64 + 7 {
            let connection = ConnectionInfo { cid, name: "ä".repeat(5000), ..ConnectionInfo::default() };
            closed.link(connection, &Close::Read("from 192.0.2.1".to_owned()), Duration::from_secs(cid));
        }
        let kept = closed.list(|_| true);
        assert_eq!((kept.len(), kept[0].connection.cid), (REMEMBERED, 7));
        assert!(kept.iter().all(|c| c.reason == "Read Error" && c.connection.name.len() <= TEXT));
        assert_eq!(closed.counts().get("Read Error"), Some(&(REMEMBERED as u64 + 7)));
        assert_eq!(closed.counts().get("Slow Consumer (Write Deadline)"), Some(&0));
        assert_eq!(closed.list(|connection| connection.cid == 9).len(), 1);
    }

    #[test]
    fn refusals_have_the_words_of_reports() {
        let closed = Closed::default();
        for (counted, reason) in [
            ("", "Client Closed"),
            ("tls handshake", "TLS Handshake Failure"),
            ("authentication timeout", "Authentication Timeout"),
            ("password", "Authentication Failure"),
        ] {
            closed.refused(ConnectionInfo::default(), counted, Duration::ZERO);
            assert_eq!(closed.list(|_| true).pop().unwrap().reason, reason);
        }
        assert_eq!(closed.counts().len(), COUNTED.len(), "refusals are counted elsewhere");
    }
}
