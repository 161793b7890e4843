//! `choria builder info`

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use choria::core::config::{Environment as _, System};
use serde_json::json;

use super::places;
use crate::cmd::out::outln;
use crate::cmd::render::text::{clean, escaped};

/// show where applications are looked for, and what the environment says of that
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "info")]
pub struct Info {
    /// show JSON
    #[argh(switch, short = 'j')]
    json: bool,
}

const VARIABLES: [(&str, &str); 5] = [
    ("BUILDER_APP", "Definition file"),
    ("BUILDER_CONFIG", "Configuration file"),
    ("ABTaskFile", "File of tasks"),
    ("BUILDER_DEBUG", "Debug logging"),
    ("BUILDER_DRY_RUN", "Dry run"),
];

impl Info {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let directories: Vec<String> =
            places::directories().iter().map(|dir| dir.display().to_string()).collect();
        let value = |name: &str| System.var(name);
        if self.json {
            let variables: serde_json::Map<_, _> =
                VARIABLES.iter().map(|(name, _)| ((*name).to_owned(), json!(value(name)))).collect();
            let document = json!({"locations": directories, "environment": variables});
            outln!("{}", escaped(&format!("{document:#}")));
            return Ok(ExitCode::SUCCESS);
        }
        outln!("Applications are looked for in the working directory and in:\n");
        directories.iter().for_each(|dir| outln!("    {}", clean(dir, false)));
        outln!("\nThe environment says:\n");
        for (name, what) in VARIABLES {
            let value = value(name).unwrap_or_else(|| "not set".to_owned());
            outln!("    {:<40} {}", format!("{what} ({name}):"), clean(&value, false));
        }
        Ok(ExitCode::SUCCESS)
    }
}
