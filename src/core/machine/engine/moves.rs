//! Turns of watchers, and what comes of them.

use std::time::Duration;

use super::super::event::{self, Origin};
use super::super::fsm::Verdict;
use super::super::turn::{Answer, Effects, Fire, Moment, Turn};
use super::super::watchers::Watcher;
use super::{Due, Engine, Id, Job, Phase, Said, Ticket};
use crate::core::text::shortened;

/// Moves that machines set off in one another before the rest has to wait for the clock.
const MAX_NEWS: usize = 256;
/// Events that wait for a machine that moves too often.
const MAX_WAITING: usize = 16;

/// Bytes of an event that brokers take, as plugin.choria.network.stream.event_payload is by default.
const LARGE: usize = 64 * 1024;

/// Why a machine does not move.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is none.
    #[error("there is no such machine")]
    Gone,
    /// Nothing leads from its state by that event.
    #[error("transition {event} is not valid while in {state} state")]
    Invalid {
        /// The event.
        event: String,
        /// The state it is in.
        state: String,
    },
    /// It waits for its start.
    #[error("it has not started yet")]
    NotStarted,
}

/// What pressing a switch came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Press {
    /// It gave; on or off now.
    Gave(bool),
    /// It did not; on or off as before.
    Refused(bool),
}

impl Engine {
    pub(super) fn start(&mut self, id: Id, now: Moment) {
        let Some(machine) = self.get_mut(id).filter(|machine| machine.phase == Phase::Loaded) else { return };
        machine.phase = Phase::Running;
        machine.started = Some(now.wall);
        let announced: Vec<(u16, Duration)> = machine
            .watchers
            .iter()
            .enumerate()
            .filter_map(|(at, slot)| Some((at as u16, slot.common.announce?)))
            .collect();
        let count = machine.watchers.len() as u16;
        for (watcher, interval) in announced {
            self.at(now.at.saturating_add(interval), id, Due::Announce(watcher));
        }
        for watcher in 0..count {
            self.turn(id, watcher, now, |watcher, turn| watcher.begin(turn));
        }
    }

    pub(super) fn call(&mut self, id: Id, watcher: u16, at: Duration, now: Moment) {
        let slot = self.get_mut(id).and_then(|machine| machine.watchers.get_mut(usize::from(watcher)));
        // it may have asked for another moment since
        if let Some(slot) = slot.filter(|slot| slot.wake == Some(at)) {
            slot.wake = None;
            self.turn(id, watcher, now, |watcher, turn| watcher.due(turn));
        }
    }

    pub(super) fn announce(&mut self, id: Id, watcher: u16, now: Moment) {
        let slot = self.get(id).and_then(|machine| machine.watchers.get(usize::from(watcher)));
        let Some((fields, interval)) =
            slot.and_then(|slot| Some((slot.does.fields(), slot.common.announce?)))
        else {
            return;
        };
        self.publish(id, watcher, fields, now);
        self.at(now.at.saturating_add(interval), id, Due::Announce(watcher));
    }

    fn publish(&mut self, id: Id, watcher: u16, fields: event::Fields, now: Moment) {
        let (event_id, identity) = (self.uuid(), self.identity.clone());
        let Some(machine) = self.get(id) else { return };
        let Some(slot) = machine.watchers.get(usize::from(watcher)) else { return };
        let of = origin(&identity, machine, now);
        let made = event::watcher(of, &event_id, slot.common.kind, &slot.common.name, fields);
        let size = made.payload.len();
        self.say(Said::Event(made));
        let Some(machine) = self.get_mut(id) else { return };
        let name = machine.definition.name.clone();
        let Some(slot) = machine.watchers.get_mut(usize::from(watcher)) else { return };
        let told = std::mem::replace(&mut slot.large, size > LARGE);
        if slot.large && !told {
            let text = format!(
                "{name}#{}: its event of {size} bytes is larger than {LARGE}, and is not heard where brokers have \
                 plugin.choria.network.stream.event_payload as it is by default",
                slot.common.name
            );
            self.say(Said::Warning(text));
        }
    }

    /// Whether a watcher is to do something in the state its machine and others are in.
    fn eligible(&self, id: Id, watcher: u16) -> bool {
        let Some(machine) = self.get(id) else { return false };
        let Some(slot) = machine.watchers.get(usize::from(watcher)) else { return false };
        let states = &slot.common.states;
        let in_state = |(machine, state): &(Box<str>, Box<str>)| {
            let other = self.all().find(|(_, other)| other.definition.name == *machine);
            !state.is_empty() && other.is_some_and(|(_, other)| other.state_name() == &**state)
        };
        (states.is_empty() || states.has(machine.state)) && slot.common.foreign.iter().all(in_state)
    }

    /// One turn of a watcher, and what it asks for.
    pub(super) fn turn(
        &mut self,
        id: Id,
        watcher: u16,
        now: Moment,
        act: impl FnOnce(&mut dyn Watcher, &mut Turn<'_>),
    ) {
        let eligible = self.eligible(id, watcher);
        let mut effects = Effects::default();
        let Engine { machines, zone, random, .. } = self;
        let machine = machines.get_mut(id.place as usize).and_then(Option::as_mut);
        let Some(machine) =
            machine.filter(|machine| machine.life == id.life && machine.phase == Phase::Running)
        else {
            return;
        };
        let state = machine.definition.state(machine.state);
        let Some(slot) = machine.watchers.get_mut(usize::from(watcher)) else { return };
        let mut turn = Turn {
            now,
            common: &slot.common,
            machine: &machine.definition.name,
            instance: &machine.instance,
            state,
            eligible,
            busy: slot.busy,
            directory: &machine.directory,
            zone,
            random,
            effects: &mut effects,
        };
        act(&mut *slot.does, &mut turn);
        self.take(id, watcher, effects, now);
    }

    /// The turn of an answer. `warned` is what was told of the one before.
    pub(super) fn answer(&mut self, id: Id, watcher: u16, warned: Option<u32>, now: Moment, answer: Answer) {
        self.turn(id, watcher, now, |watcher, turn| {
            turn.effects.warned = warned;
            watcher.answered(answer, turn);
        });
    }

    fn take(&mut self, id: Id, watcher: u16, effects: Effects, now: Moment) {
        let Some(machine) = self.get_mut(id) else { return };
        let name = machine.definition.name.clone();
        let Some(slot) = machine.watchers.get_mut(usize::from(watcher)) else { return };
        let watcher_name = slot.common.name.clone();
        let (success, failure) = (slot.common.success, slot.common.failure);
        if effects.later {
            slot.later = true;
        }
        if let Some(at) = effects.wake {
            slot.wake = Some(at);
        }
        let job = effects.work.map(|work| {
            slot.busy = true;
            Job {
                ticket: Ticket { machine: id, watcher },
                machine: name.to_string(),
                watcher: watcher_name.to_string(),
                directory: machine.directory.clone(),
                data: machine.data.clone(),
                work,
            }
        });
        let mut warnings = effects.warnings;
        if !effects.data.is_empty() {
            match machine.keep(effects.data) {
                Ok(true) => drop(self.unwritten.insert(id)),
                Ok(false) => {}
                Err(e) => warnings.push(e),
            }
        }
        if let Some(at) = effects.wake {
            self.at(at, id, Due::Call(watcher));
        }
        self.jobs.extend(job);
        self.exports |= effects.exports;
        for text in warnings {
            // what goes wrong the same way at each interval is told once
            let number = number_of(&text);
            let slot = self.get_mut(id).and_then(|machine| machine.watchers.get_mut(usize::from(watcher)));
            let before = effects.warned.or(slot.as_ref().and_then(|slot| slot.warned));
            if let Some(slot) = slot {
                slot.warned = Some(number);
            }
            if before == Some(number) {
                continue;
            }
            self.say(Said::Warning(format!("{name}#{watcher_name}: {}", shortened(&text, 1000))));
        }
        for fields in effects.events {
            self.publish(id, watcher, fields, now);
        }
        for message in effects.messages {
            self.say(Said::Message(message));
        }
        for fire in effects.fires {
            let event = match fire {
                Fire::Success => success,
                Fire::Failure => failure,
                Fire::Named(event) => {
                    let found = self.get(id).and_then(|machine| machine.definition.find_event(event));
                    if found.is_none() {
                        let text = format!("{name}#{watcher_name}: the machine has no transition {event}");
                        self.say(Said::Note(text));
                    }
                    found
                }
            };
            if let Some(event) = event {
                self.fire(id, event, now);
            }
        }
    }

    /// An event of a watcher, or of a machine that is followed: at once, or when the machine
    /// may move again.
    fn fire(&mut self, id: Id, event: u16, now: Moment) {
        let draw = self.random.f64();
        let Some(machine) = self.get_mut(id).filter(|machine| machine.phase == Phase::Running) else {
            return;
        };
        if !machine.waiting.is_empty() {
            let full = machine.waiting.len() >= MAX_WAITING;
            if !full && machine.waiting.last() != Some(&event) {
                machine.waiting.push(event);
            }
            return;
        }
        match machine.definition.table.judge(machine.state, event) {
            Verdict::Same => {}
            Verdict::Invalid => {
                let text = format!(
                    "{}: transition {} is not valid while in {} state",
                    machine.definition.name,
                    machine.definition.event(event),
                    machine.state_name()
                );
                self.say(Said::Note(text));
            }
            Verdict::Moves(to) => match machine.limiter.wait(now.at, draw) {
                0 => self.go(id, event, to, now),
                wait => {
                    machine.waiting.push(event);
                    self.at(now.at.saturating_add(Duration::from_millis(wait)), id, Due::Move);
                }
            },
        }
    }

    /// A machine that waited moves on.
    pub(super) fn move_on(&mut self, id: Id, now: Moment) {
        let Some(machine) = self.get_mut(id).filter(|machine| !machine.waiting.is_empty()) else { return };
        let event = machine.waiting.remove(0);
        let rest = std::mem::take(&mut machine.waiting);
        let verdict = machine.definition.table.judge(machine.state, event);
        if let Verdict::Moves(to) = verdict {
            self.go(id, event, to, now);
        }
        for event in rest {
            self.fire(id, event, now);
        }
        let Some(machine) = self.get(id) else { return };
        let late = (0..).zip(&machine.watchers).filter(|(_, slot)| slot.later && !slot.busy);
        for watcher in late.map(|(watcher, _)| watcher).collect::<Vec<u16>>() {
            self.late(id, watcher, now);
        }
    }

    /// Moves a machine because somebody asks for it, without a wait.
    ///
    /// # Errors
    /// It does not move.
    pub fn transition(&mut self, id: Id, event: &str, now: Moment) -> Result<(), Refused> {
        let machine = self.get(id).ok_or(Refused::Gone)?;
        let state = machine.state_name().to_owned();
        let invalid = || Refused::Invalid { event: event.to_owned(), state };
        if machine.phase != Phase::Running {
            return Err(Refused::NotStarted);
        }
        let number = machine.definition.find_event(event).ok_or_else(invalid.clone())?;
        match machine.definition.table.judge(machine.state, number) {
            Verdict::Invalid => Err(invalid()),
            Verdict::Same => Ok(()),
            Verdict::Moves(to) => {
                self.go(id, number, to, now);
                self.spread(now);
                Ok(())
            }
        }
    }

    /// Presses a switch; none where there is none of that name.
    pub fn press(&mut self, machine: &str, watcher: &str, on: bool, now: Moment) -> Option<Press> {
        let (id, place, _) = self.watcher(machine, watcher)?;
        let mut gave = false;
        self.turn(id, place, now, |watcher, turn| gave = watcher.press(on, turn));
        self.spread(now);
        let is_on = self.get(id)?.watchers.get(usize::from(place))?.does.switch()? == Some(true);
        Some(if gave { Press::Gave(is_on) } else { Press::Refused(is_on) })
    }

    /// The move itself: the event, the news for others, and a turn for each watcher.
    fn go(&mut self, id: Id, event: u16, to: u16, now: Moment) {
        let (event_id, identity) = (self.uuid(), self.identity.clone());
        let Some(machine) = self.get_mut(id) else { return };
        machine.limiter.count(now.at);
        machine.moves = machine.moves.wrapping_add(1);
        let from = std::mem::replace(&mut machine.state, to);
        let definition = &machine.definition;
        let (event, from, to) = (definition.event(event), definition.state(from), definition.state(to));
        let made = event::transition(origin(&identity, machine, now), &event_id, event, from, to);
        let news = (definition.name.clone(), event.into());
        let count = machine.watchers.len() as u16;
        self.say(Said::Event(made));
        self.news.push_back(news);
        for watcher in 0..count {
            let slot = self.get_mut(id).and_then(|machine| machine.watchers.get_mut(usize::from(watcher)));
            // a turn for this move does for one before
            if let Some(slot) = slot.filter(|slot| !slot.busy) {
                slot.later = false;
            }
            self.turn(id, watcher, now, |watcher, turn| watcher.moved(turn));
        }
    }

    /// A turn for a move that came while a watcher was busy; where its machine is about to move again, that one's does.
    pub(super) fn late(&mut self, id: Id, watcher: u16, now: Moment) {
        let Some(machine) = self.get_mut(id) else { return };
        let waits = !machine.waiting.is_empty();
        let Some(slot) = machine.watchers.get_mut(usize::from(watcher)).filter(|slot| !slot.busy) else {
            return;
        };
        slot.later = waits;
        if !waits {
            self.turn(id, watcher, now, |watcher, turn| watcher.moved(turn));
        }
    }

    /// Tells machines that follow others of their moves.
    pub(super) fn spread(&mut self, now: Moment) {
        for _ in 0..MAX_NEWS {
            let Some((name, event)) = self.news.pop_front() else { return };
            let followers: Vec<(Id, u16)> = self
                .all()
                .flat_map(|(id, machine)| machine.definition.subscriptions.iter().map(move |one| (id, one)))
                .filter(|(_, one)| one.machine == name && one.event == event)
                .map(|(id, one)| (id, one.leads_to))
                .collect();
            for (id, leads_to) in followers {
                self.fire(id, leads_to, now);
            }
        }
    }
}

fn number_of(text: &str) -> u32 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish() as u32
}

fn origin<'a>(identity: &'a str, machine: &'a super::machine::Machine, now: Moment) -> Origin<'a> {
    Origin {
        identity,
        machine: &machine.definition.name,
        version: &machine.definition.version,
        instance: &machine.instance,
        timestamp: now.wall.as_second(),
    }
}
