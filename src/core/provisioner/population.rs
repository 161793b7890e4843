//! Who waits, who is being provisioned, who comes back when. Pure: time is an argument.
//!
//! A name is in here once, whatever noticed it. Nobody is thrown away for
//! having waited long; a name is forgotten when it was not heard of for
//! several discoveries, and a node that keeps failing is asked ever more seldom.
//! Whoever failed comes after those that did not, and has a share of the places
//! only: what does not answer holds up nobody who does.
//!
//! Anybody in the waiting room can publish events and registration data in any
//! name, as fast as the broker takes them. Names that nothing else speaks for are
//! held apart: they have half the places, and turn about with the others. An answer
//! to a discovery takes a name from among them: whoever answers first is first, and
//! only then does anybody know where.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

mod kinds;
mod lanes;
mod rules;

pub use super::counts::{Ages, Counts};
pub use kinds::{End, Noticed, Source};
use lanes::{Lane, Lanes};
pub use rules::Rules;

/// Events of a node that arrive within this time of its restart are older than that.
const ECHO: Duration = Duration::from_millis(1500);
/// Of so many places names that failed before have one, and one in any case.
const FAILED_SHARE: usize = 4;
/// A sign of life of a node that failed leaves it so much of its pause: anybody may have given it.
const HURRY: u32 = 4;

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
    /// An earlier process worked on it, to no end.
    revived: bool,
    /// Its place among the timers.
    timer: Option<(Instant, u64)>,
    /// Why it failed, as far as that was told; a hash.
    told: Option<u64>,
}

impl Entry {
    fn lane(&self) -> Lane {
        match self.claimed {
            _ if self.failures > 0 || self.loops > 0 || self.revived => Lane::Failed,
            true => Lane::Claimed,
            false => Lane::Found,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the queue.
    Ready,
    /// Being provisioned.
    Working,
    /// To be tried again, after a sign of life as soon as `early`.
    Later { early: Instant, end: End },
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
    ready: Lanes,
    /// Names that are claimed only.
    claimed: usize,
    /// Names in work that failed before.
    trying: usize,
    /// When to look at whom again.
    timers: BTreeMap<(Instant, u64), Arc<str>>,
    serial: u64,
    hashes: RandomState,
}

impl Population {
    /// Nobody yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            nodes: HashMap::new(),
            ready: Lanes::default(),
            claimed: 0,
            trying: 0,
            timers: BTreeMap::new(),
            serial: 0,
            hashes: RandomState::new(),
        }
    }

    /// Who is not heard of for so long is forgotten.
    pub fn forget_after(&mut self, limit: Duration) {
        self.rules.forget_after = limit;
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
                revived: source == Source::Journal,
                timer: None,
                told: None,
            };
            let lane = entry.lane();
            self.nodes.insert(name.clone(), entry);
            self.claimed += usize::from(claimed);
            self.push(name, lane);
            return Noticed::New;
        };
        entry.heard = now;
        if entry.claimed && !claimed {
            entry.claimed = false;
            self.claimed -= 1;
            if entry.state == State::Ready
                && let Some((name, entry)) = self.nodes.get_key_value(name)
            {
                // its other place is passed over
                let (name, lane) = (name.clone(), entry.lane());
                self.push(name, lane);
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
            // an operator asks: there is no reason to wait
            State::Later { .. } if source == Source::Operator => {
                self.queue(name, now);
                Noticed::Known
            }
            // it has started anew, or it answers
            State::Later { early, end } if source == Source::Event || answers(end, source) => {
                self.hurry(name, early, now);
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

    /// One that waits for another try has it at `early`, or where that is over, now.
    fn hurry(&mut self, name: &str, early: Instant, now: Instant) {
        let Some(entry) = self.nodes.get(name) else { return };
        let state = entry.state;
        if early <= now {
            self.queue(name, now);
        } else if entry.timer.is_some_and(|(at, _)| at > early) {
            self.set(name, state, Some(early));
        }
    }

    /// Takes the node whose turn it is, for one of `places`.
    pub fn take(&mut self, places: usize) -> Option<Arc<str>> {
        let failed_too = self.trying < (places / FAILED_SHARE).max(1);
        while let Some((lane, name)) = self.ready.next(failed_too) {
            // it may have changed lanes, or been taken by another place it had
            if let Some(entry) = self.nodes.get_mut(&name)
                && entry.state == State::Ready
                && entry.lane() == lane
            {
                entry.state = State::Working;
                self.trying += usize::from(lane == Lane::Failed);
                return Some(name);
            }
        }
        None
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
        self.trying -= usize::from(entry.lane() == Lane::Failed);
        entry.state = State::Ready;
        match end {
            End::Provisioned | End::Shutdown => {
                (entry.failures, entry.revived, entry.told) = (0, false, None);
                let until = now + self.rules.cooldown;
                self.set(name, State::Cooling { from: now, until }, Some(until));
            }
            End::Upgraded => self.forget(name),
            End::Stopped => self.queue(name, now),
            // nobody has ever heard of it, or it has left
            End::Absent if entry.failures >= 2 => self.forget(name),
            End::Locked | End::Doubled | End::Deferred | End::Silent | End::Failed | End::Absent => {
                entry.failures += u32::from(matches!(end, End::Silent | End::Failed | End::Absent));
                let pause = self.rules.pause(end, entry.failures, pause);
                let early = if entry.failures > 0 { now + pause / HURRY } else { now };
                self.set(name, State::Later { early, end }, Some(now + pause));
            }
        }
    }

    /// Whether it was not told yet that a node fails for this reason.
    pub fn is_news(&self, name: &str, reason: &str) -> bool {
        self.nodes.get(name).is_none_or(|entry| entry.told != Some(self.hashes.hash_one(reason)))
    }

    /// It was.
    pub fn was_told(&mut self, name: &str, reason: &str) {
        let hash = self.hashes.hash_one(reason);
        if let Some(entry) = self.nodes.get_mut(name) {
            entry.told = Some(hash);
        }
    }

    /// Looks at everybody whose time has come; returns who was silent for so long that it is forgotten.
    pub fn advance(&mut self, now: Instant) -> Vec<Arc<str>> {
        let mut silent = vec![];
        while let Some(((at, _), _)) = self.timers.first_key_value()
            && *at <= now
        {
            let Some((_, name)) = self.timers.pop_first() else { break };
            let Some(entry) = self.nodes.get_mut(&name) else { continue };
            entry.timer = None;
            match entry.state {
                State::Later { .. } => {
                    if now.duration_since(entry.heard) > self.rules.forget_after {
                        self.forget(&name);
                        silent.push(name);
                    } else {
                        self.queue(&name, now);
                    }
                }
                State::Cooling { .. } | State::Quarantined(_) => self.forget(&name),
                State::Ready | State::Working => {}
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
        if self.nodes.get(name).is_some_and(|entry| matches!(entry.state, State::Later { .. })) {
            self.queue(name, now);
        }
    }

    /// A node that waits has said goodbye: nobody waits for its answers. Anybody may have
    /// said so: one that a discovery has found is asked all the same.
    pub fn left(&mut self, name: &str) {
        let leaves =
            |entry: &Entry| entry.claimed && matches!(entry.state, State::Ready | State::Later { .. });
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
        let Some(entry) = self.nodes.remove(name) else { return };
        self.claimed -= usize::from(entry.claimed);
        self.trying -= usize::from(entry.state == State::Working && entry.lane() == Lane::Failed);
        if let Some(timer) = entry.timer {
            self.timers.remove(&timer);
        }
    }

    /// How many are where.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { known: self.nodes.len(), ..Counts::default() };
        for entry in self.nodes.values() {
            match entry.state {
                State::Ready => counts.ready += 1,
                State::Working => counts.working += 1,
                State::Later { .. } => counts.later += 1,
                State::Cooling { .. } => counts.cooling += 1,
                State::Quarantined(_) => counts.quarantined += 1,
            }
        }
        counts
    }

    /// How long nodes that wait have waited.
    pub fn ages(&self, now: Instant) -> Ages {
        let waiting =
            self.nodes.values().filter(|entry| matches!(entry.state, State::Ready | State::Later { .. }));
        Ages::of(waiting.map(|entry| now.duration_since(entry.since).as_secs()).collect())
    }

    fn queue(&mut self, name: &str, now: Instant) {
        self.set(name, State::Ready, None);
        if let Some(entry) = self.nodes.get_mut(name) {
            entry.queued = now;
        }
        if let Some((name, entry)) = self.nodes.get_key_value(name) {
            let (name, lane) = (name.clone(), entry.lane());
            self.push(name, lane);
        }
    }

    fn push(&mut self, name: Arc<str>, lane: Lane) {
        self.ready.push(lane, name);
        self.ready.tidy(self.nodes.len(), |name| self.nodes.contains_key(name));
    }

    fn set(&mut self, name: &str, state: State, turn: Option<Instant>) {
        let Some((name, _)) = self.nodes.get_key_value(name) else { return };
        let name = name.clone();
        let Some(entry) = self.nodes.get_mut(&name) else { return };
        entry.state = state;
        if let Some(timer) = entry.timer.take() {
            self.timers.remove(&timer);
        }
        if let Some(at) = turn {
            self.serial += 1;
            entry.timer = Some((at, self.serial));
            self.timers.insert((at, self.serial), name);
        }
    }
}

/// Whether a node that was silent shows that it answers.
fn answers(end: End, source: Source) -> bool {
    end == End::Silent && source == Source::Discovery
}

#[cfg(test)]
#[path = "population_tests.rs"]
mod tests;
