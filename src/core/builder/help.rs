//! Help of applications.

use super::definition::{Command, Definition, HelpStyle, Input, Type};
use super::kinds::{Kind, OwnFlag};
use crate::core::text::column;

/// Two columns, the first as wide as its widest word.
#[derive(Default)]
struct Rows(Vec<(String, String)>);

impl Rows {
    fn push(&mut self, left: String, right: impl Into<String>) {
        self.0.push((left, right.into()));
    }

    fn write(&self, title: &str, out: &mut String) {
        if self.0.is_empty() {
            return;
        }
        let width = column(self.0.iter().map(|(left, _)| left.chars().count()));
        out.push_str(&format!("\n{title}:\n"));
        for (left, right) in &self.0 {
            let mut lines = right.lines().map(str::trim).filter(|line| !line.is_empty());
            let line = format!("  {left:width$}  {}", lines.next().unwrap_or_default());
            out.push_str(line.trim_end());
            out.push('\n');
            for more in lines {
                out.push_str(&format!("  {:width$}  {more}\n", ""));
            }
        }
    }
}

/// Help of an application, called `name`.
pub fn application(definition: &Definition, name: &str) -> String {
    let mut out = format!("Usage: {name} <command> [<args>]\n");
    let description = definition.description.trim_end();
    if !description.is_empty() {
        out.push_str(&format!("\n{description}\n"));
    }
    if !definition.author.is_empty() && definition.help == HelpStyle::Default {
        out.push_str(&format!("\nContact: {}\n", definition.author));
    }
    if definition.cheat.is_some() {
        out.push_str(&format!("\nUse '{name} cheat' to access cheat sheet style help\n"));
    }
    let mut rows = Rows::default();
    match definition.help {
        HelpStyle::Default | HelpStyle::Short => {
            definition.commands.iter().for_each(|command| rows.push(command.name.clone(), command.summary()));
            rows.write("Commands", &mut out);
        }
        HelpStyle::Compact => {
            all(&definition.commands, "", &mut |words, command| {
                if !matches!(command.kind, Kind::Parent) {
                    let usage = format!("{words}{}", arguments(command));
                    rows.push(usage, command.summary());
                }
            });
            rows.write("Commands", &mut out);
        }
        HelpStyle::Long => {
            out.push_str("\nCommands:\n");
            all(&definition.commands, "", &mut |words, command| {
                out.push_str(&format!("\n{words}{}\n", arguments(command)));
                let text = command.description.trim_end();
                text.lines().for_each(|line| out.push_str(&format!("  {line}\n")));
                for flag in &command.flags {
                    out.push_str(&format!("    {}  {}\n", flag_words(flag), flag_text(flag)));
                }
            });
        }
    }
    let mut rows = Rows::default();
    rows.push("--help".to_owned(), "show help, of a command behind its name");
    rows.push("--version".to_owned(), "show the version");
    rows.write("Flags", &mut out);
    out
}

/// Goes through all commands, with the words that lead to each.
fn all<'d>(commands: &'d [Command], before: &str, each: &mut dyn FnMut(&str, &'d Command)) {
    for command in commands {
        let words = format!("{before}{}", command.name);
        each(&words, command);
        all(&command.commands, &format!("{words} "), each);
    }
}

fn arguments(command: &Command) -> String {
    let word = |argument: &Input| match argument.required {
        true => format!(" <{}>", argument.name),
        false => format!(" [<{}>]", argument.name),
    };
    command.arguments.iter().map(word).collect()
}

/// Help of the last of some commands. `filters` are the flags that choose nodes.
pub fn command(name: &str, path: &[&Command], filters: &[OwnFlag]) -> String {
    let Some(command) = path.last() else { return String::new() };
    let words: Vec<&str> = path.iter().map(|command| command.name.as_str()).collect();
    let below = if command.commands.is_empty() { "" } else { " [<command>]" };
    let mut out = format!("Usage: {name} {} [<flags>]{}{below}\n", words.join(" "), arguments(command));
    let description = command.description.trim_end();
    if !description.is_empty() {
        out.push_str(&format!("\n{description}\n"));
    }
    if let Kind::Refused(kind) = command.kind {
        out.push_str(&format!("\nCommands of type {kind} are not done here: running it is refused.\n"));
    }
    if !command.aliases.is_empty() {
        out.push_str(&format!("\nOther names: {}\n", command.aliases.join(", ")));
    }
    if !command.tags.is_empty() {
        out.push_str(&format!("\nTags: {}\n", command.tags.join(", ")));
    }
    let mut rows = Rows::default();
    for argument in &command.arguments {
        let left =
            if argument.required { format!("<{}>", argument.name) } else { format!("[<{}>]", argument.name) };
        rows.push(left, flag_text(argument));
    }
    rows.write("Args", &mut out);
    let mut rows = Rows::default();
    command.flags.iter().for_each(|flag| rows.push(flag_words(flag), flag_text(flag)));
    command.kind.flags().iter().for_each(|flag| rows.push(own_words(flag), flag.help.as_str()));
    if command.confirm.is_some() {
        rows.push("--[no-]prompt".to_owned(), "ask before anything is done, which is the default");
    }
    rows.push("--help".to_owned(), "show this");
    rows.write("Flags", &mut out);
    if command.kind.takes_filters() {
        let mut rows = Rows::default();
        let own = |flag: &&OwnFlag| command.flags.iter().all(|other| other.name != flag.long);
        filters.iter().filter(own).for_each(|flag| rows.push(own_words(flag), flag.help.as_str()));
        rows.write("Flags that choose nodes", &mut out);
    }
    let mut rows = Rows::default();
    command.commands.iter().for_each(|below| rows.push(below.name.clone(), below.summary()));
    rows.write("Commands", &mut out);
    out
}

fn own_words(flag: &OwnFlag) -> String {
    let short = flag.short.map_or(String::new(), |short| format!("-{short}, "));
    let value = flag.value.as_ref().map_or(String::new(), |value| format!("={}", value.to_uppercase()));
    format!("{short}--{}{value}", flag.long)
}

fn flag_words(flag: &Input) -> String {
    let short = flag.short.map_or(String::new(), |short| format!("-{short}, "));
    let no = if flag.is_negatable() { "[no-]" } else { "" };
    let value = match (flag.takes_value(), flag.placeholder.as_str(), &flag.default) {
        (false, ..) => String::new(),
        (true, "", Some(default)) if !default.is_empty() => format!("={}", one_line(default)),
        (true, "", _) => format!("={}", flag.name.to_uppercase()),
        (true, placeholder, _) => format!("={placeholder}"),
    };
    format!("{short}--{no}{}{value}", flag.name)
}

fn one_line(text: &str) -> String {
    crate::core::text::shortened(text, 40)
}

fn flag_text(flag: &Input) -> String {
    let mut text = flag.description.trim_end().to_owned();
    let mut notes = vec![];
    if !flag.choices.is_empty() {
        notes.push(format!("one of {}", flag.choices.join(", ")));
    }
    if !matches!(flag.of, Type::Text | Type::Bool) {
        notes.push(flag.of.spoken());
    }
    if let Some(default) = flag.default.as_deref().filter(|default| !default.is_empty()) {
        notes.push(format!("default {}", one_line(default)));
    }
    if let Some(env) = &flag.env {
        notes.push(format!("${env}"));
    }
    if flag.required && flag.default.is_none() {
        notes.push("required".to_owned());
    }
    if !notes.is_empty() {
        text.push_str(&format!(" ({})", notes.join("; ")));
    }
    text.trim_start().to_owned()
}

/// Commands and flags that can come behind some words, for shells.
pub fn words(definition: &Definition, typed: &[&str], filters: &[OwnFlag]) -> Vec<String> {
    let mut commands = &definition.commands;
    let mut last: Option<&Command> = None;
    for word in typed.iter().filter(|word| !word.starts_with('-')) {
        match commands.iter().find(|command| command.is_called(word)) {
            Some(command) => (last, commands) = (Some(command), &command.commands),
            None => break,
        }
    }
    let mut words: Vec<String> = commands.iter().map(|command| command.name.clone()).collect();
    words.push("--help".to_owned());
    if let Some(command) = last {
        words.extend(command.flags.iter().map(|flag| format!("--{}", flag.name)));
        words.extend(command.kind.flags().iter().map(|flag| format!("--{}", flag.long)));
        if command.kind.takes_filters() {
            words.extend(filters.iter().map(|flag| format!("--{}", flag.long)));
        }
    }
    words.sort();
    words.dedup();
    words
}

/// The cheat sheets of an application: what each is listed as, and its text.
pub fn cheats<'d>(definition: &'d Definition, name: &'d str) -> Vec<(&'d str, &'d str)> {
    let mut sheets = vec![];
    if let Some(cheat) = &definition.cheat
        && !cheat.text.is_empty()
    {
        sheets.push((if cheat.label.is_empty() { name } else { cheat.label.as_str() }, cheat.text.as_str()));
    }
    all(&definition.commands, "", &mut |_, command| {
        if let Some(cheat) = &command.cheat {
            let label = if cheat.label.is_empty() { &command.name } else { &cheat.label };
            sheets.push((label, &cheat.text));
        }
    });
    sheets
}
