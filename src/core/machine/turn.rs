//! A turn: what one watcher is told at one moment, and what it asks for.
//!
//! Watchers have no clock and touch nothing. They ask for a moment to be called again, for
//! work to be done, for an event, a transition, data to be kept; whoever moves them, the
//! engine of a node or a test, sees to it.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::definition::Common;
use super::event::Fields;
use super::governed::Governed;
use super::template::is_template;
use crate::core::protocol::filter::Facts;
use crate::core::security::tokens::VerifyKey;
use crate::core::streams::Streams;

/// A point in time, by two clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Since some beginning; never goes back.
    pub at: Duration,
    /// What the clock on the wall says.
    pub wall: Timestamp,
}

/// A transition a watcher asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fire {
    /// The one of its success, where it has one.
    Success,
    /// The one of its failure, where it has one.
    Failure,
    /// That of this name, where the machine has it.
    Named(&'static str),
}

/// What a watcher is told, and where it puts what it asks for.
pub struct Turn<'a> {
    /// Now.
    pub now: Moment,
    /// What all watchers have.
    pub common: &'a Common,
    /// Name of the machine.
    pub machine: &'a str,
    /// Id of this life of it.
    pub instance: &'a str,
    /// Its state.
    pub state: &'a str,
    /// Whether the watcher is to do something in it.
    pub eligible: bool,
    /// Whether its work is under way.
    pub busy: bool,
    /// Where the machine lives.
    pub directory: &'a std::path::Path,
    /// Clocks of this place.
    pub zone: &'a TimeZone,
    pub(super) random: &'a mut fastrand::Rng,
    pub(super) effects: &'a mut Effects,
}

/// What a watcher asks for.
#[derive(Default)]
pub(super) struct Effects {
    pub wake: Option<Duration>,
    pub work: Option<Work>,
    pub later: bool,
    pub events: Vec<Fields>,
    pub fires: Vec<Fire>,
    /// Nothing for what is not to be kept any more.
    pub data: Vec<(String, Option<Value>)>,
    pub messages: Vec<Message>,
    pub warnings: Vec<String>,
    /// What was told of the answer before this one.
    pub warned: Option<u32>,
    pub exports: bool,
}

/// A message that is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it goes.
    pub subject: String,
    /// What it says.
    pub payload: String,
    /// Beside it.
    pub headers: Vec<(&'static str, String)>,
}

impl Turn<'_> {
    /// Publishes a message that is no event.
    pub fn send(&mut self, message: Message) {
        self.effects.messages.push(message);
    }

    /// Calls it again after so long; instead of what it asked for before.
    pub fn again(&mut self, after: Duration) {
        self.effects.wake = Some(self.now.at.saturating_add(after));
    }

    /// Has work done. While other work of it is under way, nothing happens but that it is
    /// told of a move once more when that is done.
    pub fn work(&mut self, work: Work) {
        if self.busy {
            self.effects.later = true;
        } else {
            self.effects.work = Some(work);
        }
    }

    /// Publishes how it is.
    pub fn publish(&mut self, fields: Fields) {
        self.effects.events.push(fields);
    }

    /// Asks for a transition.
    pub fn fire(&mut self, fire: Fire) {
        self.effects.fires.push(fire);
    }

    /// Keeps a value in the data of the machine.
    pub fn keep(&mut self, name: impl Into<String>, value: Value) {
        self.effects.data.push((name.into(), Some(value)));
    }

    /// Keeps no value of that name any more.
    pub fn forget(&mut self, name: impl Into<String>) {
        self.effects.data.push((name.into(), None));
    }

    /// Tells whoever reads the log.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.effects.warnings.push(text.into());
    }

    /// What is exported has changed.
    pub fn exported(&mut self) {
        self.effects.exports = true;
    }

    /// A length of time below `limit`.
    pub fn within(&mut self, limit: Duration) -> Duration {
        limit.mul_f64(self.random.f64())
    }
}

/// Something that takes time.
pub enum Work {
    /// A command.
    Command(Box<Command>),
    /// Anything else, done with what the host knows.
    Other(Task),
    /// The same, of which much of the time is waiting for others: it takes nobody's place.
    Patient(Task),
}

/// What does other work.
pub type Task = Box<dyn FnOnce(Setting) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send>;

impl Work {
    /// Other work.
    pub fn other<F>(task: impl FnOnce(Setting) -> F + Send + 'static) -> Work
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Work::Other(Box::new(move |setting| Box::pin(task(setting))))
    }

    /// Work that waits for others much of the time.
    pub fn patient<F>(task: impl FnOnce(Setting) -> F + Send + 'static) -> Work
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Work::Patient(Box::new(move |setting| Box::pin(task(setting))))
    }
}

/// A command to be run.
#[derive(Debug, Clone)]
pub struct Command {
    /// Its line, a template.
    pub line: Arc<str>,
    /// Whether the line speaks of overrides, and not of facts and data.
    pub check: bool,
    /// `NAME=VALUE`, templates.
    pub environment: Arc<[Box<str>]>,
    /// How long it may take; none for one that is let run.
    pub limit: Option<Duration>,
    /// Bytes of output that are wanted; none for one whose output is talk.
    pub output: Option<usize>,
    /// Whether it gets facts and data in files.
    pub files: bool,
    /// Whose slot it needs.
    pub governed: Option<Governed>,
}

/// What work is done with.
#[derive(Clone)]
pub struct Setting {
    /// The node.
    pub identity: Arc<str>,
    /// Name of the machine.
    pub machine: String,
    /// Name of the watcher.
    pub watcher: String,
    /// Where the machine lives.
    pub directory: PathBuf,
    /// Looks at the facts of the node, for whoever needs them.
    pub facts: FactsLook,
    /// Data of the machine, JSON.
    pub data: Arc<str>,
    /// Where this node says how it is, and how often.
    pub status: Option<(PathBuf, Duration)>,
    /// What plugins are managed by.
    pub plugins: PluginSettings,
    /// The network it is in; none where a machine runs without a node.
    pub network: Option<Arc<dyn Network>>,
    /// What this node has otherwise than its checks say.
    pub overrides: Option<PathBuf>,
    /// Types of goss that its rules may not look at.
    pub denied: Arc<[String]>,
}

/// What plugins are managed by.
#[derive(Debug, Clone, Default)]
pub struct PluginSettings {
    /// Where machines live.
    pub store: Option<PathBuf>,
    /// Whose manifests are believed, where that is said; or why nobody's are.
    pub key: Option<Result<VerifyKey, String>>,
}

/// A network as far as work needs it.
pub trait Network: Send + Sync {
    /// Its streams.
    fn streams(&self) -> Streams;
    /// Collective whose governors are asked.
    fn collective(&self) -> &str;
    /// Tells that a machine has entered a slot of a governor, left it, or got none in time; never waits.
    fn governed(&self, machine: &str, governor: &str, slot: u64, what: &str);
}

/// Looks at the facts of the node: as they were a second ago at most, where their file answers.
pub type FactsLook = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Arc<Facts>> + Send>> + Send + Sync>;

impl Setting {
    /// Facts of the node.
    pub async fn facts(&self) -> Arc<Facts> {
        (self.facts)().await
    }

    /// Facts where one of these texts is a template, which may speak of them; none where nobody needs any.
    pub async fn facts_for(&self, texts: &[&str]) -> Arc<Facts> {
        match texts.iter().any(|text| is_template(text)) {
            true => self.facts().await,
            false => Arc::new(Facts::from_json("{}".to_owned())),
        }
    }

    /// Facts and data, as templates and paths see them.
    pub fn scope(&self, facts: &Facts) -> Value {
        let data = serde_json::from_str(&self.data).unwrap_or_else(|_| Value::Object(Default::default()));
        serde_json::json!({"facts": facts.to_value(), "data": data})
    }
}

/// What work came to.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Of a command.
    Ran(Ran),
    /// Of anything else.
    Said(Said),
}

/// How a command ended.
#[derive(Debug, Clone, Default)]
pub struct Ran {
    /// Its exit code; none when it did not end by itself.
    pub code: Option<i32>,
    /// Why there is none, a sentence.
    pub problem: String,
    /// What it wrote.
    pub output: String,
    /// The command, as it was run.
    pub line: String,
    /// How long it took.
    pub took: Duration,
}

/// How other work ended.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// A word of the watcher.
    pub outcome: &'static str,
    /// What more there is to know.
    pub detail: Value,
    /// What went wrong, a sentence; empty where nothing did.
    pub problem: String,
    /// How long it took.
    pub took: Duration,
}
