//! What is shown in panes: what checks found, how machines moved, and how many are how. Knows no terminal.

use std::collections::{BTreeMap, VecDeque};

use choria::core::scout::{Fleet, Seen};
use serde_json::{Map, Value};

/// Lines that are kept of each pane.
const LINES: usize = 500;
/// Seconds after which a node that says nothing does not count any more.
const SILENT: i64 = 600;

/// How good it is, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Good,
    Warning,
    Bad,
    Other,
}

impl Mood {
    /// Of a status or state.
    fn of(name: &str) -> Mood {
        match name {
            "OK" => Mood::Good,
            "WARNING" => Mood::Warning,
            "CRITICAL" => Mood::Bad,
            _ => Mood::Other,
        }
    }
}

/// A line of a pane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub mood: Mood,
    pub text: String,
}

/// How many nodes a check found how: OK, WARNING, CRITICAL, UNKNOWN, and those where it rests.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally(pub [usize; 5]);

impl Tally {
    pub fn mood(self) -> Mood {
        let [good, warning, critical, unknown, _] = self.0;
        match (critical, warning, unknown, good) {
            (1.., ..) => Mood::Bad,
            (_, 1.., ..) => Mood::Warning,
            (_, _, 1.., _) | (_, _, _, 0) => Mood::Other,
            _ => Mood::Good,
        }
    }

    /// What is worse comes first.
    fn rank(self) -> [std::cmp::Reverse<usize>; 3] {
        let [_, warning, critical, unknown, _] = self.0;
        [critical, warning, unknown].map(std::cmp::Reverse)
    }
}

/// All panes.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub checks: Pane,
    pub moves: Pane,
    pub held: bool,
    fleet: Fleet,
}

/// What happened, the newest last.
#[derive(Debug, Default)]
pub(super) struct Pane {
    lines: VecDeque<Line>,
    /// Those that came while it was held, and are not shown.
    waiting: usize,
}

impl Pane {
    fn add(&mut self, line: Line, held: bool) {
        self.lines.push_back(line);
        self.waiting += usize::from(held);
        // what a person reads while it is held stays where it is
        while self.lines.len() > LINES && !held || self.lines.len() > 2 * LINES {
            self.lines.pop_front();
        }
        self.waiting = self.waiting.min(self.lines.len());
    }

    /// The newest of those that are shown, so many.
    pub fn last(&self, room: usize) -> impl Iterator<Item = &Line> {
        let shown = self.lines.len() - self.waiting;
        self.lines.range(shown.saturating_sub(room)..shown)
    }
}

impl Board {
    /// Takes an event, for its count and, where there is one, with its line.
    pub fn take(&mut self, data: &Map<String, Value>, at: &str, line: Option<&str>, now: i64) {
        let Some(seen) = Seen::of(data) else { return };
        self.fleet.take(&seen, now);
        let Some(line) = line else { return };
        let (pane, mood) = match &seen {
            Seen::Moved(moved) => (&mut self.moves, Mood::of(&moved.to)),
            Seen::Checked(checked) => {
                let names = ["OK", "WARNING", "CRITICAL"];
                let name = names.get(usize::from(checked.status)).copied().unwrap_or_default();
                (&mut self.checks, Mood::of(name))
            }
            Seen::Ran(_) => return,
        };
        pane.add(Line { mood, text: format!("{at} {line}") }, self.held);
    }

    /// Holds what is shown, or goes on.
    pub fn hold(&mut self) {
        self.held = !self.held;
        (self.checks.waiting, self.moves.waiting) = (0, 0);
    }

    /// Lines that came while it was held.
    pub fn waiting(&self) -> usize {
        self.checks.waiting + self.moves.waiting
    }

    /// Nodes that were heard of lately.
    pub fn nodes(&self, now: i64) -> usize {
        self.fleet.nodes().values().filter(|node| now - node.seen <= SILENT).count()
    }

    /// Each check of nodes that were heard of lately, the worst first.
    pub fn tallies(&self, now: i64) -> Vec<(&str, Tally)> {
        let mut all: BTreeMap<&str, Tally> = BTreeMap::new();
        for node in self.fleet.nodes().values().filter(|node| now - node.seen <= SILENT) {
            for (check, track) in &node.tracks {
                let Some(status) = track.status else { continue };
                let place = if track.rests() { 4 } else { usize::from(status.min(3)) };
                all.entry(check).or_default().0[place] += 1;
            }
        }
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by_key(|(_, tally)| tally.rank());
        all
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub fn checked(identity: &str, machine: &str, status: u8, output: &str) -> Map<String, Value> {
        let name = ["OK", "WARNING", "CRITICAL", "UNKNOWN"][usize::from(status)];
        let data = json!({
            "protocol": "io.choria.machine.watcher.nagios.v1.state", "identity": identity, "type": "nagios",
            "machine": machine, "name": "check", "status": name, "status_code": status, "output": output,
            "version": "1.0.0", "timestamp": 1,
        });
        data.as_object().unwrap().clone()
    }

    pub fn moved(identity: &str, machine: &str, to: &str) -> Map<String, Value> {
        let data = json!({
            "protocol": "io.choria.machine.v1.transition", "identity": identity, "machine": machine, "transition": to,
            "from_state": "OK", "to_state": to, "version": "1.0.0", "timestamp": 1,
        });
        data.as_object().unwrap().clone()
    }

    #[test]
    fn checks_are_counted_and_the_worst_is_first() {
        let mut board = Board::default();
        for (node, check, status) in
            [("n1", "load", 0), ("n2", "load", 1), ("n1", "disk", 0), ("n2", "disk", 2)]
        {
            board.take(&checked(node, check, status, "said"), "10:00:00", None, 100);
        }
        board.take(&moved("n1", "load", "MAINTENANCE"), "10:00:00", None, 100);
        let wanted = vec![("disk", Tally([1, 0, 1, 0, 0])), ("load", Tally([0, 1, 0, 0, 1]))];
        assert_eq!(board.tallies(100), wanted);
        assert_eq!((board.nodes(100), board.checks.lines.len()), (2, 0));
        // who is silent does not count
        board.take(&checked("n1", "disk", 0, "said"), "10:10:00", None, 701);
        assert_eq!(board.tallies(701), [("disk", Tally([1, 0, 0, 0, 0])), ("load", Tally([0, 0, 0, 0, 1]))]);
    }

    #[test]
    fn lines_are_bounded_and_stay_while_they_are_held() {
        let mut board = Board::default();
        let take = |board: &mut Board, count: usize| {
            for number in 0..count {
                board.take(&checked("n1", "load", 2, "said"), "t", Some(&number.to_string()), 1);
            }
        };
        take(&mut board, 600);
        let shown = |board: &Board| board.checks.last(1).next().map(|line| line.text.clone());
        assert_eq!((board.checks.lines.len(), shown(&board).as_deref()), (LINES, Some("t 599")));
        assert_eq!(board.checks.lines[0].mood, Mood::Bad);
        board.hold();
        take(&mut board, 10);
        assert_eq!((shown(&board).as_deref(), board.waiting()), (Some("t 599"), 10));
        take(&mut board, 5000);
        assert_eq!((board.checks.lines.len(), shown(&board)), (2 * LINES, None));
        board.hold();
        take(&mut board, 1);
        assert_eq!((board.checks.lines.len(), shown(&board).as_deref()), (LINES, Some("t 0")));
    }
}
