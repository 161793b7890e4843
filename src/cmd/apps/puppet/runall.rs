//! Who runs, who waits and who is done, when only so many may run at a time. Pure:
//! what is seen of nodes goes in, whom to start comes out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Looks at a node that was told to run and does not, and replies it may owe, before it
/// is given up.
const PATIENCE: u32 = 5;

/// What a node says of its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// It applies a catalog.
    pub applying: bool,
    /// When it last had applied one, by its clock.
    pub last_run: i64,
}

/// How it ended for a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It ran.
    Ran,
    /// Or why not.
    GivenUp(String),
}

/// A node that was told to run.
#[derive(Debug, Default)]
struct Running {
    /// Its last run before.
    last_run: i64,
    /// It was seen applying.
    begun: bool,
    idle: u32,
    missed: u32,
}

/// All of them.
#[derive(Debug)]
pub struct Runall {
    most: usize,
    waiting: VecDeque<String>,
    running: BTreeMap<String, Running>,
    /// Nodes that wait and are applying by themselves.
    busy: BTreeSet<String>,
    last_runs: BTreeMap<String, i64>,
    missed: BTreeMap<String, u32>,
}

impl Runall {
    /// These nodes, `most` of them at a time.
    pub fn new(mut nodes: Vec<(String, State)>, most: usize) -> Runall {
        nodes.sort_by(|a, b| a.0.cmp(&b.0));
        let mut runall = Runall {
            most,
            waiting: nodes.iter().map(|(node, _)| node.clone()).collect(),
            running: BTreeMap::new(),
            busy: BTreeSet::new(),
            last_runs: BTreeMap::new(),
            missed: BTreeMap::new(),
        };
        for (node, state) in nodes {
            runall.saw_waiting(&node, state);
        }
        runall
    }

    pub fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Nodes that are applying, or were told to.
    pub fn applying(&self) -> usize {
        self.running.len() + self.busy.len()
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Nodes to look at.
    pub fn nodes(&self) -> Vec<String> {
        self.running.keys().chain(&self.waiting).cloned().collect()
    }

    /// Nodes to start now; they count as running from here on.
    pub fn start(&mut self) -> Vec<String> {
        let free = self.most.saturating_sub(self.applying());
        let mut chosen = vec![];
        let mut rest = VecDeque::new();
        for node in std::mem::take(&mut self.waiting) {
            match chosen.len() < free && !self.busy.contains(&node) {
                true => chosen.push(node),
                false => rest.push_back(node),
            }
        }
        self.waiting = rest;
        for node in &chosen {
            let last_run = self.last_runs.get(node).copied().unwrap_or_default();
            self.running.insert(node.clone(), Running { last_run, ..Running::default() });
        }
        chosen
    }

    /// A node does not run when it is told to.
    pub fn refused(&mut self, node: &str, why: &str) -> Option<Ended> {
        self.running.remove(node).map(|_| Ended::GivenUp(why.to_owned()))
    }

    /// What a node was seen to do; whether that ended it.
    pub fn saw(&mut self, node: &str, state: State) -> Option<Ended> {
        let Some(running) = self.running.get_mut(node) else {
            if self.waiting.iter().any(|waiting| waiting == node) {
                self.saw_waiting(node, state);
            }
            return None;
        };
        running.missed = 0;
        if state.applying {
            running.begun = true;
            running.idle = 0;
            return None;
        }
        if running.begun || state.last_run > running.last_run {
            self.running.remove(node);
            return Some(Ended::Ran);
        }
        running.idle += 1;
        if running.idle < PATIENCE {
            return None;
        }
        self.running.remove(node);
        Some(Ended::GivenUp("it was told to run and did not begin to".to_owned()))
    }

    /// A node did not answer.
    pub fn missed(&mut self, node: &str) -> Option<Ended> {
        let missed = match self.running.get_mut(node) {
            Some(running) => {
                running.missed += 1;
                running.missed
            }
            None if self.waiting.iter().any(|waiting| waiting == node) => {
                let missed = self.missed.entry(node.to_owned()).or_default();
                *missed += 1;
                *missed
            }
            None => return None,
        };
        if missed < PATIENCE {
            return None;
        }
        let told = self.running.remove(node).is_some();
        self.waiting.retain(|waiting| waiting != node);
        self.busy.remove(node);
        let what = if told { "it was told to run and does not answer" } else { "it does not answer" };
        Some(Ended::GivenUp(what.to_owned()))
    }

    fn saw_waiting(&mut self, node: &str, state: State) {
        self.missed.remove(node);
        self.last_runs.insert(node.to_owned(), state.last_run);
        match state.applying {
            true => self.busy.insert(node.to_owned()),
            false => self.busy.remove(node),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: State = State { applying: false, last_run: 100 };
    const APPLYING: State = State { applying: true, last_run: 100 };
    const OVER: State = State { applying: false, last_run: 200 };

    fn of(names: &[&str], most: usize) -> Runall {
        Runall::new(names.iter().map(|name| ((*name).to_owned(), IDLE)).collect(), most)
    }

    #[test]
    fn no_more_than_may_are_running() {
        let mut runall = of(&["c", "a", "b"], 2);
        assert_eq!(runall.start(), ["a", "b"]);
        assert_eq!(runall.start(), [] as [&str; 0]);
        assert_eq!((runall.applying(), runall.waiting()), (2, 1));
        assert_eq!(runall.saw("a", APPLYING), None);
        assert_eq!(runall.saw("a", IDLE), Some(Ended::Ran), "its clock may stand still");
        assert_eq!(runall.start(), ["c"]);
        // A run that is over between two looks.
        assert_eq!(runall.saw("b", OVER), Some(Ended::Ran));
        assert_eq!(runall.saw("c", OVER), Some(Ended::Ran));
        assert!(runall.is_done());
    }

    #[test]
    fn who_applies_by_itself_counts_and_has_its_turn_later() {
        let nodes = [("a", APPLYING), ("b", IDLE), ("c", IDLE)];
        let mut runall = Runall::new(nodes.map(|(name, state)| (name.to_owned(), state)).to_vec(), 2);
        assert_eq!(runall.start(), ["b"]);
        // One more begins by itself: there is no place for anybody.
        assert_eq!(runall.saw("c", APPLYING), None);
        assert_eq!(runall.saw("b", OVER), Some(Ended::Ran));
        assert_eq!(runall.start(), [] as [&str; 0]);
        assert_eq!(runall.saw("a", OVER), None);
        assert_eq!(runall.start(), ["a"]);
        // What it did by itself before is not the run it was told to make.
        assert_eq!(runall.saw("a", OVER), None);
    }

    #[test]
    fn who_does_not_begin_or_answer_is_given_up() {
        let mut runall = of(&["a", "b", "c", "d"], 3);
        runall.start();
        for look in 1..=5 {
            let ended = runall.saw("a", IDLE);
            assert_eq!(ended.is_some(), look == 5, "{look}");
            assert_eq!(runall.missed("b").is_some(), look == 5, "{look}");
            assert_eq!(runall.missed("d").is_some(), look == 5, "{look}");
        }
        assert!(matches!(runall.refused("c", "disabled"), Some(Ended::GivenUp(why)) if why == "disabled"));
        assert!(runall.is_done());
        assert_eq!(runall.missed("a"), None);
    }
}
