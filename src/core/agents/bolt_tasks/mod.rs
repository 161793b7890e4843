//! The `bolt_tasks` agent (spec 07 §§A2–A5): runs Puppet Tasks.
//!
//! A run asks for the files it lacks by itself; `download` is for who wants them there before,
//! and for callers of the original.

mod fetching;
mod preparing;
mod replies;
mod starting;
mod user;

use std::ffi::OsString;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::system::Outputs;
use super::{Agent, Call, Deed, Node, Outcome, Running};
use crate::core::config::{Config, System};
use crate::core::ddl::{self, AgentDdl};
use crate::core::rpc::StatusCode;
use crate::core::tasks::cache::{Cache, CacheError};
use crate::core::tasks::input::{self, Input, Method};
use crate::core::tasks::outcome::Status;
use crate::core::tasks::process::Group;
use crate::core::tasks::records::{self, FileRecord};
use crate::core::tasks::signing::Signers;
use crate::core::tasks::spool::Spool;
use crate::core::tasks::{Places, TaskName};
use fetching::Fetching;
use preparing::Preparing;
use replies::{denied_status, refused, told};
use starting::{Prepared, Starter};

/// How long before its time is up a waiting run answers.
const SPARE: Duration = Duration::from_secs(2);
/// How often a run is looked at: soon for those that take no time, less often for others.
const LOOKS: [(Duration, Duration); 3] = [
    (Duration::from_secs(1), Duration::from_millis(10)),
    (Duration::from_secs(10), Duration::from_millis(50)),
    (Duration::MAX, Duration::from_millis(250)),
];
/// How long a task has after it was asked to end; then it is killed.
const ENDS: Duration = Duration::from_secs(5);
/// How often it is looked whether what it started has ended, too.
const LEFT: Duration = Duration::from_millis(200);
/// How long after its files were waited for a run may take to begin before its caller is told that it goes on.
const BEGUN_BY: Duration = Duration::from_secs(1);
/// How often what is old is removed.
const TIDIES: Duration = Duration::from_secs(3600);

/// The agent.
pub struct BoltTasks {
    cache: Arc<Cache>,
    fetching: Arc<Fetching>,
    preparing: Arc<Preparing>,
    spool: Spool,
    /// This program, where it was when it started.
    image: Option<PathBuf>,
    wrapper: Option<PathBuf>,
    signers: Result<Signers, String>,
    authorizes: bool,
    own_only: bool,
    legacy: bool,
    kept_for: Duration,
}

/// What a run is to be, read from its inputs and checked.
struct Asked {
    name: TaskName,
    records: Vec<FileRecord>,
    secrets: Vec<String>,
}

impl BoltTasks {
    /// As configured; runners are this program.
    pub fn new(config: &Config) -> BoltTasks {
        let Places { cache, spool } = Places::new(config, &System);
        let signers = Signers::new(config.choria_tasks_signing_key.iter().map(String::as_str));
        if let Err(problem) = &signers {
            tracing::error!("no task runs here: {problem}");
        }
        let wrapper = Some(&config.choria_tasks_wrapper_path).filter(|path| !path.is_empty());
        BoltTasks {
            cache: Arc::new(Cache::new(cache)),
            fetching: Arc::default(),
            preparing: Arc::default(),
            spool: Spool::new(spool),
            // before anything can replace the file it is in
            image: std::env::current_exe().ok(),
            wrapper: wrapper.map(Into::into),
            signers,
            authorizes: config.choria_tasks_authorize_tasks,
            own_only: config.choria_tasks_own_status_only,
            legacy: config.choria_tasks_legacy_input,
            kept_for: config.choria_tasks_spool_max_age,
        }
    }

    async fn call(&self, call: &Call, node: &dyn Node) -> Outcome {
        let outputs = Outputs::of(self.ddl(), call);
        match call.action.as_str() {
            "download" => self.download(call, node, outputs).await,
            "run_and_wait" => self.run_and_wait(call, node, outputs, self.until("run_and_wait")).await,
            "run_no_wait" => self.run_no_wait(call, node, outputs).await,
            "task_status" => self.status(call, node, outputs).await,
            "kill" => self.kill(call, outputs).await,
            other => {
                let message = format!("Unknown action {other} for agent bolt_tasks");
                outputs.failed(StatusCode::UnknownAction, message)
            }
        }
    }

    /// Reads and checks what is to be run.
    fn asked(&self, call: &Call) -> Result<Asked, (StatusCode, String)> {
        let invalid = |e: &dyn std::fmt::Display| (StatusCode::InvalidData, e.to_string());
        let name = TaskName::parse(call.text("task")).map_err(|e| invalid(&e))?;
        let records = records::parse(call.text("files")).map_err(|e| invalid(&e))?;
        let signers = self.signers.as_ref().map_err(|e| (StatusCode::UnknownError, e.clone()))?;
        signers.check(&name, &records).map_err(|e| (StatusCode::Aborted, e.to_string()))?;
        let secrets = input::secrets(call.text("sensitive"));
        let secrets = secrets.ok_or_else(|| invalid(&"the input 'sensitive' is a JSON list of names"))?;
        Ok(Asked { name, records, secrets })
    }

    /// Sees to it that the files of a task are there by that time.
    async fn fetch(
        &self,
        records: &[FileRecord],
        call: &Call,
        node: &dyn Node,
        until: Instant,
    ) -> Result<usize, Arc<CacheError>> {
        self.fetching.fetch(&self.cache, records, (node, &call.caller), until).await
    }

    /// When a call that waits has to answer.
    fn until(&self, action: &str) -> Instant {
        Instant::now() + self.limit(action).saturating_sub(SPARE)
    }

    async fn download(&self, call: &Call, node: &dyn Node, mut outputs: Outputs) -> Outcome {
        let until = self.until("download");
        let asked = match self.asked(call) {
            Ok(asked) => asked,
            Err((code, message)) => return outputs.failed(code, message),
        };
        match self.fetch(&asked.records, call, node, until).await {
            Ok(fetched) => {
                // the original counts all where one was missing
                outputs.set("downloads", if fetched > 0 { asked.records.len() } else { 0 });
                outputs.done()
            }
            Err(e) => match &*e {
                CacheError::Coming { .. } => outputs.broken(refused::unavailable(call.text("task"), &e)),
                other => outputs.broken(other.to_string()),
            },
        }
    }

    async fn run_no_wait(&self, call: &Call, node: &dyn Node, mut outputs: Outputs) -> Outcome {
        match self.begin(call, node, self.until("run_no_wait")).await {
            Ok((id, _)) => {
                outputs.set("task_id", id);
                outputs.done()
            }
            Err(refused) => refused.answer(outputs),
        }
    }

    async fn run_and_wait(
        &self,
        call: &Call,
        node: &dyn Node,
        mut outputs: Outputs,
        until: Instant,
    ) -> Outcome {
        let (id, begun) = match self.begin(call, node, until).await {
            Ok(run) => run,
            Err(refused) => return refused.answer(outputs),
        };
        outputs.set("task_id", id.clone());
        if !begun {
            // what is there of it cannot be read yet; who follows it asks for its status
            let (task, caller) = (call.text("task").to_owned(), call.caller.clone());
            let start_time = jiff::Timestamp::now().as_second();
            return told(outputs, &Status { task, caller, start_time, exitcode: -1, ..Status::unknown() });
        }
        let control = node.control();
        tokio::select! {
            () = self.ended(&id, until) => {}
            _ = control.ended() => {}
        }
        match self.look(&id).await {
            Ok(Some(status)) => told(outputs, &status.fitting(node.max_payload())),
            Ok(None) => outputs.broken("the run is gone from the spool"),
            Err(e) => outputs.broken(e),
        }
    }

    /// Waits until a run has ended, or that time.
    async fn ended(&self, id: &str, until: Instant) {
        let begun = Instant::now();
        let code = self.spool.run(id).join("exitcode");
        let mut looks = 0u32;
        loop {
            let there = tokio::fs::symlink_metadata(&code).await.is_ok_and(|about| about.len() > 0);
            looks = looks.wrapping_add(1);
            // a runner that was killed leaves none: seldom looked at, since that reads more
            let lost = !there && looks.is_multiple_of(20);
            if there || lost && self.look(id).await.is_ok_and(|s| s.is_none_or(|s| s.completed)) {
                return;
            }
            let now = Instant::now();
            let every = LOOKS.iter().find(|(age, _)| now - begun < *age).map_or(SPARE, |(_, every)| *every);
            if now + every >= until {
                tokio::time::sleep_until(until).await;
                return;
            }
            tokio::time::sleep(every).await;
        }
    }

    async fn look(&self, id: &str) -> Result<Option<Status>, String> {
        let (spool, id) = (self.spool.clone(), id.to_owned());
        let looked = tokio::task::spawn_blocking(move || spool.status(&id)).await;
        looked.map_err(|e| e.to_string())?.map_err(|e| format!("the run cannot be read: {e}"))
    }

    /// Fetches, spools and starts a run; its id, and whether it has begun, or is still about to. Files are waited
    /// for until then.
    async fn begin(
        &self,
        call: &Call,
        node: &dyn Node,
        until: Instant,
    ) -> Result<(String, bool), replies::Refused> {
        let id = call.request_id.as_str();
        let refuse =
            |code, message: String| replies::Refused { id: id.to_owned(), code, message, kind: None };
        let asked = self.asked(call).map_err(|(code, message)| refuse(code, message))?;
        let Asked { name, records, secrets } = asked;
        let task = call.text("task").to_owned();
        if !crate::core::tasks::spool::is_id(id) {
            return Err(refuse(
                StatusCode::InvalidData,
                "the request has no id that a run can have".to_owned(),
            ));
        }
        let Some(beginning) = self.preparing.begins(id, &task, &call.caller) else {
            return Err(refuse(StatusCode::InvalidData, "a run of this id begins already".to_owned()));
        };
        let user = match call.text("run_as") {
            "" => None,
            user => user::find(user).await.map_err(|e| refuse(StatusCode::InvalidData, e))?,
        };
        let files = self.spool.run(id).join("files").display().to_string();
        let given = call.data.get("input").and_then(Value::as_str);
        let given = given.map(Input::parse).transpose();
        let given = given.map_err(|e| refuse(StatusCode::InvalidData, e.to_string()))?;
        self.fetch(&records, call, node, until).await.map_err(|e| refused::cache(id, &task, &e))?;
        let inherited = user::environment(user.is_some());
        let executable = self.executable(&records, &name, &inherited).await;
        let executable = executable.map_err(|e| refuse(StatusCode::InvalidData, e.to_string()))?;
        let method = call.data.get("input_method").and_then(Value::as_str).unwrap_or_default();
        let method = Method::of(method, &executable.filename);
        let about = input::About {
            task: &task,
            id,
            caller: &call.caller,
            files: &files,
            several: records.len() > 1,
            legacy: self.legacy,
        };
        let environment = input::environment(given.as_ref(), method, &about);
        let environment = environment.map_err(|e| refuse(StatusCode::InvalidData, e.to_string()))?;
        let stdin = given.as_ref().and_then(|given| given.stdin(method, &about));
        let environment =
            inherited.into_iter().chain(environment.into_iter().map(|(n, v)| (n.into(), v.into())));
        let wanted = Prepared {
            id: id.to_owned(),
            name,
            task: task.clone(),
            caller: call.caller.clone(),
            records,
            executable,
            stdin,
            secret: !secrets.is_empty(),
            user,
            environment: environment.collect(),
        };
        let starter = Starter {
            spool: self.spool.clone(),
            cache: self.cache.clone(),
            image: self.image.clone(),
            wrapper: self.wrapper.clone(),
        };
        // what has begun to begin is not left half-way, whoever stops waiting for it
        let begins = tokio::spawn(async move {
            let begun = starter.begin(wanted).await;
            drop(beginning);
            begun
        });
        match tokio::time::timeout_at(until + BEGUN_BY, begins).await {
            Ok(begun) => begun.unwrap_or_else(|e| Err(refused::wrapper(id, &task, &e.to_string())))?,
            Err(_) => return Ok((id.to_owned(), false)),
        }
        Ok((id.to_owned(), true))
    }

    /// The program of a task that this node runs.
    async fn executable(
        &self,
        records: &[FileRecord],
        name: &TaskName,
        environment: &[(OsString, OsString)],
    ) -> Result<FileRecord, records::RecordError> {
        let (cache, records, name) = (self.cache.clone(), records.to_vec(), name.clone());
        let path = environment.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.clone());
        let path = path.unwrap_or_default();
        let chosen = tokio::task::spawn_blocking(move || {
            records::executable(&records, &name, |record| cache.runs(record, &path)).cloned()
        });
        chosen.await.unwrap_or(Err(records::RecordError::Empty))
    }

    /// What is known of a run, for who may know it.
    async fn known(&self, call: &Call, outputs: Outputs) -> Result<(Status, Outputs), Outcome> {
        let mut outputs = outputs;
        let id = call.text("task_id");
        // what has begun is whose it is, whoever says that one of that id is to begin
        let about_to = self.preparing.look(id);
        let looked = self.look(id).await.map(|known| known.or(about_to));
        match looked {
            Err(e) => Err(denied_status(&mut outputs, StatusCode::UnknownError, "choria/status_failed", &e)),
            Ok(None) => {
                let message = "Task ID have not been run";
                Err(denied_status(&mut outputs, StatusCode::MissingData, "choria/unknown_task", message))
            }
            Ok(Some(status)) if self.own_only && status.caller != call.caller => {
                let message = "this task is not of a request of yours";
                Err(denied_status(&mut outputs, StatusCode::UnknownError, "choria/not_own_request", message))
            }
            Ok(Some(status)) => Ok((status, outputs)),
        }
    }

    async fn status(&self, call: &Call, node: &dyn Node, outputs: Outputs) -> Outcome {
        match self.known(call, outputs).await {
            Ok((status, outputs)) => told(outputs, &status.fitting(node.max_payload())),
            Err(outcome) => outcome,
        }
    }

    async fn kill(&self, call: &Call, outputs: Outputs) -> Outcome {
        let (status, outputs) = match self.known(call, outputs).await {
            Ok(known) => known,
            Err(outcome) => return outcome,
        };
        if status.completed {
            return outputs.aborted("The task has ended");
        }
        let id = call.text("task_id");
        let group = {
            let (spool, id) = (self.spool.clone(), id.to_owned());
            tokio::task::spawn_blocking(move || spool.group(&id)).await.ok().flatten()
        };
        let told = |signal| {
            let (spool, id, caller) = (self.spool.clone(), id.to_owned(), call.caller.clone());
            tokio::task::spawn_blocking(move || spool.kill(&id, &caller, signal))
        };
        match told(Signal::TERM).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => {
                return outputs.aborted("The task has no process that could be ended, ask again");
            }
            Ok(Err(e)) => return outputs.broken(format!("The task cannot be ended: {e}")),
            Err(e) => return outputs.broken(e.to_string()),
        }
        let until = Instant::now() + ENDS;
        self.ended(id, until).await;
        if let Some(group) = group {
            // it may have ended, and left in its group who did not
            while Instant::now() < until && there(&group).await {
                tokio::time::sleep(LEFT).await;
            }
            let _ = tokio::task::spawn_blocking(move || group.kill()).await;
        }
        if self.look(id).await.is_ok_and(|status| status.is_some_and(|status| !status.completed)) {
            let _ = told(Signal::KILL).await;
            self.ended(id, Instant::now() + ENDS).await;
        }
        outputs.done()
    }
}

async fn there(group: &Group) -> bool {
    let group = group.clone();
    tokio::task::spawn_blocking(move || group.is_there()).await.unwrap_or(false)
}

impl Agent for BoltTasks {
    fn ddl(&self) -> &AgentDdl {
        // Compiled in; a test loads every built-in DDL.
        ddl::builtin("bolt_tasks").expect("compiled in")
    }

    fn hide(&self, data: &mut Map<String, Value>) {
        input::hide_secrets(data);
    }

    fn deed(&self, call: &Call) -> Option<Deed> {
        if !self.authorizes || !["run_and_wait", "run_no_wait"].contains(&call.action.as_str()) {
            return None;
        }
        let asked = call.text("task").to_owned();
        let others = TaskName::parse(&asked).map(|name| name.spellings()).unwrap_or_default();
        let others = others.into_iter().filter(|name| *name != asked);
        let refusal = format!("You are not authorized to run Bolt Task {asked}");
        Some(Deed { names: [asked.clone()].into_iter().chain(others).collect(), refusal })
    }

    fn attend<'a>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async {
            while !self.kept_for.is_zero() {
                let (spool, cache, age) = (self.spool.clone(), self.cache.clone(), self.kept_for);
                let _ = tokio::task::spawn_blocking(move || {
                    spool.tidy(age);
                    cache.tidy(age);
                })
                .await;
                tokio::time::sleep(TIDIES).await;
            }
        })
    }

    fn run<'a>(&'a self, call: &'a Call, node: &'a dyn Node) -> Running<'a> {
        Box::pin(self.call(call, node))
    }
}

/// What the data plugin `bolt_task` tells of a run; without what it wrote where only who asked
/// for it may know that.
pub(super) fn data(config: &Config, id: &str) -> Value {
    let status = Spool::new(Places::new(config, &System).spool).status(id).ok().flatten();
    let known = status.is_some();
    let spool =
        if known { Places::new(config, &System).spool.join(id).display().to_string() } else { String::new() };
    let status = status.unwrap_or_else(Status::unknown);
    let shown = known && !config.choria_tasks_own_status_only;
    json!({
        "known": known,
        "spool": spool,
        "task": status.task,
        "caller": status.caller,
        "stdout": if shown { Value::Object(status.stdout).to_string() } else { String::new() },
        "stderr": if shown { status.stderr } else { String::new() },
        "exitcode": status.exitcode,
        "runtime": status.runtime,
        "start_time": status.start_time,
        "wrapper_spawned": status.wrapper_spawned,
        "wrapper_error": status.wrapper_error,
        "wrapper_pid": status.wrapper_pid,
        "completed": status.completed,
    })
}

#[cfg(test)]
mod tests;
