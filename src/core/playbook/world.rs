//! The world around a plan: this network, this machine, these stores.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::hidden::Hidden;
use super::journal::{self, Step};
use super::modules::Modules;
use super::options::Options;
use super::report::{Report, TaskRecord};
use super::{discover, stores, tasks};
use crate::core::client::{Accounting, Client};
use crate::core::config::System;
use crate::core::ddl::Resolver;
use crate::core::discovery::LateAnswers;
use crate::core::puppet::Source as Text;
use crate::core::puppet::Value;
use crate::core::puppet::host::{Host, Kind, Level, Outcome, Trouble};
use crate::core::puppet::value::Hash;
use crate::core::tasks::TaskName;
use crate::core::tasks::secrets::Secrets;
use crate::core::tasks::source::Source;

/// How a client is had, once one is needed: many plans need none.
pub type Connect =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Client, String>> + Send>> + Send + Sync>;

/// Who hears messages: how much they matter, whether of the `plan` or of a `task`, and what
/// they say.
pub type Said = Box<dyn FnMut(Level, &'static str, &str) + Send>;

/// Who is told of the report each time that something was done.
pub type AfterStep = Box<dyn FnMut(&Report) + Send>;

/// Sets of nodes of which late answers are heard; of more the last.
const SETS: usize = 16;
/// Late nodes that are named.
const NAMED: usize = 10;

/// What a plan sees of everything else.
pub struct World {
    /// Where plans are.
    pub modules: Modules,
    /// Interfaces of agents.
    pub resolver: Resolver,
    /// Name of the plan that was called first.
    pub playbook: String,
    /// Who asks, as far as it is known without connecting.
    pub caller: String,
    /// Where what was read of large inventories is kept; nowhere by default.
    pub inventories: Option<PathBuf>,
    /// What a run came to so far.
    pub report: Report,
    connect: Connect,
    client: Option<Arc<Client>>,
    said: Said,
    handle: Handle,
    cancel: CancellationToken,
    /// The task that runs now.
    pub(super) current: Current,
    /// What its messages do not show, and those of a node set or a store.
    secrets: Secrets,
    /// What was `Sensitive` so far.
    hidden: Hidden,
    /// Nodes that answer when their set is made already.
    late: Vec<LateAnswers>,
    locks: Vec<(String, stores::Lock)>,
    /// A step was something else than in the run that this one goes on from.
    over: bool,
    /// Who is told of the report when something was done, so that whatever ends this program leaves it.
    pub after_step: Option<AfterStep>,
    /// Variables that `environment` stores wrote.
    pub(super) environment: std::collections::BTreeMap<String, String>,
}

/// What a task leaves beside its outcome.
#[derive(Default)]
pub(super) struct Current {
    /// What became of its nodes.
    pub(super) accounting: Option<Accounting>,
    /// How far a change in stages has come that did not end well, as its type knows it: a further
    /// try, or a further run, goes on from there.
    pub(super) change: Option<Json>,
}

impl World {
    /// A world whose waiting is done on that runtime, until it is told to end.
    pub fn new(
        modules: Modules,
        resolver: Resolver,
        connect: Connect,
        said: Said,
        handle: Handle,
        cancel: CancellationToken,
    ) -> World {
        World {
            modules,
            resolver,
            playbook: String::new(),
            caller: String::new(),
            inventories: None,
            report: Report::default(),
            connect,
            client: None,
            said,
            handle,
            cancel,
            current: Current::default(),
            secrets: Secrets::default(),
            hidden: Hidden::default(),
            late: vec![],
            locks: vec![],
            over: false,
            after_step: None,
            environment: Default::default(),
        }
    }

    /// Waits for something, unless the run is ended meanwhile.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, Trouble> {
        self.handle.block_on(async {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => Err(Trouble("interrupted".to_owned())),
                done = work => Ok(done),
            }
        })
    }

    /// What waits for the network.
    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// What ends the run.
    pub(super) fn cancel(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// The client, connected at its first use.
    pub(super) fn client(&mut self) -> Result<Arc<Client>, Trouble> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = Arc::new(self.wait((self.connect)())?.map_err(Trouble)?);
        self.client = Some(client.clone());
        Ok(client)
    }

    /// Sets a flag once the run is ended.
    pub(super) fn watch(
        &self,
        flag: Arc<AtomicBool>,
        cancel: CancellationToken,
    ) -> tokio::task::JoinHandle<()> {
        self.handle.spawn(async move {
            cancel.cancelled().await;
            flag.store(true, Ordering::Relaxed);
        })
    }

    /// A message of a task, or of a node set.
    pub(super) fn say(&mut self, level: Level, message: &str) {
        let message = self.secrets.masked(message);
        self.heard(level, "task", &message);
    }

    /// A set of nodes is made; who answers later is told of.
    pub(super) fn made(&mut self, late: LateAnswers) {
        if self.late.len() >= SETS {
            self.late.remove(0);
        }
        self.late.push(late);
    }

    /// Tells who answered too late to be in a set.
    fn tell_late(&mut self) {
        let names: Vec<String> = self.late.iter_mut().flat_map(LateAnswers::names).collect();
        let (count, more) = (names.len(), names.len().saturating_sub(NAMED));
        if count == 0 {
            return;
        }
        let named = names[..count - more].join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        self.say(
            Level::Warning,
            &format!(
                "{count} node(s) answered too late to be in the node set: {named}{more}; fixed_window => true waits for \
                 all of discovery_timeout"
            ),
        );
    }

    /// What messages do not show now.
    pub(super) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Does something with options, and shows nothing `Sensitive` of them meanwhile, nor in what went wrong.
    fn unseen<T>(
        &mut self,
        options: &Hash,
        work: impl FnOnce(&mut World) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        self.secrets = self.hidden.with(options);
        let done = work(self);
        let secrets = std::mem::take(&mut self.secrets);
        done.map_err(|Trouble(what)| Trouble(secrets.masked(&what)))
    }

    /// An outcome whose words show no secrets; what nodes and programs answered is for the plan as it is.
    fn masked(&self, mut outcome: Outcome) -> Outcome {
        outcome.message = self.secrets.masked(&outcome.message);
        for (_, result) in &mut outcome.results {
            if let Some(Json::String(words)) = result.get_mut("error").and_then(|error| error.get_mut("msg"))
            {
                *words = self.secrets.masked(words);
            }
        }
        outcome
    }

    fn heard(&mut self, level: Level, from: &'static str, message: &str) {
        self.report.log(level_name(level), from, message);
        (self.said)(level, from, message);
    }

    pub(super) fn sleep_for(&self, time: Duration) -> Result<(), Trouble> {
        match time.is_zero() {
            true => Ok(()),
            // made where it is waited for: a timer belongs to the runtime that it is made on
            false => self.wait(async { tokio::time::sleep(time).await }),
        }
    }

    /// What came of a step in an earlier run; an error where nothing more is to be done.
    fn before(&mut self, step: &Step) -> Result<Option<Result<Json, Trouble>>, Trouble> {
        self.locks_hold()?;
        let before = self.report.journal.replayed(step);
        self.over |= before.is_err();
        before
    }

    /// Keeps what came of a step.
    fn keep(&mut self, step: Step, result: Result<Json, &Trouble>) {
        // what was only looked at is no loss
        let acts = step.acts();
        self.report.journal.keep(step, result);
        if let Some(tell) = self.after_step.as_mut().filter(|_| acts) {
            tell(&self.report);
        }
    }

    /// Whether the locks are held that what is next is to be done under.
    fn locks_hold(&self) -> Result<(), Trouble> {
        match self.locks.iter().find_map(|(key, lock)| Some((key, lock.lost()?))) {
            Some((key, why)) => Err(Trouble(format!(
                "the lock plan_store/{key} is lost, what comes next is not done without it: {why}"
            ))),
            None => Ok(()),
        }
    }

    /// Does a step, unless an earlier run did it.
    fn once(
        &mut self,
        step: Step,
        work: impl FnOnce(&mut World) -> Result<Json, Trouble>,
    ) -> Result<Json, Trouble> {
        if let Some(done) = self.before(&step)? {
            return done;
        }
        let result = work(self);
        let kept = match &result {
            Ok(result) => Ok(result.clone()),
            Err(trouble) => Err(trouble),
        };
        self.keep(step, kept);
        result
    }

    /// A task that was done by an earlier run.
    fn replayed(&mut self, kind: &str, outcome: &Outcome, accounting: Option<Accounting>) {
        let failed = outcome.results.iter().filter(|(_, result)| result.contains_key("error")).count();
        self.report.tasks.push(TaskRecord {
            accounting,
            kind: kind.to_owned(),
            description: format!("{kind} task"),
            ran: false,
            started: jiff::Timestamp::now(),
            took: Duration::ZERO,
            message: outcome.message.clone(),
            success: outcome.success,
            hosts: (outcome.results.len() - failed, failed),
        });
        self.say(Level::Notice, &format!("done before: {}", outcome.message));
    }

    /// Whether what an earlier run read is still the same, before anything is done.
    ///
    /// # Errors
    /// What has changed, as a sentence.
    pub fn is_as_before(&mut self) -> Result<(), String> {
        for known in self.report.journal.sources() {
            let Some((kind, name)) = known.split_once(' ') else { continue };
            let kind = [Kind::Plan, Kind::Function, Kind::Type].into_iter().find(|one| word(*one) == kind);
            let Some(kind) = kind else { continue };
            if self.source(kind, name).map_err(|e| e.0)?.is_none() {
                return Err(format!("{known} is not there any more, or --modulepath is another"));
            }
        }
        Ok(())
    }

    /// Tries as often as it should, each time on all nodes (spec 07 §B4).
    fn task_now(&mut self, kind: &str, hash: &Hash) -> Result<Outcome, Trouble> {
        let what = format!("{kind} task");
        let options = Options::new(&what, hash);
        let run = tasks::find(kind).ok_or_else(|| {
            Trouble(format!("there is no task type '{kind}'; there are {}", tasks::names()))
        })?;
        let description = self.secrets.masked(options.text("description")?.unwrap_or(&what));
        for name in options.unknown(&[tasks::COMMON, run.options].concat()) {
            self.say(Level::Warning, &format!("{what}: nothing reads the option '{name}'"));
        }
        let (tries, pause) = (options.count("tries", 1)?.clamp(1, 10_000), options.seconds("try_sleep", 10)?);
        self.sleep_for(options.seconds("pre_sleep", 0)?)?;
        let (started, clock) = (jiff::Timestamp::now(), Instant::now());
        let mut attempt = 1;
        let outcome = loop {
            self.current.accounting = None;
            self.locks_hold()?;
            let outcome = match (run.run)(self, &options) {
                Ok(outcome) => self.masked(outcome),
                // what is known of its nodes is told all the same
                Err(Trouble(what)) => {
                    let trouble = Trouble(self.secrets.masked(&what));
                    self.broke_off(kind, description, (started, clock.elapsed()), &trouble);
                    return Err(trouble);
                }
            };
            if outcome.success || attempt == tries {
                break outcome;
            }
            let message =
                format!("{description}: {}{}; try {attempt} of {tries}", outcome.message, self.counts());
            self.say(Level::Warning, &message);
            self.sleep_for(pause)?;
            attempt += 1;
        };
        let failed = outcome.results.iter().filter(|(_, result)| result.contains_key("error")).count();
        self.report.tasks.push(TaskRecord {
            accounting: self.current.accounting,
            kind: kind.to_owned(),
            description,
            ran: true,
            started,
            took: clock.elapsed(),
            message: outcome.message.clone(),
            success: outcome.success,
            hosts: (outcome.results.len() - failed, failed),
        });
        let level = if outcome.success { Level::Notice } else { Level::Err };
        self.say(level, &format!("{}{}", outcome.message, self.counts()));
        Ok(outcome)
    }

    /// A task that has no outcome, and may have asked nodes.
    fn broke_off(
        &mut self,
        kind: &str,
        description: String,
        (started, took): (jiff::Timestamp, Duration),
        trouble: &Trouble,
    ) {
        let Some(accounting) = self.current.accounting else { return };
        self.report.tasks.push(TaskRecord {
            accounting: Some(accounting),
            kind: kind.to_owned(),
            description,
            ran: true,
            started,
            took,
            message: trouble.0.clone(),
            success: false,
            hosts: (accounting.ok, accounting.nodes() - accounting.ok),
        });
        self.say(Level::Err, &format!("{kind} task: {trouble}{}", self.counts()));
    }

    /// What became of the nodes of the task, for the end of a message.
    fn counts(&self) -> String {
        let accounting = self.current.accounting.filter(|accounting| accounting.nodes() > 0);
        accounting.map(|accounting| format!(" ({})", accounting.in_words())).unwrap_or_default()
    }

    /// Ends what is open: locks first, then the connection.
    pub fn close(&mut self) {
        for (key, lock) in std::mem::take(&mut self.locks) {
            if let Err(e) = self.handle.block_on(lock.release()) {
                self.say(Level::Warning, &format!("the lock {key} was not given back: {e}"));
            }
        }
        self.tell_late();
        if let Some(client) = self.client.take() {
            self.handle.block_on(client.session().close());
        }
    }
}

/// What a kind of source is called.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Plan => "plan",
        Kind::Function => "function",
        Kind::Type => "type",
    }
}

/// As reports and people know it.
pub(super) fn level_name(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Notice => "notice",
        Level::Warning => "warning",
        Level::Err => "err",
        Level::Alert => "alert",
        Level::Crit => "crit",
        Level::Emerg => "emerg",
    }
}

impl Host for World {
    fn is_over(&self) -> bool {
        // what was interrupted is no error that a plan goes on after
        self.over || self.cancel.is_cancelled()
    }

    fn log(&mut self, level: Level, message: &str) {
        self.heard(level, "plan", message);
    }

    fn hides(&mut self, secret: &Value) {
        self.hidden.add(secret);
    }

    fn source(&mut self, kind: Kind, name: &str) -> Result<Option<Text>, Trouble> {
        let source = self.modules.source(kind, name)?;
        if let Some(source) = &source {
            let read = self.report.journal.read(&format!("{} {name}", word(kind)), &source.text);
            self.over |= read.is_err();
            read?;
        }
        Ok(source)
    }

    fn ruby(&mut self, function: &str) -> Option<String> {
        self.modules.ruby(function)
    }

    fn now(&mut self) -> i64 {
        i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(0)
    }

    fn file(&mut self, name: &str) -> Result<Option<Vec<u8>>, Trouble> {
        self.modules.content(name)
    }

    fn find_file(&mut self, name: &str) -> Option<String> {
        self.modules.file(name).map(|file| file.display().to_string())
    }

    fn task(&mut self, kind: &str, hash: &Hash) -> Result<Outcome, Trouble> {
        let step = Step::new("task", kind, Some(hash));
        if let Some(done) = self.before(&step)? {
            let (outcome, accounting) = journal::outcome_of(&done?)?;
            self.replayed(kind, &outcome, accounting);
            return Ok(outcome);
        }
        self.current = Current { change: self.report.journal.taken_up(), accounting: None };
        let outcome = self.unseen(hash, |world| world.task_now(kind, hash));
        self.tell_late();
        let Current { accounting, change } = std::mem::take(&mut self.current);
        let kept = outcome.as_ref().map(|outcome| journal::kept(outcome, accounting));
        self.keep(Step { change, ..step }, kept);
        outcome
    }

    fn discover(&mut self, kind: &str, hash: &Hash) -> Result<Vec<String>, Trouble> {
        let found = self.once(Step::new("discover", kind, Some(hash)), |world| {
            world.unseen(hash, |world| discover::run(world, kind, hash)).map(|nodes| json!(nodes))
        })?;
        let nodes: Vec<String> = serde_json::from_value(found).map_err(|e| Trouble(e.to_string()))?;
        self.report.nodes.push(nodes.clone());
        Ok(nodes)
    }

    fn read(&mut self, key: &str, store: &Hash) -> Result<Json, Trouble> {
        self.once(Step::new("read", key, Some(store)), |world| {
            let opened = world.unseen(store, |_| stores::open(store))?;
            let read = world.unseen(store, |world| opened.read(world, key));
            read.map_err(|e| Trouble(format!("Could not read key plan_store/{key}: {}", e.0)))
        })
    }

    fn write(&mut self, key: &str, value: &str, store: &Hash) -> Result<(), Trouble> {
        let what = json!([key, value]).to_string();
        let write = |world: &mut World| {
            let opened = world.unseen(store, |_| stores::open(store))?;
            let written = world.unseen(store, |world| opened.write(world, key, value));
            written.map_err(|e| Trouble(format!("Could not write key plan_store/{key}: {}", e.0)))
        };
        let replaying = self.report.journal.is_replaying();
        self.once(Step::new("write", &what, Some(store)), |world| write(world).map(|()| Json::Null))?;
        // what lasted for the run that did it is gone with that
        if replaying && stores::open(store).is_ok_and(|store| store.is_of_the_run()) {
            write(self)?;
        }
        Ok(())
    }

    fn lock(&mut self, key: &str, store: &Hash) -> Result<(), Trouble> {
        self.locks_hold()?;
        let opened = self.unseen(store, |_| stores::open(store))?;
        let locked = self.unseen(store, |world| opened.lock(world, key));
        let lock = locked.map_err(|e| Trouble(format!("Could not obtain lock plan_store/{key}: {}", e.0)))?;
        self.locks.push((key.to_owned(), lock));
        Ok(())
    }

    fn unlock(&mut self, key: &str, store: &Hash) -> Result<(), Trouble> {
        let Some(at) = self.locks.iter().rposition(|(held, _)| held == key) else { return Ok(()) };
        let (_, lock) = self.locks.remove(at);
        // whoever is interrupted gives it back all the same
        let released = self.handle.block_on(lock.release()).map_err(|e| self.hidden.with(store).masked(&e));
        released.map_err(|e| Trouble(format!("Could not release lock plan_store/{key}: {e}")))
    }

    fn sleep(&mut self, seconds: u64) -> Result<(), Trouble> {
        // what was done before was waited for, too
        if self.report.journal.is_replaying() {
            return Ok(());
        }
        self.sleep_for(Duration::from_secs(seconds.min(366 * 86_400)))?;
        self.locks_hold()
    }

    fn task_metadata(&mut self, task: &str, environment: &str) -> Result<Json, Trouble> {
        let name = TaskName::parse(task).map_err(|e| Trouble(e.to_string()))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if environment.is_empty() || !environment.chars().all(plain) {
            return Err(Trouble(format!("'{environment}' is no name of an environment")));
        }
        let client = self.client()?;
        let task = self.wait(async {
            let source = Source::find(client.config(), &System, client.tls().clone()).await;
            source.task(&name, environment).await
        })?;
        let task =
            task.map_err(|e| Trouble(format!("the metadata of the task {name} cannot be had: {e}")))?;
        serde_json::to_value(task).map_err(|e| Trouble(e.to_string()))
    }
}

/// A result as plans know it: of one host.
pub(super) fn result(
    kind: &str,
    value: Json,
    fail_ok: bool,
    error: Option<(String, Json)>,
) -> serde_json::Map<String, Json> {
    let mut result = serde_json::Map::new();
    result.insert("value".into(), value);
    result.insert("type".into(), kind.into());
    result.insert("fail_ok".into(), fail_ok.into());
    if let Some((message, details)) = error {
        let kind = "choria.playbook/taskerror";
        result.insert("error".into(), serde_json::json!({"msg": message, "kind": kind, "details": details}));
    }
    result
}
