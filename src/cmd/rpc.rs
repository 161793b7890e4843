//! `choria rpc` (`req`): one action of one agent on many nodes.

use std::io::Write;
use std::process::ExitCode;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context as _, bail};
use choria::core::client::{Client, Limit, LimitMethod, RpcCall, RpcOptions, Targets};
use choria::core::config::Config;
use choria::core::ddl::{Action, Display, Resolver};
use choria::core::discovery::LateAnswers;
use choria::core::protocol::filter::ReplyFilter;
use choria::core::rpc::RequestBody;
use choria::core::text::meant;
use tokio::signal::unix::{SignalKind, signal};

use super::Globals;
use super::context::{self, block_on};
use super::exit::{AfterAsking, Exit};
use super::fleet::fleet_command;
use super::interfaces;
use super::out::{self, Stdout, outln};
use super::render::forms::{Asked, Flags, Form, Style, form};
use super::render::keep::Keep;
use super::render::text;
use super::render::view::View;
use super::result_file::ResultFile;
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
        /// ask a part of the nodes: a number, or a share such as 10%, default all
        #[argh(option, arg_name = "n")]
        limit: Option<String>,
        /// makes a random limit repeatable
        #[argh(option, arg_name = "seed")]
        limit_seed: Option<i64>,
        /// ask so many nodes at a time, default all at once
        #[argh(option, arg_name = "size")]
        batch: Option<usize>,
        /// seconds between batches, default 1
        #[argh(option, arg_name = "seconds")]
        batch_sleep: Option<f64>,
        /// connections that take replies, default 1
        #[argh(option, arg_name = "n")]
        workers: Option<usize>,
        /// seconds to wait for replies once all are asked, default what the agent says and discovery_timeout
        #[argh(option, arg_name = "seconds")]
        timeout: Option<f64>,
        /// no progress bar
        #[argh(switch, long = "np")]
        no_progress: bool,
        /// show all data and statistics
        #[argh(switch, short = 'v')]
        verbose: bool,
        /// which replies are shown: ok, failed, all or none, default what the action says
        #[argh(option, arg_name = "mode")]
        display: Option<String>,
        /// keep only replies an expression is true of, such as "ok() && data('value') == 'uk'"
        #[argh(option, arg_name = "expression")]
        filter_replies: Option<String>,
        /// write results to this file
        #[argh(option, short = 'o', arg_name = "file")]
        output_file: Option<String>,
        /// have replies sent to this subject, below COLLECTIVE.reply., and do not wait
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

impl Rpc {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let exit = Exit::new(globals, self.compat_exit);
        let form = self.form();
        self.request(globals, exit).or_else(|e| {
            let Some(text) = form.failure(&format!("{e:#}")) else { return Err(e) };
            outln!("{text}");
            if exit.compat { Ok(ExitCode::SUCCESS) } else { Err(e) }
        })
    }

    fn form(&self) -> &'static dyn Form {
        form(Flags { json: self.json, jsonl: self.jsonl, table: self.table, senders: self.senders })
    }

    /// Everything that can be wrong with the words is found before anything is
    /// sent, and most of it before anything is connected.
    fn request(self, globals: &Globals, exit: Exit) -> anyhow::Result<ExitCode> {
        let selection = self.selection();
        selection.filter()?;
        context::check_workers(self.workers)?;
        let keep = self.keep()?;
        let limit = self.limit.as_deref().map(str::parse::<Limit>).transpose()?;
        let batch = self.batch()?;
        let mut config = context::client_config(globals)?;
        super::set_federations(&mut config, self.federations.as_deref())?;
        let ddl = interfaces::of(&config, &selection, &self.agent)?;
        let action = ddl.action(&self.action).with_context(|| {
            let names = ddl.action_names();
            let meant = meant(&self.action, names.iter().copied());
            format!("unknown action {}#{}{meant}, it has {}", self.agent, self.action, names.join(", "))
        })?;
        let data = action.coerce(&pairs(&self.inputs)?).context("invalid input")?;
        let display = self.display(action)?;
        let file = self.output_file.as_deref().map(ResultFile::open).transpose()?;
        let out: Box<dyn Write> = match &file {
            Some(file) => Box::new(file.clone()),
            None => Box::new(Stdout),
        };
        let colour = text::coloured(config.color) && self.output_file.is_none();
        let method = limit_method(&config, self.limit_seed);
        let discovery = u64::try_from(config.discovery_timeout).unwrap_or(2);
        let timeout = match self.timeout {
            None => Duration::from_secs(discovery.saturating_add(ddl.metadata.client_timeout())),
            Some(seconds) if seconds > 0.0 && seconds < 86_400.0 => Duration::from_secs_f64(seconds),
            Some(seconds) => bail!("--timeout {seconds} is no time to wait, give seconds above 0"),
        };
        block_on(async {
            let client = context::connect_workers(config, self.workers).await?;
            let collective = client.collective(selection.target.as_deref())?;
            let style = Style { display, verbose: self.verbose, colour };
            let asked = Asked { agent: &self.agent, name: &self.action, action, style };
            let mut view = View::new(out, self.form(), asked, self.sort).keeping(keep);
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
                view.discovering(&method_name)?;
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
                view.discovered(&method_name, found.nodes.len(), found.took.as_secs_f64())?;
                Some(found)
            };
            let asked_in = collective.clone();
            let by_asking = discovered.as_ref().is_some_and(|found| found.late.asked());
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
                out::nodes_are_asked();
                let id = send_only(&client, options, selection.filter()?, nodes, subject).await?;
                outln!("{id}");
                client.session().close().await;
                return Ok(ExitCode::SUCCESS);
            }
            let mut call = match nodes {
                Some(nodes) => RpcCall::direct(&client, options, nodes).await?,
                None => RpcCall::service(&client, options).await?,
            };
            view.asked(call.targets(), !self.no_progress);
            out::nodes_are_asked();
            let followed = follow(&mut call, &mut view).await;
            let mut stats = call.stats();
            stats.discover_time = took;
            stats.late_discoveries = late.names();
            let interrupted = matches!(followed, Ok(Followed::Interrupted));
            let shown =
                view.finish(&stats, interrupted).and_then(|()| file.map_or(Ok(()), |file| file.keep()));
            trouble::report(&client, &asked_in, &stats, by_asking);
            client.session().close().await;
            match followed.and_then(|_| Ok(shown?)) {
                Ok(()) => Ok(exit.of(&stats, interrupted)),
                Err(e) if call.sent() => Err(AfterAsking(format!("{e:#}")).into()),
                Err(e) => Err(e),
            }
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

    fn keep(&self) -> anyhow::Result<Keep> {
        if self.filter_replies.is_some() && self.reply_to.is_some() {
            bail!("--filter-replies needs replies, and --reply-to has them sent elsewhere");
        }
        let filter = self.filter_replies.as_deref().map(ReplyFilter::compile).transpose();
        Ok(Keep::new(filter.context("--filter-replies")?))
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

/// How a request ended.
enum Followed {
    ToTheEnd,
    Interrupted,
}

/// Shows replies until all are there, or a person has waited enough.
async fn follow(call: &mut RpcCall<'_>, view: &mut View<'_>) -> anyhow::Result<Followed> {
    // Listened to from here on: an interrupt while a reply is being shown must
    // count too.
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        let mut next = std::pin::pin!(call.next());
        let reply = match futures::poll!(&mut next) {
            Poll::Ready(reply) => reply?,
            Poll::Pending => {
                view.flush()?;
                tokio::select! {
                    biased;
                    _ = interrupt.recv() => return Ok(Followed::Interrupted),
                    reply = next => reply?,
                }
            }
        };
        match reply {
            Some(reply) => view.reply(reply)?,
            None => return Ok(Followed::ToTheEnd),
        }
    }
}

/// Where DDLs are looked for.
pub fn resolver(config: &Config) -> Resolver {
    Resolver::new(config.libdir.iter().chain(&config.choria_agent_provider_mcorpc_libdir))
        .cached_in(interfaces::cache(config))
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

/// How a limit chooses, by configuration or by a seed.
pub fn limit_method(config: &Config, seed: Option<i64>) -> LimitMethod {
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
