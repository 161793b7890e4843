//! `choria tasks describe`

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};
use choria::core::text::byte_size;

use super::request::{environment, name_of, source};
use crate::cmd::Globals;
use crate::cmd::context;
use crate::cmd::out::outln;
use crate::cmd::render::text::{clean, escaped};

/// what a task does, takes and is made of
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "describe")]
pub struct Describe {
    /// environment of the task, default production
    #[argh(option, arg_name = "name")]
    environment: Option<String>,
    /// show JSON, as the server tells it
    #[argh(switch, short = 'j')]
    json: bool,
    /// the task, such as module::name
    #[argh(positional)]
    task: String,
}

impl Describe {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let name = name_of(&self.task)?;
        let environment = environment(self.environment.as_deref())?;
        let config = context::client_config(globals)?;
        let task = context::block_on_briefly(async {
            anyhow::Ok(source(&config).await?.task(&name, environment).await?)
        })??;
        if self.json {
            outln!("{}", escaped(&serde_json::to_string_pretty(&task)?));
            return Ok(ExitCode::SUCCESS);
        }
        let about = &task.metadata;
        outln!("{name} - {}\n", clean(about.description.as_deref().unwrap_or("no description"), true));
        match &about.parameters {
            None => outln!("Task Parameters:\n  it does not say which, and takes any"),
            Some(parameters) if parameters.is_empty() => outln!("Task Parameters:\n  none"),
            Some(parameters) => {
                outln!("Task Parameters:");
                for (parameter, _) in parameters {
                    let secret = about.secrets().contains(parameter);
                    let default = about.default_of(parameter).filter(|_| !secret);
                    let default = default.map(|value| format!(", default {value}")).unwrap_or_default();
                    let secret = if secret { ", kept secret" } else { "" };
                    let rest = format!("({}{default}{secret})", about.type_of(parameter));
                    let words = about.about(parameter).split_whitespace().collect::<Vec<_>>().join(" ");
                    outln!(
                        "  {:<30} {} {}",
                        clean(parameter, false),
                        clean(&words, false),
                        clean(&rest, false)
                    );
                }
            }
        }
        outln!("\nTask Files:");
        for file in &task.files {
            #[allow(clippy::cast_precision_loss)] // shown to three digits
            let size = byte_size(file.size_bytes as f64);
            let (name, hash) = (clean(&file.filename, false), clean(&file.sha256, false));
            outln!("  {name:<30} {size:>10}  {}", hash.chars().take(16).collect::<String>());
        }
        outln!("\nUse 'choria tasks run {name}' to run this task");
        Ok(ExitCode::SUCCESS)
    }
}
