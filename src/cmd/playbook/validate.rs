//! `choria playbook validate`

use std::process::ExitCode;

use anyhow::bail;
use argh::{ArgsInfo, FromArgs};
use choria::core::playbook::check;
use serde_json::json;

use super::offline::Offline;
use super::{modules, unknown};
use crate::cmd::out::outln;
use crate::cmd::render::text::{clean, escaped};

/// say what is wrong with plans without running them: what does not parse, functions and types that nobody defines;
/// exit 1 when anything is wrong
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "validate")]
pub struct Validate {
    /// directories with modules, separated by colons, default those of Puppet
    #[argh(option, arg_name = "path")]
    modulepath: Option<String>,
    /// show JSON, with file, line and column of each problem
    #[argh(switch, short = 'j')]
    json: bool,
    /// plans, such as module::name; all that there are when none is named
    #[argh(positional, arg_name = "plan")]
    names: Vec<String>,
}

impl Validate {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let modules = modules(self.modulepath.as_deref());
        let names = match self.names.is_empty() {
            true => {
                let own = modules.plans().into_iter().filter(|plan| plan.file.is_some());
                own.map(|plan| plan.name).collect()
            }
            false => self.names,
        };
        if names.is_empty() {
            bail!("there are no plans to look at; --modulepath names directories with modules");
        }
        let mut problems = vec![];
        for name in &names {
            match check(&mut Offline(&modules), name) {
                Ok(None) => return Err(unknown(&modules, name)),
                Ok(Some(found)) => {
                    problems.extend(found.into_iter().map(|e| (name.clone(), e.place.clone(), e.message())))
                }
                Err(unreadable) => problems.push((name.clone(), None, unreadable)),
            }
        }
        if self.json {
            let shown: Vec<_> = problems
                .iter()
                .map(|(name, place, message)| {
                    json!({
                        "plan": name,
                        "file": place.as_ref().map(|place| &*place.file),
                        "line": place.as_ref().map(|place| place.line),
                        "column": place.as_ref().map(|place| place.column),
                        "message": message,
                    })
                })
                .collect();
            outln!("{}", escaped(&serde_json::to_string_pretty(&shown)?));
        } else {
            for (name, place, message) in &problems {
                let place = place.as_ref().map_or_else(|| name.clone(), ToString::to_string);
                outln!("{}", clean(&format!("{place}: {message}"), false));
            }
            if problems.is_empty() {
                outln!("{} plan(s), nothing is wrong", names.len());
            }
        }
        Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
