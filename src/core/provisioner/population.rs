//! Who waits, who is being provisioned, who comes back when. Pure: time is an argument.
//!
//! A name is in here once, whatever noticed it. Nobody is thrown away for
//! having waited long; a name is forgotten when it was not heard of for
//! several discoveries, and a node that keeps failing is asked ever more seldom.
//!
//! Anybody in the waiting room can publish events and registration data in any
//! name, as fast as the broker takes them. Names that nothing else speaks for are
//! held apart: they have half the places, and turn about with the others. An answer
//! to a discovery takes a name from among them: whoever answers first is first, and
//! only then does anybody know where.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

mod kinds;
mod rules;

pub use super::counts::{Ages, Counts};
pub use kinds::{End, Noticed, Source};
pub use rules::Rules;

/// Longest pause between tries of a node that fails.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Shortest pause of a node that was deferred,
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// and the longest, whatever a helper asks for.
const MOST_DEFERRED: Duration = Duration::from_secs(3600);
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
    /// In the queue since.
    queued: Instant,
    failures: u32,
    loops: u32,
    /// Only events or registration data speak for it.
    claimed: bool,
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
    /// Of those a discovery has found, and of those that are claimed only.
    ready: [VecDeque<Arc<str>>; 2],
    /// Which of them has the next turn.
    turn: usize,
    /// Names that are claimed only.
    claimed: usize,
    /// When to look at whom again; entries that changed meanwhile are passed over.
    timers: BTreeMap<(Instant, u64), Arc<str>>,
    serial: u64,
}

impl Population {
    /// Nobody yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            nodes: HashMap::new(),
            ready: Default::default(),
            turn: 0,
            claimed: 0,
            timers: BTreeMap::new(),
            serial: 0,
        }
    }

    /// A node has shown itself.
    pub fn notice(&mut self, name: &str, source: Source, now: Instant) -> Noticed {
        let claimed = matches!(source, Source::Event | Source::Registration);
        let Some(entry) = self.nodes.get_mut(name) else {
            if self.nodes.len() >= self.rules.most || claimed && self.claimed >= self.rules.most / 2 {
                return Noticed::Full;
            }
            let name: Arc<str> = name.into();
            let entry = Entry {
                state: State::Ready,
                since: now,
                heard: now,
                queued: now,
                failures: 0,
                loops: 0,
                claimed,
            };
            self.nodes.insert(name.clone(), entry);
            self.claimed += usize::from(claimed);
            self.push(name, claimed);
            return Noticed::New;
        };
        entry.heard = now;
        if entry.claimed && !claimed {
            entry.claimed = false;
            self.claimed -= 1;
            if entry.state == State::Ready
                && let Some((name, _)) = self.nodes.get_key_value(name)
            {
                // its other place is passed over
                let name = name.clone();
                self.push(name, false);
            }
            // an operator's word does more, below
            if source != Source::Operator {
                return Noticed::Known;
            }
        }
        let Some(entry) = self.nodes.get_mut(name) else { return Noticed::Known };
        match entry.state {
            // only a start says that it is back: registration data and pongs may be of before its restart
            State::Cooling { from, .. } if source == Source::Event && now.duration_since(from) > ECHO => {
                entry.loops += 1;
                if entry.loops >= self.rules.max_loops {
                    let until = now + self.rules.quarantine;
                    self.set(name, State::Quarantined(until), Some(until));
                    return Noticed::Quarantined;
                }
                self.queue(name, now);
                Noticed::Again
            }
            // it has started anew, or an operator asks: there is no reason to wait
            State::Later(_) if matches!(source, Source::Event | Source::Operator) => {
                self.queue(name, now);
                Noticed::Known
            }
            State::Quarantined(_) if source == Source::Operator => {
                entry.loops = 0;
                self.queue(name, now);
                Noticed::Again
            }
            _ => Noticed::Known,
        }
    }

    /// Takes the node whose turn it is.
    pub fn take(&mut self) -> Option<Arc<str>> {
        while let Some(name) = self.next_ready() {
            if let Some(entry) = self.nodes.get_mut(&name)
                && entry.state == State::Ready
            {
                entry.state = State::Working;
                return Some(name);
            }
        }
        None
    }

    fn next_ready(&mut self) -> Option<Arc<str>> {
        let turn = self.turn;
        self.turn = 1 - turn;
        let [found, claimed] = &mut self.ready;
        match turn {
            0 => found.pop_front().or_else(|| claimed.pop_front()),
            _ => claimed.pop_front().or_else(|| found.pop_front()),
        }
    }

    /// How long a node waited in the queue before its turn, or has until now.
    pub fn queued(&self, name: &str, now: Instant) -> Duration {
        self.nodes.get(name).map(|entry| now.duration_since(entry.queued)).unwrap_or_default()
    }

    /// A walk has ended; `pause` is how long somebody asked it to be put off, where somebody did.
    pub fn ended(&mut self, name: &str, end: End, pause: Option<Duration>, now: Instant) {
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
            End::Upgraded => return self.forget(name),
            End::Stopped => return self.queue(name, now),
            End::Locked => self.rules.locked,
            End::Doubled => DOUBLED,
            End::Deferred => pause.unwrap_or(LONGEST_PAUSE).clamp(LEAST_PAUSE, MOST_DEFERRED),
            // nobody has ever heard of it, or it has left
            End::Absent if entry.failures >= 2 => return self.forget(name),
            End::Silent | End::Failed | End::Absent => {
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
                        self.queue(&name, now);
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

    /// A node that waits for another try has it now.
    pub fn retry(&mut self, name: &str, now: Instant) {
        if self.nodes.get(name).is_some_and(|entry| matches!(entry.state, State::Later(_))) {
            self.queue(name, now);
        }
    }

    /// A node that waits has said goodbye: nobody waits for its answers. Anybody may have
    /// said so: one that a discovery has found is asked all the same.
    pub fn left(&mut self, name: &str) {
        let leaves = |entry: &Entry| entry.claimed && matches!(entry.state, State::Ready | State::Later(_));
        if self.nodes.get(name).is_some_and(leaves) {
            self.forget(name);
        }
    }

    /// Forgets everybody in the queue who was not heard of for several discoveries,
    /// as after a long pause, unless `keep` wants it; returns how many. Whoever is
    /// still there shows itself again.
    pub fn forget_unheard(&mut self, now: Instant, keep: impl Fn(&str) -> bool) -> usize {
        let (before, limit) = (self.nodes.len(), self.rules.forget_after);
        self.nodes.retain(|name, entry| {
            entry.state != State::Ready || now.duration_since(entry.heard) <= limit || keep(name)
        });
        self.claimed = self.nodes.values().filter(|entry| entry.claimed).count();
        before - self.nodes.len()
    }

    /// Forgets a name.
    pub fn forget(&mut self, name: &str) {
        let claimed = self.nodes.remove(name).is_some_and(|entry| entry.claimed);
        self.claimed -= usize::from(claimed);
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

    /// How long nodes that wait have waited.
    pub fn ages(&self, now: Instant) -> Ages {
        let waiting =
            self.nodes.values().filter(|entry| matches!(entry.state, State::Ready | State::Later(_)));
        Ages::of(waiting.map(|entry| now.duration_since(entry.since).as_secs()).collect())
    }

    fn queue(&mut self, name: &str, now: Instant) {
        self.set(name, State::Ready, None);
        if let Some(entry) = self.nodes.get_mut(name) {
            entry.queued = now;
        }
        if let Some((name, entry)) = self.nodes.get_key_value(name) {
            let (name, claimed) = (name.clone(), entry.claimed);
            self.push(name, claimed);
        }
    }

    /// Names that were forgotten and came back stand in the queue twice; while
    /// nobody takes any, that must not go on for ever.
    fn push(&mut self, name: Arc<str>, claimed: bool) {
        let ready = &mut self.ready[usize::from(claimed)];
        ready.push_back(name);
        if ready.len() > 2 * self.nodes.len() + 1024 {
            let mut seen = HashSet::new();
            ready.retain(|name| self.nodes.contains_key(name) && seen.insert(name.clone()));
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
#[path = "population_tests.rs"]
mod tests;
