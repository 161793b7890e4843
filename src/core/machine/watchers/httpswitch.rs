//! `httpswitch`: a switch that people press over HTTP (spec 06 §6.12).

use serde_json::{Map, Value};

use std::time::Duration;

use super::{Kind, Watcher};
use crate::core::machine::definition::Common;
use crate::core::machine::event::Fields;
use crate::core::machine::properties::Properties;
use crate::core::machine::turn::{Fire, Turn};

pub(super) const KIND: Kind = Kind { name: "httpswitch", interval: None, least: Duration::ZERO, compile };

struct Switch {
    on_when: Box<[Box<str>]>,
    off_when: Box<[Box<str>]>,
    disable_when: Box<[Box<str>]>,
    annotations: Box<[(Box<str>, Box<str>)]>,
    on: Option<bool>,
}

fn compile(of: &mut Properties<'_, '_>, _: &mut Common) -> Box<dyn Watcher> {
    Box::new(Switch {
        on_when: of.list("on_when"),
        off_when: of.list("off_when"),
        disable_when: of.list("disable_when"),
        annotations: of.labels("annotations"),
        on: None,
    })
}

impl Switch {
    /// What the state of the machine says.
    fn follow(&mut self, turn: &mut Turn<'_>) {
        let among = |states: &[Box<str>]| states.iter().any(|state| **state == *turn.state);
        let on = if among(&self.on_when) {
            true
        } else if among(&self.off_when) {
            false
        } else {
            return;
        };
        self.on = Some(on);
        turn.publish(self.fields());
    }
}

impl Watcher for Switch {
    fn begin(&mut self, turn: &mut Turn<'_>) {
        if turn.eligible {
            self.follow(turn);
        }
    }

    fn due(&mut self, _: &mut Turn<'_>) {}

    fn moved(&mut self, turn: &mut Turn<'_>) {
        self.follow(turn);
    }

    fn fields(&self) -> Fields {
        let status = match self.on {
            None => "unknown",
            Some(true) => "on",
            Some(false) => "off",
        };
        let annotations: Map<String, Value> =
            self.annotations.iter().map(|(name, text)| (name.to_string(), (**text).into())).collect();
        vec![
            ("status", status.into()),
            ("is_on", (self.on == Some(true)).into()),
            ("annotations", annotations.into()),
        ]
    }

    fn states(&self) -> Vec<(&'static str, &[Box<str>])> {
        vec![("on_when", &self.on_when), ("off_when", &self.off_when), ("disable_when", &self.disable_when)]
    }

    fn switch(&self) -> Option<Option<bool>> {
        Some(self.on)
    }

    fn press(&mut self, on: bool, turn: &mut Turn<'_>) -> bool {
        let disabled = self.disable_when.iter().any(|state| **state == *turn.state);
        if disabled || !turn.eligible {
            return false;
        }
        self.on = Some(on);
        turn.publish(self.fields());
        turn.fire(if on { Fire::Success } else { Fire::Failure });
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::core::machine::definition::compile;

    #[test]
    fn states_that_are_not_there_are_warned_of() {
        let warnings = |property: &str| {
            let text = format!(
                "{{name: a, version: 1.0.0, initial_state: dark, transitions: [{{name: on, from: [dark], destination: \
                 light}}], watchers: [{{name: w, type: httpswitch, properties: {{{property}}}}}]}}"
            );
            let found = compile(&text).ok().unwrap().warnings;
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(warnings("on_when: [light], off_when: [dark], disable_when: [dark]").is_empty());
        for property in ["on_when", "off_when", "disable_when"] {
            let found = warnings(&format!("{property}: [lihgt]"));
            assert!(
                found.len() == 1 && found[0].contains(&format!("{property} names the state lihgt")),
                "{found:?}"
            );
        }
    }
}
