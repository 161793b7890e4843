//! Exit codes of commands that ask the fleet.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | everybody asked answered well |
//! | 1 | refused before any node was asked: usage, configuration, input, no connection, no nodes found |
//! | 2 | at least one node answered with a failure |
//! | 3 | nobody answered |
//! | 4 | some answered well, some not at all, or were found too late to be asked |
//! | 5 | nodes were asked, and their answers could not all be taken or shown: the connection was lost, the output cannot be written |
//! | 130 | interrupted |
//!
//! The original's codes (0 whenever a request was sent) are had by
//! `--compat-exit`, `CHORIA_COMPAT_EXIT=1` and the `mco` personality.

use std::process::ExitCode;

use choria::core::client::RequestStats;

use super::{Globals, Personality};

/// A person pressed Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// Nodes were asked, and what became of it is not all known or shown.
pub const LOST: u8 = 5;

/// The texts of the codes, for the manual.
pub const CODES: &str = "0 everybody asked answered well, or whoever read the output has closed it; \
     1 refused before any node was asked; 2 at least one node failed; 3 nobody answered; 4 some did not answer; \
     5 nodes were asked, and their answers could not all be taken or shown; 130 interrupted.";

/// Something went wrong after nodes were asked: they may have acted.
#[derive(Debug, thiserror::Error)]
#[error("the request was sent: {0}")]
pub struct AfterAsking(pub String);

/// Which codes are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Exit {
    /// The original's.
    pub compat: bool,
}

impl Exit {
    pub fn new(globals: &Globals, flag: bool) -> Exit {
        let variable = std::env::var("CHORIA_COMPAT_EXIT").is_ok_and(|v| v == "1");
        Exit { compat: flag || variable || globals.personality == Personality::Mco }
    }

    /// No answer at all to a broadcast; the original fails here too.
    pub fn nobody_answered(self) -> ExitCode {
        ExitCode::from(if self.compat { 1 } else { 3 })
    }

    /// The code of a broadcast that a person ended.
    pub fn interrupted(self) -> ExitCode {
        ExitCode::from(if self.compat { 0 } else { INTERRUPTED })
    }

    pub fn some_missing(self) -> ExitCode {
        ExitCode::from(if self.compat { 0 } else { 4 })
    }

    /// The code of a finished request.
    pub fn of(self, stats: &RequestStats, interrupted: bool) -> ExitCode {
        ExitCode::from(self.code(stats, interrupted))
    }

    fn code(self, stats: &RequestStats, interrupted: bool) -> u8 {
        match stats {
            _ if self.compat => 0,
            _ if interrupted => INTERRUPTED,
            stats if stats.failed > 0 => 2,
            stats if stats.responses == 0 => 3,
            stats if stats.responses < stats.discovered || !stats.late_discoveries.is_empty() => 4,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_says_what_became_of_the_fleet() {
        let stats = |discovered, ok, failed| RequestStats {
            discovered,
            ok,
            failed,
            responses: ok + failed,
            ..RequestStats::default()
        };
        let ours = Exit { compat: false };
        for (discovered, ok, failed, code) in
            [(3, 3, 0, 0), (3, 2, 1, 2), (3, 0, 0, 3), (3, 2, 0, 4), (3, 1, 1, 2)]
        {
            assert_eq!(ours.code(&stats(discovered, ok, failed), false), code);
            assert_eq!(Exit { compat: true }.code(&stats(discovered, ok, failed), false), 0);
        }
        assert_eq!(ours.code(&stats(3, 1, 0), true), 130);
    }
}
