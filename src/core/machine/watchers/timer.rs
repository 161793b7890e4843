//! `timer`: fires so long after its machine came into a state (spec 06 §6.3).

use std::time::Duration;

use super::{Kind, Watcher};
use crate::core::machine::definition::Common;
use crate::core::machine::event::Fields;
use crate::core::machine::properties::Properties;
use crate::core::machine::turn::{Fire, Turn};

pub(super) const KIND: Kind = Kind { name: "timer", interval: None, least: Duration::ZERO, compile };

const LEAST: Duration = Duration::from_secs(1);

struct Timer {
    length: Duration,
    splays: bool,
    runs: bool,
}

fn compile(of: &mut Properties<'_, '_>, common: &mut Common) -> Box<dyn Watcher> {
    let length = of.duration("timer").and_then(|nanoseconds| u64::try_from(nanoseconds).ok());
    let length = length.map_or(LEAST, Duration::from_nanos);
    if length < LEAST {
        of.warn_at("timer", "is shorter than 1s, 1s counts");
    }
    if common.failure.is_none() {
        of.warn("without a fail_transition nothing happens at its end");
    }
    if common.success.is_some() {
        of.error(
            "a timer does not succeed: leave success_transition away, fail_transition is fired at its end",
        );
    }
    Box::new(Timer { length: length.max(LEAST), splays: of.flag("splay"), runs: false })
}

impl Timer {
    fn start(&mut self, turn: &mut Turn<'_>) {
        if turn.eligible {
            self.runs = true;
            turn.again(self.length);
            turn.publish(self.fields());
        } else if self.runs {
            self.runs = false;
            turn.publish(self.fields());
        }
    }
}

impl Watcher for Timer {
    fn begin(&mut self, turn: &mut Turn<'_>) {
        if self.splays {
            self.length = turn.within(self.length).max(LEAST);
        }
        self.start(turn);
    }

    fn due(&mut self, turn: &mut Turn<'_>) {
        if self.runs {
            self.runs = false;
            turn.publish(self.fields());
            turn.fire(Fire::Failure);
        }
    }

    fn moved(&mut self, turn: &mut Turn<'_>) {
        self.start(turn);
    }

    fn fields(&self) -> Fields {
        let state = if self.runs { "running" } else { "stopped" };
        vec![("state", state.into()), ("timer", (self.length.as_nanos() as u64).into())]
    }
}
