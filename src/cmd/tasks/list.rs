//! `choria tasks list`

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use choria::core::text::column;

use super::request::{environment, source};
use crate::cmd::Globals;
use crate::cmd::context;
use crate::cmd::out::{errln, outln};
use crate::cmd::render::text::{clean, escaped};

/// Names in a row.
const IN_A_ROW: usize = 3;

/// the tasks that the server of tasks has
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list")]
pub struct List {
    /// show what each does, too
    #[argh(switch)]
    detail: bool,
    /// those too that are for other tasks and not for people
    #[argh(switch)]
    all: bool,
    /// environment of the tasks, default production
    #[argh(option, arg_name = "name")]
    environment: Option<String>,
    /// show JSON
    #[argh(switch, short = 'j')]
    json: bool,
}

impl List {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let config = context::client_config(globals)?;
        let environment = environment(self.environment.as_deref())?;
        let mut found = context::block_on_briefly(async {
            let source = source(&config).await?;
            let mut found = source.list(environment).await?;
            found.retain(|task| self.all || !task.private);
            if self.detail {
                // older servers tell names alone
                for task in found.iter_mut().filter(|task| task.description.is_none()) {
                    let Ok(name) = choria::core::tasks::TaskName::parse(&task.name) else { continue };
                    task.description = source.task(&name, environment).await?.metadata.description;
                }
            }
            anyhow::Ok(found)
        })??;
        found.dedup_by(|one, other| one.name == other.name);
        if self.json {
            outln!("{}", escaped(&serde_json::to_string_pretty(&found)?));
            return Ok(ExitCode::SUCCESS);
        }
        if found.is_empty() {
            errln!("choria: the server of tasks has none in the environment {environment}");
            return Ok(ExitCode::SUCCESS);
        }
        let width = column(found.iter().map(|task| task.name.len())).max(20);
        if self.detail {
            for task in &found {
                let about =
                    task.description.as_deref().unwrap_or_default().lines().next().unwrap_or_default();
                let line = format!("  {:<width$} {}", clean(&task.name, false), clean(about, false));
                outln!("{}", line.trim_end());
            }
            return Ok(ExitCode::SUCCESS);
        }
        for row in found.chunks(IN_A_ROW) {
            let names: Vec<String> =
                row.iter().map(|task| format!("{:<width$}", clean(&task.name, false))).collect();
            outln!("  {}", names.join(" ").trim_end());
        }
        outln!("\nUse 'choria tasks describe NAME' to see what a task takes");
        Ok(ExitCode::SUCCESS)
    }
}
