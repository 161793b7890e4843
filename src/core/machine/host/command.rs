//! Work of watchers, done (spec 06 §6): templates filled, commands run in a process group of
//! their own, for as long as they may.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::{TempDir, TempPath};

use super::{Answer, Host, Job, Setting, Surroundings, Work};
use crate::core::files::{scratch, within_deadline};
use crate::core::machine::duration;
use crate::core::machine::overrides;
use crate::core::machine::template::{Lookup, Overrides, is_template, render};
use crate::core::machine::turn::{Command, PluginSettings, Ran};
use crate::core::machine::words;
use crate::core::programs::{Program, ProgramError, find, how};
use crate::core::protocol::filter::Facts;

/// Bytes of a command, and words of it.
const MAX_LINE: usize = 128 * 1024;

/// Files of data that are kept for commands to come, and bytes of one: most machines keep nothing.
const SHARED: usize = 16;
const SHARED_BYTES: usize = 4096;
/// As long facts serve that were looked at for a command: a hundred a second ask once.
const FRESH: Duration = Duration::from_secs(1);

/// Facts and data in files, which commands share.
#[derive(Default)]
pub(super) struct Files {
    facts: Mutex<Option<(Arc<Facts>, Arc<TempPath>)>>,
    /// By what is in them, the oldest first.
    data: Mutex<VecDeque<(Arc<str>, Arc<TempPath>)>>,
    looked: Mutex<Option<(Instant, Arc<Facts>)>>,
    /// Where they are, once there are some; what a node that was killed has left goes with the next.
    home: Mutex<Option<TempDir>>,
}

impl Files {
    fn facts(&self, facts: &Arc<Facts>) -> Result<Arc<TempPath>, String> {
        let mut last = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, file)) = &*last
            && Arc::ptr_eq(known, facts)
            && file.exists()
        {
            return Ok(file.clone());
        }
        let file = Arc::new(self.written("facts-", facts.as_json())?);
        *last = Some((facts.clone(), file.clone()));
        Ok(file)
    }

    fn written(&self, prefix: &str, text: &str) -> Result<TempPath, String> {
        let write = || {
            let mut home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
            // whoever cleans directories of temporary files takes it away now and then
            if home.as_ref().is_none_or(|home| !home.path().is_dir()) {
                *home = Some(scratch(&std::env::temp_dir(), "choria-machines-")?);
            }
            let home = home.as_ref().map_or(Path::new("/nonexistent"), |home| home.path());
            let mut file = tempfile::Builder::new().prefix(prefix).tempfile_in(home)?;
            std::io::Write::write_all(&mut file, text.as_bytes())?;
            Ok(file.into_temp_path())
        };
        write().map_err(|e: std::io::Error| format!("facts and data cannot be written for it: {e}"))
    }

    fn data(&self, data: &Arc<str>) -> Result<Arc<TempPath>, String> {
        if data.len() > SHARED_BYTES {
            return Ok(Arc::new(self.written("data-", data)?));
        }
        let mut shared = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shared.iter().find(|(known, _)| known == data).map(|(_, file)| file.clone());
        // one that a command has written to is nobody's data; all run as the same user
        let whole = |file: &Arc<TempPath>| {
            std::fs::metadata(&**file).is_ok_and(|about| about.len() == data.len() as u64)
        };
        if let Some(file) = known.filter(whole) {
            return Ok(file);
        }
        shared.retain(|(known, _)| known != data);
        let file = Arc::new(self.written("data-", data)?);
        if shared.len() == SHARED {
            shared.pop_front();
        }
        shared.push_back((data.clone(), file.clone()));
        Ok(file)
    }

    /// Facts as they were a second ago at most.
    async fn looked(&self, around: &dyn Surroundings) -> Arc<Facts> {
        let last = self.looked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, facts)) = last
            && at.elapsed() < FRESH
        {
            return facts;
        }
        let facts = around.facts().await;
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), facts.clone()));
        facts
    }
}

impl Host {
    /// Does a piece of work.
    pub(super) async fn worked(&self, job: Job, around: &dyn Surroundings) -> Answer {
        let settings = &self.inner.settings;
        let setting = Setting {
            identity: settings.identity.as_str().into(),
            machine: job.machine,
            watcher: job.watcher,
            directory: job.directory,
            // a check has no use for them
            facts: match &job.work {
                Work::Command(command) if command.check => Arc::new(Facts::from_json("{}".to_owned())),
                Work::Command(_) => self.inner.files.looked(around).await,
                Work::Other(_) | Work::Patient(_) => around.facts().await,
            },
            data: job.data,
            status: settings.status.clone(),
            plugins: PluginSettings { store: settings.store.clone(), key: settings.signing_key.clone() },
            network: around.network(),
            overrides: settings.overrides.clone(),
            denied: settings.denied.clone(),
        };
        match job.work {
            Work::Command(command) => {
                let line = command.line.to_string();
                let began = Instant::now();
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
                        Answer::Ran(Ran { problem, line, took: began.elapsed(), ..Ran::default() })
                    }
                }
            }
            Work::Other(task) | Work::Patient(task) => task(setting).await,
        }
    }

    async fn ran(&self, command: Command, setting: Setting) -> Result<Ran, String> {
        let overrides = match self.inner.settings.overrides.clone().filter(|_| command.check) {
            Some(file) => overrides::read_in_time(file).await,
            None => Arc::default(),
        };
        let inner = self.inner.clone();
        // Files are read and written, and facts may be large.
        let ready = tokio::task::spawn_blocking(move || {
            let made = Ready::make(&command, &setting, &overrides, &inner.files)?;
            Ok::<_, String>((command, setting, made))
        });
        let (command, setting, ready) = ready.await.map_err(|e| e.to_string())??;
        self.inner.commands.fetch_add(1, Ordering::Relaxed);
        ready.run(&command, &setting).await
    }
}

/// A command that is ready to run.
struct Ready {
    line: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(OsString, OsString)>,
    /// Gone with it.
    _files: Vec<Arc<TempPath>>,
}

impl Ready {
    fn make(command: &Command, setting: &Setting, overrides: &Value, files: &Files) -> Result<Ready, String> {
        // all facts are copied into it
        let needs = |text: &str| !command.check && is_template(text);
        let scope = match needs(&command.line) || command.environment.iter().any(|item| needs(item)) {
            true => setting.scope(),
            false => Value::Null,
        };
        let line = if command.check {
            render(&command.line, &Overrides { all: overrides, machine: &setting.machine })
        } else {
            render(&command.line, &Lookup { scope: &scope })
        };
        let line = line.map_err(|e| e.to_string())?;
        if line.len() > MAX_LINE {
            return Err("the command is too long".to_owned());
        }
        let words = words::split(&line).map_err(|e| format!("the command {e}"))?;
        let (name, arguments) = words
            .split_first()
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| "the command names no program".to_owned())?;
        let path = std::env::var_os("PATH");
        let place = if name.contains('/') {
            setting.directory.join(name).to_string_lossy().into_owned()
        } else {
            name.clone()
        };
        let program = find(&place, path.as_deref()).ok_or_else(|| {
            let why =
                if name.contains('/') { "is no program that can be run" } else { "is not found in PATH" };
            format!("{name} {why}")
        })?;
        let mut search: Vec<PathBuf> = path.iter().flat_map(std::env::split_paths).collect();
        search.push(setting.directory.clone());
        let mut environment: Vec<(OsString, OsString)> = vec![
            ("MACHINE_WATCHER_NAME".into(), setting.watcher.clone().into()),
            ("MACHINE_NAME".into(), setting.machine.clone().into()),
            ("PATH".into(), std::env::join_paths(search).unwrap_or_default()),
        ];
        let mut kept = Vec::new();
        if command.files {
            let facts = files.facts(&setting.facts)?;
            let data = files.data(&setting.data)?;
            environment.push(("WATCHER_DATA".into(), data.as_os_str().to_owned()));
            environment.push(("WATCHER_FACTS".into(), facts.as_os_str().to_owned()));
            kept.extend([facts, data]);
        }
        for item in command.environment.iter() {
            let item = render(item, &Lookup { scope: &scope }).map_err(|e| e.to_string())?;
            if let Some((name, value)) = item.split_once('=').filter(|(name, _)| !name.is_empty()) {
                environment.push((name.into(), value.into()));
            }
        }
        Ok(Ready { program, arguments: arguments.to_vec(), line, environment, _files: kept })
    }

    async fn run(self, command: &Command, setting: &Setting) -> Result<Ran, String> {
        let mut program =
            Program::new(&self.program).args(&self.arguments).bare().directory(&setting.directory);
        for (name, value) in &self.environment {
            program = program.env(name, value);
        }
        program = match command.output {
            Some(most) => program.together().most(most),
            None => program.silent(),
        };
        program = match command.limit {
            Some(limit) => program.limit(limit),
            // a hundred years
            None => program.outlives().limit(Duration::from_secs(3_155_760_000)),
        };
        let began = Instant::now();
        let ended = program.run().await;
        let took = began.elapsed();
        let mut ran = Ran { line: self.line, took, ..Ran::default() };
        match ended {
            Ok(ended) => {
                ran.code = ended.status.code();
                if ran.code.is_none() {
                    ran.problem = format!("ended by {}", how(ended.status));
                }
                ran.output = String::from_utf8_lossy(&ended.output).into_owned();
            }
            Err(ProgramError::TooLong { limit, .. }) => {
                ran.problem = format!(
                    "timed out after {}",
                    duration::show(i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX))
                );
            }
            Err(ProgramError::TooMuch { most, .. }) => {
                ran.problem = format!("wrote more than {most} bytes and was killed");
            }
            Err(e) => ran.problem = e.to_string(),
        }
        Ok(ran)
    }
}

/// Facts of files that are named by hand.
///
/// # Errors
/// There are none.
pub async fn facts_of(file: PathBuf) -> Result<Arc<Facts>, String> {
    let shown = file.display().to_string();
    let read = within_deadline(move || Facts::load(&file.to_string_lossy())).await;
    let (facts, problems) = read.ok_or_else(|| format!("{shown} does not answer"))?;
    match problems.first() {
        Some(problem) if facts.are_broken() => Err(problem.to_string()),
        _ => Ok(Arc::new(facts)),
    }
}
