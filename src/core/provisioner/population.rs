//! Who waits, who is being provisioned, who comes back when. Pure: time is an argument.
//!
//! A name is in here once, whatever noticed it. Nobody is thrown away for
//! having waited long; a name is forgotten when it was not heard of for
//! several discoveries, and a node that keeps failing is asked ever more seldom.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What noticed a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Its startup event.
    Event,
    /// Its registration data.
    Registration,
    /// A discovery.
    Discovery,
    /// The journal: it was in work when this program ended.
    Journal,
    /// An operator.
    Operator,
}

/// What became of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noticed {
    /// It is new here and waits.
    New,
    /// It is known; nothing changes.
    Known,
    /// It was provisioned and is in the waiting room again.
    Again,
    /// It was provisioned and came back too often: nobody touches it for a while.
    Quarantined,
    /// There are as many names as are held.
    Full,
}

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// Configured and restarting.
    Provisioned,
    /// It was told to end itself.
    Shutdown,
    /// It runs another version soon.
    Upgraded,
    /// The helper said not now.
    Deferred,
    /// Another provisioner has it.
    Locked,
    /// Two machines claim the name.
    Doubled,
    /// It does not answer.
    Silent,
    /// Anything else: the reason is in the log.
    Failed,
    /// This program ends.
    Stopped,
}

/// Times and bounds.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Most names held.
    pub most: usize,
    /// How long a node that was provisioned is left alone.
    pub cooldown: Duration,
    /// Without a sign for this long a waiting name is forgotten.
    pub forget_after: Duration,
    /// How long the node's own lock lasts, and a little more.
    pub locked: Duration,
    /// How long a node is left alone that came back `max_loops` times.
    pub quarantine: Duration,
    /// Times a node may come back after it was provisioned.
    pub max_loops: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            most: 100_000,
            cooldown: Duration::from_secs(60),
            forget_after: Duration::from_secs(180),
            locked: Duration::from_secs(125),
            quarantine: Duration::from_secs(600),
            max_loops: 3,
        }
    }
}

/// Longest pause between tries of a node that fails.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long a node is left alone that two machines claim.
const DOUBLED: Duration = Duration::from_secs(60);
/// Events of a node that arrive within this time of its restart are older than that.
const ECHO: Duration = Duration::from_millis(1500);

#[derive(Debug)]
struct Entry {
    state: State,
    /// First noticed.
    since: Instant,
    /// Last sign of life.
    heard: Instant,
    failures: u32,
    loops: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the queue.
    Ready,
    /// Being provisioned.
    Working,
    /// To be tried again then.
    Later(Instant),
    /// Provisioned, left alone until then.
    Cooling { from: Instant, until: Instant },
    /// Came back too often, left alone until then.
    Quarantined(Instant),
}

/// See the module documentation.
#[derive(Debug)]
pub struct Population {
    rules: Rules,
    nodes: HashMap<Arc<str>, Entry>,
    ready: VecDeque<Arc<str>>,
    /// When to look at whom again; entries that changed meanwhile are passed over.
    timers: BTreeMap<(Instant, u64), Arc<str>>,
    serial: u64,
}

/// How many are where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All names.
    pub known: usize,
    /// In the queue.
    pub ready: usize,
    /// Being provisioned.
    pub working: usize,
    /// Waiting for another try.
    pub later: usize,
    /// Provisioned and left alone.
    pub cooling: usize,
    /// Came back too often.
    pub quarantined: usize,
}

impl Population {
    /// Nobody yet.
    pub fn new(rules: Rules) -> Self {
        Self { rules, nodes: HashMap::new(), ready: VecDeque::new(), timers: BTreeMap::new(), serial: 0 }
    }

    /// A node has shown itself.
    pub fn notice(&mut self, name: &str, source: Source, now: Instant) -> Noticed {
        let Some(entry) = self.nodes.get_mut(name) else {
            if self.nodes.len() >= self.rules.most {
                return Noticed::Full;
            }
            let name: Arc<str> = name.into();
            let entry = Entry { state: State::Ready, since: now, heard: now, failures: 0, loops: 0 };
            self.nodes.insert(name.clone(), entry);
            self.ready.push_back(name);
            return Noticed::New;
        };
        entry.heard = now;
        match entry.state {
            // only a start says that it is back: registration data and pongs may be of before its restart
            State::Cooling { from, .. } if source == Source::Event && now.duration_since(from) > ECHO => {
                entry.loops += 1;
                if entry.loops >= self.rules.max_loops {
                    let until = now + self.rules.quarantine;
                    self.set(name, State::Quarantined(until), Some(until));
                    return Noticed::Quarantined;
                }
                self.queue(name);
                Noticed::Again
            }
            // it has started anew, or an operator asks: there is no reason to wait
            State::Later(_) if matches!(source, Source::Event | Source::Operator) => {
                self.queue(name);
                Noticed::Known
            }
            State::Quarantined(_) if source == Source::Operator => {
                entry.loops = 0;
                self.queue(name);
                Noticed::Again
            }
            _ => Noticed::Known,
        }
    }

    /// Takes the node whose turn it is.
    pub fn take(&mut self) -> Option<Arc<str>> {
        while let Some(name) = self.ready.pop_front() {
            if let Some(entry) = self.nodes.get_mut(&name)
                && entry.state == State::Ready
            {
                entry.state = State::Working;
                return Some(name);
            }
        }
        None
    }

    /// A walk has ended.
    pub fn ended(&mut self, name: &str, end: End, now: Instant) {
        let Some(entry) = self.nodes.get_mut(name) else { return };
        if entry.state != State::Working {
            return;
        }
        let pause = match end {
            End::Provisioned | End::Shutdown => {
                entry.failures = 0;
                let until = now + self.rules.cooldown;
                return self.set(name, State::Cooling { from: now, until }, Some(until));
            }
            End::Upgraded | End::Stopped => return self.forget(name),
            End::Locked => self.rules.locked,
            End::Doubled => DOUBLED,
            End::Deferred => LONGEST_PAUSE,
            End::Silent | End::Failed => {
                entry.failures += 1;
                Duration::from_secs(1 << (entry.failures - 1).min(6)).min(LONGEST_PAUSE)
            }
        };
        let until = now + pause;
        self.set(name, State::Later(until), Some(until));
    }

    /// Looks at everybody whose time has come; returns who was silent for so long that it is forgotten.
    pub fn advance(&mut self, now: Instant) -> Vec<Arc<str>> {
        let mut silent = vec![];
        while let Some(((at, _), _)) = self.timers.first_key_value()
            && *at <= now
        {
            let Some((_, name)) = self.timers.pop_first() else { break };
            let Some(entry) = self.nodes.get(&name) else { continue };
            match entry.state {
                State::Later(until) if until <= now => {
                    if now.duration_since(entry.heard) > self.rules.forget_after {
                        self.forget(&name);
                        silent.push(name);
                    } else {
                        self.queue(&name);
                    }
                }
                State::Cooling { until, .. } | State::Quarantined(until) if until <= now => {
                    self.forget(&name);
                }
                _ => {}
            }
        }
        silent
    }

    /// When to call [`advance`](Population::advance) next.
    pub fn next_turn(&self) -> Option<Instant> {
        self.timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Whether a node is being provisioned.
    pub fn is_working(&self, name: &str) -> bool {
        self.nodes.get(name).is_some_and(|entry| entry.state == State::Working)
    }

    /// Forgets a name.
    pub fn forget(&mut self, name: &str) {
        self.nodes.remove(name);
    }

    /// How many are where.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { known: self.nodes.len(), ..Counts::default() };
        for entry in self.nodes.values() {
            match entry.state {
                State::Ready => counts.ready += 1,
                State::Working => counts.working += 1,
                State::Later(_) => counts.later += 1,
                State::Cooling { .. } => counts.cooling += 1,
                State::Quarantined(_) => counts.quarantined += 1,
            }
        }
        counts
    }

    /// How long the node that waits longest has waited.
    pub fn oldest(&self, now: Instant) -> Duration {
        let waiting =
            self.nodes.values().filter(|entry| matches!(entry.state, State::Ready | State::Later(_)));
        waiting.map(|entry| now.duration_since(entry.since)).max().unwrap_or_default()
    }

    fn queue(&mut self, name: &str) {
        self.set(name, State::Ready, None);
        if let Some((name, _)) = self.nodes.get_key_value(name) {
            self.ready.push_back(name.clone());
        }
    }

    fn set(&mut self, name: &str, state: State, turn: Option<Instant>) {
        let Some((name, _)) = self.nodes.get_key_value(name) else { return };
        let name = name.clone();
        if let Some(entry) = self.nodes.get_mut(&name) {
            entry.state = state;
        }
        if let Some(at) = turn {
            self.serial += 1;
            self.timers.insert((at, self.serial), name);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_name_is_worked_on_once() {
        let start = Instant::now();
        let mut population = Population::new(Rules::default());
        assert_eq!(population.notice("a", Source::Event, start), Noticed::New);
        assert_eq!(population.notice("a", Source::Discovery, start), Noticed::Known);
        assert_eq!(population.take().as_deref(), Some("a"));
        assert_eq!(population.notice("a", Source::Event, start), Noticed::Known);
        assert_eq!(population.take(), None);
        population.ended("a", End::Provisioned, start);
        // what is still on its way from before the restart starts nothing
        for source in [Source::Discovery, Source::Registration, Source::Event] {
            assert_eq!(population.notice("a", source, start + secs(1)), Noticed::Known);
        }
        assert_eq!(population.take(), None);
        population.advance(start + secs(61));
        assert_eq!(population.counts().known, 0);
    }

    #[test]
    fn a_node_that_comes_back_is_tried_again_and_then_left_alone() {
        let mut now = Instant::now();
        let mut population = Population::new(Rules::default());
        population.notice("a", Source::Event, now);
        for noticed in [Noticed::Again, Noticed::Again, Noticed::Quarantined] {
            assert_eq!(population.take().as_deref(), Some("a"));
            population.ended("a", End::Provisioned, now);
            now += secs(3);
            assert_eq!(population.notice("a", Source::Event, now), noticed);
        }
        assert_eq!(population.take(), None);
        assert_eq!(population.notice("a", Source::Event, now + secs(10)), Noticed::Known);
        assert_eq!(population.notice("a", Source::Operator, now + secs(10)), Noticed::Again);
        assert_eq!(population.take().as_deref(), Some("a"));
    }

    #[test]
    fn failures_are_tried_ever_more_seldom_and_silence_is_forgotten() {
        let start = Instant::now();
        let mut now = start;
        let mut population = Population::new(Rules::default());
        population.notice("a", Source::Discovery, now);
        let mut pauses = vec![];
        while let Some(name) = population.take() {
            population.ended(&name, End::Silent, now);
            let Some(next) = population.next_turn() else { break };
            pauses.push(next.duration_since(now).as_secs());
            now = next;
            population.advance(now);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(population.counts().known, 0);
        // a start is a reason not to wait
        population.notice("a", Source::Discovery, now);
        population.take();
        population.ended("a", End::Deferred, now);
        population.notice("a", Source::Discovery, now);
        assert_eq!(population.take(), None);
        population.notice("a", Source::Event, now);
        assert_eq!(population.take().as_deref(), Some("a"));
    }

    #[test]
    fn names_are_bounded() {
        let now = Instant::now();
        let mut population = Population::new(Rules { most: 2, ..Rules::default() });
        let noticed: Vec<Noticed> = ["a", "b", "c"].map(|n| population.notice(n, Source::Event, now)).into();
        assert_eq!(noticed, [Noticed::New, Noticed::New, Noticed::Full]);
    }

    proptest! {
        /// Whatever happens, a name is in work at most once, and one that waits comes to its turn.
        #[test]
        fn nobody_is_lost_and_nobody_is_worked_on_twice(
            steps in proptest::collection::vec((0..4_u8, 0..5_usize, 0..70_u64), 1..200)
        ) {
            let mut now = Instant::now();
            let mut population = Population::new(Rules::default());
            let mut working = std::collections::HashSet::new();
            let ends = [End::Provisioned, End::Silent, End::Locked, End::Deferred, End::Failed];
            for (step, which, seconds) in steps {
                let name = format!("n{which}");
                match step {
                    0 => { population.notice(&name, Source::Event, now); }
                    1 => if let Some(taken) = population.take() {
                        prop_assert!(working.insert(taken));
                    },
                    2 => if let Some(taken) = working.iter().next().cloned() {
                        working.remove(&taken);
                        population.ended(&taken, ends[which], now);
                    },
                    _ => {
                        now += Duration::from_secs(seconds);
                        population.advance(now);
                    }
                }
                prop_assert_eq!(population.counts().working, working.len());
            }
            for name in working {
                population.ended(&name, End::Failed, now);
            }
            population.notice("n0", Source::Operator, now);
            now += secs(10);
            population.advance(now);
            let counts = population.counts();
            let mut turns = 0;
            while population.take().is_some() {
                turns += 1;
            }
            prop_assert_eq!(turns, counts.ready);
            prop_assert!(population.timers.len() < 2000);
        }
    }
}
