//! One application is run.

use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use choria::core::builder::compile::Compiled;
use choria::core::builder::kinds::Kind;
use choria::core::builder::line::{self, Line};
use choria::core::builder::{Finding, Scope, State, compile, help};
use choria::core::text::{documents, meant};

use super::machine::{Includes, Machine, text};
use super::places::Found;
use super::{discover, exec, filters, form, kv, playbook, rpc, secrets, task, transform};
use crate::cmd::Globals;
use crate::cmd::exit::AfterAsking;
use crate::cmd::out::{complain, errln, out, outln};
use crate::cmd::render::text::clean;

/// One command that is run, and what it is run with.
pub struct Running<'a> {
    pub run: &'a line::Run<'a>,
    pub state: State,
    pub globals: &'a Globals,
}

impl Running<'_> {
    /// What templates are rendered within.
    pub fn scope(&self) -> Scope<'_> {
        Scope { state: &self.state, world: &Machine }
    }

    /// A template with the values of this run.
    pub fn render(&self, text: &str) -> anyhow::Result<String> {
        let rendered = self.scope().render(text);
        // what is wrong may be told with the value it is wrong of
        rendered.map_err(|e| {
            anyhow::anyhow!("{}: {}", self.run.command.name, self.state.redacted(&e.to_string()))
        })
    }

    /// What a command gave, as it is shown: transformed where the definition says so.
    pub fn transformed(&self, output: String) -> anyhow::Result<String> {
        match &self.run.command.transform {
            Some(transform) => transform::apply(transform, output, &self.scope())
                .map_err(|e| anyhow::anyhow!("{}", self.state.redacted(&e))),
            None => Ok(output),
        }
    }
}

/// Whether nothing is to be done but to say what would be.
pub fn is_dry() -> bool {
    std::env::var_os("BUILDER_DRY_RUN").is_some_and(|value| !value.is_empty())
}

/// Says what would be done.
pub fn would(what: std::fmt::Arguments<'_>) -> anyhow::Result<ExitCode> {
    errln!("choria: BUILDER_DRY_RUN is set: would {}", clean(&what.to_string(), true));
    Ok(ExitCode::SUCCESS)
}

/// The application of a file, or one line a mistake and none.
pub fn load(found: &Found) -> anyhow::Result<Compiled> {
    let file = found.file.display().to_string();
    let text = text(&found.file).map_err(anyhow::Error::msg)?;
    match compile(&file, &text, &mut Includes, found.is_tasks) {
        Ok(compiled) => Ok(compiled),
        Err(findings) => {
            findings.iter().for_each(|finding| tell("", finding));
            bail!("{file} is no application that could run, see above")
        }
    }
}

/// The same without a word about what is wrong.
pub fn quietly(found: &Found) -> anyhow::Result<Compiled> {
    let text = text(&found.file).map_err(anyhow::Error::msg)?;
    let compiled = compile(&found.file.display().to_string(), &text, &mut Includes, found.is_tasks);
    compiled.map_err(|_| anyhow::anyhow!("{} is no application that could run", found.file.display()))
}

/// One line about a definition.
pub fn tell(kind: &str, finding: &Finding) {
    let Finding { file, at, text } = finding;
    errln!("{}:{}:{}: {kind}{}", clean(file, false), at.line, at.column, clean(text, false));
}

/// Runs an application with the words behind its name, which is `called` in what is said.
pub fn run(called: &str, found: &Found, words: &[String], globals: &Globals) -> anyhow::Result<ExitCode> {
    let Compiled { definition, .. } = load(found)?;
    definition.warnings.iter().for_each(|warning| tell("warning: ", warning));
    let filters = filters::flags();
    let run = match line::read(&definition, called, words, &filters, &Machine)? {
        Line::Run(run) => run,
        Line::Version => {
            outln!("{}", clean(&definition.version, false));
            return Ok(ExitCode::SUCCESS);
        }
        Line::Cheat(which) => return cheat(&help::cheats(&definition, &found.name), which.as_deref()),
        Line::Help(path) => {
            let text = match path.is_empty() {
                true => help::application(&definition, called),
                false => help::command(called, &path, &filters),
            };
            // asked for it is what was wanted, else it says what is missing
            let wanted = words.iter().any(|word| word == "--help" || word == "-h")
                || words.first().is_some_and(|w| w == "help");
            match wanted {
                true => out!("{}", clean(&text, true)),
                false => complain(format_args!("{}", clean(&text, true))),
            }
            return Ok(if wanted { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    };
    let command = run.command;
    if let Kind::Refused(kind) = command.kind {
        bail!("{}: commands of type {kind} are not done here", command.name);
    }
    if let Some(name) = command.transform.as_ref().and_then(|transform| transform.refused()) {
        bail!("{}: transforms by {name} are not done here", command.name);
    }
    let state = State {
        arguments: run.arguments.clone(),
        flags: run.flags.clone(),
        config: settings(found)?,
        user_dir: directory(Path::new("."))?,
        app_dir: directory(found.file.parent().unwrap_or(Path::new(".")))?,
        ..State::default()
    };
    let mut running = Running { run: &run, state, globals };
    if let Some(banner) = &command.banner {
        let banner = running.render(banner)?;
        if !banner.is_empty() {
            outln!("{}", banner.trim_end_matches('\n'));
        }
    }
    if let Some(question) = command.confirm.as_ref().filter(|_| run.prompt) {
        confirmed(question, "--no-prompt does it unasked")?;
    }
    running.state.secrets = secrets::resolved(&command.secrets)?;
    dispatch(&mut running).map_err(|error| untold(&running.state, error))
}

/// An error without the values of secrets, wherever it comes from.
fn untold(state: &State, error: anyhow::Error) -> anyhow::Error {
    let told = format!("{error:#}");
    let redacted = state.redacted(&told);
    match redacted == told {
        true => error,
        false if error.is::<AfterAsking>() => AfterAsking(redacted).into(),
        false => anyhow::Error::msg(redacted),
    }
}

fn dispatch(running: &mut Running<'_>) -> anyhow::Result<ExitCode> {
    match &running.run.command.kind {
        Kind::Exec(exec) => exec::run(exec, running),
        Kind::Rpc(rpc) => rpc::run(rpc, running),
        Kind::Discover(discover) => discover::run(discover, running),
        Kind::Kv(kv) => kv::run(kv, running),
        Kind::Form(form) => form::run(form, running),
        Kind::Task(task) => task::run(task, running),
        Kind::Playbook(playbook) => playbook::run(playbook, running),
        Kind::Parent | Kind::Refused(_) => bail!("{} does nothing by itself", running.run.command.name),
    }
}

/// Asks a person whether it is meant; refuses where there is nobody to ask.
pub fn confirmed(question: &str, otherwise: &str) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("'{}' is asked first, and nobody can be asked here: {otherwise}", clean(question, false));
    }
    complain(format_args!("{} (y/n): ", clean(question, false)));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        true => Ok(()),
        false => bail!("nothing was done"),
    }
}

fn settings(found: &Found) -> anyhow::Result<serde_json::Value> {
    let Some(file) = &found.settings else { return Ok(serde_json::Value::Object(Default::default())) };
    let text = text(file).map_err(anyhow::Error::msg)?;
    let settings = documents::yaml(&text).map_err(|e| anyhow::anyhow!("{}: {e}", file.display()))?;
    match settings {
        serde_json::Value::Null => Ok(serde_json::Value::Object(Default::default())),
        settings => Ok(settings),
    }
}

fn directory(path: &Path) -> anyhow::Result<String> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let whole = std::fs::canonicalize(path).with_context(|| path.display().to_string())?;
    Ok(whole.display().to_string())
}

/// Lists cheat sheets, or shows one.
fn cheat(sheets: &[(&str, &str)], which: Option<&str>) -> anyhow::Result<ExitCode> {
    let Some(which) = which else {
        outln!("Available Cheats:\n");
        sheets.iter().for_each(|(label, _)| outln!("    {}", clean(label, false)));
        return Ok(ExitCode::SUCCESS);
    };
    match sheets.iter().find(|(label, _)| *label == which) {
        Some((_, text)) => outln!("{}", clean(text.trim_end(), true)),
        None => {
            let meant = meant(which, sheets.iter().map(|(label, _)| *label));
            bail!("there is no cheat sheet '{which}'{}", meant.trim_end_matches('?'))
        }
    }
    Ok(ExitCode::SUCCESS)
}
