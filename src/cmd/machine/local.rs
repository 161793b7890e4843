//! Machines in directories of this machine: judged, drawn, shown, tried.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::machine::definition::{Definition, compile};
use choria::core::machine::duration;
use choria::core::machine::host::DEFINITION;
use choria::core::machine::simulation::{Script, show, simulate};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::cmd::out::{errln, out, outln};
use crate::cmd::render::text::clean;

/// Bytes of a definition or a script that are read.
const MAX: u64 = 1024 * 1024;

/// The text of a machine: of a directory its `machine.yaml`, or a file itself.
pub fn text(path: &Path) -> anyhow::Result<(PathBuf, String)> {
    let file = if path.is_dir() { path.join(DEFINITION) } else { path.to_owned() };
    let bytes = choria::core::files::read_bounded(&file, MAX)?;
    let text = String::from_utf8(bytes).with_context(|| format!("{} is no text", file.display()))?;
    Ok((file, text))
}

/// A machine that could run, or one line a mistake and none.
pub fn definition(path: &Path) -> anyhow::Result<Definition> {
    let (file, text) = text(path)?;
    match compile(&text) {
        Ok(definition) => {
            for warning in &definition.warnings {
                errln!("{}: {}: warning: {}", file.display(), place(warning.at), clean(&warning.text, false));
            }
            Ok(definition)
        }
        Err(findings) => {
            for finding in &findings {
                errln!("{}: {}: {}", file.display(), place(finding.at), clean(&finding.text, false));
            }
            bail!("{} is no machine that could run, see above", file.display())
        }
    }
}

fn place(at: choria::core::machine::yaml::At) -> String {
    format!("{}:{}", at.line, at.column)
}

/// say whether a server would run a machine, and if not, why: one line a mistake
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "validate")]
pub struct Validate {
    /// directory with a machine.yaml, or such a file
    #[argh(positional, arg_name = "dir")]
    path: PathBuf,
}

impl Validate {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        definition(&self.path)?;
        outln!("{} has a valid machine.yaml", self.path.display());
        Ok(ExitCode::SUCCESS)
    }
}

/// draw a machine for Graphviz: choria machine graph DIR | dot -Tsvg
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "graph")]
pub struct Graph {
    /// directory with a machine.yaml, or such a file
    #[argh(positional, arg_name = "dir")]
    path: PathBuf,
}

impl Graph {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        out!("{}", clean(&definition(&self.path)?.graph(), true));
        Ok(ExitCode::SUCCESS)
    }
}

/// show what a machine is made of
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "info")]
pub struct Info {
    /// directory with a machine.yaml, or such a file
    #[argh(positional, arg_name = "dir")]
    path: PathBuf,
}

impl Info {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let machine = definition(&self.path)?;
        let clean = |text: &str| clean(text, false).into_owned();
        outln!(
            "{} {}, begins in {}",
            clean(&machine.name),
            clean(&machine.version),
            clean(machine.state(machine.initial))
        );
        outln!("\n  Transitions:\n");
        for (from, event, to) in machine.table.moves() {
            outln!(
                "    {}: {} => {}",
                clean(machine.event(*event)),
                clean(machine.state(*from)),
                clean(machine.state(*to))
            );
        }
        for followed in &machine.subscriptions {
            outln!(
                "    {} follows {} of {}",
                clean(machine.event(followed.leads_to)),
                clean(&followed.event),
                clean(&followed.machine)
            );
        }
        outln!("\n  Watchers:\n");
        for watched in &machine.watchers {
            let common = &watched.common;
            let states: Vec<&str> = (0..machine.states.len())
                .filter_map(|state| u16::try_from(state).ok())
                .filter(|state| common.states.has(*state))
                .map(|state| machine.state(state))
                .collect();
            let when =
                if states.is_empty() { "always".to_owned() } else { format!("in {}", states.join(", ")) };
            let every = common.interval.map_or(String::new(), |every| {
                format!(" every {}", duration::show(i64::try_from(every.as_nanos()).unwrap_or(i64::MAX)))
            });
            outln!("    {} ({}){every} {}", clean(&common.name), common.kind, clean(&when));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// try a machine in a made-up time: exit codes and times come from a file, and its events are shown; nothing is run
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "simulate")]
pub struct Simulate {
    /// what happens, a line each: WHEN WATCHER EXIT-CODE [OUTPUT], WHEN transition EVENT, or WHEN end; times such as 90s or 2h count from the start
    #[argh(option, arg_name = "file")]
    script: PathBuf,
    /// when it starts, such as 2026-03-29T00:00:00Z, default now
    #[argh(option, arg_name = "time")]
    from: Option<String>,
    /// show transitions only
    #[argh(switch)]
    transitions: bool,
    /// directory with a machine.yaml, or such a file
    #[argh(positional, arg_name = "dir")]
    path: PathBuf,
}

impl Simulate {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let machine = definition(&self.path)?;
        let from = match &self.from {
            None => Timestamp::now(),
            Some(text) => text
                .parse()
                .with_context(|| format!("--from {text} is no time such as 2026-03-29T00:00:00Z"))?,
        };
        let bytes = choria::core::files::read_bounded(&self.script, MAX)?;
        let text =
            String::from_utf8(bytes).with_context(|| format!("{} is no text", self.script.display()))?;
        let script =
            Script::parse(&text, &machine).map_err(|e| anyhow::anyhow!("{}: {e}", self.script.display()))?;
        simulate(machine, &script, TimeZone::system(), from, |at, text| {
            if !self.transitions || text.contains(" transitioned via event ") {
                outln!("[{}] {}", show(at), clean(text, false));
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
