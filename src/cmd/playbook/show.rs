//! `choria playbook show`

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use choria::core::playbook::signature;
use choria::core::puppet::Signature;
use serde_json::json;

use super::offline::Offline;
use super::{modules, unknown};
use crate::cmd::out::outln;
use crate::cmd::render::text::{clean, escaped};

/// show what a plan is for and what it takes
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "show")]
pub struct Show {
    /// directories with modules, separated by colons, default those of Puppet
    #[argh(option, arg_name = "path")]
    modulepath: Option<String>,
    /// show JSON
    #[argh(switch, short = 'j')]
    json: bool,
    /// the plan, such as module::name
    #[argh(positional, arg_name = "plan")]
    name: String,
}

/// The comment of a plan: its text, and what it says of each parameter.
fn documented(signature: &Signature) -> (String, Vec<(String, String)>) {
    let (mut text, mut parameters): (Vec<&str>, Vec<(String, String)>) = (vec![], vec![]);
    let mut of_parameter = false;
    for line in &signature.comment {
        if let Some(rest) = line.strip_prefix("@param ") {
            let (name, rest) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
            parameters.push((name.to_owned(), rest.trim().to_owned()));
            of_parameter = true;
        } else if line.starts_with('@') && !line.starts_with("@summary") {
            of_parameter = false;
        } else if of_parameter && line.starts_with(' ') {
            if let Some((_, said)) = parameters.last_mut() {
                said.push(' ');
                said.push_str(line.trim());
            }
        } else {
            of_parameter = false;
            text.push(line.trim_start_matches("@summary").trim());
        }
    }
    (text.join("\n").trim().to_owned(), parameters)
}

impl Show {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let modules = modules(self.modulepath.as_deref());
        let signature =
            signature(&mut Offline(&modules), &self.name)?.ok_or_else(|| unknown(&modules, &self.name))?;
        let (text, said) = documented(&signature);
        let about =
            |name: &str| said.iter().find(|(known, _)| known == name).map_or("", |(_, said)| said.as_str());
        if self.json {
            let parameters: Vec<_> = signature
                .parameters
                .iter()
                .map(|p| {
                    json!({
                        "name": p.name,
                        "type": p.of.to_string(),
                        "default": p.default,
                        "required": p.is_required(),
                        "description": about(&p.name),
                    })
                })
                .collect();
            let shown = json!({
                "name": signature.name,
                "file": signature.file,
                "description": text,
                "parameters": parameters,
            });
            outln!("{}", escaped(&serde_json::to_string_pretty(&shown)?));
            return Ok(ExitCode::SUCCESS);
        }
        outln!("{}  {}\n", signature.name, clean(&signature.file, false));
        if !text.is_empty() {
            text.lines().for_each(|line| outln!("{}", clean(line, false)));
            outln!();
        }
        for parameter in &signature.parameters {
            let of = parameter.of.to_string();
            let rest = match (&parameter.default, parameter.is_required()) {
                (Some(default), _) => format!(", default {default}"),
                (None, true) => ", required".to_owned(),
                (None, false) => String::new(),
            };
            outln!("  --{}  {}", clean(&parameter.name, false), clean(&format!("{of}{rest}"), false));
            if !about(&parameter.name).is_empty() {
                outln!("      {}", clean(about(&parameter.name), false));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
