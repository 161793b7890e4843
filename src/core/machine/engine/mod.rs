//! The engine: all machines of a node, moved by one function of time (spec 06 §17).
//!
//! There is one heap of moments for all machines, no task and no thread a watcher. An engine
//! is told what time it is ([`Engine::step`]) and what work came to ([`Engine::answered`]);
//! it says when it wants to be called again, what is to be published, what is to be done and
//! which data is to be written. No clock, file or process is in it: `choria machine simulate`
//! and the tests give it whatever time they like.

mod machine;
mod moves;
mod view;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::definition::Definition;
use super::event::Event;
use super::turn::{Answer, Command, Message, Moment, Task, Work};
use machine::{Machine, Phase};

pub use moves::{Press, Refused};
pub use view::{Found, Wanted, fitting};

/// A machine of an engine; never another's again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    place: u32,
    life: u32,
}

/// Work under way: whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// The machine.
    pub machine: Id,
    watcher: u16,
}

/// Work that waits to be begun.
pub struct Job {
    /// Whose it is.
    pub ticket: Ticket,
    /// Name of the machine.
    pub machine: String,
    /// Name of the watcher.
    pub watcher: String,
    /// Where the machine lives.
    pub directory: PathBuf,
    /// Data of the machine as of now.
    pub data: Arc<str>,
    /// What is to be done.
    pub work: Work,
}

impl Job {
    /// Whether it goes on without anybody's place: what is let run, and what waits for a slot of a governor.
    pub fn is_apart(&self) -> bool {
        match &self.work {
            Work::Command(command) => command.limit.is_none() || command.governed.is_some(),
            Work::Patient(_) => true,
            Work::Other(_) => false,
        }
    }
}

/// What an engine has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// An event of a machine.
    Event(Event),
    /// A message of a watcher.
    Message(Message),
    /// Something for the log, with the machine and the watcher it is of.
    Warning(String),
    /// The same for who looks closer: an event that leads nowhere, which is how many machines
    /// are meant.
    Note(String),
}

/// What happens at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A machine starts.
    Start,
    /// A machine that moves too often moves on.
    Move,
    /// A watcher wants to be called.
    Call(u16),
    /// A watcher tells how it is.
    Announce(u16),
}

/// All machines of a node.
pub struct Engine {
    identity: Arc<str>,
    zone: TimeZone,
    random: fastrand::Rng,
    machines: Vec<Option<Machine>>,
    lives: u32,
    due: BinaryHeap<Reverse<(Duration, u32, u32, Due)>>,
    /// Moves that machines that follow them have not heard of: name and event.
    news: VecDeque<(Box<str>, Box<str>)>,
    said: VecDeque<Said>,
    jobs: VecDeque<Job>,
    exports: bool,
    /// Machines whose data is not what their directories hold.
    unwritten: BTreeSet<Id>,
    /// Moments that are held before those are looked for that mean nothing.
    room: usize,
}

const ROOM: usize = 64;

/// Events that wait to be taken away; whoever takes none loses the oldest.
const MAX_SAID: usize = 4096;

impl Engine {
    /// Without machines. `seed` is what it draws from.
    pub fn new(identity: &str, zone: TimeZone, seed: u64) -> Engine {
        Engine {
            identity: identity.into(),
            zone,
            random: fastrand::Rng::with_seed(seed),
            machines: Vec::new(),
            lives: 0,
            due: BinaryHeap::new(),
            news: VecDeque::new(),
            said: VecDeque::new(),
            jobs: VecDeque::new(),
            exports: false,
            unwritten: BTreeSet::new(),
            room: ROOM,
        }
    }

    /// Adds a machine that lives in `directory` and kept `data`; it starts after its splay.
    pub fn add(&mut self, definition: Definition, directory: PathBuf, data: Arc<str>, now: Moment) -> Id {
        let splay = definition.splay;
        let wait = if splay > 0 {
            Duration::from_secs(self.random.u64(0..u64::from(splay)))
        } else {
            Duration::ZERO
        };
        let instance = self.uuid();
        self.lives = self.lives.wrapping_add(1);
        let machine = Machine::new(definition, directory, data, instance, self.lives);
        let place = self.machines.iter().position(Option::is_none).unwrap_or_else(|| {
            self.machines.push(None);
            self.machines.len() - 1
        });
        if let Some(slot) = self.machines.get_mut(place) {
            *slot = Some(machine);
        }
        let id = Id { place: place as u32, life: self.lives };
        self.at(now.at.saturating_add(wait), id, Due::Start);
        id
    }

    /// Takes a machine away; work of it that is under way answers to nobody.
    pub fn remove(&mut self, id: Id) {
        let machine = self.get(id).is_some();
        if let Some(slot) = self.machines.get_mut(id.place as usize).filter(|_| machine) {
            *slot = None;
            self.unwritten.remove(&id);
            self.jobs.retain(|job| job.ticket.machine != id);
            self.exports = true;
        }
    }

    /// Does all that is due.
    pub fn step(&mut self, now: Moment) {
        self.spread(now);
        while let Some(Reverse((at, ..))) = self.due.peek()
            && *at <= now.at
        {
            let Some(Reverse((at, place, life, due))) = self.due.pop() else { break };
            let id = Id { place, life };
            match due {
                Due::Start => self.start(id, now),
                Due::Move => self.move_on(id, now),
                Due::Call(watcher) => self.call(id, watcher, at, now),
                Due::Announce(watcher) => self.announce(id, watcher, now),
            }
            self.spread(now);
        }
    }

    /// When it wants to be called again.
    pub fn next_due(&self) -> Option<Duration> {
        if !self.news.is_empty() {
            return Some(Duration::ZERO);
        }
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// Where a machine of that name lives.
    pub fn place_of(&self, name: &str) -> Option<&Path> {
        let (_, machine) = self.all().find(|(_, machine)| *machine.definition.name == *name)?;
        Some(&machine.directory)
    }

    /// What work came to.
    pub fn answered(&mut self, ticket: Ticket, answer: Answer, now: Moment) {
        let id = ticket.machine;
        let Some(machine) = self.get_mut(id) else { return };
        let moves = machine.moves;
        let Some(slot) = machine.watchers.get_mut(usize::from(ticket.watcher)) else { return };
        slot.busy = false;
        let later = std::mem::take(&mut slot.later);
        let warned = slot.warned.take();
        self.answer(id, ticket.watcher, warned, now, answer);
        // where the answer moved it, all have had a turn for that, which does for the move before as well
        if later && self.get(id).is_some_and(|machine| machine.moves == moves) {
            self.late(id, ticket.watcher, now);
        }
        self.spread(now);
    }

    /// The next thing it has to say.
    pub fn said(&mut self) -> Option<Said> {
        self.said.pop_front()
    }

    /// The next job that `wanted` takes; the others wait.
    pub fn job(&mut self, wanted: impl Fn(&Job) -> bool) -> Option<Job> {
        let place = self.jobs.iter().position(wanted)?;
        self.jobs.remove(place)
    }

    /// Whether what is exported has changed since this was asked last.
    pub fn take_exports(&mut self) -> bool {
        std::mem::take(&mut self.exports)
    }

    /// Has what a machine keeps written once more, where it keeps anything: it is not what its directory holds.
    pub fn unwritten(&mut self, id: Id) {
        if self.get(id).is_some_and(|machine| &*machine.data != "{}") {
            self.unwritten.insert(id);
        }
    }

    /// The same after a write that failed, whatever it keeps now.
    pub fn write_again(&mut self, id: Id) {
        if self.get(id).is_some() {
            self.unwritten.insert(id);
        }
    }

    /// Data that is to be written, whose it is, and the directory of the machine.
    pub fn take_data(&mut self, wanted: impl Fn(&Path) -> bool) -> Option<(Id, PathBuf, Arc<str>)> {
        let is_wanted = |id: &&Id| self.get(**id).is_some_and(|machine| wanted(&machine.directory));
        let id = self.unwritten.iter().find(is_wanted).copied()?;
        self.unwritten.remove(&id);
        self.get(id).map(|machine| (id, machine.directory.clone(), machine.data.clone()))
    }

    fn at(&mut self, at: Duration, id: Id, due: Due) {
        if self.due.len() >= self.room {
            self.tidy();
        }
        self.due.push(Reverse((at, id.place, id.life, due)));
    }

    /// Forgets moments that mean nothing any more: a timer of a day that is started anew each
    /// second would leave a day's worth of them.
    fn tidy(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        due.retain(|Reverse((at, place, life, due))| {
            let machine = self.get(Id { place: *place, life: *life });
            machine.is_some_and(|machine| match due {
                Due::Call(watcher) => {
                    machine.watchers.get(usize::from(*watcher)).is_some_and(|slot| slot.wake == Some(*at))
                }
                _ => true,
            })
        });
        self.room = (due.len() * 2).max(ROOM);
        self.due = due;
    }

    fn get(&self, id: Id) -> Option<&Machine> {
        self.machines.get(id.place as usize)?.as_ref().filter(|machine| machine.life == id.life)
    }

    fn get_mut(&mut self, id: Id) -> Option<&mut Machine> {
        self.machines.get_mut(id.place as usize)?.as_mut().filter(|machine| machine.life == id.life)
    }

    fn all(&self) -> impl Iterator<Item = (Id, &Machine)> {
        let machines = self.machines.iter().enumerate();
        machines.filter_map(|(place, machine)| {
            machine.as_ref().map(|machine| (Id { place: place as u32, life: machine.life }, machine))
        })
    }

    fn say(&mut self, said: Said) {
        if self.said.len() >= MAX_SAID {
            self.said.pop_front();
        }
        self.said.push_back(said);
    }

    fn uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.random.u128(..).to_be_bytes()).into_uuid().to_string()
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "work of {}#{}", self.machine, self.watcher)
    }
}

/// A command and other work, apart.
impl Work {
    /// The command, where it is one.
    pub fn command(&self) -> Option<&Command> {
        match self {
            Work::Command(command) => Some(command),
            Work::Other(_) | Work::Patient(_) => None,
        }
    }

    /// Other work, where it is.
    pub fn task(self) -> Option<Task> {
        match self {
            Work::Command(_) => None,
            Work::Other(task) | Work::Patient(task) => Some(task),
        }
    }
}

#[cfg(test)]
mod tests;
