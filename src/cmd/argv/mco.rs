//! Flags by the names the Ruby world has for them (spec 03 §14.2), and by other
//! names people know.
//!
//! A command's own flags come first: `-t` is a table to `facts`, and a timeout to
//! all that have no flag of that letter.

use std::slice::Iter;

use argh::FlagInfoKind;

use super::{ArgvError, Personality, Walk};

/// What such a flag is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Another name of a flag.
    Is(&'static str),
    /// The same, of commands that have it; else nothing.
    Maybe(&'static str),
    /// A flag with this value.
    With(&'static str, &'static str),
    /// The value of a key of the configuration.
    Sets(&'static str),
    /// Nothing: what it is about is not so here. Whether it has a value.
    Nothing(bool),
    /// The first or second word of `rpc`.
    Word(usize),
    /// An input of `rpc`.
    Input,
}

impl Meaning {
    /// Whether a value follows; `of` tells that of flags.
    pub(super) fn takes_value(self, of: impl Fn(&str) -> bool) -> bool {
        match self {
            Meaning::Is(name) | Meaning::Maybe(name) => of(name),
            Meaning::With(..) => false,
            Meaning::Nothing(value) => value,
            Meaning::Sets(_) | Meaning::Word(_) | Meaning::Input => true,
        }
    }
}

/// Other names whoever asks.
const EVERYWHERE: [(&str, Meaning); 2] =
    [("tag", Meaning::Is("tags")), ("skip-tag", Meaning::Is("skip-tags"))];

/// Names that `mco` has for flags.
const LONG: [(&str, Meaning); 30] = [
    ("with-fact", Meaning::Is("wf")),
    ("with-class", Meaning::Is("wc")),
    ("with-agent", Meaning::Is("wa")),
    ("with-identity", Meaning::Is("wi")),
    ("dt", Meaning::Is("discovery-timeout")),
    ("disc-method", Meaning::Is("dm")),
    ("disc-option", Meaning::Is("do")),
    ("np", Meaning::Maybe("np")),
    ("no-progress", Meaning::Maybe("np")),
    ("sort", Meaning::Nothing(false)),
    ("ln", Meaning::Is("limit")),
    ("limit-nodes", Meaning::Is("limit")),
    ("one", Meaning::With("limit", "1")),
    ("quiet", Meaning::Maybe("np")),
    ("verbose", Meaning::Nothing(false)),
    ("ttl", Meaning::Sets("ttl")),
    ("connection-timeout", Meaning::Sets("plugin.choria.network.connect_limit")),
    ("publish-timeout", Meaning::Nothing(true)),
    ("threaded", Meaning::Nothing(false)),
    ("no-results", Meaning::Is("nr")),
    ("agent", Meaning::Word(0)),
    ("action", Meaning::Word(1)),
    ("arg", Meaning::Input),
    ("argument", Meaning::Input),
    ("list-collectives", Meaning::Is("collectives")),
    ("lc", Meaning::Is("collectives")),
    ("list-agents", Meaning::With("list", "agents")),
    ("list-actions", Meaning::With("list", "actions")),
    ("list-inputs", Meaning::With("list", "inputs")),
    ("list-applications", Meaning::With("list", "applications")),
];

const SHORT: [(char, Meaning); 6] = [
    ('c', Meaning::Is("config")),
    ('t', Meaning::Is("timeout")),
    ('q', Meaning::Maybe("np")),
    ('1', Meaning::With("limit", "1")),
    ('a', Meaning::Word(0)),
    ('v', Meaning::Nothing(false)),
];

/// What flags of `mco` said that are none of argh's.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) settings: Vec<(&'static str, String)>,
    words: [Option<String>; 2],
    inputs: Vec<String>,
}

impl Taken {
    /// Agent, action and inputs of flags among the words that are none.
    pub(super) fn words_before(&mut self, positionals: Vec<String>) -> Vec<String> {
        let [agent, action] = std::mem::take(&mut self.words);
        let mut rest = positionals.into_iter();
        let mut words = vec![];
        if agent.is_some() || action.is_some() {
            words.extend(agent.or_else(|| rest.next()));
            words.extend(action.or_else(|| rest.next()));
        }
        words.extend(rest);
        words.append(&mut self.inputs);
        words
    }
}

impl Walk<'_> {
    /// What a name that is no flag's stands for.
    pub(super) fn other_word(&self, name: &str) -> Option<Meaning> {
        let name = name.replace('_', "-");
        let of_mco = if self.personality == Personality::Mco { &LONG[..] } else { &[] };
        let mut known = EVERYWHERE.iter().chain(of_mco);
        known.find(|(known, _)| *known == name).map(|(_, meaning)| *meaning).filter(|m| self.can_mean(*m))
    }

    pub(super) fn other_letter(&self, letter: char) -> Option<Meaning> {
        let known = SHORT.iter().find(|(known, _)| *known == letter && self.personality == Personality::Mco);
        known.map(|(_, meaning)| *meaning).filter(|meaning| self.can_mean(*meaning))
    }

    fn can_mean(&self, meaning: Meaning) -> bool {
        match meaning {
            Meaning::Is(name) | Meaning::With(name, _) => self.find_long(name).is_some(),
            Meaning::Word(_) | Meaning::Input => self.words.first().is_some_and(|word| word == "rpc"),
            Meaning::Maybe(_) | Meaning::Sets(_) | Meaning::Nothing(_) => true,
        }
    }

    pub(super) fn takes_value(&self, name: &str) -> bool {
        self.find_long(name).is_some_and(|(_, flag)| matches!(flag.kind, FlagInfoKind::Option { .. }))
    }

    /// Takes a flag for what it means, with the value that came with it or follows.
    pub(super) fn meant(
        &mut self,
        meaning: Meaning,
        typed: &str,
        value: Option<String>,
        rest: &mut Iter<'_, String>,
    ) -> Result<(), ArgvError> {
        let takes = meaning.takes_value(|name| self.takes_value(name));
        if value.is_some() && !takes {
            return Err(ArgvError::SwitchWithValue { flag: typed.to_owned() });
        }
        let value = value.or_else(|| if takes { rest.next().cloned() } else { None });
        if takes && value.is_none() {
            return Err(ArgvError::NoValue { flag: typed.to_owned() });
        }
        let value = value.unwrap_or_default();
        match meaning {
            Meaning::Is(name) | Meaning::Maybe(name) => {
                if let Some((global, flag)) = self.find_long(name) {
                    let words = [Some(flag.long.to_owned()), Some(value).filter(|_| takes)];
                    self.push(global, words.into_iter().flatten().collect());
                }
            }
            Meaning::With(name, value) => {
                if let Some((global, flag)) = self.find_long(name) {
                    self.push(global, vec![flag.long.to_owned(), value.to_owned()]);
                }
            }
            Meaning::Sets(key) => self.mco.settings.push((key, value)),
            Meaning::Nothing(_) => {}
            Meaning::Word(place) => {
                if let Some(word) = self.mco.words.get_mut(place) {
                    *word = Some(value);
                }
            }
            Meaning::Input => self.mco.inputs.push(value),
        }
        Ok(())
    }
}
