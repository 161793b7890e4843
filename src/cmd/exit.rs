//! Exit codes of commands that ask the fleet.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | everybody asked answered well |
//! | 1 | refused before any node was asked: usage, configuration, input, no connection, no nodes found |
//! | 2 | at least one node answered with a failure |
//! | 3 | nobody answered |
//! | 4 | some answered well, some not at all, or were found too late to be asked, or a federation in which they were looked for is down |
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
     1 refused before any node was asked; 2 at least one node failed, or a request stopped in a stage; 3 nobody answered; 4 some did not answer, or a federation is down; \
     5 nodes were asked, and their answers could not all be taken or shown; 130 interrupted.";

/// The same of applications of `mco`.
pub const HALT_CODES: &str = "0 whoever answered answered well; 1 no node was found, or anything else that keeps from \
     asking; 2 at least one node failed; 3 nobody answered; 4 nobody answered, and nobody had to be found; 130 \
     interrupted.";

/// Something went wrong after nodes were asked: they may have acted.
#[derive(Debug, thiserror::Error)]
#[error("the request was sent: {0}")]
pub struct AfterAsking(pub String);

/// Which codes are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Those above.
    Ours,
    /// The original's: 0 whenever a request was sent.
    Original,
    /// Those of applications of `mco`:
    ///
    /// | code | meaning |
    /// |---|---|
    /// | 0 | everybody who answered answered well |
    /// | 1 | no nodes were found, or anything that keeps from asking |
    /// | 2 | at least one node answered with a failure |
    /// | 3 | nobody answered |
    /// | 4 | nobody answered, and nobody had to be found |
    Halt,
}

impl Exit {
    pub fn new(globals: &Globals, flag: bool) -> Exit {
        match flag || asked_for_original() || globals.personality == Personality::Mco {
            true => Exit::Original,
            false => Exit::Ours,
        }
    }

    /// Of a command that is an application of `mco`.
    pub fn of_application(globals: &Globals, flag: bool) -> Exit {
        match globals.personality {
            _ if flag || asked_for_original() => Exit::Original,
            Personality::Mco => Exit::Halt,
            Personality::Choria => Exit::Ours,
        }
    }

    pub fn is_original(self) -> bool {
        self == Exit::Original
    }

    /// No answer at all to a broadcast; the original fails here too.
    pub fn nobody_answered(self) -> ExitCode {
        ExitCode::from(if self.is_original() { 1 } else { 3 })
    }

    /// The code of a broadcast that a person ended.
    pub fn interrupted(self) -> ExitCode {
        ExitCode::from(if self.is_original() { 0 } else { INTERRUPTED })
    }

    /// The code of a request in stages that stopped in one.
    pub fn stopped(self) -> ExitCode {
        ExitCode::from(if self.is_original() { 0 } else { 2 })
    }

    /// The code of a request in stages that came to its end, of which some did badly by their check.
    pub fn unwell(self, stats: &RequestStats, interrupted: bool, by_asking: bool) -> ExitCode {
        match self.code(stats, interrupted, by_asking) {
            0 => self.stopped(),
            other => ExitCode::from(other),
        }
    }

    pub fn some_missing(self) -> ExitCode {
        ExitCode::from(if self.is_original() { 0 } else { 4 })
    }

    /// The code of a finished request; `by_asking` says whether its nodes had to be
    /// found.
    pub fn of(self, stats: &RequestStats, interrupted: bool, by_asking: bool) -> ExitCode {
        ExitCode::from(self.code(stats, interrupted, by_asking))
    }

    fn code(self, stats: &RequestStats, interrupted: bool, by_asking: bool) -> u8 {
        match (self, stats) {
            (Exit::Original, _) => 0,
            _ if interrupted => INTERRUPTED,
            (Exit::Halt, stats) if stats.responses == 0 && !by_asking => 4,
            (_, stats) if stats.failed > 0 => 2,
            (_, stats) if stats.responses == 0 => 3,
            (Exit::Ours, stats)
                if stats.responses < stats.discovered
                    || !stats.late_discoveries.is_empty()
                    || by_asking && !stats.federations_down.is_empty() =>
            {
                4
            }
            _ => 0,
        }
    }
}

fn asked_for_original() -> bool {
    std::env::var("CHORIA_COMPAT_EXIT").is_ok_and(|v| v == "1")
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
        for (discovered, ok, failed, ours, halt) in
            [(3, 3, 0, 0, 0), (3, 2, 1, 2, 2), (3, 0, 0, 3, 3), (3, 2, 0, 4, 0), (3, 1, 1, 2, 2)]
        {
            let stats = stats(discovered, ok, failed);
            assert_eq!(Exit::Ours.code(&stats, false, true), ours);
            assert_eq!(Exit::Original.code(&stats, false, true), 0);
            assert_eq!(Exit::Halt.code(&stats, false, true), halt);
        }
        assert_eq!(Exit::Ours.code(&stats(3, 1, 0), true, true), 130);
        assert_eq!(Exit::Halt.code(&stats(1, 0, 0), false, false), 4);
        assert_eq!(Exit::Halt.code(&stats(1, 1, 0), false, false), 0);
    }
}
