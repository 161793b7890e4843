//! `choria playbook list`

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use serde_json::json;

use super::{modules, shown};
use crate::cmd::out::{errln, outln};
use crate::cmd::render::text::{clean, escaped};

/// list plans, with the first line of the comment before each; those that run Puppet Tasks are
/// there without a module
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list")]
pub struct List {
    /// directories with modules, separated by colons, default those of Puppet
    #[argh(option, arg_name = "path")]
    modulepath: Option<String>,
    /// show JSON
    #[argh(switch, short = 'j')]
    json: bool,
}

impl List {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let modules = modules(self.modulepath.as_deref());
        let plans = modules.plans();
        if self.json {
            let plans: Vec<_> = plans
                .iter()
                .map(|plan| json!({"name": plan.name, "file": plan.file, "description": plan.summary}))
                .collect();
            outln!("{}", escaped(&serde_json::to_string_pretty(&plans)?));
            return Ok(ExitCode::SUCCESS);
        }
        if plans.iter().all(|plan| plan.file.is_none()) {
            let path = shown(&modules);
            errln!(
                "choria: there are no plans of yours in MODULE/plans below {path}, --modulepath names other directories"
            );
        }
        let width = plans.iter().map(|plan| plan.name.chars().count()).max().unwrap_or(0);
        for plan in &plans {
            let line = format!("{:width$}  {}", plan.name, plan.summary);
            outln!("{}", clean(line.trim_end(), false));
        }
        Ok(ExitCode::SUCCESS)
    }
}
