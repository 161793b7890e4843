//! `choria history`: what was asked before, and what came of it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::client::history::{Bounds, Heading, History, Record, Which};
use choria::core::config::{Config, Role, System};
use choria::core::ddl::{Action, Display};
use choria::core::text::meant;

use super::Globals;
use super::out::{Stdout, errln, out, outln};
use super::render::forms::{Asked, Flags, Style, form};
use super::render::text::{clean, coloured, escaped};
use super::render::view::View;
use super::render::{table, text};
use super::request::RequestFlags;
use super::rpc::resolver;

/// show requests that were made before, and what came of them
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "history")]
pub struct Past {
    #[argh(subcommand)]
    command: Sub,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Sub {
    List(List),
    Show(Show),
}

/// list requests that are kept, the newest first
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list")]
struct List {
    /// show JSON
    #[argh(switch, short = 'j')]
    json: bool,
}

/// show a request again, in any form
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "show")]
struct Show {
    /// show one JSON document
    #[argh(switch, short = 'j')]
    json: bool,
    /// show JSON lines
    #[argh(switch)]
    jsonl: bool,
    /// show successful replies as a table
    #[argh(switch)]
    table: bool,
    /// show the names of nodes that answered well
    #[argh(switch)]
    senders: bool,
    /// show all data and statistics
    #[argh(switch, short = 'v')]
    verbose: bool,
    /// which replies are shown: ok, failed, all or none, default all
    #[argh(option, arg_name = "mode")]
    display: Option<String>,
    /// keep only replies an expression is true of, such as "ok() && data('value') == 'uk'"
    #[argh(option, arg_name = "expression")]
    filter_replies: Option<String>,
    /// show results sorted by node
    #[argh(switch)]
    sort: bool,
    /// id of the request, the beginning of it, or last
    #[argh(positional)]
    id: String,
}

impl Past {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        match self.command {
            Sub::List(list) => list.run(globals),
            Sub::Show(show) => show.run(globals),
        }
    }
}

impl List {
    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let config = configuration(globals)?;
        let headings = open(&config).map(|history| history.headings()).unwrap_or_default();
        if self.json {
            outln!("{}", escaped(&serde_json::to_string_pretty(&headings)?));
            return Ok(ExitCode::SUCCESS);
        }
        if headings.is_empty() {
            match config.choria_history_enabled {
                true => errln!("choria: no request is kept yet"),
                false => errln!("choria: no request is kept: plugin.choria.history.enabled is off"),
            }
            return Ok(ExitCode::SUCCESS);
        }
        let header = ["Id", "Time", "Request", "Nodes", "Ok", "Failed", "Missed"].map(str::to_owned);
        let rows: Vec<Vec<String>> = headings.iter().map(row).collect();
        out!("{}", table::render(&header, &rows));
        Ok(ExitCode::SUCCESS)
    }
}

fn row(heading: &Heading) -> Vec<String> {
    let time = heading.time.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S");
    let words = [&[heading.agent.clone(), heading.action.clone()], heading.inputs.as_slice()].concat();
    let interrupted = if heading.interrupted { " (interrupted)" } else { "" };
    vec![
        short(&heading.id),
        time.to_string(),
        format!("{}{interrupted}", words.join(" ")),
        heading.nodes.to_string(),
        heading.ok.to_string(),
        heading.failed.to_string(),
        heading.missed.to_string(),
    ]
}

impl Show {
    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let config = configuration(globals)?;
        let record = find(&config, &self.id)?;
        // An interface that is not here any more only lent its labels.
        let known = resolver(&config).agent(&record.agent).ok();
        let action = known.as_ref().and_then(|ddl| ddl.action(&record.action)).cloned();
        let action: Action = match action {
            Some(action) => action,
            None => serde_json::from_value(serde_json::json!({"action": record.action}))?,
        };
        let flags = RequestFlags {
            display: self.display.clone(),
            filter_replies: self.filter_replies.clone(),
            ..RequestFlags::default()
        };
        let display = match self.display {
            None => Display::Always,
            Some(_) => flags.display(&action)?,
        };
        let keep = flags.keep()?;
        let forms = Flags { json: self.json, jsonl: self.jsonl, table: self.table, senders: self.senders };
        if forms == Flags::default() {
            self.head(&record);
        }
        let style = Style { display, verbose: self.verbose, colour: coloured(config.color) };
        let asked = Asked { agent: &record.agent, name: &record.action, action: &action, style };
        let mut view = View::new(Box::new(Stdout), form(forms), asked, self.sort).keeping(keep);
        for reply in record.replies() {
            view.reply(reply)?;
        }
        view.finish(&record.stats, record.interrupted)?;
        if record.without_data {
            errln!(
                "choria: not all outputs of this request were kept: they were too many, or go with secrets"
            );
        }
        Ok(ExitCode::SUCCESS)
    }

    fn head(&self, record: &Record) {
        let heading = record.heading();
        let time = heading.time.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z");
        let words = [&[heading.agent, heading.action], heading.inputs.as_slice()].concat().join(" ");
        outln!("{}", text::clean(&format!("Request {} of {time}: {words}", heading.id), false));
        outln!();
    }
}

/// Whoever looks back needs no configuration that connects.
fn configuration(globals: &Globals) -> anyhow::Result<Config> {
    let config = Config::load(Role::Client, globals.config.as_deref(), &System);
    match (&globals.config, config) {
        (None, Err(_)) => Ok(Config::defaults(Role::Client, &System)?),
        (_, config) => Ok(config?),
    }
}

/// Where what a user asks is kept; nowhere for who has no home, or somebody else's.
pub fn place() -> Option<PathBuf> {
    let dir =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|dir| choria::core::files::is_own(dir));
    History::place(dir("XDG_STATE_HOME"), dir("HOME"))
}

/// This user's requests; none of who has no place for them.
pub fn open(config: &Config) -> Option<History> {
    let dir = place()?;
    let bounds = Bounds {
        count: usize::try_from(config.choria_history_count).unwrap_or(0),
        age: config.choria_history_age,
        bytes: u64::try_from(config.choria_history_size).unwrap_or(0),
    };
    Some(History::new(dir, bounds))
}

/// Ids of what is kept, as `choria history` shows them, for whoever completes a line.
pub fn ids(globals: &Globals) -> Vec<String> {
    let headings = configuration(globals).ok().and_then(|config| open(&config)).map(|kept| kept.headings());
    let ids = headings.unwrap_or_default().into_iter().map(|heading| short(&heading.id));
    ["last".to_owned()].into_iter().chain(ids).collect()
}

/// So much of an id as is shown; the beginning of one is enough to name it.
fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

/// The record of that id.
pub fn find(config: &Config, id: &str) -> anyhow::Result<Record> {
    let history = open(config)
        .context("no request is kept: neither HOME nor XDG_STATE_HOME is a directory of yours")?;
    Ok(history.find(id)?)
}

/// Keeps what a request came to, where that is wanted; a request that cannot be kept
/// was made all the same.
pub fn keep(config: &Config, record: &Record) {
    let Some(history) = open(config).filter(|_| config.choria_history_enabled) else { return };
    match history.keep(record) {
        Ok(()) => {}
        // Users of services have homes that are nobody's.
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => tracing::debug!("not kept: {e}"),
        Err(e) => tracing::warn!("what the request came to was not kept for choria history: {e}"),
    }
}

/// `WHICH:ID`, as the words of `--only` and `--retry` are handed on.
pub fn chosen(flag: &str, words: &str) -> anyhow::Result<(Which, String)> {
    let names = || Which::WORDS.iter().map(|(name, _)| *name);
    let (which, id) = words.split_once(':').unwrap_or((words, ""));
    let known = Which::WORDS.iter().find(|(name, _)| *name == which);
    let Some((_, which)) = known else {
        let (meant, which) = (meant(which, names()), clean(which, false));
        bail!(
            "{flag} takes which nodes and the id of their request, such as {flag} failed last: {which} is none of \
             ok, failed, missed and denied{meant}"
        );
    };
    if id.is_empty() {
        bail!("{flag} needs the id of a request, such as {flag} missed last: choria history has them all");
    }
    Ok((*which, id.to_owned()))
}

/// Nodes of a record that are chosen; nobody is an error.
pub fn nodes(record: &Record, which: Which) -> anyhow::Result<Vec<String>> {
    let nodes = record.nodes(which);
    if nodes.is_empty() {
        let word = Which::WORDS.iter().find(|(_, known)| *known == which).map_or("", |(word, _)| *word);
        bail!("no node of request {} is {word}", clean(record.id(), false));
    }
    Ok(nodes)
}
