//! What a person typed, by the commands and inputs of a definition.
//!
//! The words of an application are not known when this program is compiled, so argh cannot read
//! them: flags may stand anywhere behind their command, `--flag=value`, `-fvalue` and `-vvv` are
//! understood, and behind `--` there are only arguments.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::definition::{Command, Definition, Input, Type, truth};
use super::kinds::OwnFlag;
use super::{World, values};
use crate::core::text::meant;

/// A line that means something.
#[derive(Debug)]
pub enum Line<'d> {
    /// A command is to be run.
    Run(Box<Run<'d>>),
    /// Help is wanted, of the application or of the last of these commands.
    Help(Vec<&'d Command>),
    /// The version is wanted.
    Version,
    /// Cheat sheets are wanted: a list of them, or one.
    Cheat(Option<String>),
}

/// What is to be run.
#[derive(Debug)]
pub struct Run<'d> {
    /// The command, behind those that lead to it.
    pub path: Vec<&'d Command>,
    /// The command.
    pub command: &'d Command,
    /// Values of its arguments, one for each.
    pub arguments: Map<String, Value>,
    /// Values of its flags, one for each.
    pub flags: Map<String, Value>,
    /// Names of flags that a person or the environment gave a value.
    pub given: Vec<String>,
    /// Flags that it has by its type, and those that choose nodes; each with its values.
    pub own: BTreeMap<String, Vec<String>>,
    /// Whether its question is asked.
    pub prompt: bool,
}

impl Run<'_> {
    /// Whether a switch of its own was given.
    pub fn is_set(&self, name: &str) -> bool {
        self.own.contains_key(name)
    }

    /// The last value of a flag of its own.
    pub fn own(&self, name: &str) -> Option<&str> {
        self.own.get(name)?.last().map(String::as_str)
    }
}

/// A line that means nothing; the sentence ends with where help is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}, see '{help} --help'")]
pub struct LineError {
    /// What is wrong.
    pub problem: String,
    /// The words that have the help for it.
    pub help: String,
}

/// Reads the words behind the name of an application. `filters` are the flags that choose nodes.
///
/// # Errors
/// They mean nothing, and why.
pub fn read<'d>(
    definition: &'d Definition,
    name: &str,
    words: &[String],
    filters: &[OwnFlag],
    world: &dyn World,
) -> Result<Line<'d>, LineError> {
    let mut reader = Reader {
        definition,
        name,
        filters,
        path: vec![],
        values: BTreeMap::new(),
        own: BTreeMap::new(),
        positionals: vec![],
        prompt: true,
        help: false,
        version: false,
    };
    match words {
        [help, rest @ ..] if help == "help" && definition.commands.iter().all(|c| !c.is_called("help")) => {
            return help_of(definition, name, rest);
        }
        [cheat, rest @ ..]
            if cheat == "cheat"
                && definition.cheat.is_some()
                && definition.commands.iter().all(|c| !c.is_called("cheat")) =>
        {
            return Ok(Line::Cheat(rest.first().cloned()));
        }
        _ => {}
    }
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if word == "--" {
            reader.positionals.extend(rest.by_ref().cloned());
        } else if let Some(long) = word.strip_prefix("--") {
            reader.long(long, &mut rest)?;
        } else if word.len() > 1 && word.starts_with('-') && word.parse::<f64>().is_err() {
            reader.letters(&word[1..], &mut rest)?;
        } else {
            reader.word(word)?;
        }
    }
    reader.finish(world)
}

fn help_of<'d>(definition: &'d Definition, name: &str, words: &[String]) -> Result<Line<'d>, LineError> {
    let mut path: Vec<&Command> = vec![];
    for word in words {
        let commands = path.last().map_or(&definition.commands, |command| &command.commands);
        match commands.iter().find(|command| command.is_called(word)) {
            Some(command) => path.push(command),
            None => return Err(unknown_command(word, commands, &called(name, &path))),
        }
    }
    Ok(Line::Help(path))
}

fn called(name: &str, path: &[&Command]) -> String {
    let mut text = name.to_owned();
    for command in path {
        text.push(' ');
        text.push_str(&command.name);
    }
    text
}

fn unknown_command(word: &str, commands: &[Command], help: &str) -> LineError {
    let like = meant(word, commands.iter().map(|command| command.name.as_str()));
    LineError {
        problem: format!("there is no command '{word}'{}", like.trim_end_matches('?')),
        help: help.to_owned(),
    }
}

struct Reader<'d, 'n> {
    definition: &'d Definition,
    name: &'n str,
    filters: &'n [OwnFlag],
    path: Vec<&'d Command>,
    values: BTreeMap<String, Vec<String>>,
    own: BTreeMap<String, Vec<String>>,
    positionals: Vec<String>,
    prompt: bool,
    help: bool,
    version: bool,
}

/// A flag that was found.
enum Found<'d> {
    /// Of the definition, and whether it is taken back.
    Input(&'d Input, bool),
    /// Of the type of command, or one that chooses nodes.
    Own(OwnFlag),
    Prompt(bool),
    Help,
    Version,
}

impl<'d> Reader<'d, '_> {
    fn wrong<T>(&self, problem: String) -> Result<T, LineError> {
        Err(LineError { problem, help: called(self.name, &self.path) })
    }

    fn command(&self) -> Option<&'d Command> {
        self.path.last().copied()
    }

    fn word(&mut self, word: &str) -> Result<(), LineError> {
        let commands = self.command().map_or(&self.definition.commands, |command| &command.commands);
        let takes = self.command().is_some_and(|command| !command.arguments.is_empty());
        if self.positionals.is_empty() {
            match commands.iter().find(|command| command.is_called(word)) {
                Some(command) => {
                    if !self.values.is_empty() || !self.own.is_empty() {
                        return self.wrong(format!("flags of '{word}' stand behind it"));
                    }
                    self.path.push(command);
                    return Ok(());
                }
                None if !takes && !commands.is_empty() => {
                    return Err(unknown_command(word, commands, &called(self.name, &self.path)));
                }
                None => {}
            }
        }
        self.positionals.push(word.to_owned());
        Ok(())
    }

    /// The flag that a test is true of.
    fn find(&self, long: Option<&str>, letter: Option<char>) -> Option<Found<'d>> {
        let same = |name: &str, short: Option<char>| match (long, letter) {
            (Some(long), _) => name == long,
            (_, letter) => letter.is_some() && short == letter,
        };
        if let Some(command) = self.command() {
            if let Some(input) = command.flags.iter().find(|flag| same(&flag.name, flag.short)) {
                return Some(Found::Input(input, false));
            }
            let negated = long.and_then(|long| long.strip_prefix("no-"));
            let negatable = |flag: &&Input| Some(flag.name.as_str()) == negated && flag.is_negatable();
            if let Some(input) = command.flags.iter().find(negatable) {
                return Some(Found::Input(input, true));
            }
            if command.confirm.is_some() && (long == Some("prompt") || negated == Some("prompt")) {
                return Some(Found::Prompt(negated.is_none()));
            }
            if let Some(own) = command.kind.flags().into_iter().find(|flag| same(&flag.long, flag.short)) {
                return Some(Found::Own(own));
            }
            let filter = self.filters.iter().find(|flag| same(&flag.long, flag.short));
            if let Some(filter) = filter.filter(|_| command.kind.takes_filters()) {
                return Some(Found::Own(filter.clone()));
            }
        }
        match (long, letter) {
            (Some("help"), _) | (None, Some('h')) => Some(Found::Help),
            (Some("version"), _) if self.path.is_empty() => Some(Found::Version),
            _ => None,
        }
    }

    fn long(&mut self, text: &str, rest: &mut std::slice::Iter<'_, String>) -> Result<(), LineError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let Some(found) = self.find(Some(name), None) else {
            let like = meant(name, self.known().iter().map(String::as_str));
            return self.wrong(format!("there is no flag --{name}{}", like.trim_end_matches('?')));
        };
        self.take(found, &format!("--{name}"), value, rest).map(drop)
    }

    /// One letter or several; the rest behind one that takes a value is that.
    fn letters(&mut self, text: &str, rest: &mut std::slice::Iter<'_, String>) -> Result<(), LineError> {
        for (at, letter) in text.char_indices() {
            let Some(found) = self.find(None, Some(letter)) else {
                return self.wrong(format!("there is no flag -{letter}"));
            };
            let after = &text[at + letter.len_utf8()..];
            let value = Some(after.to_owned()).filter(|after| !after.is_empty());
            if self.take(found, &format!("-{letter}"), value, rest)? {
                break;
            }
        }
        Ok(())
    }

    /// Whether it took a value.
    fn take(
        &mut self,
        found: Found<'d>,
        typed: &str,
        value: Option<String>,
        rest: &mut std::slice::Iter<'_, String>,
    ) -> Result<bool, LineError> {
        let takes = match &found {
            Found::Input(input, _) => input.takes_value(),
            Found::Own(own) => own.value.is_some(),
            _ => false,
        };
        let is_long = typed.starts_with("--");
        let value = match (takes, value) {
            (true, None) => match rest.next() {
                Some(value) => Some(value.clone()),
                None => return self.wrong(format!("{typed} needs a value")),
            },
            (true, value) => value,
            // --flag=false is what scripts write
            (false, Some(value)) if is_long => match (&found, truth(&value)) {
                (Found::Input(Input { of: Type::Bool, .. }, false), Some(_)) => Some(value),
                _ => return self.wrong(format!("{typed} is a switch and takes no value")),
            },
            (false, _) => None,
        };
        match found {
            Found::Input(input, taken_back) => {
                let value = value.unwrap_or_else(|| (!taken_back).to_string());
                self.values.entry(input.name.clone()).or_default().push(value);
            }
            Found::Own(own) => self.own.entry(own.long).or_default().push(value.unwrap_or_default()),
            Found::Prompt(asks) => self.prompt = asks,
            Found::Help => self.help = true,
            Found::Version => self.version = true,
        }
        Ok(takes)
    }

    /// Flags that could have been meant.
    fn known(&self) -> Vec<String> {
        let mut known = vec!["help".to_owned()];
        if let Some(command) = self.command() {
            known.extend(command.flags.iter().map(|flag| flag.name.clone()));
            known.extend(command.kind.flags().into_iter().map(|flag| flag.long));
            if command.kind.takes_filters() {
                known.extend(self.filters.iter().map(|flag| flag.long.clone()));
            }
        }
        known
    }

    fn finish(mut self, world: &dyn World) -> Result<Line<'d>, LineError> {
        if self.help {
            return Ok(Line::Help(self.path));
        }
        if self.version {
            return Ok(Line::Version);
        }
        let Some(command) = self.command() else { return Ok(Line::Help(vec![])) };
        if matches!(command.kind, super::kinds::Kind::Parent) {
            return Ok(Line::Help(self.path));
        }
        let positionals = std::mem::take(&mut self.positionals);
        if positionals.len() > command.arguments.len() {
            let extra = &positionals[command.arguments.len()];
            return self.wrong(format!("'{extra}' is one word too many"));
        }
        let mut arguments = Map::new();
        let mut positionals = positionals.into_iter();
        for argument in &command.arguments {
            let given: Vec<String> = positionals.next().into_iter().collect();
            let value = self.value(argument, &argument.name, &given, world)?;
            arguments.insert(argument.name.clone(), value);
        }
        let mut flags = Map::new();
        let mut given = vec![];
        for flag in &command.flags {
            let mut typed = self.values.remove(&flag.name).unwrap_or_default();
            if typed.is_empty()
                && let Some(value) = flag.env.as_deref().and_then(|name| world.env(name))
                && !value.is_empty()
            {
                typed.push(value);
            }
            if !typed.is_empty() {
                given.push(flag.name.clone());
            }
            let value = self.value(flag, &format!("--{}", flag.name), &typed, world)?;
            flags.insert(flag.name.clone(), value);
        }
        let (own, prompt) = (std::mem::take(&mut self.own), self.prompt);
        Ok(Line::Run(Box::new(Run { path: self.path, command, arguments, flags, given, own, prompt })))
    }

    fn value(
        &self,
        input: &Input,
        spoken: &str,
        given: &[String],
        world: &dyn World,
    ) -> Result<Value, LineError> {
        values::of(input, given, world).or_else(|problem| match problem.strip_prefix(values::REQUIRED) {
            Some(_) => self.wrong(format!("{spoken} is required")),
            None => self.wrong(format!("{spoken}: {problem}")),
        })
    }
}
