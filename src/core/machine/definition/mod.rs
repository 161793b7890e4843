//! What a `machine.yaml` is, compiled (spec 06 §2, §17.2).
//!
//! States and events are numbers over two tables of names, what a watcher waits for is a set
//! of bits, and its properties are what its type makes of them. One [`compile`] judges for
//! commands and for servers: what it accepts runs.

mod compile;

use std::time::Duration;

use super::findings::Finding;
use super::fsm::{States, Table};
use super::watchers::Watcher;

pub use compile::compile;

/// A machine that can run.
pub struct Definition {
    /// Its name.
    pub name: Box<str>,
    /// Its version.
    pub version: Box<str>,
    /// Names of states.
    pub states: Box<[Box<str>]>,
    /// Names of events.
    pub events: Box<[Box<str>]>,
    /// The state it begins in.
    pub initial: u16,
    /// What leads where.
    pub table: Table,
    /// Events of others it follows.
    pub subscriptions: Box<[Subscription]>,
    /// Seconds its start may be put off, at random.
    pub splay: u32,
    /// What it watches.
    pub watchers: Vec<Watched>,
    /// What is odd about it.
    pub warnings: Vec<Finding>,
}

/// An event of another machine that leads to one here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The other machine.
    pub machine: Box<str>,
    /// Its event.
    pub event: Box<str>,
    /// Ours.
    pub leads_to: u16,
}

/// A watcher, and what all of them have.
pub struct Watched {
    /// What all of them have.
    pub common: Common,
    /// What it does.
    pub does: Box<dyn Watcher>,
}

/// What all watchers have.
#[derive(Debug, Clone)]
pub struct Common {
    /// Its name.
    pub name: Box<str>,
    /// Its type.
    pub kind: &'static str,
    /// States it does something in; none are all.
    pub states: States,
    /// Machines of this node, and the states they have to be in.
    pub foreign: Box<[(Box<str>, Box<str>)]>,
    /// Event of its success.
    pub success: Option<u16>,
    /// Event of its failure.
    pub failure: Option<u16>,
    /// Between two looks; none where it has none.
    pub interval: Option<Duration>,
    /// Between two announcements.
    pub announce: Option<Duration>,
}

impl Definition {
    /// Name of a state.
    pub fn state(&self, state: u16) -> &str {
        self.states.get(usize::from(state)).map_or("", |name| name)
    }

    /// Name of an event.
    pub fn event(&self, event: u16) -> &str {
        self.events.get(usize::from(event)).map_or("", |name| name)
    }

    /// The event of that name.
    pub fn find_event(&self, name: &str) -> Option<u16> {
        self.events.iter().position(|known| **known == *name).and_then(|at| u16::try_from(at).ok())
    }

    /// As a drawing: what `choria machine graph` prints.
    pub fn graph(&self) -> String {
        let quoted = |name: &str| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
        let mut moves: Vec<(&str, &str, &str)> = self
            .table
            .moves()
            .iter()
            .map(|(from, event, to)| (self.state(*from), self.event(*event), self.state(*to)))
            .collect();
        moves.sort_unstable();
        let mut out = String::from("digraph fsm {\n");
        for (from, event, to) in moves {
            out.push_str(&format!("    {} -> {} [ label = {} ];\n", quoted(from), quoted(to), quoted(event)));
        }
        out.push('\n');
        let mut states: Vec<&str> = self.states.iter().map(|state| &**state).collect();
        states.sort_unstable();
        for state in states {
            let color = if state == self.state(self.initial) { " [color = \"red\"]" } else { "" };
            out.push_str(&format!("    {}{color};\n", quoted(state)));
        }
        out.push_str("}\n");
        out
    }
}

#[cfg(test)]
mod tests;
