//! What is particular to the name `mco`: its list of commands, and options that
//! come from the environment (spec 03 §14.1).

use std::process::ExitCode;

use anyhow::Context as _;
use argh::CommandInfoWithArgs;

use super::out::{errln, outln};
use super::render::columns;
use super::render::text::clean;
use choria::core::build;
use choria::core::text::meant;

/// Flags for every `mco` command, before its own.
const EXTRA: &str = "MCOLLECTIVE_EXTRA_OPTS";

/// The words with those of the environment, which come first.
pub fn with_extra(mut words: Vec<String>) -> anyhow::Result<Vec<String>> {
    let extra = std::env::var(EXTRA).unwrap_or_default();
    let extra = shlex::split(&extra).with_context(|| format!("{EXTRA} has a quote that is not closed"))?;
    if !words.is_empty() {
        words.splice(1..1, extra);
    }
    Ok(words)
}

/// What there is, when nothing is asked for.
pub fn list(top: &CommandInfoWithArgs) -> ExitCode {
    outln!("The Marionette Collective version {}\n", build::VERSION);
    outln!("Known commands:\n");
    outln!("{}", columns::across(&names(top), 3, 3));
    outln!("Type 'mco help' for the options, 'mco help COMMAND' for those of one.");
    ExitCode::SUCCESS
}

/// Help under the name that was typed.
pub fn help(text: &str) -> String {
    match text.strip_prefix("Usage: choria ") {
        Some(rest) => format!("Usage: mco {rest}"),
        None => text.to_owned(),
    }
}

/// The word is no command.
pub fn unknown(top: &CommandInfoWithArgs, word: &str) -> ExitCode {
    let names = names(top);
    let meant = meant(word, names.iter().map(String::as_str));
    errln!("mco: there is no command '{}'{meant}; known are {}", clean(word, false), names.join(", "));
    ExitCode::FAILURE
}

/// Commands and what they are for. Daemons are none of the Ruby world's.
pub fn applications(top: &CommandInfoWithArgs) -> Vec<(String, String)> {
    let daemons = ["broker", "server", "provision", "emulate"];
    let commands = top.commands.iter().filter(|command| !daemons.contains(&command.name));
    commands.map(|command| (command.name.to_owned(), command.command.description.to_owned())).collect()
}

fn names(top: &CommandInfoWithArgs) -> Vec<String> {
    applications(top).into_iter().map(|(name, _)| name).collect()
}
