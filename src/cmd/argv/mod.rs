//! The words a person typed, rewritten into the one form argh takes.
//!
//! argh wants every flag spelled out and separated from its value, globals
//! before the command and takes the word `help` anywhere for a cry for help.
//! People's scripts write `-Fcountry=mt`, `--limit=5`, `-vj`, put `--config`
//! wherever they like and may well own a node called `help`. This pass knows
//! each command's flags from argh's own metadata and turns
//! `rpc rpcutil ping -vFcountry=mt --debug` into
//! `--debug rpc -v -F country=mt -- rpcutil ping`. It validates nothing that
//! argh validates.

mod mco;
mod parameters;
mod personality;

use std::slice::Iter;

pub use personality::{Personality, personality};

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind};
use choria::core::text;

/// Other words for commands. Everything else is a command's own name.
pub const ALIASES: [(&str, &str); 8] = [
    ("req", "rpc"),
    ("request", "rpc"),
    ("discover", "find"),
    ("t", "tool"),
    ("b", "broker"),
    ("gov", "governor"),
    ("elect", "election"),
    ("elec", "election"),
];

/// Other words for commands below one.
const ALIASES_BELOW: [(&str, &str, &str); 13] = [
    ("kv", "rm", "del"),
    ("kv", "ls", "list"),
    ("kv", "info", "status"),
    ("governor", "info", "view"),
    ("governor", "show", "view"),
    ("governor", "v", "view"),
    ("governor", "s", "view"),
    ("governor", "ls", "list"),
    ("governor", "rm", "delete"),
    ("plugins", "rm", "remove"),
    ("plugins", "ls", "list"),
    ("election", "view", "info"),
    ("election", "i", "info"),
];

/// Commands that run another one: what stands behind its first word is that one's own. A whole line in one word is
/// followed by our flags, as people have always written it.
const RUNNERS: [[&str; 2]; 2] = [["election", "run"], ["governor", "run"]];

/// Commands behind whose first word all is of what they run, its flags among it.
const APPLICATIONS: [[&str; 2]; 1] = [["builder", "run"]];

/// Commands whose help is about what they are given, by a command that knows it.
const HELPED: [(&str, &str); 1] = [("rpc", "doc")];

/// Commands that mean a sub command when none is named.
const DEFAULTS: [(&str, &str); 2] = [("history", "list"), ("tasks", "list")];

/// Commands whose first word, where it is no sub command, is for this one.
const OTHERWISE: [(&str, &str); 1] = [("tasks", "describe")];

/// Flags with two words for a value, which argh is handed as one.
pub const IN_TWO_WORDS: [&str; 2] = ["--only", "--retry"];

/// A word that fits no command or flag; the text is complete for the person.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgvError {
    /// A flag the command does not have.
    #[error("unknown flag '{flag}' for '{command}'{}", see(meant, command))]
    UnknownFlag {
        /// As typed.
        flag: String,
        /// Words that led to the command.
        command: String,
        /// `, did you mean …?`, or nothing.
        meant: String,
    },
    /// A switch was given a value.
    #[error("flag '{flag}' is a switch and takes no value")]
    SwitchWithValue {
        /// As typed, without the value.
        flag: String,
    },
    /// A flag that stands for something with a value stands at the end.
    #[error("flag '{flag}' needs a value")]
    NoValue {
        /// As typed.
        flag: String,
    },
    /// The first word names nothing.
    #[error("unknown command '{word}'{}", see(meant, command))]
    UnknownCommand {
        /// As typed.
        word: String,
        /// Words before it.
        command: String,
        /// `, did you mean …?`, or nothing.
        meant: String,
    },
}

/// What argh says, with what people may have meant: of options that are missing, what each of them is; of a word too
/// many where nodes are chosen, how that is done.
pub fn with_meaning(top: &CommandInfoWithArgs, rewritten: &[&str], said: &str) -> String {
    let mut command = top;
    for word in rewritten {
        command = command.commands.iter().find(|c| c.name == *word).map_or(command, |found| &found.command);
    }
    if let Some(word) = said.strip_prefix("Unrecognized argument: ") {
        let chooses = command.flags.iter().any(|flag| flag.long == "--wi");
        return match chooses && !word.starts_with('-') {
            true => format!("{said}; {}", chosen_by(word)),
            false => said.to_owned(),
        };
    }
    if !said.starts_with("Required options") {
        return said.to_owned();
    }
    let explained = |word: &str| {
        let flag = command.flags.iter().find(|flag| flag.long == word);
        flag.map_or_else(|| word.to_owned(), |flag| format!("{word} ({})", flag.description))
    };
    said.split_whitespace().map(explained).collect::<Vec<_>>().join(" ")
}

/// How nodes are chosen by a word.
fn chosen_by(word: &str) -> String {
    match word {
        fact if fact.contains(['=', '<', '>']) => format!("the nodes with a fact are -F '{fact}'"),
        node if node.contains('.') => format!("a node is -I {node}"),
        word => format!("a node is -I {word}, the nodes with a class -C {word}, with a fact -F NAME={word}"),
    }
}

/// Where all is that there is, behind what may have been meant.
fn see(meant: &str, command: &str) -> String {
    match meant {
        "" => format!(", see '{command} --help'"),
        meant => format!("{meant} See '{command} --help'"),
    }
}

/// What the words of a person come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// For argh.
    pub words: Vec<String>,
    /// Keys of the configuration that flags of `mco` stand for, and their values.
    pub settings: Vec<(&'static str, String)>,
}

/// [`rewrite_as`] `choria`.
#[cfg(test)]
pub fn rewrite(top: &CommandInfoWithArgs, args: &[String]) -> Result<Vec<String>, ArgvError> {
    rewrite_as(Personality::Choria, top, args).map(|rewritten| rewritten.words)
}

/// Rewrites `args` (without argv[0]) for argh. `top` describes the whole
/// program.
pub fn rewrite_as(
    personality: Personality,
    top: &CommandInfoWithArgs,
    args: &[String],
) -> Result<Rewritten, ArgvError> {
    let mut walk = Walk {
        personality,
        path: vec![top],
        words: vec![],
        globals: vec![],
        flags: vec![],
        positionals: vec![],
        mco: mco::Taken::default(),
    };
    let mut help = false;
    // The original has them below `plugin` and `tool`.
    let args = match args {
        [plugin, doc, ..] if plugin == "plugin" && doc == "doc" => &args[1..],
        [tool, builder, ..] if ["tool", "t"].contains(&tool.as_str()) && builder == "builder" => &args[1..],
        args => args,
    };
    // By the side of `audit verify`; it reads server logs, too, and is a tool.
    let who: Vec<String>;
    let args = match args {
        args if let Some(at) = args.windows(2).position(|pair| pair == ["audit", "who"])
            && args[..at].iter().all(|word| word.starts_with('-') || word.contains(['/', '.'])) =>
        {
            let tool = ["tool", "audit"].into_iter().map(str::to_owned);
            who = args[..at].iter().cloned().chain(tool).chain(args[at + 2..].iter().cloned()).collect();
            &who
        }
        args => args,
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if walk.runs() {
            walk.positionals.push(arg.clone());
        } else if arg == "--" {
            walk.positionals.extend(args.by_ref().cloned());
        } else if arg == "--help" || arg == "-h" && walk.find_short('h').is_none() {
            help = true;
        } else if let Some(long) = arg.strip_prefix("--") {
            walk.long(long, &mut args)?;
        } else if arg.len() > 1 && arg.starts_with('-') {
            walk.bundle(arg, &mut args)?;
        } else if arg == "help" && walk.path.len() == 1 && walk.positionals.is_empty() {
            help = true;
        } else {
            walk.word(arg)?;
        }
    }
    let settings = std::mem::take(&mut walk.mco.settings);
    Ok(Rewritten { words: walk.finish(help), settings })
}

struct Walk<'a> {
    personality: Personality,
    /// From the program down to the command found so far.
    path: Vec<&'a CommandInfoWithArgs>,
    words: Vec<String>,
    globals: Vec<Vec<String>>,
    flags: Vec<Vec<String>>,
    positionals: Vec<String>,
    mco: mco::Taken,
}

impl<'a> Walk<'a> {
    fn command(&self) -> &'a CommandInfoWithArgs {
        self.path[self.path.len() - 1]
    }

    /// Whether what comes is of the command that is to be run.
    fn runs(&self) -> bool {
        let first = self.positionals.get(1).is_some_and(|first| !first.contains(' '));
        first && RUNNERS.iter().any(|words| self.words == words)
            || !self.positionals.is_empty() && APPLICATIONS.iter().any(|words| self.words == words)
    }

    fn typed(&self) -> String {
        let mut text = String::from("choria");
        for word in &self.words {
            text.push(' ');
            text.push_str(word);
        }
        text
    }

    fn word(&mut self, word: &str) -> Result<(), ArgvError> {
        let command = self.command();
        if command.commands.is_empty() || !self.positionals.is_empty() {
            self.positionals.push(word.to_owned());
            return Ok(());
        }
        let name = ALIASES.iter().find(|(alias, _)| *alias == word).map_or(word, |(_, name)| name);
        let below = |(of, alias, _): &&(&str, &str, &str)| {
            self.words.last().is_some_and(|last| last == of) && *alias == word
        };
        let name = ALIASES_BELOW.iter().find(below).map_or(name, |(_, _, name)| name);
        match command.commands.iter().find(|c| c.name == name) {
            Some(found) => {
                self.path.push(&found.command);
                self.words.push(found.name.to_owned());
                Ok(())
            }
            None if self.otherwise().is_some() => {
                if let Some(found) = self.otherwise() {
                    self.path.push(&found.command);
                    self.words.push(found.name.to_owned());
                }
                self.positionals.push(word.to_owned());
                Ok(())
            }
            None => {
                let meant = text::meant(word, command.commands.iter().map(|c| c.name));
                Err(ArgvError::UnknownCommand { word: word.to_owned(), command: self.typed(), meant })
            }
        }
    }

    /// The sub command that words are for which name none.
    fn otherwise(&self) -> Option<&'a argh::SubCommandInfo> {
        let (_, name) = OTHERWISE.iter().find(|(of, _)| self.words.last().is_some_and(|word| word == of))?;
        self.command().commands.iter().find(|command| command.name == *name)
    }

    /// A flag of the command, of its default sub command, or of the program.
    fn find(&self, wanted: impl Fn(&FlagInfo<'_>) -> bool) -> Option<(bool, &'a FlagInfo<'a>)> {
        let command = self.command();
        let inherited = default_of(self.words.last().map(String::as_str), command);
        let local = command.flags.iter().chain(inherited.into_iter().flat_map(|c| c.flags));
        let global = self.path[0].flags.iter();
        local.map(|f| (self.path.len() == 1, f)).chain(global.map(|f| (true, f))).find(|(_, f)| wanted(f))
    }

    fn find_long(&self, name: &str) -> Option<(bool, &'a FlagInfo<'a>)> {
        // The Ruby world writes some of them with underscores.
        let same = |long: &str| long.chars().eq(name.chars().map(|c| if c == '_' { '-' } else { c }));
        self.find(|f| same(f.long.trim_start_matches('-')))
    }

    fn find_short(&self, short: char) -> Option<(bool, &'a FlagInfo<'a>)> {
        self.find(|f| f.short == Some(short))
    }

    fn unknown(&self, flag: &str) -> ArgvError {
        let inherited = default_of(self.words.last().map(String::as_str), self.command());
        let flags = self.command().flags.iter().chain(inherited.into_iter().flat_map(|c| c.flags));
        let known = flags.chain(self.path[0].flags).filter(|f| !f.hidden).map(|f| f.long);
        // Of one letter every other is a typing error.
        let meant = if flag.starts_with("--") { text::meant(flag, known) } else { String::new() };
        ArgvError::UnknownFlag { flag: flag.to_owned(), command: self.typed(), meant }
    }

    fn push(&mut self, global: bool, flag: Vec<String>) {
        if global { self.globals.push(flag) } else { self.flags.push(flag) }
    }

    fn long(&mut self, text: &str, rest: &mut Iter<'_, String>) -> Result<(), ArgvError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        // of the program itself only where nothing is run: tasks install versions
        let named = self
            .find_long(name)
            .filter(|(global, _)| !(*global && name == "version" && self.takes_parameters()));
        let Some((global, flag)) = named else {
            if self.takes_parameters() {
                return self.parameter(name, value, rest);
            }
            if let Some(meaning) = self.other_word(name) {
                return self.meant(meaning, &format!("--{name}"), value, rest);
            }
            return self.negated(name, value.is_some());
        };
        match (&flag.kind, value) {
            (FlagInfoKind::Switch, Some(_)) => Err(ArgvError::SwitchWithValue { flag: format!("--{name}") }),
            (FlagInfoKind::Switch, None) => {
                self.push(global, vec![flag.long.to_owned()]);
                Ok(())
            }
            (FlagInfoKind::Option { .. }, value) => {
                let mut words = vec![flag.long.to_owned()];
                words.extend(value.or_else(|| rest.next().cloned()));
                let follows = rest.as_slice().first().filter(|word| !word.starts_with('-'));
                if let (Some(first), Some(second)) = (words.get_mut(1), follows)
                    && IN_TWO_WORDS.contains(&flag.long)
                    && !first.contains(':')
                {
                    *first = format!("{first}:{second}");
                    rest.next();
                }
                self.push(global, words);
                Ok(())
            }
        }
    }

    /// `--no-x` takes an earlier `--x` back, `--x` an earlier `--no-x`: the
    /// last word wins, as scripts that append flags expect.
    fn negated(&mut self, name: &str, has_value: bool) -> Result<(), ArgvError> {
        let opposite = match name.strip_prefix("no-") {
            Some(positive) => positive.to_owned(),
            None => format!("no-{name}"),
        };
        match self.find_long(&opposite) {
            Some((global, flag)) if matches!(flag.kind, FlagInfoKind::Switch) && !has_value => {
                let long = format!("--{opposite}");
                let short = flag.short.map(|c| format!("-{c}"));
                let list = if global { &mut self.globals } else { &mut self.flags };
                list.retain(|words| words[0] != long && Some(&words[0]) != short.as_ref());
                Ok(())
            }
            _ => Err(self.unknown(&format!("--{name}"))),
        }
    }

    fn bundle(&mut self, arg: &str, rest: &mut Iter<'_, String>) -> Result<(), ArgvError> {
        for (at, letter) in arg[1..].char_indices() {
            let Some((global, flag)) = self.find_short(letter) else {
                let Some(meaning) = self.other_letter(letter) else {
                    return Err(self.unknown(&format!("-{letter}")));
                };
                let value = Some(arg[1 + at + letter.len_utf8()..].to_owned()).filter(|v| !v.is_empty());
                let value = value.filter(|_| meaning.takes_value(|name| self.takes_value(name)));
                let last = value.is_some();
                self.meant(meaning, &format!("-{letter}"), value, rest)?;
                if last {
                    break;
                }
                continue;
            };
            let mut words = vec![format!("-{letter}")];
            if matches!(flag.kind, FlagInfoKind::Switch) {
                self.push(global, words);
                continue;
            }
            let value = &arg[1 + at + letter.len_utf8()..];
            // `-F=k=v` is not a form anybody types for short flags: the value
            // is what follows, as `-Fvalue` says.
            if value.is_empty() {
                words.extend(rest.next().cloned());
            } else {
                words.push(value.to_owned());
            }
            self.push(global, words);
            break;
        }
        Ok(())
    }

    fn finish(mut self, help: bool) -> Vec<String> {
        if !help
            && let Some(name) =
                default_of(self.words.last().map(String::as_str), self.command()).map(|c| c.name)
        {
            self.words.push(name.to_owned());
        }
        self.positionals = self.mco.words_before(std::mem::take(&mut self.positionals));
        let mut out: Vec<String> = self.globals.into_iter().flatten().collect();
        let helped = HELPED.iter().find(|(name, _)| self.words.as_slice() == [*name]);
        if let Some((_, by)) = helped.filter(|_| help && !self.positionals.is_empty()) {
            out.extend([(*by).to_owned(), "--".to_owned()]);
            out.extend(self.positionals.into_iter().take(2));
            return out;
        }
        out.append(&mut self.words);
        if help {
            out.push("--help".to_owned());
            return out;
        }
        out.extend(self.flags.into_iter().flatten());
        if !self.positionals.is_empty() {
            out.push("--".to_owned());
            out.append(&mut self.positionals);
        }
        out
    }
}

fn default_of<'a>(word: Option<&str>, command: &'a CommandInfoWithArgs) -> Option<&'a CommandInfoWithArgs> {
    let (_, default) = DEFAULTS.iter().find(|(name, _)| Some(*name) == word)?;
    command.commands.iter().find(|c| c.name == *default).map(|c| &c.command)
}

#[cfg(test)]
mod tests;
