//! A program that keeps values: it is told by its environment what is wanted.

use std::time::Duration;

use serde_json::Value as Json;

use super::{Options, Store, Trouble, World};
use crate::core::programs::{CommandLine, Program, ProgramError, how};
use crate::core::text::shortened;

struct Shell {
    command: String,
    /// It as messages show it.
    shown: String,
    /// Nothing of it is shown.
    secret: bool,
    limit: Duration,
    directory: Option<String>,
    environment: Vec<(String, String)>,
}

pub(super) fn open(options: &Options<'_>) -> Result<Box<dyn Store>, Trouble> {
    let command = options.required("command")?;
    Ok(Box::new(Shell {
        command: command.to_owned(),
        shown: options.shown("command", command).to_owned(),
        secret: options.is_secret("command"),
        limit: options.seconds("timeout", 10)?.max(Duration::from_secs(1)),
        directory: options.text("cwd")?.map(str::to_owned),
        environment: options.words("environment")?,
    }))
}

impl Shell {
    fn run(&self, world: &World, key: &str, action: &str, value: Option<&str>) -> Result<String, Trouble> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if key.is_empty() || !key.bytes().all(plain) {
            return Err(Trouble(format!("the key '{key}' has other signs than letters, digits, _ and -")));
        }
        let path = std::env::var_os("PATH");
        let line = CommandLine::parse(&self.command, path.as_deref());
        let line = line.map_err(|e| Trouble(format!("the command '{}' {e}", self.shown)))?;
        let mut program: Program = line.to_program().args([format!("--{action}")]).limit(self.limit);
        for (name, value) in &self.environment {
            program = program.env(name, value);
        }
        program = program.env("CHORIA_DATA_KEY", key).env("CHORIA_DATA_ACTION", action);
        if let Some(value) = value {
            if value.contains('\0') {
                return Err(Trouble("a value with a zero byte cannot be given to a program".to_owned()));
            }
            program = program.env("CHORIA_DATA_VALUE", value);
        }
        if let Some(directory) = &self.directory {
            program = program.directory(directory);
        }
        let failed = |what: String| Trouble(format!("{} --{action}: {what}", self.shown));
        let ended = world.wait(program.run())?.map_err(|e| match e {
            ProgramError::Start { problem, .. } if self.secret => {
                failed(format!("it cannot be started: {problem}"))
            }
            other => failed(other.to_string()),
        })?;
        match ended.status.success() {
            true => Ok(String::from_utf8_lossy(&ended.output).trim_end_matches(['\n', '\r']).to_owned()),
            false => Err(failed(format!("{}: {}", how(ended.status), shortened(&ended.errors, 300)))),
        }
    }
}

impl Store for Shell {
    fn read(&self, world: &mut World, key: &str) -> Result<Json, Trouble> {
        self.run(world, key, "read", None).map(Json::String)
    }

    fn write(&self, world: &mut World, key: &str, value: &str) -> Result<(), Trouble> {
        self.run(world, key, "write", Some(value)).map(drop)
    }
}
