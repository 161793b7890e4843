//! What nats-server says in its log, and what it means. Pure.

use std::net::SocketAddr;

/// A line of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// How much it matters.
    pub level: Level,
    /// The rest.
    pub text: &'a str,
}

/// Levels of nats-server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

/// Reads `[pid] [INF] text`; what has no level is information.
pub fn read(line: &str) -> Line<'_> {
    let levels = [
        ("[INF] ", Level::Info),
        ("[WRN] ", Level::Warning),
        ("[ERR] ", Level::Error),
        ("[FTL] ", Level::Error),
        ("[DBG] ", Level::Debug),
        ("[TRC] ", Level::Debug),
    ];
    for (mark, level) in levels {
        if let Some((_, text)) = line.split_once(mark) {
            // each second of the time a machine is away: the first one says it
            let away = text.starts_with("Error trying to connect to route");
            let level = match text.contains("(attempt 1)") {
                _ if !away => level,
                true => Level::Warning,
                false => Level::Debug,
            };
            return Line { level, text };
        }
    }
    // what it says when it cannot read its configuration
    let level = if line.starts_with("nats-server:") { Level::Error } else { Level::Info };
    Line { level, text: line }
}

/// Where it takes leafs.
pub fn leaf_address(text: &str) -> Option<SocketAddr> {
    text.strip_prefix("Listening for leafnode connections on ")?.trim().parse().ok()
}

/// Where it takes clients.
pub fn client_address(text: &str) -> Option<SocketAddr> {
    text.strip_prefix("Listening for client connections on ")?.trim().parse().ok()
}

/// It takes the engines of other machines, which is later than that it serves.
pub fn takes_others(text: &str) -> bool {
    text.starts_with("Listening for route connections on ")
}

/// The engine of another machine is there.
pub fn has_joined(text: &str) -> bool {
    text.ends_with("- Route connection created")
}

/// It has read its configuration and certificates again. What it has told leafs of itself, such as that it
/// answers for streams, it has taken back by then, and does not tell again.
pub fn has_reread(text: &str) -> bool {
    text.starts_with("Reloaded server configuration")
}

/// It serves.
pub fn is_ready(text: &str) -> bool {
    text == "Server is ready"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        for (line, level, text) in [
            ("[7] [INF] Server is ready", Level::Info, "Server is ready"),
            ("[7] [WRN] slow", Level::Warning, "slow"),
            (
                "[7] [ERR] Error trying to connect to route (attempt 1): x",
                Level::Warning,
                "Error trying to connect to route (attempt 1): x",
            ),
            (
                "[7] [ERR] Error trying to connect to route (attempt 12): x",
                Level::Debug,
                "Error trying to connect to route (attempt 12): x",
            ),
            ("[7] [FTL] no port", Level::Error, "no port"),
            (
                "nats-server: x.conf:1:2: unknown field",
                Level::Error,
                "nats-server: x.conf:1:2: unknown field",
            ),
            ("anything", Level::Info, "anything"),
        ] {
            assert_eq!(read(line), Line { level, text }, "{line}");
        }
        assert!(has_reread("Reloaded server configuration") && !has_reread("Reloaded: leafnode"));
        assert!(is_ready("Server is ready") && !is_ready("Server is"));
        let address = leaf_address("Listening for leafnode connections on 127.0.0.1:45455");
        assert_eq!(address, Some(SocketAddr::from(([127, 0, 0, 1], 45455))));
        assert!(has_joined("127.0.0.1:5222 - rid:7 - Route connection created"));
        assert!(takes_others("Listening for route connections on 127.0.0.1:1"));
        let client = "Listening for client connections on 127.0.0.1:1";
        assert_eq!((leaf_address(client), client_address(client).map(|at| at.port())), (None, Some(1)));
    }
}
