//! `choria tool audit`: who called what, and who was not let, out of the logs
//! of nodes.

mod merged;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::audit::trail::{Entry, FileOutcome, Query, Verdict, Wanted, configured};
use choria::core::config::{Config, Role, System, parse_duration};
use choria::core::log::Destination;
use tokio::signal::unix::{SignalKind, signal};

use super::super::out::{errln, out, outln};
use crate::cmd::Globals;
use crate::cmd::context::{block_on, daemon_file};
use crate::cmd::render::table;
use crate::cmd::render::text::{clean, counted, escaped};

/// match requests to callers: reads audit logs and server logs, also rotated and compressed ones
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "audit")]
pub struct Audit {
    /// only of this caller, such as choria=bob.mcollective, bob.mcollective or /regex/
    #[argh(option, arg_name = "caller")]
    caller: Option<String>,
    /// only of this agent, a name or /regex/
    #[argh(option, arg_name = "agent")]
    agent: Option<String>,
    /// only of this action, a name or /regex/
    #[argh(option, arg_name = "action")]
    action: Option<String>,
    /// only from then on: 2h, 7d, 2026-01-07 or 2026-01-07T07:13:30Z
    #[argh(option, arg_name = "time")]
    since: Option<String>,
    /// only before then, in the same forms
    #[argh(option, arg_name = "time")]
    until: Option<String>,
    /// only what did not run: denied, refused, timed out
    #[argh(switch)]
    failed: bool,
    /// count by caller, agent, action and outcome instead
    #[argh(switch, short = 's')]
    summary: bool,
    /// show JSON lines, of a summary one document
    #[argh(switch, short = 'j')]
    json: bool,
    /// audit and server logs, - is standard input; those of the server configuration when absent
    #[argh(positional)]
    files: Vec<String>,
}

/// Different rows of a summary; more are counted together.
const ROWS: usize = 10_000;
/// Complaints about single files that are shown.
const TOLD: usize = 10;
/// Files that are read side by side; more are read one after the other.
const AT_ONCE: usize = 200;

type Stop = tokio::sync::watch::Receiver<bool>;

type Row = (String, String, String, Verdict);

impl Audit {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let query = self.query(jiff::Timestamp::now())?;
        let files = self.files(globals)?;
        let mut view = View::new(&self, query);
        // Files take a while: an interrupt ends the reading and not the report.
        block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let (told, stop) = tokio::sync::watch::channel(false);
            let reading = tokio::task::spawn_blocking(move || {
                view.files(&files, &stop);
                view
            });
            tokio::pin!(reading);
            let mut interrupted = false;
            let view = loop {
                tokio::select! {
                    view = &mut reading => break view?,
                    _ = interrupt.recv(), if !interrupted => {
                        interrupted = true;
                        let _ = told.send(true);
                    }
                }
            };
            let failed = view.finish(self.summary)?;
            Ok(match () {
                () if interrupted => ExitCode::from(crate::cmd::exit::INTERRUPTED),
                () if failed => ExitCode::FAILURE,
                () => ExitCode::SUCCESS,
            })
        })?
    }

    fn query(&self, now: jiff::Timestamp) -> anyhow::Result<Query> {
        let wanted = |flag: &str, text: &Option<String>| {
            let wanted = text.as_deref().map(Wanted::parse).transpose();
            wanted.map_err(|e| anyhow::anyhow!("{flag}: {e}"))
        };
        let time = |flag: &str, text: &Option<String>| -> anyhow::Result<Option<jiff::Timestamp>> {
            text.as_deref()
                .map(|text| {
                    point(text, now).with_context(|| {
                        format!(
                            "{flag} '{text}' is no time: write 2h, 7d, 2026-01-07 or 2026-01-07T07:13:30Z"
                        )
                    })
                })
                .transpose()
        };
        Ok(Query {
            caller: wanted("--caller", &self.caller)?,
            agent: wanted("--agent", &self.agent)?,
            action: wanted("--action", &self.action)?,
            since: time("--since", &self.since)?,
            until: time("--until", &self.until)?,
        })
    }

    fn files(&self, globals: &Globals) -> anyhow::Result<Vec<PathBuf>> {
        if !self.files.is_empty() {
            return Ok(self.files.iter().map(PathBuf::from).collect());
        }
        let file = daemon_file(globals, Role::Server)
            .context("which logs? Name audit logs and server logs, or a server's configuration")?;
        let config = Config::load(Role::Server, Some(&file), &System)?;
        let files = configured(&config);
        if files.is_empty() {
            bail!("{} names neither plugin.rpcaudit.logfile nor a logfile that exists", file.display());
        }
        if let Destination::Stdout | Destination::Stderr = Destination::parse(&config.logfile) {
            let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
            errln!(
                "choria: who was denied is not in a file here, the node logs to {}: journalctl -u choria-server -o short-iso-precise | \
                 choria tool audit {} -",
                config.logfile,
                files.join(" ")
            );
        }
        Ok(files)
    }
}

/// A time, a date (UTC), or how long ago.
fn point(text: &str, now: jiff::Timestamp) -> Option<jiff::Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>() {
        return Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp());
    }
    now.checked_sub(parse_duration(text).ok()?).ok()
}

/// What is shown and counted. Rows are shown as they are read: a gigabyte of
/// them is nobody's memory.
struct View {
    query: Query,
    failed_only: bool,
    json: bool,
    summary: bool,
    headed: bool,
    counts: BTreeMap<Row, u64>,
    others: u64,
    /// Of no known time, where one is asked for.
    timeless: u64,
    shown: u64,
    lines: u64,
    files: u64,
    broken: Vec<(PathBuf, FileOutcome)>,
    unread: bool,
}

impl View {
    fn new(audit: &Audit, query: Query) -> View {
        View {
            query,
            failed_only: audit.failed,
            json: audit.json,
            summary: audit.summary,
            headed: false,
            counts: BTreeMap::new(),
            others: 0,
            timeless: 0,
            shown: 0,
            lines: 0,
            files: 0,
            broken: vec![],
            unread: false,
        }
    }

    /// By time over all files, where it matters: a denial belongs beside what ran around it.
    fn files(&mut self, files: &[PathBuf], stop: &Stop) {
        let merged = !self.summary && files.len() <= AT_ONCE;
        for some in files.chunks(if merged { AT_ONCE } else { 1 }) {
            if *stop.borrow() {
                break;
            }
            let outcomes = merged::read(some, stop, |entry| self.entry(entry));
            some.iter().zip(outcomes).for_each(|(path, outcome)| self.ended(path, outcome));
        }
    }

    fn ended(&mut self, path: &Path, outcome: FileOutcome) {
        self.files += 1;
        self.lines += outcome.lines;
        if outcome.broken > 0 || outcome.ended_early.is_some() {
            self.unread |= outcome.ended_early.is_some();
            self.broken.push((path.to_owned(), outcome));
        }
    }

    fn entry(&mut self, entry: &Entry) {
        let failed = !matches!(entry.verdict, Verdict::Ran | Verdict::Unaudited);
        if self.failed_only && !failed {
            return;
        }
        if !self.query.matches(entry) {
            if entry.time.is_none() {
                let anytime = Query { since: None, until: None, ..self.query.clone() };
                self.timeless += u64::from(anytime.matches(entry));
            }
            return;
        }
        self.shown += 1;
        if self.summary {
            let row = (entry.caller.clone(), entry.agent.clone(), entry.action.clone(), entry.verdict);
            let room = self.counts.len() < ROWS;
            match self.counts.get_mut(&row) {
                Some(count) => *count += 1,
                None if room => {
                    self.counts.insert(row, 1);
                }
                None => self.others += 1,
            }
            return;
        }
        if self.json {
            // Nothing in an entry cannot be JSON.
            outln!("{}", escaped(&serde_json::to_string(entry).unwrap_or_default()));
            return;
        }
        if !std::mem::replace(&mut self.headed, true) {
            outln!("{}", columns("TIME", "OUTCOME", "CALLER", "ACTION", "REQUEST", ""));
        }
        let time = entry.time.map(|t| t.strftime("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap_or_default();
        let action = match entry.agent.is_empty() {
            true => String::from("-"),
            false => format!("{}#{}", entry.agent, entry.action),
        };
        let line =
            columns(&time, entry.verdict.word(), &entry.caller, &action, &entry.request, &entry.reason);
        outln!("{}", clean(&line, false));
    }

    /// Shows what stands at the end; true when a file could not be read whole.
    fn finish(self, summary: bool) -> anyhow::Result<bool> {
        if summary && self.json {
            let rows: Vec<serde_json::Value> = self
                .counts
                .iter()
                .map(|((caller, agent, action, verdict), count)| {
                    serde_json::json!({
                        "caller": caller, "agent": agent, "action": action, "verdict": verdict, "count": count,
                    })
                })
                .collect();
            outln!("{}", escaped(&serde_json::to_string_pretty(&rows)?));
        } else if summary {
            let mut counts: Vec<(&Row, &u64)> = self.counts.iter().collect();
            counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            let rows: Vec<Vec<String>> = counts
                .into_iter()
                .map(|((caller, agent, action, verdict), count)| {
                    vec![
                        caller.clone(),
                        agent.clone(),
                        action.clone(),
                        verdict.word().to_owned(),
                        count.to_string(),
                    ]
                })
                .collect();
            let header = ["Caller", "Agent", "Action", "Outcome", "Requests"].map(str::to_owned);
            out!("{}", table::render(&header, &rows));
        }
        if self.others > 0 {
            errln!("choria: {} more requests are in none of the {ROWS} rows", self.others);
        }
        if self.timeless > 0 {
            errln!(
                "choria: {} without a time left out: journalctl -o short-iso-precise writes it, or ask for all times",
                counted(self.timeless, "request")
            );
        }
        for (path, outcome) in self.broken.iter().take(TOLD) {
            if let Some(reason) = &outcome.ended_early {
                errln!("choria: {} was not read to its end: {reason}", path.display());
            }
            if let Some(first) = outcome.first_broken {
                errln!(
                    "choria: {}: {} lines are neither audit records nor of a server's log, the first is line {first}",
                    path.display(),
                    outcome.broken
                );
            }
        }
        if self.broken.len() > TOLD {
            errln!("choria: {} more files have such lines or ends", self.broken.len() - TOLD);
        }
        if !self.json {
            let [requests, lines, files] =
                [(self.shown, "request"), (self.lines, "line"), (self.files, "file")]
                    .map(|(n, of)| counted(n, of));
            errln!("{requests} in {lines} of {files}");
        }
        Ok(self.unread)
    }
}

fn columns(time: &str, outcome: &str, caller: &str, action: &str, request: &str, reason: &str) -> String {
    let line = format!("{time:<20}  {outcome:<9}  {caller:<30}  {action:<28}  {request:<32}  {reason}");
    line.trim_end().to_owned()
}
