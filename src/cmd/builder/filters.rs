//! The flags that choose nodes, for applications: those of all commands that address the fleet, by
//! their own description, so that there is one list of them.

use argh::{ArgsInfo as _, FlagInfoKind, FromArgs as _};
use choria::core::builder::kinds::{Filter, OwnFlag};
use choria::core::builder::line::Run;

use crate::cmd::fleet::{Selection, fleet_command};

fleet_command! {
    /// the nodes that are meant
    #[argh(subcommand, name = "filters")]
    pub struct Chosen {}
}

/// The flags, as applications know them.
pub fn flags() -> Vec<OwnFlag> {
    let all = Chosen::get_args_info();
    let own = all.flags.iter().filter(|flag| flag.long != "--help").map(|flag| OwnFlag {
        long: flag.long.trim_start_matches('-').to_owned(),
        short: flag.short,
        value: match flag.kind {
            FlagInfoKind::Option { arg_name } => Some(arg_name.to_owned()),
            FlagInfoKind::Switch => None,
        },
        help: flag.description.to_owned(),
    });
    own.collect()
}

/// What a definition and a line say of nodes, as words of our commands.
pub fn words(filter: &Filter, run: &Run<'_>) -> Vec<String> {
    let mut words: Vec<String> = vec![];
    // an empty one is refused there, and not left out here
    for (flag, values) in [
        ("--wf", &filter.facts),
        ("--wc", &filter.classes),
        ("--wa", &filter.agents),
        ("--wi", &filter.identities),
        ("--with", &filter.combined),
    ] {
        values.iter().for_each(|value| words.extend([flag.to_owned(), value.clone()]));
    }
    let mut push = |flag: &str, value: &str| {
        if !value.is_empty() {
            words.extend([flag.to_owned(), value.to_owned()]);
        }
    };
    // what is typed counts more where there can be one only
    for (flag, value) in [
        ("select", &filter.compound),
        ("target", &filter.collective),
        ("dm", &filter.method),
        ("nodes", &filter.nodes_file),
    ] {
        if !run.is_set(flag) {
            push(&format!("--{flag}"), value);
        }
    }
    filter.options.iter().for_each(|(name, value)| push("--do", &format!("{name}={value}")));
    if let Some(seconds) = filter.timeout.filter(|_| !run.is_set("discovery-timeout")) {
        push("--discovery-timeout", &seconds.to_string());
    }
    if filter.dynamic && !run.is_set("discovery-window") && !run.is_set("fixed-window") {
        words.push("--discovery-window".to_owned());
    }
    for flag in flags() {
        for value in run.own.get(&flag.long).into_iter().flatten() {
            words.push(format!("--{}", flag.long));
            if flag.value.is_some() {
                words.push(value.clone());
            } else {
                break;
            }
        }
    }
    words
}

/// The same as our commands have it.
pub fn selection(words: &[String]) -> anyhow::Result<Selection> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match Chosen::from_args(&["filters"], &words) {
        Ok(chosen) => Ok(chosen.selection()),
        Err(early) => anyhow::bail!("{}", early.output.trim()),
    }
}
