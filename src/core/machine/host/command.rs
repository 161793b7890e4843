//! Work of watchers, done (spec 06 §6): templates filled, commands run in a process group of
//! their own, for as long as they may.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempPath;

use super::files::Files;
use super::{Answer, Host, Job, Setting, Surroundings, Work};
use crate::core::machine::duration;
use crate::core::machine::overrides;
use crate::core::machine::template::{Lookup, Overrides, is_template, render};
use crate::core::machine::turn::{Command, FactsLook, PluginSettings, Ran};
use crate::core::machine::words;
use crate::core::programs::{Ended, Program, ProgramError, find, how};
use crate::core::protocol::filter::Facts;

/// Bytes of a command, and words of it.
const MAX_LINE: usize = 128 * 1024;
/// A hundred years, for what is let run.
const LONG: Duration = Duration::from_secs(3_155_760_000);

impl Host {
    /// How whoever needs facts looks at them.
    pub(super) fn facts_look(&self, around: &Arc<dyn Surroundings>) -> FactsLook {
        let (inner, around) = (self.inner.clone(), around.clone());
        Arc::new(move || {
            let (inner, around) = (inner.clone(), around.clone());
            Box::pin(async move { inner.files.looked(&*around).await })
        })
    }

    /// Does a piece of work.
    pub(super) async fn worked(&self, job: Job, around: &dyn Surroundings, facts: FactsLook) -> Answer {
        let settings = &self.inner.settings;
        let setting = Setting {
            identity: self.inner.identity.clone(),
            machine: job.machine,
            watcher: job.watcher,
            directory: job.directory,
            facts,
            data: job.data,
            status: settings.status.clone(),
            plugins: PluginSettings { store: settings.store.clone(), key: settings.signing_key.clone() },
            network: around.network(),
            overrides: settings.overrides.clone(),
            denied: settings.denied.clone(),
        };
        match job.work {
            Work::Command(command) => {
                let began = Instant::now();
                let line = command.line.clone();
                let done = async {
                    let _slot = match &command.governed {
                        Some(governed) => Some(setting.slot(governed).await?),
                        None => None,
                    };
                    self.ran(*command, setting).await
                };
                match done.await {
                    Ok(ran) => Answer::Ran(ran),
                    Err(problem) => {
                        let line = line.to_string();
                        Answer::Ran(Ran { problem, line, took: began.elapsed(), ..Ran::default() })
                    }
                }
            }
            Work::Other(task) | Work::Patient(task) => task(setting).await,
        }
    }

    async fn ran(&self, command: Command, setting: Setting) -> Result<Ran, String> {
        let templates = !command.check
            && (is_template(&command.line) || command.environment.iter().any(|item| is_template(item)));
        let facts = match command.files || templates {
            true => Some(setting.facts().await),
            false => None,
        };
        let filled = if command.check {
            let overrides = match setting.overrides.clone() {
                Some(file) => overrides::read_in_time(file).await,
                None => Arc::default(),
            };
            Filled::of_check(&command, &setting.machine, &overrides)
        } else if templates {
            let (command, setting, facts) = (command.clone(), setting.clone(), facts.clone());
            // all facts are copied for it, and they may be large
            let filled = move || {
                let scope = facts.map_or(Value::Null, |facts| setting.scope(&facts));
                Filled::of(&command, &scope)
            };
            tokio::task::spawn_blocking(filled).await.map_err(|e| e.to_string())?
        } else {
            Filled::of(&command, &Value::Null)
        }?;
        let (directory, place) = (setting.directory.clone(), filled.place(&setting));
        let (inner, line, limit) = (self.inner.clone(), filled.line.clone(), command.limit);
        let began = Instant::now();
        let make = move || {
            let made = filled.made(&command, &setting, facts.as_ref(), &inner.files)?;
            inner.commands.fetch_add(1, Ordering::Relaxed);
            Ok::<_, String>(made)
        };
        let ended = Program::run_made(directory, place, make).await?;
        Ok(ran(line, began.elapsed(), limit, ended))
    }
}

/// A command, templates filled. Nothing of it was looked at yet.
struct Filled {
    line: String,
    name: String,
    arguments: Vec<String>,
    /// `NAME=VALUE`.
    environment: Vec<String>,
}

impl Filled {
    fn of(command: &Command, scope: &Value) -> Result<Filled, String> {
        let line = render(&command.line, &Lookup { scope }).map_err(|e| e.to_string())?;
        Filled::of_line(line, command, scope)
    }

    fn of_check(command: &Command, machine: &str, overrides: &Value) -> Result<Filled, String> {
        let line = render(&command.line, &Overrides { all: overrides, machine });
        Filled::of_line(line.map_err(|e| e.to_string())?, command, &Value::Null)
    }

    fn of_line(line: String, command: &Command, scope: &Value) -> Result<Filled, String> {
        if line.len() > MAX_LINE {
            return Err("the command is too long".to_owned());
        }
        let mut words = words::split(&line).map_err(|e| format!("the command {e}"))?.into_iter();
        let name = words.next().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| "the command names no program".to_owned())?;
        let made = |item: &str| render(item, &Lookup { scope }).map_err(|e| e.to_string());
        let environment = command.environment.iter().map(|item| made(item)).collect::<Result<_, _>>()?;
        Ok(Filled { line, name, arguments: words.collect(), environment })
    }

    /// Where its program is, or its name where that is looked for.
    fn place(&self, setting: &Setting) -> PathBuf {
        match self.name.contains('/') {
            true => setting.directory.join(&self.name),
            false => PathBuf::from(&self.name),
        }
    }

    /// The program, and the files it is given. Looks at files: its place is one, others are below PATH.
    fn made(
        self,
        command: &Command,
        setting: &Setting,
        facts: Option<&Arc<Facts>>,
        files: &Files,
    ) -> Result<(Program, Vec<Arc<TempPath>>), String> {
        let path = std::env::var_os("PATH");
        let found = find(&self.place(setting).to_string_lossy(), path.as_deref()).ok_or_else(|| {
            let why = match self.name.contains('/') {
                true => "is no program that can be run",
                false => "is not found in PATH",
            };
            format!("{} {why}", self.name)
        })?;
        let mut program = Program::new(found)
            .args(self.arguments)
            .bare()
            .directory(&setting.directory)
            .env("MACHINE_WATCHER_NAME", &setting.watcher)
            .env("MACHINE_NAME", &setting.machine)
            .env("PATH", search(path, &setting.directory));
        let mut kept = Vec::new();
        if let Some(facts) = facts.filter(|_| command.files) {
            let (facts, data) = (files.facts(facts)?, files.data(&setting.data)?);
            program = program.env("WATCHER_DATA", data.as_os_str()).env("WATCHER_FACTS", facts.as_os_str());
            kept.extend([facts, data]);
        }
        for item in &self.environment {
            if let Some((name, value)) = item.split_once('=').filter(|(name, _)| !name.is_empty()) {
                program = program.env(name, value);
            }
        }
        program = match command.output {
            Some(most) => program.together().most(most),
            None => program.silent(),
        };
        program = match command.limit {
            Some(limit) => program.limit(limit),
            None => program.outlives().limit(LONG),
        };
        Ok((program, kept))
    }
}

/// PATH of a command: that of the node, then the directory of the machine; empty where that is none of a path.
fn search(path: Option<OsString>, directory: &Path) -> OsString {
    let directory = directory.as_os_str();
    if directory.as_bytes().contains(&b':') {
        return OsString::new();
    }
    let Some(mut search) = path else { return directory.to_owned() };
    search.push(":");
    search.push(directory);
    search
}

/// What a command came to.
fn ran(line: String, took: Duration, limit: Option<Duration>, ended: Result<Ended, ProgramError>) -> Ran {
    let mut ran = Ran { line, took, ..Ran::default() };
    match ended {
        Ok(ended) => {
            ran.code = ended.status.code();
            if ran.code.is_none() {
                ran.problem = format!("ended by {}", how(ended.status));
            }
            ran.output = String::from_utf8_lossy(&ended.output).into_owned();
        }
        Err(ProgramError::TooLong { .. }) => {
            let limit = limit.unwrap_or(LONG).as_nanos();
            ran.problem =
                format!("timed out after {}", duration::show(i64::try_from(limit).unwrap_or(i64::MAX)));
        }
        Err(ProgramError::TooMuch { most, .. }) => {
            ran.problem = format!("wrote more than {most} bytes and was killed");
        }
        Err(e) => ran.problem = e.to_string(),
    }
    ran
}
