//! One machine of an engine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::super::definition::{Common, Definition};
use super::super::fsm::Limiter;
use super::super::watchers::Watcher;
use crate::core::protocol::json::push_value;

/// Bytes of data a machine may keep.
pub(super) const MAX_DATA: usize = 256 * 1024;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits for its start.
    Loaded,
    /// Watches and moves.
    Running,
}

pub(super) struct Machine {
    pub definition: Box<Definition>,
    pub directory: PathBuf,
    pub instance: Box<str>,
    pub life: u32,
    pub phase: Phase,
    pub state: u16,
    /// How often it has moved.
    pub moves: u64,
    pub started: Option<Timestamp>,
    pub watchers: Box<[Slot]>,
    /// An object, JSON.
    pub data: Arc<str>,
    pub limiter: Limiter,
    /// Events that wait until it may move again.
    pub waiting: Vec<u16>,
}

/// A watcher and what is under way.
pub(super) struct Slot {
    pub common: Common,
    pub does: Box<dyn Watcher>,
    /// When it wants to be called.
    pub wake: Option<Duration>,
    pub busy: bool,
    /// Something happened while it was busy.
    pub later: bool,
    /// What it warned of last, as a number; nothing when all went well since.
    pub warned: Option<u32>,
    /// Whether its events are larger than brokers take, which is told once.
    pub large: bool,
}

impl Machine {
    pub fn new(
        mut definition: Definition,
        directory: PathBuf,
        data: Arc<str>,
        instance: String,
        life: u32,
    ) -> Machine {
        let watched = std::mem::take(&mut definition.watchers).into_iter();
        let slot = |one: super::super::definition::Watched| Slot {
            common: one.common,
            does: one.does,
            wake: None,
            busy: false,
            later: false,
            warned: None,
            large: false,
        };
        Machine {
            state: definition.initial,
            moves: 0,
            watchers: watched.map(slot).collect(),
            definition: Box::new(definition),
            directory,
            instance: instance.into(),
            life,
            phase: Phase::Loaded,
            started: None,
            data,
            limiter: Limiter::default(),
            waiting: Vec::new(),
        }
    }

    /// Name of its state.
    pub fn state_name(&self) -> &str {
        self.definition.state(self.state)
    }

    /// Keeps values; whether they were not there already.
    ///
    /// # Errors
    /// There would be too much of it.
    pub fn keep(&mut self, values: Vec<(String, Option<Value>)>) -> Result<bool, String> {
        let mut data: Map<String, Value> = serde_json::from_str(&self.data).unwrap_or_default();
        for (name, value) in values {
            match value {
                Some(value) => drop(data.insert(name, value)),
                None => drop(data.remove(&name)),
            }
        }
        // sorted, and with the escapes of the original
        data.sort_keys();
        let mut text = String::new();
        push_value(&mut text, &Value::Object(data));
        if text.len() > MAX_DATA {
            return Err(format!("its data would be longer than {MAX_DATA} bytes and stays what it was"));
        }
        let differs = *text != *self.data;
        if differs {
            self.data = text.into();
        }
        Ok(differs)
    }
}
