//! The types of watchers (spec 06 §6): one file each, and one line in `KINDS`.
//!
//! A type reads its properties, keeps what it has to remember, and answers what its machine
//! tells it; see [`Watcher`]. What takes time is asked for and comes back as an [`Answer`].

mod archive;
mod exec;
mod expression;
mod file;
mod gossip;
mod httpswitch;
mod kv;
mod metric;
mod nagios;
mod plugins;
mod schedule;
mod timer;

use std::time::Duration;

use jiff::Timestamp;

use super::definition::Common;
use super::event::Fields;
use super::properties::Properties;
use super::turn::{Answer, Turn};
use crate::core::text::meant;

pub(super) use archive::address as archive_address;
pub use metric::Metric;
pub use nagios::{Check, Status};

/// The types there are.
const KINDS: [Kind; 12] = [
    archive::KIND,
    exec::KIND,
    expression::KIND,
    file::KIND,
    gossip::KIND,
    httpswitch::KIND,
    kv::KIND,
    metric::KIND,
    nagios::KIND,
    plugins::KIND,
    schedule::KIND,
    timer::KIND,
];

/// Types of the original that this version does not have, and why.
const LACKING: [(&str, &str); 4] = [
    ("machines", "is not part of this version, nor of the original"),
    ("homekit", "is not part of this version, nor of newer ones of the original"),
    ("ccm_manifest", "is not part of this version: run its command from an exec watcher"),
    ("http_switch", "is not its name, which is httpswitch"),
];

/// A type of watchers.
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// Its default interval; none has to be given, or none is used.
    pub interval: Option<Duration>,
    /// The least interval that is taken.
    pub least: Duration,
    /// Makes one of its properties; complaints go to these. May change what all watchers have.
    pub compile: fn(&mut Properties<'_, '_>, &mut Common) -> Box<dyn Watcher>,
}

/// The type of that name.
///
/// # Errors
/// Why there is none, as the end of a sentence.
pub fn find(name: &str) -> Result<&'static Kind, String> {
    if let Some(kind) = KINDS.iter().find(|kind| kind.name == name) {
        return Ok(kind);
    }
    if let Some((_, reason)) = LACKING.iter().find(|(lacking, _)| *lacking == name) {
        return Err(format!("{name} {reason}"));
    }
    if name.is_empty() {
        return Err(format!("is required, one of {}", names().join(", ")));
    }
    Err(format!("{name} is not known{}, known are {}", meant(name, names()), names().join(", ")))
}

/// Names of all types, sorted.
pub fn names() -> Vec<&'static str> {
    KINDS.iter().map(|kind| kind.name).collect()
}

/// What a watcher does. Each call is one [`Turn`]; a watcher that wants to be called at a
/// time asks for it there.
pub trait Watcher: Send {
    /// Its machine starts.
    fn begin(&mut self, turn: &mut Turn<'_>);

    /// The time it asked for has come.
    fn due(&mut self, turn: &mut Turn<'_>);

    /// Its machine is in another state. Asking for work while work is under way has this
    /// called again when that is done.
    fn moved(&mut self, turn: &mut Turn<'_>);

    /// The work it asked for is done.
    fn answered(&mut self, _answer: Answer, _turn: &mut Turn<'_>) {}

    /// How it is, for events.
    fn fields(&self) -> Fields;

    /// Of a check: what it found.
    fn check(&self) -> Option<&Check> {
        None
    }

    /// Of a metric: what was gathered last, and when it is too old to be shown.
    fn metric(&self) -> Option<(&Metric, Timestamp)> {
        None
    }

    /// States that its properties name, by the property.
    fn states(&self) -> Vec<(&'static str, &[Box<str>])> {
        vec![]
    }

    /// Of a switch: whether it is on; none before anybody knows.
    fn switch(&self) -> Option<Option<bool>> {
        None
    }

    /// Of a switch: somebody presses it. Whether it gave.
    fn press(&mut self, _on: bool, _turn: &mut Turn<'_>) -> bool {
        false
    }
}
