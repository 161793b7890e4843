//! `choria rpc` (`req`): one action of one agent on many nodes.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context as _, bail};
use choria::core::client::{
    Client, Limit, LimitMethod, RequestStats, RpcCall, RpcOptions, RpcReply, Targets,
};
use choria::core::config::Config;
use choria::core::ddl::{Action, Display, Resolver};
use choria::core::discovery::LateAnswers;
use choria::core::rpc::RequestBody;
use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::Globals;
use super::context::{self, block_on};
use super::exit::Exit;
use super::fleet::fleet_command;
use super::out::{Stdout, outln};
use super::render::jsonl::Line;
use super::render::progress::Progress;
use super::render::replies::{self, Style};
use super::render::rows::Rows;
use super::render::{table, text};
use super::trouble;

fleet_command! {
    /// invoke an action of an agent on the nodes that match filters
    #[argh(subcommand, name = "rpc")]
    pub struct Rpc {
        /// show one JSON document
        #[argh(switch, short = 'j')]
        json: bool,
        /// show JSON lines as things happen
        #[argh(switch)]
        jsonl: bool,
        /// show successful replies as a table
        #[argh(switch)]
        table: bool,
        /// show the names of nodes that answered well
        #[argh(switch)]
        senders: bool,
        /// federations to address, comma separated
        #[argh(option, arg_name = "list")]
        federations: Option<String>,
        /// ask a part of the nodes: a number, or a share such as 10%
        #[argh(option, arg_name = "n")]
        limit: Option<String>,
        /// makes a random limit repeatable
        #[argh(option, arg_name = "seed")]
        limit_seed: Option<i64>,
        /// ask so many nodes at a time
        #[argh(option, arg_name = "size")]
        batch: Option<usize>,
        /// seconds between batches, default 1
        #[argh(option, arg_name = "seconds")]
        batch_sleep: Option<f64>,
        /// connections that take replies, default 1
        #[argh(option, arg_name = "n")]
        workers: Option<usize>,
        /// no progress bar
        #[argh(switch, long = "np")]
        no_progress: bool,
        /// show all data and statistics
        #[argh(switch, short = 'v')]
        verbose: bool,
        /// which replies are shown: ok, failed, all or none
        #[argh(option, arg_name = "mode")]
        display: Option<String>,
        /// write results to this file
        #[argh(option, short = 'o', arg_name = "file")]
        output_file: Option<String>,
        /// have replies sent to this subject and do not wait
        #[argh(option, short = 'r', arg_name = "subject")]
        reply_to: Option<String>,
        /// show results sorted by node, once all have answered
        #[argh(switch)]
        sort: bool,
        /// exit codes of the original
        #[argh(switch)]
        compat_exit: bool,
        /// agent
        #[argh(positional)]
        agent: String,
        /// action
        #[argh(positional)]
        action: String,
        /// inputs, key=value
        #[argh(positional)]
        inputs: Vec<String>,
    }
}

/// What the person wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Text,
    Senders,
    SendersJson,
    Json,
    JsonLines,
    Table,
}

impl Rpc {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let exit = Exit::new(globals, self.compat_exit);
        let lines = self.output() == Output::JsonLines;
        match self.request(globals, exit) {
            Err(e) if lines => {
                outln!("{}", Line::error(&format!("{e:#}")).text());
                if exit.compat { Ok(ExitCode::SUCCESS) } else { Err(e) }
            }
            outcome => outcome,
        }
    }

    fn output(&self) -> Output {
        match () {
            () if self.senders && self.json => Output::SendersJson,
            () if self.senders => Output::Senders,
            () if self.json => Output::Json,
            () if self.jsonl => Output::JsonLines,
            () if self.table => Output::Table,
            () => Output::Text,
        }
    }

    /// Everything that can be wrong with the words is found before anything is
    /// sent, and most of it before anything is connected.
    fn request(self, globals: &Globals, exit: Exit) -> anyhow::Result<ExitCode> {
        let selection = self.selection();
        selection.filter()?;
        context::check_workers(self.workers)?;
        let limit = self.limit.as_deref().map(str::parse::<Limit>).transpose()?;
        let batch = self.batch()?;
        let mut config = context::client_config(globals)?;
        super::set_federations(&mut config, self.federations.as_deref())?;
        let ddl = resolver(&config).agent(&self.agent)?;
        let action = ddl.action(&self.action).with_context(|| {
            format!("unknown action {}#{}, it has {}", self.agent, self.action, ddl.action_names().join(", "))
        })?;
        let data = action.coerce(&pairs(&self.inputs)?).context("invalid input")?;
        let display = self.display(action)?;
        let out: Box<dyn Write> = match &self.output_file {
            Some(file) => {
                Box::new(std::fs::File::create(file).with_context(|| format!("cannot write {file}"))?)
            }
            None => Box::new(Stdout),
        };
        let colour = text::coloured(config.color) && self.output_file.is_none();
        let method = limit_method(&config, self.limit_seed);
        let discovery = u64::try_from(config.discovery_timeout).unwrap_or(2);
        let timeout = Duration::from_secs(discovery.saturating_add(ddl.metadata.client_timeout()));
        block_on(async {
            let client = context::connect_workers(config, self.workers).await?;
            let collective = client.collective(selection.target.as_deref())?;
            let output = self.output();
            let mut view = View {
                out: Rows::new(out),
                output,
                action,
                style: Style { display, verbose: self.verbose, colour },
                sort: self.sort,
                kept: vec![],
                aggregator: action.aggregator(),
                progress: Progress::new(0, false),
            };
            let discovered = if ddl.metadata.service {
                if self.reply_to.is_some() {
                    bail!(
                        "{} is a service, which answers whoever asks: --reply-to is not possible",
                        self.agent
                    );
                }
                None
            } else {
                let method_name = selection.method_name(&client);
                if output == Output::JsonLines {
                    view.line(&Line::discovering(&method_name))?;
                    view.flush()?;
                }
                let mut found = selection.discover(&client, Some(&self.agent)).await?;
                if found.nodes.is_empty() {
                    bail!(
                        "did not discover any nodes{}",
                        trouble::nobody_found(&client, &collective, &found)
                    );
                }
                if let Some(limit) = limit {
                    found.nodes = limit.apply(found.nodes, method)?;
                }
                if output == Output::JsonLines {
                    view.line(&Line::discovered(&method_name, found.nodes.len(), found.took.as_secs_f64()))?;
                }
                Some(found)
            };
            let asked_in = collective.clone();
            let options = RpcOptions {
                agent: self.agent.clone(),
                action: self.action.clone(),
                data,
                collective,
                timeout,
                batch,
            };
            let (nodes, took, mut late) = match discovered {
                Some(found) => (Some(found.nodes), found.took, found.late),
                None => (None, Duration::ZERO, LateAnswers::default()),
            };
            if let Some(subject) = self.reply_to.clone() {
                let nodes = nodes.unwrap_or_default();
                let id = send_only(&client, options, selection.filter()?, nodes, subject).await?;
                outln!("{id}");
                client.session().close().await;
                return Ok(ExitCode::SUCCESS);
            }
            let mut call = match nodes {
                Some(nodes) => RpcCall::direct(&client, options, nodes).await?,
                None => RpcCall::service(&client, options).await?,
            };
            let bar = output == Output::Text && !self.no_progress;
            view.progress = Progress::new(call.asked(), bar);
            let mut interrupted = false;
            // Listened to from here on: an interrupt while a reply is being
            // shown must count too.
            let mut interrupt = signal(SignalKind::interrupt())?;
            loop {
                let mut next = std::pin::pin!(call.next());
                let reply = match futures::poll!(&mut next) {
                    Poll::Ready(reply) => reply?,
                    Poll::Pending => {
                        view.flush()?;
                        tokio::select! {
                            biased;
                            _ = interrupt.recv() => {
                                interrupted = true;
                                break;
                            }
                            reply = next => reply?,
                        }
                    }
                };
                match reply {
                    Some(reply) => view.reply(reply)?,
                    None => break,
                }
            }
            let mut stats = call.stats();
            stats.discover_time = took;
            stats.late_discoveries = late.names();
            view.finish(&self.agent, &self.action, &stats)?;
            trouble::report(&client, &asked_in, &stats);
            client.session().close().await;
            Ok(exit.of(&stats, interrupted))
        })?
    }

    fn batch(&self) -> anyhow::Result<Option<(usize, Duration)>> {
        let sleep = match self.batch_sleep {
            None => 1.0,
            Some(seconds) if (0.0..86_400.0).contains(&seconds) => seconds,
            Some(seconds) => bail!("--batch-sleep {seconds} is no time to wait, give seconds"),
        };
        match self.batch {
            None if self.batch_sleep.is_some() => bail!("--batch-sleep needs --batch"),
            None => Ok(None),
            Some(0) => bail!("--batch 0 asks nobody, give the number of nodes to ask at a time"),
            Some(size) => Ok(Some((size, Duration::from_secs_f64(sleep)))),
        }
    }

    fn display(&self, action: &Action) -> anyhow::Result<Display> {
        match self.display.as_deref() {
            None => Ok(action.display),
            Some("all") => Ok(Display::Always),
            Some(word @ ("ok" | "failed" | "none")) => Ok(Display::from_word(word)),
            Some(word) => bail!("--display must be one of ok, failed, all, none, got '{word}'"),
        }
    }
}

/// Where DDLs are looked for.
pub fn resolver(config: &Config) -> Resolver {
    Resolver::new(config.libdir.iter().chain(&config.choria_agent_provider_mcorpc_libdir))
}

/// `key=value` words; the key is what the DDL declares.
fn pairs(inputs: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    inputs
        .iter()
        .map(|input| {
            let (key, value) = input
                .split_once('=')
                .with_context(|| format!("cannot use '{input}' as an input, write key=value"))?;
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}

fn limit_method(config: &Config, seed: Option<i64>) -> LimitMethod {
    let seed = seed.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0);
    if config.rpclimitmethod == "random" || seed.is_some() {
        LimitMethod::Random { seed }
    } else {
        LimitMethod::First
    }
}

async fn send_only(
    client: &Client,
    options: RpcOptions,
    mut filter: choria::core::protocol::filter::Filter,
    nodes: Vec<String>,
    subject: String,
) -> anyhow::Result<String> {
    filter.add_agent(&options.agent)?;
    let body =
        RequestBody { agent: options.agent.clone(), action: options.action, data: options.data }.encode();
    let mut conversation = client.converse(&options.agent, body, options.collective, filter).await?;
    conversation.reply_to(subject);
    conversation.send(Targets::Direct(nodes.into())).await?;
    Ok(conversation.request_id().to_owned())
}

/// Shows replies as they arrive, or keeps them where a form needs them all.
struct View<'a> {
    out: Rows,
    output: Output,
    action: &'a Action,
    style: Style,
    sort: bool,
    kept: Vec<RpcReply>,
    aggregator: choria::core::ddl::Aggregator,
    progress: Progress,
}

impl View<'_> {
    fn line(&mut self, line: &Line<'_>) -> std::io::Result<()> {
        writeln!(self.out, "{}", line.text())
    }

    /// Writes what is held, with the bar out of the way.
    fn flush(&mut self) -> std::io::Result<()> {
        if !self.out.any() {
            return Ok(());
        }
        let (out, mut written) = (&mut self.out, Ok(()));
        self.progress.print(|| written = out.flush());
        written
    }

    fn reply(&mut self, reply: RpcReply) -> std::io::Result<()> {
        self.aggregator.add(&reply.body.data);
        self.progress.step();
        if self.sort && self.output != Output::JsonLines
            || matches!(self.output, Output::Json | Output::Table | Output::SendersJson)
        {
            self.kept.push(reply);
            return Ok(());
        }
        self.show(&reply)?;
        if self.out.due() { self.flush() } else { Ok(()) }
    }

    fn show(&mut self, reply: &RpcReply) -> std::io::Result<()> {
        match self.output {
            Output::JsonLines => self.line(&Line::result(reply)),
            Output::Senders if reply.body.statuscode == choria::core::rpc::StatusCode::Ok => {
                writeln!(self.out, "{}", text::clean(&reply.sender, false))
            }
            Output::Text => match replies::text(reply, self.action, self.style) {
                Some(text) => self.out.write_all(text.as_bytes()),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn finish(mut self, agent: &str, action: &str, stats: &RequestStats) -> anyhow::Result<()> {
        std::mem::replace(&mut self.progress, Progress::new(0, false)).finish();
        if self.sort {
            self.kept.sort_by(|a, b| a.sender.cmp(&b.sender));
        }
        match self.output {
            Output::Json => {
                let replies: Vec<Value> = self.kept.iter().map(|r| replies::json(r, false)).collect();
                let document = json!({
                    "agent": agent,
                    "action": action,
                    "replies": replies,
                    "request_stats": stats,
                    "summaries": self.aggregator.json(),
                });
                writeln!(self.out, "{}", pretty(&document)?)?;
            }
            Output::JsonLines => {
                let summaries: Map<String, Value> = self.aggregator.json();
                self.line(&Line::summaries(&summaries))?;
                self.line(&Line::stats(stats))?;
            }
            Output::SendersJson => {
                let ok = |r: &&RpcReply| r.body.statuscode == choria::core::rpc::StatusCode::Ok;
                let names: Vec<&String> = self.kept.iter().filter(ok).map(|r| &r.sender).collect();
                writeln!(self.out, "{}", text::escaped(&serde_json::to_string_pretty(&names)?))?;
            }
            Output::Table => write!(self.out, "{}", self.table())?,
            Output::Senders | Output::Text => {
                for reply in std::mem::take(&mut self.kept) {
                    self.show(&reply)?;
                }
                if self.output == Output::Text {
                    // Where nobody answered well there is nothing to sum up.
                    if stats.ok > 0 {
                        let formatted: BTreeMap<String, Vec<String>> = self.aggregator.formatted();
                        write!(self.out, "{}", replies::summaries(self.action, &formatted))?;
                    }
                    write!(self.out, "\n{}", replies::footer(stats, self.style.verbose, self.style.colour))?;
                }
            }
        }
        self.out.flush()?;
        Ok(())
    }

    fn table(&self) -> String {
        let outputs: Vec<&String> = self.action.output.keys().collect();
        let mut header = vec!["Sender".to_owned()];
        header.extend(outputs.iter().map(|o| self.action.label(o).to_owned()));
        let ok = |r: &&RpcReply| r.body.statuscode == choria::core::rpc::StatusCode::Ok;
        let cell = |value: Option<&Value>| match value {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let row = |reply: &RpcReply| {
            let mut row = vec![reply.sender.clone()];
            row.extend(outputs.iter().map(|o| cell(reply.body.data.get(o.as_str()))));
            row
        };
        let rows: Vec<Vec<String>> = self.kept.iter().filter(ok).map(row).collect();
        table::render(&header, &rows)
    }
}

/// JSON indented by three spaces, as today's scripts and people know it.
fn pretty(document: &Value) -> serde_json::Result<String> {
    let mut json = vec![];
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"   ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut json, formatter);
    serde::Serialize::serialize(document, &mut serializer)?;
    Ok(text::escaped(&String::from_utf8_lossy(&json)).into_owned())
}
