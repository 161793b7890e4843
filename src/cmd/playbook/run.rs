//! `choria playbook run`

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::config::{Config, Role, System};
use choria::core::files::{read_bounded, resolved, write_atomic, write_new};
use choria::core::playbook::{self, AfterStep, Connect, Journal, Outcome, World};
use choria::core::puppet::host::Level;
use choria::core::puppet::{Signature, Value};
use choria::core::security::Provider;
use choria::core::text::documents;
use serde_json::{Map, Value as Json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::parameters::Given;
use super::{modules, unknown};
use crate::cmd::context;
use crate::cmd::exit::INTERRUPTED;
use crate::cmd::out::{errln, outln};
use crate::cmd::render::text::{clean, escaped};
use crate::cmd::rpc::resolver;
use crate::cmd::{Globals, interfaces, sentence};

/// run a plan; its parameters are flags, see 'choria playbook show'. Exit 0 when it ran to its end, 1 when it failed,
/// 130 when it was interrupted, 143 by SIGTERM, 129 by SIGHUP
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "run")]
pub struct Run {
    /// directories with modules, separated by colons, default those of Puppet
    #[argh(option, arg_name = "path")]
    modulepath: Option<String>,
    /// parameters as JSON, or @FILE with JSON or YAML; they win over flags, default none
    #[argh(option, arg_name = "json")]
    input: Option<String>,
    /// show messages from this level on: debug, info, notice, warning, err, alert, crit or emerg, default info
    #[argh(option, arg_name = "level")]
    loglevel: Option<String>,
    /// show all messages
    #[argh(switch, short = 'v')]
    verbose: bool,
    /// write what was done and what came of it to this file as the run goes, as JSON, or as YAML by its name; default
    /// none
    #[argh(option, arg_name = "file")]
    report: Option<String>,
    /// go on from the run of this report, which failed or was interrupted: what it did is not done again, default from
    /// the beginning. Parameters that are not given are those of the report
    #[argh(option, arg_name = "file")]
    resume: Option<String>,
    /// where it fails, show which plans and functions that came through
    #[argh(switch)]
    trace: bool,
    /// show the result as JSON, text too
    #[argh(switch, short = 'j')]
    json: bool,
    /// the plan, such as module::name, and its parameters
    #[argh(positional, arg_name = "plan parameters")]
    words: Vec<String>,
}

/// From what matters least to what matters most.
const LEVELS: [(&str, Level); 9] = [
    ("debug", Level::Debug),
    ("verbose", Level::Debug),
    ("info", Level::Info),
    ("notice", Level::Notice),
    ("warning", Level::Warning),
    ("err", Level::Err),
    ("alert", Level::Alert),
    ("crit", Level::Crit),
    ("emerg", Level::Emerg),
];

fn rank(level: Level) -> usize {
    LEVELS.iter().position(|(_, known)| *known == level).unwrap_or(0)
}

fn name_of(level: Level) -> &'static str {
    LEVELS.iter().find(|(_, known)| *known == level).map_or("info", |(name, _)| name)
}

impl Run {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        // parameters may stand before the plan as well
        let at = self.words.iter().position(|word| !word.contains('=')).context(
            "name a plan: choria playbook run MODULE::NAME, choria playbook list shows those there are",
        )?;
        let mut words = self.words.clone();
        let name = words.remove(at);
        let given = Given::new(&words, self.input.as_deref())?;
        let least = self.least()?;
        let before = self.resume.as_deref().map(report_of).transpose()?;
        let mut given = given;
        if let Some(before) = &before {
            given.complete(before.pointer("/inputs/static"))?;
        }
        let modules = modules(self.modulepath.as_deref());
        let config = context::client_config(globals)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let cancel = CancellationToken::new();
        let said = Box::new(move |level: Level, from: &'static str, message: &str| {
            if rank(level) >= least {
                for line in message.lines() {
                    errln!(
                        "{}: {}{}",
                        name_of(level),
                        if from == "task" { "  " } else { "" },
                        clean(line, false)
                    );
                }
            }
        });
        let caller = caller(&config);
        let mut world = World::new(
            modules.clone(),
            resolver(&config),
            connect(config),
            said,
            runtime.handle().clone(),
            cancel.clone(),
        );
        world.caller = caller;
        world.inventories = interfaces::inventories();
        if let (Some(before), Some(file)) = (&before, &self.resume) {
            let journal = Journal::after(before, &name);
            world.report.journal = journal.map_err(|e| anyhow::anyhow!("--resume {file}: {e}"))?;
            world
                .is_as_before()
                .map_err(|e| anyhow::anyhow!("--resume {file}: {e}, start from the beginning"))?;
            errln!("info: {} steps were done before", world.report.journal.taken_over());
        }
        let (started, clock) = (jiff::Timestamp::now(), Instant::now());
        let inputs = Arc::new(std::sync::Mutex::new(Map::new()));
        if let Some(file) = &self.report {
            // better now than when everything is done
            tried(Path::new(file))?;
            world.after_step = as_it_goes(file.clone(), name.clone(), inputs.clone(), (started, clock));
        }
        let kept = inputs.clone();
        let arguments = Box::new(move |signature: &Signature, budget: &choria::core::puppet::Budget| {
            let arguments = given.arguments(signature, budget)?;
            let shown = arguments.iter().map(|(name, value)| (name.to_string(), value.to_json()));
            // secrets are masked by their type
            kept.lock().map_err(|_| "the inputs are lost".to_owned())?.extend(shown);
            Ok(arguments)
        });
        let plan = name.clone();
        let mut by = INTERRUPTED;
        let (world, outcome) = runtime.block_on(async {
            let stop = cancel.clone();
            let mut ends = Ends::new()?;
            let mut running = tokio::task::spawn_blocking(move || playbook::run(world, &plan, arguments, &stop));
            loop {
                tokio::select! {
                    done = &mut running => break done.context("the playbook ended by a fault of this program"),
                    code = ends.heard() => {
                        // whoever says it twice does not want to wait for locks
                        if cancel.is_cancelled() && code == TERMINATED {
                            std::process::exit(i32::from(code));
                        }
                        if !cancel.is_cancelled() {
                            by = code;
                        }
                        cancel.cancel();
                    }
                }
            }
        })?.map_err(anyhow::Error::msg)?;
        let took = clock.elapsed();
        runtime.shutdown_background();
        let Some(Outcome { result, interrupted }) = outcome else { return Err(unknown(&modules, &name)) };
        let error = result.as_ref().err().map(ToString::to_string);
        let reported = match &self.report {
            Some(file) => {
                let inputs = inputs.lock().map(|inputs| inputs.clone()).unwrap_or_default();
                let report = world.report.to_json(&name, inputs, (started, took), error.as_deref());
                written(Path::new(file), &report)
            }
            None => Ok(()),
        };
        let code = match (&result, interrupted) {
            (_, true) => ExitCode::from(by),
            (Ok(value), false) => {
                self.show(value)?;
                ExitCode::SUCCESS
            }
            (Err(e), false) => {
                errln!("choria: {}", clean(&e.to_string(), false));
                for called in e.calls.iter().filter(|_| self.trace) {
                    errln!("  in {}", clean(&called.to_string(), false));
                }
                ExitCode::FAILURE
            }
        };
        let end = match (&result, interrupted) {
            (_, true) => "INTERRUPTED",
            (Ok(_), false) => "OK",
            (Err(_), false) => "FAILED",
        };
        errln!("Playbook {name} ran in {:.2} seconds: {end}", took.as_secs_f64());
        reported.map(|()| code)
    }

    fn least(&self) -> anyhow::Result<usize> {
        let Some(level) = &self.loglevel else {
            return Ok(rank(if self.verbose { Level::Debug } else { Level::Info }));
        };
        let level = level.to_lowercase();
        let found = LEVELS.iter().find(|(name, _)| *name == level || *name == "warning" && level == "warn");
        let Some((_, level)) = found else {
            bail!(
                "--loglevel {level} is not known: debug, info, notice, warning, err, alert, crit and emerg are"
            );
        };
        Ok(rank(*level))
    }

    fn show(&self, value: &Value) -> anyhow::Result<()> {
        match value {
            _ if self.json => outln!("{}", escaped(&serde_json::to_string_pretty(&value.to_json())?)),
            Value::Undef | Value::Boolean(false) => {}
            Value::String(text) => text.lines().for_each(|line| outln!("{}", clean(line, false))),
            other => outln!("{}", escaped(&serde_json::to_string_pretty(&other.to_json())?)),
        }
        Ok(())
    }
}

/// Who asks, for messages; empty for who has no keys.
fn caller(config: &Config) -> String {
    let provider = Provider::new(config, Role::Client, &System);
    provider.map(|provider| provider.caller_id().as_str().to_owned()).unwrap_or_default()
}

fn connect(config: Config) -> Connect {
    let config = Arc::new(config);
    Box::new(move || {
        let config = (*config).clone();
        Box::pin(async move { context::connect(config).await.map_err(|e| sentence(&e)) })
    })
}

/// Exit status of who was ended by SIGTERM, and by SIGHUP.
const TERMINATED: u8 = 143;
const HUNG_UP: u8 = 129;

/// What ends a run in an orderly way.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
    /// Absent for who was started to outlive its terminal.
    hangup: Option<Signal>,
}

impl Ends {
    fn new() -> std::io::Result<Ends> {
        Ok(Ends {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    /// The next one, as the exit status that it stands for.
    async fn heard(&mut self) -> u8 {
        let Ends { interrupt, terminate, hangup } = self;
        let hung_up = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => INTERRUPTED,
            _ = terminate.recv() => TERMINATED,
            _ = hung_up => HUNG_UP,
        }
    }
}

/// Whether SIGHUP is ignored, as `nohup` has it.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// Largest report.
const MOST: u64 = 256 << 20;

/// The report of an earlier run.
fn report_of(file: &str) -> anyhow::Result<Json> {
    let text = read_bounded(Path::new(file), MOST).with_context(|| format!("--resume {file}"))?;
    let text = String::from_utf8(text).with_context(|| format!("--resume {file} is not UTF-8"))?;
    match text.trim_start().starts_with('{') {
        true => serde_json::from_str(&text).with_context(|| format!("--resume {file} is no report")),
        false => documents::yaml(&text).map_err(|e| anyhow::anyhow!("--resume {file} is no report: {e}")),
    }
}

/// Whether a report can be written there, before there is one.
fn tried(file: &Path) -> anyhow::Result<()> {
    let what = || format!("the report {}", file.display());
    if file.is_dir() {
        bail!("{} cannot be written: it is a directory", what());
    }
    if is_a_place(file) {
        let target = resolved(file).with_context(what)?;
        let directory = target.parent().filter(|directory| !directory.as_os_str().is_empty());
        let mut beside = directory.unwrap_or(Path::new(".")).to_owned();
        beside.push(format!(".choria-{}", uuid::Uuid::new_v4()));
        let cannot = |e| anyhow::anyhow!("{} cannot be written: {e}", what());
        write_new(&beside, b"", 0o600).map_err(cannot)?;
        std::fs::remove_file(&beside).with_context(what)?;
    }
    Ok(())
}

/// Whether a file is there or may be made: what is written to a device cannot be replaced.
fn is_a_place(file: &Path) -> bool {
    std::fs::metadata(file).map_or(true, |about| about.is_file())
}

/// Writes the report each time that something was done, so that it is there whatever ends this
/// program. Where that takes long it is not done all the time.
fn as_it_goes(
    file: String,
    playbook: String,
    inputs: Arc<std::sync::Mutex<Map<String, Json>>>,
    (started, clock): (jiff::Timestamp, Instant),
) -> Option<AfterStep> {
    const QUICK: Duration = Duration::from_millis(100);
    if !is_a_place(Path::new(&file)) {
        return None;
    }
    let mut last: Option<(Instant, Duration)> = None;
    let mut complained = false;
    Some(Box::new(move |report| {
        if last.is_some_and(|(end, took)| took > QUICK && end.elapsed() < 10 * took) {
            return;
        }
        let begun = Instant::now();
        let inputs = inputs.lock().map(|inputs| inputs.clone()).unwrap_or_default();
        let so_far = report.to_json(&playbook, inputs, (started, clock.elapsed()), Some(NOT_ENDED));
        if let Err(e) = written(Path::new(&file), &so_far)
            && !std::mem::replace(&mut complained, true)
        {
            errln!("warning: {}", clean(&format!("{e:#}"), false));
        }
        last = Some((Instant::now(), begun.elapsed()));
    }))
}

/// The error of a run that is not over, in its report.
const NOT_ENDED: &str = "the run has not ended, or nobody could say how";

fn written(file: &Path, report: &Json) -> anyhow::Result<()> {
    let yaml = file.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let text = match yaml {
        true => format!("---\n{}", serde_saphyr::to_string(report)?),
        false => serde_json::to_string_pretty(report)? + "\n",
    };
    // inputs and replies are nobody else's business
    write_atomic(file, text.as_bytes(), 0o600).with_context(|| format!("the report {}", file.display()))
}
