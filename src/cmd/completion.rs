//! `choria completion`: scripts for shells, and the lists they ask for.
//!
//! The scripts know nothing but how to ask: commands and flags come from the
//! same metadata as `--help`, agents, actions and inputs from the DDLs.

mod applications;

use std::process::ExitCode;

use anyhow::bail;
use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind, FromArgs};
use choria::core::config::{Config, Role, System, keys};
use choria::core::ddl::is_plain_name;
use choria::core::text::{meant, shortened};

use super::out::{out, outln};
use super::render::text::clean;
use super::rpc::resolver;
use super::{Choria, Globals, apps, argv, history, mco};

/// print a completion script, or what it asks for
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "completion")]
pub struct Completion {
    /// the script for zsh, not for bash
    #[argh(switch)]
    zsh: bool,
    /// the script for bash, which is the default
    #[argh(switch)]
    bash: bool,
    /// the script for fish
    #[argh(switch)]
    fish: bool,
    /// list agents, actions, inputs, applications, words that can come next, or what fits the last of a line of words
    #[argh(option, arg_name = "what")]
    list: Option<String>,
    /// agent whose actions or inputs are listed
    #[argh(option, arg_name = "agent")]
    agent: Option<String>,
    /// action whose inputs are listed
    #[argh(option, arg_name = "action")]
    action: Option<String>,
    /// zsh, bash or fish; words typed so far, for --list words and --list line
    #[argh(positional, greedy)]
    typed: Vec<String>,
}

impl Completion {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if [self.zsh, self.bash, self.fish].iter().filter(|shell| **shell).count() > 1 {
            bail!("--zsh, --bash and --fish exclude each other");
        }
        match self.list.as_deref() {
            None => out!("{}", self.script()?),
            Some("words") => {
                let top = Choria::get_args_info();
                words(&top, command(&top, &self.typed)).iter().for_each(|w| outln!("{w}"));
            }
            Some("line") => self.line(globals),
            Some(what) => {
                let (agent, action) = (self.agent.as_deref(), self.action.as_deref());
                for (name, description) in names(globals, what, agent, action)? {
                    if self.zsh { outln!("{name}:{description}") } else { outln!("{name}") }
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The script of the shell that is named, by flag or word.
    fn script(&self) -> anyhow::Result<&'static str> {
        let flagged = [(self.zsh, "zsh"), (self.fish, "fish"), (self.bash, "bash")];
        let flagged = flagged.into_iter().find_map(|(is, name)| is.then_some(name));
        let shell = match (self.typed.as_slice(), flagged) {
            ([], flagged) => flagged.unwrap_or("bash"),
            ([word], None) => word,
            ([word], Some(name)) if word == name => name,
            ([other, ..], _) => {
                bail!("cannot use '{}' here: choria completion zsh, bash or fish", clean(other, false))
            }
        };
        match shell {
            "zsh" => Ok(ZSH),
            "fish" => Ok(FISH),
            "bash" => Ok(BASH),
            other => {
                let meant = meant(other, ["zsh", "bash", "fish"]);
                let other = clean(other, false);
                bail!("there is no completion for '{other}'{meant}: it is for zsh, bash and fish")
            }
        }
    }

    /// What fits the last of the words, a line each; `:files` for names of files.
    fn line(&self, globals: &Globals) {
        let (current, typed) =
            self.typed.split_last().map_or(("", &[][..]), |(last, rest)| (last.as_str(), rest));
        // Shells part words at the sign between flag and value.
        let typed: Vec<&str> = typed.iter().map(String::as_str).filter(|word| *word != "=").collect();
        let current = if current == "=" { "" } else { current };
        let of = |what, agent, action| {
            let names = names(globals, what, agent, action).unwrap_or_default();
            names.into_iter().map(|(name, _)| name).collect()
        };
        let candidates: Vec<String> = match place(&Choria::get_args_info(), &typed, current) {
            Place::Files => {
                outln!(":files");
                return;
            }
            Place::Nothing => vec![],
            Place::Words(words) => words,
            Place::Keys => keys().iter().map(|key| key.name.to_owned()).collect(),
            Place::Requests => history::ids(globals),
            Place::Applications => applications::names(),
            Place::Within(name, typed) => applications::within(name, &typed),
            Place::Agents => of("agents", None, None),
            Place::Actions(agent) => of("actions", Some(agent), None),
            Place::Inputs(agent, action) => {
                let inputs: Vec<String> = of("inputs", Some(agent), Some(action));
                inputs.into_iter().map(|input| format!("{input}=")).collect()
            }
        };
        let fitting = candidates.iter().filter(|word| word.starts_with(current) && is_plain(word));
        fitting.for_each(|word| outln!("{word}"));
    }
}

/// What can stand at a place of a line.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    /// Commands, flags, or the values a flag takes.
    Words(Vec<String>),
    /// Names of files.
    Files,
    /// Keys of the configuration.
    Keys,
    /// Requests that are kept.
    Requests,
    /// Applications of YAML.
    Applications,
    /// Words of one of them, behind these.
    Within(&'a str, Vec<&'a str>),
    Agents,
    Actions(&'a str),
    Inputs(&'a str, &'a str),
    /// Something only the person knows.
    Nothing,
}

/// The values of flags that take one of a few.
const VALUES: [(&str, &[&str]); 5] = [
    ("--only", &["ok", "failed", "missed", "denied"]),
    ("--retry", &["failed", "missed", "denied", "ok"]),
    ("--dm", &["mc", "broadcast", "flatfile", "inventory", "puppetdb", "external"]),
    ("--display", &["ok", "failed", "all", "none"]),
    ("--list", &["agents", "actions", "inputs", "applications", "words", "line"]),
];

/// What can stand where `current` is begun, after `typed`.
fn place<'a>(top: &CommandInfoWithArgs, typed: &[&'a str], current: &str) -> Place<'a> {
    let (mut command, mut name) = (top, "");
    let mut positionals: Vec<&'a str> = vec![];
    let mut value_of: Option<&FlagInfo<'_>> = None;
    // The second word of a flag that has two for a value.
    let mut second = false;
    for word in typed {
        if let Some(flag) = value_of.take() {
            second = argv::IN_TWO_WORDS.contains(&flag.long);
            continue;
        }
        if std::mem::take(&mut second) {
            continue;
        }
        if word.starts_with('-') && word.len() > 1 {
            value_of = flag(top, command, word).filter(|flag| takes_value(flag) && !word.contains('='));
            continue;
        }
        let own = argv::ALIASES.iter().find(|(alias, _)| alias == word).map_or(*word, |(_, own)| own);
        match command.commands.iter().find(|c| c.name == own) {
            Some(sub) => (command, name) = (&sub.command, sub.name),
            None => positionals.push(word),
        }
    }
    if let Some(flag) = value_of {
        return value(flag);
    }
    if second {
        return Place::Requests;
    }
    if let ("run", [application, ..], true) = (name, positionals.as_slice(), typed.contains(&"builder")) {
        let behind = typed.iter().skip_while(|word| *word != application).skip(1);
        return Place::Within(application, behind.copied().collect());
    }
    if current.starts_with('-') {
        return Place::Words(words(top, command));
    }
    match (name, positionals.as_slice()) {
        ("rpc" | "doc", []) => Place::Agents,
        ("rpc" | "doc", [agent]) => Place::Actions(agent),
        ("rpc", [agent, action, ..]) => Place::Inputs(agent, action),
        ("config", _) => Place::Keys,
        ("show", []) if typed.contains(&"history") => Place::Requests,
        ("run" | "validate", []) if typed.contains(&"builder") => Place::Applications,
        (name, given) if !apps::words(name).is_empty() => verbs(name, given),
        _ if !command.commands.is_empty() => Place::Words(words(top, command)),
        (_, given) => match command.positionals.get(given.len()).or(command.positionals.last()) {
            Some(wanted) if is_file(wanted.name) => Place::Files,
            _ => Place::Nothing,
        },
    }
}

/// What can be done with an application, before or after what it is done to.
fn verbs<'a>(name: &str, given: &[&str]) -> Place<'a> {
    let words = apps::words(name);
    let verb_later = ["package", "service"].contains(&name) && given.iter().all(|word| !words.contains(word));
    match given.len() {
        0 => Place::Words(words.into_iter().map(str::to_owned).collect()),
        1 if verb_later => Place::Words(words.into_iter().map(str::to_owned).collect()),
        _ => Place::Nothing,
    }
}

fn flag(
    top: &CommandInfoWithArgs,
    command: &CommandInfoWithArgs,
    word: &str,
) -> Option<&'static FlagInfo<'static>> {
    let long = word.split('=').next().unwrap_or(word);
    // Of several letters together the last may take a value.
    let short = if word.starts_with("--") { None } else { word.chars().last() };
    command
        .flags
        .iter()
        .chain(top.flags)
        .find(|flag| flag.long == long || short.is_some() && flag.short == short)
}

fn takes_value(flag: &FlagInfo<'_>) -> bool {
    matches!(flag.kind, FlagInfoKind::Option { .. })
}

fn value<'a>(flag: &FlagInfo<'_>) -> Place<'a> {
    let arg_name = match flag.kind {
        FlagInfoKind::Option { arg_name } => arg_name,
        FlagInfoKind::Switch => return Place::Nothing,
    };
    if let Some((_, values)) = VALUES.iter().find(|(long, _)| *long == flag.long) {
        return Place::Words(values.iter().map(|value| (*value).to_owned()).collect());
    }
    match arg_name {
        "agent" => Place::Agents,
        name if is_file(name) => Place::Files,
        _ => Place::Nothing,
    }
}

fn is_file(name: &str) -> bool {
    name.split('|').any(|name| ["file", "dir", "signkey"].contains(&name))
}

/// Names and descriptions. What cannot be looked up lists nothing: a
/// completion must not print complaints into a command line.
fn names(
    globals: &Globals,
    what: &str,
    agent: Option<&str>,
    action: Option<&str>,
) -> anyhow::Result<Vec<(String, String)>> {
    if what == "applications" {
        return Ok(mco::applications(&Choria::get_args_info()));
    }
    let config = Config::load(Role::Client, globals.config.as_deref(), &System);
    let Ok(config) = config.or_else(|_| Config::defaults(Role::Client, &System)) else {
        return Ok(vec![]);
    };
    let resolver = resolver(&config);
    if what == "agents" {
        let describe = |name: String| {
            let description = resolver.agent(&name).map(|d| d.metadata.description).unwrap_or_default();
            (name, shortened(&description, MAX_DESCRIPTION))
        };
        let named = resolver.agent_names().into_iter().filter(|name| is_plain_name(name));
        return Ok(named.map(describe).collect());
    }
    let Some(agent) = agent else { bail!("--list {what} needs --agent") };
    let Ok(ddl) = resolver.agent(agent) else { return Ok(vec![]) };
    // descriptions are shown, and names put into a command line: a shell must not read more
    // than words in them, whoever wrote the interface
    let shown = |name: &str, description: &str| {
        is_plain_name(name).then(|| (name.to_owned(), shortened(description, MAX_DESCRIPTION)))
    };
    match (what, action) {
        ("actions", _) => Ok(ddl.actions.iter().filter_map(|a| shown(&a.action, &a.description)).collect()),
        ("inputs", Some(action)) => {
            let inputs = ddl.action(action).into_iter().flat_map(|a| &a.input);
            Ok(inputs.filter_map(|(name, input)| shown(name, &input.description)).collect())
        }
        ("inputs", None) => bail!("--list inputs needs --action"),
        (other, _) => {
            bail!("--list must be one of agents, actions, inputs, applications, words, got '{other}'")
        }
    }
}

/// Characters of a description beside a candidate.
const MAX_DESCRIPTION: usize = 200;

/// Commands and flags that can come after those of `command`.
fn words(top: &CommandInfoWithArgs, command: &CommandInfoWithArgs) -> Vec<String> {
    let commands = command.commands.iter().map(|c| c.name.to_owned());
    let flags = command.flags.iter().chain(top.flags).filter(|f| !f.hidden).map(|f| f.long.to_owned());
    let mut words: Vec<String> = commands.chain(flags).chain(["--help".to_owned()]).collect();
    words.sort();
    words.dedup();
    words
}

/// The command that words lead to.
fn command<'a>(top: &'a CommandInfoWithArgs, typed: &[String]) -> &'a CommandInfoWithArgs {
    typed.iter().fold(top, |command, word| {
        command.commands.iter().find(|c| c.name == word).map_or(command, |sub| &sub.command)
    })
}

const BASH: &str = include_str!("../../packaging/completion/choria.bash");
const ZSH: &str = include_str!("../../packaging/completion/choria.zsh");
const FISH: &str = include_str!("../../packaging/completion/choria.fish");

/// Whether a shell takes a word as it is: it is put on the line without quotes, and some come from files.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_.+:@/=,%".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_follow_the_command_tree() {
        let top = Choria::get_args_info();
        let after = |typed: &[&str]| {
            words(&top, command(&top, &typed.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()))
        };
        assert!(after(&[]).contains(&"ping".to_owned()) && after(&[]).contains(&"--config".to_owned()));
        assert!(after(&["tool"]).contains(&"ca".to_owned()));
        assert!(after(&["tool", "ca", "issue"]).contains(&"--broker".to_owned()));
        assert!(after(&["rpc"]).contains(&"--wf".to_owned()));
    }

    #[test]
    fn what_fits_depends_on_what_was_typed() {
        let top = Choria::get_args_info();
        let at = |line: &'static str| {
            let mut typed: Vec<&str> = line.split(' ').collect();
            let current = typed.pop().unwrap_or_default();
            place(&top, &typed, current)
        };
        let is_one_of = |line: &'static str, word: &str| match at(line) {
            Place::Words(words) => words.iter().any(|w| w == word),
            other => panic!("{line}: {other:?}"),
        };
        assert!(is_one_of("package ", "status") && is_one_of("package -F a=b httpd ", "install"));
        assert!(is_one_of("service ", "restart") && is_one_of("puppet ", "runall"));
        assert!(is_one_of("shell ", "watch") && is_one_of("puppet --", "--skip-tags"));
        assert!(is_one_of("rpc --retry ", "missed"));
        assert!(is_one_of("", "ping") && is_one_of("tool ", "ca") && is_one_of("tool ca ", "issue"));
        assert!(is_one_of("ping -", "--expect") && is_one_of("rpc rpcutil ping --", "--batch"));
        assert!(is_one_of("find --dm ", "inventory") && is_one_of("rpc rpcutil ping --display ", "failed"));
        for (line, place) in [
            ("rpc ", Place::Agents),
            ("req -F country=mt ", Place::Agents),
            ("rpc --limit 5 rpcutil ", Place::Actions("rpcutil")),
            ("rpc -vjF country=mt rpcutil ", Place::Actions("rpcutil")),
            ("rpc rpcutil get_fact -I n1 ", Place::Inputs("rpcutil", "get_fact")),
            ("doc rpcutil ", Place::Actions("rpcutil")),
            ("rpc --only ok last rpcutil ", Place::Actions("rpcutil")),
            ("rpc --only ok ", Place::Requests),
            ("history show ", Place::Requests),
            ("history show --table ", Place::Requests),
            ("history show last ", Place::Nothing),
            ("package status ", Place::Nothing),
            ("service httpd restart ", Place::Nothing),
            ("puppet runall ", Place::Nothing),
            ("find -A ", Place::Agents),
            ("ping --nodes ", Place::Files),
            ("--config ", Place::Files),
            ("--config x ping --timeout ", Place::Nothing),
            ("jwt view ", Place::Files),
            ("policy check ", Place::Files),
            ("tool config plugin.", Place::Keys),
            ("inventory ", Place::Nothing),
            #[cfg(feature = "builder")]
            ("builder run ", Place::Applications),
            #[cfg(feature = "builder")]
            ("builder run demo say ", Place::Within("demo", vec!["say"])),
            #[cfg(feature = "builder")]
            ("builder run demo -", Place::Within("demo", vec![])),
        ] {
            assert_eq!(at(line), place, "{line}");
        }
    }
}
