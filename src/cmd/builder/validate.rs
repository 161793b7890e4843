//! `choria builder validate`

use std::process::ExitCode;

use anyhow::bail;
use argh::{ArgsInfo, FromArgs};
use choria::core::builder::Finding;
use choria::core::builder::compile::examine;
use serde_json::{Value, json};

use super::app::tell;
use super::machine::{Includes, text};
use super::places;
use crate::cmd::out::outln;
use crate::cmd::render::text::{clean, escaped};

/// say what is wrong with an application without running it, one line a mistake; exit 1 when anything is, keys that
/// nobody knows among it
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "validate")]
pub struct Validate {
    /// show JSON, with file, line and column of each mistake
    #[argh(switch, short = 'j')]
    json: bool,
    /// definition, or name of an application
    #[argh(positional)]
    definition: String,
}

impl Validate {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let found = places::application(&self.definition)?;
        let file = found.file.display().to_string();
        let text = text(&found.file).map_err(anyhow::Error::msg)?;
        let (mistakes, notes) = examine(&file, &text, &mut Includes, found.is_tasks);
        if self.json {
            let document = |finding: &Finding| {
                json!({
                    "file": &*finding.file, "line": finding.at.line, "column": finding.at.column,
                    "message": finding.text,
                })
            };
            let all = |findings: &[Finding]| findings.iter().map(document).collect::<Vec<Value>>();
            let document = json!({"mistakes": all(&mistakes), "refused": all(&notes)});
            outln!("{}", escaped(&format!("{document:#}")));
            return Ok(if mistakes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        notes.iter().for_each(|note| tell("note: ", note));
        mistakes.iter().for_each(|mistake| tell("", mistake));
        if !mistakes.is_empty() {
            bail!("{file} is not valid, see above");
        }
        outln!("Application definition {} is valid", clean(&file, false));
        Ok(ExitCode::SUCCESS)
    }
}
